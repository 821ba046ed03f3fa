"""Every page of a website, found as a reader would: from the front page and the sitemap, link by link.

Looks at what the links of HTML pages, style sheets, feeds and the sitemap point to. A link is broken when its target
is not there, when it names a fragment that its page lacks, or when a page would load anything from another origin.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urldefrag, urljoin, urlsplit

import html5lib

from .client import Answer, Client

_LOADED = {("img", "src"), ("script", "src"), ("source", "src"), ("iframe", "src"), ("image", "href"), ("use", "href")}
"""Attributes whose target is fetched without the reader asking; `link` is told apart by its `rel`."""

_FOLLOWED = {("a", "href"), ("area", "href")}
_LOADING_RELS = {"stylesheet", "icon", "preload", "manifest", "apple-touch-icon", "modulepreload"}
_CSS_URL = re.compile(r"""url\(\s*["']?([^"')]+)["']?\s*\)|@import\s+["']([^"']+)["']""")


@dataclass(frozen=True)
class Link:
    """One reference from a page."""

    page: str
    """The target of the page that holds it."""
    url: str
    """Absolute, its fragment included."""
    loaded: bool
    """Whether a browser fetches it by itself."""


@dataclass
class Report:
    """What a crawl found."""

    pages: dict[str, Answer] = field(default_factory=dict)
    """HTML pages by target."""
    other: dict[str, Answer] = field(default_factory=dict)
    """Style sheets, feeds, pictures and redirects by target."""
    links: list[Link] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    """One sentence for each fault."""


def parse(body: bytes) -> ET.Element:
    """An HTML page as a tree. Raises `html5lib.html5parser.ParseError` for the first error of its syntax."""
    tree: ET.Element = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(body)
    return tree


def crawl(url: str) -> Report:
    """Fetch everything that can be reached from the front page and from the sitemap."""
    report = Report()
    fragments: dict[str, set[str]] = {}
    with Client(url) as client:
        _visit(report, client, url, fragments)
    _check(report, url, fragments)
    return report


def _visit(report: Report, client: Client, url: str, fragments: dict[str, set[str]]) -> None:
    """Fetch until nothing new is linked."""
    published = _published_origin(client)
    queue = deque(["/", "/sitemap.xml"])
    seen = set(queue)
    while queue:
        target = queue.popleft()
        answer = client.get(target)
        found = list(_examine(report, url, published, target, answer, fragments))
        report.links += found
        for link in found:
            if not link.url.startswith(f"{url}/"):
                if link.loaded:
                    report.broken.append(f"{link.page} loads {link.url} from another origin")
                continue
            parts = urlsplit(urldefrag(link.url).url)
            wanted = parts.path + (f"?{parts.query}" if parts.query else "")
            if wanted not in seen:
                seen.add(wanted)
                queue.append(wanted)


def _examine(
    report: Report, url: str, published: str, target: str, answer: Answer, fragments: dict[str, set[str]]
) -> Iterator[Link]:
    """File one answer in the report and give the links that it holds."""
    base = url + target
    if answer.status in {301, 302, 303, 307, 308}:
        report.other[target] = answer
        yield Link(target, urljoin(base, answer.headers.get("location", "")), loaded=False)
        return
    kind = answer.content_type
    if kind != "text/html":
        report.other[target] = answer
        if kind == "text/css":
            for found in _CSS_URL.finditer(answer.body.decode()):
                yield Link(target, urljoin(base, found[1] or found[2]), loaded=True)
        elif target.endswith(".xml") and answer.status == 200:
            for element in ET.fromstring(answer.body).iter():
                text = element.get("href") or (element.text if element.tag.endswith("}loc") else None)
                if text:
                    yield Link(target, _local(text.strip(), url, published), loaded=False)
        return
    report.pages[target] = answer
    try:
        tree = parse(answer.body)
    except html5lib.html5parser.ParseError as error:
        report.broken.append(f"{target} is not valid HTML: {error}")
        return
    fragments[target] = {value for element in tree.iter() if (value := element.get("id"))}
    for element in tree.iter():
        tag = element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""
        for name, value in element.attrib.items():
            attribute = name.rpartition("}")[2]
            if (tag, attribute) in _LOADED or (tag, attribute) in _FOLLOWED:
                yield Link(target, urljoin(base, value), (tag, attribute) in _LOADED)
            elif (tag, attribute) == ("link", "href"):
                rels = set((element.get("rel") or "").split())
                # A canonical link names the published address of this very page.
                yield Link(target, urljoin(base, _local(value, url, published)), bool(rels & _LOADING_RELS))
            elif attribute == "srcset":
                for candidate in value.split(","):
                    yield Link(target, urljoin(base, candidate.split()[0]), loaded=True)


def _local(address: str, url: str, published: str) -> str:
    """An address on the origin that the site is published under, as the one to fetch here; any other as it is."""
    return url + (address.removeprefix(published) or "/") if published and address.startswith(published) else address


def _published_origin(client: Client) -> str:
    """The origin that the sitemap's addresses share: feeds and canonical links are written for it."""
    found = re.search(rb"<loc>\s*(https?://[^/<\s]+)", client.get("/sitemap.xml").body)
    return found[1].decode() if found else ""


def _check(report: Report, url: str, fragments: dict[str, set[str]]) -> None:
    """Add what is broken once everything has been seen."""
    for target, answer in {**report.pages, **report.other}.items():
        if answer.status >= 400:
            holders = sorted({link.page for link in report.links if urldefrag(link.url).url == url + target})
            report.broken.append(f"{target} answers {answer.status}; linked from {', '.join(holders) or 'nowhere'}")
    for link in report.links:
        address, fragment = urldefrag(link.url)
        target = address.removeprefix(url)
        if fragment and address.startswith(url) and target in fragments and fragment not in fragments[target]:
            report.broken.append(f"{link.page} links to #{fragment}, which {target} does not have")
