"""Floors and ceilings of requirements, as sets of versions.

A bound is rewritten in the form that the tree uses, ``>=FLOOR,<CEILING``; that the new one admits what it should, and
everything or nothing of what the old one did, is then shown by `packaging`'s version ranges.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable, Mapping

from packaging.ranges import VersionRange
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from .versions import ceiling

__all__ = ["Incompatible", "conflicts", "open_ends", "raised", "rewritten", "widened"]


class Incompatible(Exception):
    """A bound that cannot be made to admit a version; the message says why."""


def widened(specifier: SpecifierSet, version: Version) -> SpecifierSet:
    """The specifier with its ceiling moved so that it admits a version and all that do not break it.

    One that admits it is returned as it is. Raises `Incompatible` for one that excludes the version in another way than
    by its ceiling: an exclusion is somebody's decision.
    """
    if specifier.contains(version, prereleases=True):
        return specifier
    kept = [str(s) for s in specifier if s.operator not in {"<", "<="}]
    new = SpecifierSet(",".join([*kept, f"<{ceiling(version)}"]))
    if not new.contains(version, prereleases=True) or not _within(specifier, new):
        raise Incompatible(f"{_written(specifier)} excludes {version} on purpose, not by its ceiling")
    return new


def raised(specifier: SpecifierSet, floor: Version) -> SpecifierSet:
    """The specifier with its floor moved up to a version. Raises `Incompatible` where nothing would be left."""
    if _within(specifier, SpecifierSet(f">={floor}")):
        return specifier
    new = SpecifierSet(",".join([f">={floor}", *(str(s) for s in specifier if s.operator not in {">=", ">"})]))
    if (new.to_range() & specifier.to_range()).is_empty or not new.contains(floor, prereleases=True):
        raise Incompatible(f"{_written(specifier)} leaves nothing from {floor} on")
    return new


def rewritten(text: str, specifier: SpecifierSet) -> str:
    """A requirement with another specifier, in the form that the tree uses."""
    requirement = Requirement(text)
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    marker = f"; {requirement.marker}" if requirement.marker else ""
    return f"{requirement.name}{extras}{_written(specifier)}{marker}"


def open_ends(requirement: Requirement) -> list[str]:
    """What a requirement lacks of a floor and a ceiling."""
    operators = {s.operator for s in requirement.specifier}
    closed = operators & {"==", "===", "~="}
    found = [] if closed or operators & {">=", ">"} else ["floor"]
    return found if closed or operators & {"<", "<="} else [*found, "ceiling"]


def conflicts(wanted: Mapping[str, Iterable[tuple[str, SpecifierSet]]]) -> list[str]:
    """The distributions of which no version fits all who need them, in words: name to (who, specifier)."""
    found = []
    for name, users in sorted(wanted.items()):
        each = list(users)
        if functools.reduce(operator.and_, (s.to_range() for _, s in each), VersionRange.full()).is_empty:
            said = "; ".join(f"{who} wants {_written(specifier)}" for who, specifier in each)
            found.append(f"no version of {name} fits everybody: {said}")
    return found


def _within(inner: SpecifierSet, outer: SpecifierSet) -> bool:
    return inner.to_range().is_subset(outer.to_range())


_ORDER = {sign: rank for rank, sign in enumerate((">=", ">", "~=", "==", "<", "<=", "!="))}


def _written(specifier: SpecifierSet) -> str:
    return ",".join(str(s) for s in sorted(specifier, key=lambda s: (_ORDER.get(s.operator, 9), s.version)))
