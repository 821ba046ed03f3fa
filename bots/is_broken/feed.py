"""The Atom feed (RFC 4287) of what broke and what was mended, and the SVG badges, as octets."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

from .model import Night

__all__ = ["atom", "badge", "events"]

_NAMESPACE = uuid.UUID("8f4b0a5e-1f0c-5d0e-9d3a-64c5bb1c2f77")
_GOOD, _BAD, _UNKNOWN, _DARK = "#1d6b3a", "#a3201b", "#5b6066", "#33383d"


def events(nights: Sequence[Night]) -> list[tuple[Night, str, bool]]:
    """What broke (True) and what was mended (False) in nights, by their findings' keys: the newest first."""
    found = []
    before: frozenset[str] = frozenset()
    for night in nights:
        now = frozenset(night.findings)
        found += [(night, key, True) for key in sorted(now - before)]
        found += [(night, key, False) for key in sorted(before - now)]
        before = now
    return found[::-1]


def atom(nights: Sequence[Night], titles: Mapping[str, str], site: str, published: float, limit: int = 50) -> bytes:
    """The feed's document. `titles` are the findings', by key; `site` is the address of the site, without a slash."""
    root = ET.Element("feed", {"xmlns": "http://www.w3.org/2005/Atom", "xml:lang": "en"})
    shown = events(nights)[:limit]
    _text(root, "id", _id("feed"))
    _text(root, "title", "MirageOS in Python: build status")
    _text(root, "subtitle", "What upstream broke, and what was mended")
    _text(root, "updated", _moment(max((night.ended or night.started for night, _, _ in shown), default=published)))
    ET.SubElement(root, "link", {"rel": "self", "type": "application/atom+xml", "href": f"{site}/status/atom.xml"})
    ET.SubElement(root, "link", {"rel": "alternate", "type": "text/html", "href": f"{site}/status/"})
    _text(ET.SubElement(root, "author"), "name", "is_broken")
    for night, key, broke in shown:
        entry = ET.SubElement(root, "entry")
        title = titles.get(key, "Something that is forgotten")
        _text(entry, "id", _id(f"{night.name} {key} {broke}"))
        _text(entry, "title", title if broke else f"Mended: {title}")
        _text(entry, "updated", _moment(night.ended or night.started))
        address = f"{site}/status/nights/{night.name}/"
        ET.SubElement(entry, "link", {"rel": "alternate", "type": "text/html", "href": address})
        told = "It broke in this night." if broke else "It is not broken any more."
        _text(entry, "summary", told)
    ET.indent(root)
    text: str = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'.encode()


def badge(word: str, mood: str) -> bytes:
    """A badge that says ``nightly: WORD``; `mood` is ``good``, ``bad`` or ``unknown``."""
    colour = {"good": _GOOD, "bad": _BAD}.get(mood, _UNKNOWN)
    left, right = 54, round(len(word) * 6.6) + 14
    label = f"nightly: {_xml(word)}"
    font = 'font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" fill="#fff" text-anchor="middle"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" aria-label="{label}">'
        f'<title>{label}</title><rect width="{left + right}" height="20" rx="3" fill="{_DARK}"/>'
        f'<path d="M{left} 0h{right - 3}a3 3 0 0 1 3 3v14a3 3 0 0 1-3 3h-{right - 3}z" fill="{colour}"/>'
        f'<g {font}><text x="{left / 2}" y="14">nightly</text>'
        f'<text x="{left + right / 2}" y="14">{_xml(word)}</text></g></svg>\n'
    ).encode()


def _id(name: str) -> str:
    return f"urn:uuid:{uuid.uuid5(_NAMESPACE, name)}"


def _moment(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _text(parent: ET.Element, name: str, value: str) -> None:
    # XML 1.0 section 2.2: what is no character of XML may not even be written as a reference.
    ET.SubElement(parent, name).text = re.sub("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", value)


def _xml(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
