"""What is checked of the finished tree: every link and every reference inside it leads somewhere inside it.

Links in content were checked where they were written, with file and line; this pass also covers what templates wrote.
"""

from __future__ import annotations

from collections.abc import Mapping
from html.parser import HTMLParser

from .errors import ContentError, Problem

__all__ = ["Outline", "check_links", "key_of"]

_REFERENCES = {
    ("a", "href"),
    ("link", "href"),
    ("img", "src"),
    ("script", "src"),
    ("source", "src"),
    ("form", "action"),
}


class Outline(HTMLParser):
    """The ids and the references of one page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.references: list[tuple[str, str]] = []
        """Pairs of the element's name and the address."""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the ids and addresses of an element."""
        for name, value in attrs:
            if name == "id" and value:
                self.ids.append(value)
            if (tag, name) in _REFERENCES and value is not None:
                self.references.append((tag, value))


def key_of(address: str) -> str:
    """The key of the value that answers for an address without its fragment: ``/blog/`` is ``blog/index.html``."""
    path = address.partition("#")[0].partition("?")[0].lstrip("/")
    return path + "index.html" if not path or path.endswith("/") else path


def check_links(tree: Mapping[str, bytes], redirects: frozenset[str]) -> int:
    """How many links of all pages lead to a place of the site. Raises `ContentError` for each that leads nowhere.

    `redirects` are the addresses that the running site answers with a redirect.
    """
    # The pages below simple/ speak to programs, by relative addresses; the package index answers for them.
    pages = {key: value for key, value in tree.items() if key.endswith(".html") and not key.startswith("simple/")}
    outlines = {key: Outline(value.decode("utf-8")) for key, value in pages.items()}
    problems, count = [], 0
    for key, outline in outlines.items():
        if len(set(outline.ids)) != len(outline.ids):
            twice = sorted({name for name in outline.ids if outline.ids.count(name) > 1})
            problems.append(Problem(key, 1, f"id given twice: {', '.join(twice)}"))
        for _, address in outline.references:
            if address.startswith(("http://", "https://", "mailto:")) or address in redirects:
                continue
            count += 1
            _, _, fragment = address.partition("#")
            target = key if address.startswith("#") else key_of(address)
            if not address.startswith(("/", "#")) or target not in tree:
                problems.append(Problem(key, 1, f"link {address!r} leads nowhere"))
            elif fragment and fragment not in outlines[target].ids:
                problems.append(Problem(key, 1, f"link {address!r}: that page has no {fragment!r}"))
    if problems:
        raise ContentError(problems)
    return count
