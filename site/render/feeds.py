"""Atom feeds (RFC 4287) and the sitemap, as octets."""

from __future__ import annotations

import datetime
import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from markupsafe import Markup

__all__ = ["Feed", "Item", "atom", "sitemap", "stable_id"]

_ATOM = "http://www.w3.org/2005/Atom"
_SITEMAP = "http://www.sitemaps.org/schemas/sitemap/0.9"
_NAMESPACE = uuid.UUID("6d5f0e3b-61d5-5f0c-9a51-2b1d7c1f3a10")


@dataclass(frozen=True, slots=True)
class Item:
    """One entry of a feed."""

    address: str
    """Where it is on the site; also what its id is made from, so it never changes."""
    title: str
    published: datetime.date
    updated: datetime.date
    summary: str
    content: Markup | None = None
    category: str | None = None


@dataclass(frozen=True, slots=True)
class Feed:
    """One feed."""

    address: str
    title: str
    subtitle: str
    about: str
    """The address of the page that shows the same things."""
    items: tuple[Item, ...]


def stable_id(address: str) -> str:
    """An id that stays the same when the site moves to another host (RFC 4287 section 4.2.6)."""
    return f"urn:uuid:{uuid.uuid5(_NAMESPACE, address)}"


def atom(feed: Feed, url: str, author: str, started: datetime.date) -> bytes:
    """The feed's document; a feed with no entry bears the date `started`."""
    root = ET.Element("feed", {"xmlns": _ATOM, "xml:lang": "en"})
    _text(root, "id", stable_id(feed.address))
    _text(root, "title", feed.title)
    _text(root, "subtitle", feed.subtitle)
    _text(root, "updated", _moment(max((item.updated for item in feed.items), default=started)))
    ET.SubElement(root, "link", {"rel": "self", "type": "application/atom+xml", "href": url + feed.address})
    ET.SubElement(root, "link", {"rel": "alternate", "type": "text/html", "href": url + feed.about})
    # RFC 4287 4.1.1: a feed has an author, unless all of its entries have.
    _text(ET.SubElement(root, "author"), "name", author)
    for item in feed.items:
        entry = ET.SubElement(root, "entry")
        _text(entry, "id", stable_id(item.address))
        _text(entry, "title", item.title)
        _text(entry, "published", _moment(item.published))
        _text(entry, "updated", _moment(item.updated))
        ET.SubElement(entry, "link", {"rel": "alternate", "type": "text/html", "href": url + item.address})
        if item.category:
            ET.SubElement(entry, "category", {"term": item.category})
        _text(entry, "summary", item.summary)
        if item.content is not None:
            content = _text(entry, "content", re.sub(r'(href|src)="/', rf'\1="{url}/', str(item.content)))
            content.set("type", "html")
    return _document(root)


def sitemap(pages: Iterable[tuple[str, datetime.date | None]], url: str) -> bytes:
    """The sitemap of pages, each with the date of its last change where one is known."""
    root = ET.Element("urlset", {"xmlns": _SITEMAP})
    for address, changed in pages:
        entry = ET.SubElement(root, "url")
        _text(entry, "loc", url + address)
        if changed is not None:
            _text(entry, "lastmod", changed.isoformat())
    return _document(root)


def _text(parent: ET.Element, name: str, value: str) -> ET.Element:
    element = ET.SubElement(parent, name)
    element.text = value
    return element


def _moment(date: datetime.date) -> str:
    """A date as RFC 3339 wants a date-time; content knows days only."""
    return f"{date.isoformat()}T00:00:00Z"


def _document(root: ET.Element) -> bytes:
    ET.indent(root)
    text: str = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'.encode()
