"""Which version comes next (PEP 440, and the promise of semantic versioning that the tree's ceilings rely on).

Below 1.0 the second number stands for breaks (``0.3.2`` to ``0.4.0``) and the third for everything else; from 1.0 on
the first, second and third stand for breaks, features and repairs.
"""

from __future__ import annotations

from enum import IntEnum

from packaging.version import Version

__all__ = ["KINDS", "Level", "ceiling", "following"]


class Level(IntEnum):
    """How much a change asks of those who use a package."""

    FIX = 1
    FEATURE = 2
    BREAK = 3


KINDS = {
    "fixed": Level.FIX,
    "security": Level.FIX,
    "added": Level.FEATURE,
    "changed": Level.FEATURE,
    "deprecated": Level.FEATURE,
    "removed": Level.BREAK,
}
"""What a fragment of each kind asks for; its public API, compared, may force more."""


def following(last: Version, level: Level, declared: Version) -> Version:
    """The version after `last`; the declared one where somebody has set it higher by hand."""
    major, minor, micro = last.major, last.minor, last.micro
    if last.is_prerelease:
        found = Version(last.base_version)
    elif level is Level.BREAK:
        found = Version(f"0.{minor + 1}.0" if major == 0 else f"{major + 1}.0.0")
    elif level is Level.FEATURE and major:
        found = Version(f"{major}.{minor + 1}.0")
    else:
        found = Version(f"{major}.{minor}.{micro + 1}")
    return max(found, declared) if declared > last else found


def ceiling(version: Version) -> str:
    """The first version that may break what uses this one, as a bound writes it: ``0.2``, ``2``."""
    return f"0.{version.minor + 1}" if version.major == 0 else str(version.major + 1)
