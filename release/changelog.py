"""Fragments gathered: a section of a package's `CHANGELOG.md`, and release notes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .model import Fragment, Planned

__all__ = ["added", "notes", "section"]

_ORDER = ("security", "removed", "deprecated", "changed", "added", "fixed")
"""What a reader must know first comes first."""


def section(package: Planned, date: str) -> str:
    """The section of a release, in Markdown."""
    lines = [f"## {package.new} - {date}", ""]
    if package.breaks:
        lines += ["Breaks:", "", *(f"- `{gone}`" for gone in package.breaks), ""]
    lines += _told(package.fragments)
    if not package.fragments:
        lines += [f"- {reason[:1].upper()}{reason[1:]}." for reason in package.reasons] + [""]
    return "\n".join(lines)


def added(text: str, package: Planned, date: str) -> str:
    """A changelog with the release's section in front of the others; as it is where it has one."""
    head = f"# Changes of {package.name}\n"
    if any(line.startswith(f"## {package.new} ") for line in text.splitlines()):
        return text
    older = text.removeprefix(head).strip("\n")
    return f"{head}\n{section(package, date).rstrip()}\n" + (f"\n{older}\n" if older else "")


def notes(packages: Iterable[Planned], train: str) -> str:
    """What a train brings, in one page for whoever announces it elsewhere."""
    released = list(packages)
    count = f"{len(released)} packages" if len(released) != 1 else "One package"
    first = all(p.old is None for p in released)
    lines = [f"# The release of {train}", "", f"{count} released{' for the first time' if first else ''}.", ""]
    for package in released:
        came = f"After {package.old}." if package.old else "Its first release."
        lines += [f"## {package.name} {package.new}", "", f"{package.summary}. {came}", ""]
        lines += _told(package.fragments)
        if package.breaks:
            lines += ["What worked before and does not now:", "", *(f"- `{gone}`" for gone in package.breaks), ""]
        if not package.fragments:
            lines += [*(f"- {reason[:1].upper()}{reason[1:]}." for reason in package.reasons), ""]
    return "\n".join(lines).rstrip() + "\n"


def _told(fragments: tuple[Fragment, ...]) -> Iterator[str]:
    """Without headings: the website puts many sections on one page, where a heading's name must be its own."""
    for kind in _ORDER:
        if texts := [f.text for f in fragments if f.kind == kind]:
            yield from (f"{kind.capitalize()}:", "", *(f"- {text}" for text in texts), "")
