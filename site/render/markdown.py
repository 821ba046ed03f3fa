"""Markdown to HTML: CommonMark and tables, no raw HTML, with checked links.

What is done beyond CommonMark:

* headings get stable ids and a link to themselves; a first heading that repeats the page's title is dropped;
* a link to a Markdown file (``../docs/cohttp.md``) leads to its page, one to any other file of the tree is shown as a
  path, and a relative link to nothing is an error with its file and line;
* an image that stands alone and is an SVG file of the tree is drawn inside the page, as a figure with its caption;
* straight quotation marks and apostrophes in prose become typographic ones;
* code is highlighted, and code blocks and tables can be scrolled by keyboard.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markupsafe import Markup, escape

from .errors import ContentError, Problem
from .highlight import code_block

__all__ = ["Heading", "Link", "Rendered", "Renderer"]


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading below the page's title."""

    level: int
    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Link:
    """A link to another place of this site, and where it was written."""

    href: str
    line: int


@dataclass(frozen=True, slots=True)
class Rendered:
    """A piece of Markdown as HTML."""

    html: Markup
    headings: tuple[Heading, ...] = ()
    links: tuple[Link, ...] = ()


@dataclass(slots=True)
class _Job:
    """What is gathered while one document is rendered."""

    file: Path
    first_line: int
    slugs: dict[str, int] = field(default_factory=dict)
    headings: list[Heading] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def line(self, token: Token, fallback: int = 0) -> int:
        return self.first_line + (token.map[0] if token.map else fallback)

    def problem(self, line: int, message: str) -> None:
        self.problems.append(Problem(str(self.file), line, message))


class Renderer:
    """Renders documents of one source tree.

    `root` is the folder that file names are relative to, `pages` tells the address of the page that each Markdown file
    becomes.
    """

    def __init__(self, root: Path, pages: Mapping[str, str]) -> None:
        self._root = root
        self._pages = pages
        self._markdown = MarkdownIt("commonmark", {"html": False, "typographer": True})
        self._markdown.enable(["table", "smartquotes"])
        for name in ("fence", "code_block", "table_open", "table_close", "figure"):
            self._markdown.add_render_rule(name, globals()[f"_{name}"])

    def render(
        self,
        text: str,
        file: Path,
        line: int = 1,
        title: str | None = None,
        *,
        top: int = 2,
        slugs: dict[str, int] | None = None,
    ) -> Rendered:
        """Render the Markdown that starts on `line` of `file`. Raises `ContentError` with all its problems.

        Headings are moved so that the highest is of level `top`; `title` is the page's own, shown by its template.
        Texts that stand on one page share `slugs`, so that no two headings get one id.
        """
        job = _Job(file, line, {} if slugs is None else slugs)
        environment: dict[str, Any] = {"job": job}
        tokens = self._markdown.parse(text, environment)
        tokens = self._drop_title(tokens, title)
        self._headings(tokens, job, top)
        tokens = self._figures(tokens, job)
        self._links(tokens, job)
        html = self._markdown.renderer.render(tokens, self._markdown.options, environment)
        if job.problems:
            raise ContentError(job.problems)
        return Rendered(Markup(html), tuple(job.headings), tuple(job.links))  # noqa: S704  # raw HTML is off

    @staticmethod
    def _drop_title(tokens: list[Token], title: str | None) -> list[Token]:
        """Without a first heading of level 1: the page's template shows its title."""
        opens = title is not None and tokens and tokens[0].type == "heading_open" and tokens[0].tag == "h1"
        return tokens[3:] if opens else tokens

    @staticmethod
    def _headings(tokens: list[Token], job: _Job, top: int) -> None:
        levels = [int(token.tag[1]) for token in tokens if token.type == "heading_open"]
        shift = top - min(levels, default=top)
        for index, token in enumerate(tokens):
            if token.type == "heading_open":
                level = min(int(token.tag[1]) + shift, 6)
                inline = tokens[index + 1]
                text = "".join(
                    child.content for child in inline.children or () if child.type in {"text", "code_inline"}
                )
                slug = _slug(text, job.slugs)
                token.tag = tokens[index + 2].tag = f"h{level}"
                token.attrSet("id", slug)
                job.headings.append(Heading(level, slug, text))

    def _figures(self, tokens: list[Token], job: _Job) -> list[Token]:
        """Turn each paragraph that is one SVG image into a figure; any other image is a problem."""
        out: list[Token] = []
        for index, token in enumerate(tokens):
            images = [child for child in token.children or () if child.type == "image"]
            if not images:
                out.append(token)
                continue
            source = str(images[0].attrGet("src"))
            path = (self._root / job.file).parent / source
            alone = len(token.children or ()) == 1 and tokens[index - 1].type == "paragraph_open"
            if not (alone and source.endswith(".svg") and path.is_file()):
                job.problem(
                    job.line(token), f"image {source!r}: expected an SVG file of the tree, alone in its paragraph"
                )
                continue
            out.pop()  # paragraph_open
            figure = Token("figure", "figure", 0, content=path.read_text("utf-8"), map=token.map)
            figure.meta = {"caption": images[0].content}
            out.append(figure)
            tokens[index + 1].hidden = True
        return out

    def _links(self, tokens: Sequence[Token], job: _Job) -> None:
        for token in tokens:
            line = job.line(token)
            breaks = 0
            opened: list[Token] = []
            for child in token.children or ():
                breaks += child.type in {"softbreak", "hardbreak"}
                if child.type == "link_open":
                    self._link(child, line + breaks, job)
                    opened.append(child)
                elif child.type == "link_close":
                    child.tag = opened.pop().tag

    def _link(self, token: Token, line: int, job: _Job) -> None:
        href = str(token.attrGet("href"))
        if re.match(r"(https?://|mailto:)", href):
            if href.startswith("http"):
                token.attrSet("rel", "external")
            return
        if re.match(r"[a-z][a-z0-9+.-]*:", href) or href.startswith("//"):
            job.problem(line, f"link {href!r}: expected https:, http:, mailto:, or a place of this site")
            return
        if href.startswith("#"):
            if href[1:] not in {heading.id for heading in job.headings}:
                job.problem(line, f"link {href!r}: this page has no such heading")
            return
        if not href.startswith("/"):
            path, _, fragment = href.partition("#")
            target = ((self._root / job.file).parent / path).resolve()
            inside = target.is_relative_to(self._root.resolve()) and target.exists()
            name = target.relative_to(self._root.resolve()).as_posix() if inside else ""
            if name not in self._pages:
                if not inside:
                    job.problem(line, f"link {href!r}: there is no such file; expected a file of the tree or /ADDRESS/")
                token.tag, token.attrs = "span", {"class": "path", "title": name}
                return
            href = self._pages[name] + (f"#{fragment}" if fragment else "")
            token.attrSet("href", href)
        job.links.append(Link(href, line))


def _slug(text: str, seen: dict[str, int]) -> str:
    base = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "section"
    if base[0].isdigit():
        base = f"s-{base}"
    seen[base] = seen.get(base, 0) + 1
    return base if seen[base] == 1 else f"{base}-{seen[base]}"


def _fence(_: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: dict[str, Any]) -> str:
    token, job = tokens[index], env["job"]
    language = token.info.split()[0] if token.info.strip() else ""
    try:
        # As plain text: added to plain text, markup escapes it, and that is what older releases of markdown-it-py do.
        return str(code_block(token.content, language))
    except ValueError as error:
        job.problem(job.line(token), str(error))
        return ""


def _code_block(_: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    return str(code_block(tokens[index].content, ""))


def _table_open(_: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    return '<div class="scroll" tabindex="0">\n<table>\n'


def _table_close(_: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    return "</table>\n</div>\n"


def _figure(_: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    token = tokens[index]
    caption = escape(token.meta["caption"])
    return f'<figure class="diagram">\n{token.content.strip()}\n<figcaption>{caption}</figcaption>\n</figure>'
