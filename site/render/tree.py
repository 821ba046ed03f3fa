"""What the source tree says of itself: its packages and their changes that no release has published yet.

The packages page, the status of the 2014 review's systems and the list of unreleased changes come from here, so none of
them can say anything that the tree does not. What a package is, `mirage.assemblage` reads.
"""

from __future__ import annotations

import re
from pathlib import Path

from mirage.assemblage import InvalidDescription, read

from .errors import ContentError, Problem
from .model import Change, Logged, Package

__all__ = ["CHANGE_KINDS", "FAMILIES", "packages"]

FAMILIES = ("core", "drivers", "stack", "tls", "web", "storage", "services", "tooling")
"""From the bottom of the house to its top."""

CHANGE_KINDS = {
    "security": "Security",
    "removed": "Removed",
    "changed": "Changed",
    "added": "Added",
    "fixed": "Fixed",
    "deprecated": "Deprecated",
}


def packages(folder: Path, relative_to: Path) -> tuple[Package, ...]:
    """Every package below `folder`, by family and name. Raises `ContentError`."""
    found: list[Package] = []
    problems: list[Problem] = []
    for file in sorted(folder.glob("*/*/pyproject.toml")):
        try:
            found.append(_package(file, relative_to))
        except ContentError as error:
            problems.extend(error.problems)
    if problems:
        raise ContentError(problems)
    return tuple(sorted(found, key=lambda package: (FAMILIES.index(package.family), package.name)))


def line_of(text: str, needle: str) -> int:
    """The first line of `text` that has `needle`, or 1."""
    return next((number for number, line in enumerate(text.splitlines(), 1) if needle in line), 1)


def _package(file: Path, relative_to: Path) -> Package:
    shown = file.relative_to(relative_to)
    text = file.read_text("utf-8")
    try:
        what = read(text, file.parent.parent.name, file.parent.name)
    except InvalidDescription as error:
        raise ContentError.at(shown, 1, str(error)) from error
    if what.family not in FAMILIES:
        raise ContentError.at(shown, 1, f"{what.family!r} is no family; expected one of {', '.join(FAMILIES)}")
    return Package(
        name=what.distribution,
        family=what.family,
        version=what.version,
        summary=what.summary,
        tier=what.tier,
        systems=what.systems,
        requires=tuple(match[0] for need in what.dependencies if (match := re.match(r"mirage-[a-z0-9-]+", need))),
        needs=what.dependencies,
        changes=tuple(_change(path, relative_to) for path in sorted(file.parent.glob("changes.d/*.md"))),
        log=_log(file.parent / "CHANGELOG.md", relative_to),
        file=shown,
        readme=_readme(file.parent / "README.md"),
    )


def _readme(file: Path) -> str:
    """What a README says below its title, and before the licence, which the page says of all packages."""
    text = file.read_text("utf-8") if file.exists() else ""
    return re.sub(r"\A# .*\n|^Licence: .*\n", "", text, flags=re.MULTILINE).strip()


def _log(file: Path, relative_to: Path) -> tuple[Logged, ...]:
    """The sections ``## VERSION - DATE`` of a changelog."""
    if not file.exists():
        return ()
    shown, lines = file.relative_to(relative_to), file.read_text("utf-8").splitlines()
    heads = [
        (number, match[1]) for number, line in enumerate(lines) if (match := re.match(r"## \[?([0-9][^\s\]]*)", line))
    ]
    ends = [number for number, _ in heads[1:]] + [len(lines)]
    return tuple(
        Logged(version, "\n".join(lines[start + 1 : end]), shown, start + 2)
        for (start, version), end in zip(heads, ends, strict=True)
    )


def _change(file: Path, relative_to: Path) -> Change:
    parts = file.stem.rsplit(".", 1)
    shown = file.relative_to(relative_to)
    if len(parts) != 2 or parts[1] not in CHANGE_KINDS:
        expected = f"expected TOPIC.KIND.md, KIND one of {', '.join(CHANGE_KINDS)}"
        raise ContentError.at(shown, 1, f"this change fragment's name does not tell its kind: {expected}")
    return Change(kind=parts[1], topic=parts[0], body=file.read_text("utf-8").strip(), file=shown)
