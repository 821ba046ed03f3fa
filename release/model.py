"""What a plan is made from, and what it says: plain values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

__all__ = ["Application", "Bound", "Facts", "Fragment", "Member", "Need", "Plan", "Planned", "Published"]


@dataclass(frozen=True, slots=True)
class Fragment:
    """A change as its author told it: ``changes.d/TOPIC.KIND.md``."""

    topic: str
    kind: str
    text: str
    file: str
    """Below the tree's root."""


@dataclass(frozen=True)
class Member:
    """A package of the tree."""

    name: str
    path: str
    """Its folder below the tree's root."""
    version: Version
    summary: str
    requirements: tuple[str, ...]
    """What it needs at run time, its extras included, as its pyproject.toml writes it."""
    groups: tuple[str, ...] = ()
    """What its dependency groups need: its tests, its benchmarks."""
    fragments: tuple[Fragment, ...] = ()

    @cached_property
    def needs(self) -> Mapping[str, tuple[Requirement, ...]]:
        """Its run-time requirements by canonical name."""
        return _by_name(self.requirements)

    @cached_property
    def needs_with_groups(self) -> Mapping[str, tuple[Requirement, ...]]:
        """These, and what its dependency groups need."""
        return _by_name([*self.requirements, *self.groups])


def _by_name(texts: Iterable[str]) -> Mapping[str, tuple[Requirement, ...]]:
    found: dict[str, list[Requirement]] = {}
    for text in texts:
        requirement = Requirement(text)
        found.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return {name: tuple(each) for name, each in found.items()}


@dataclass(frozen=True)
class Application:
    """Something in the tree that needs packages and is not published, such as the site."""

    path: str
    requirements: tuple[str, ...]

    @cached_property
    def needs_with_groups(self) -> Mapping[str, tuple[Requirement, ...]]:
        """What it needs by canonical name."""
        return _by_name(self.requirements)


@dataclass(frozen=True, slots=True)
class Published:
    """A release in the index."""

    version: Version
    commit: str
    """What it was built from."""
    yanked: str | None = None


@dataclass(frozen=True, slots=True)
class Need:
    """A name of a provider's that a user writes, and that the oldest release which the user admits does not have."""

    what: str
    """In words: ``mirage.types.testing.cost``, ``.take of mirage.tls.connection.Connection``."""
    where: str
    """The first place, below the user's folder: ``tests/test_fuzz.py:12``."""
    since: Version | None
    """The first release that has it; None where the one that comes is the first."""


@dataclass(frozen=True)
class Facts:
    """All that a plan depends on."""

    members: tuple[Member, ...]
    applications: tuple[Application, ...] = ()
    published: Mapping[str, tuple[Published, ...]] = field(default_factory=dict)
    """Each package's releases, oldest first."""
    changed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The files of each package that differ from its last release and that its distribution holds."""
    breaks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What of each package's public API no longer does what its last release did, in words."""
    needs: Mapping[tuple[str, str], tuple[Need, ...]] = field(default_factory=dict)
    """(user, provider): why the user's floor is too low; the user is a package, or an application's path."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A requirement that is rewritten."""

    file: str
    """The pyproject.toml, below the tree's root."""
    old: str
    new: str
    why: str


@dataclass(frozen=True, slots=True)
class Planned:
    """A package that is released, and why."""

    name: str
    path: str
    summary: str
    old: str | None
    """Its last release; None for the first."""
    new: str
    reasons: tuple[str, ...]
    breaks: tuple[str, ...]
    fragments: tuple[Fragment, ...]
    needs: tuple[str, ...]
    """The tree's packages that it needs."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a train releases, providers before their users; and what speaks against it."""

    packages: tuple[Planned, ...]
    bounds: tuple[Bound, ...]
    refusals: tuple[str, ...]
    others: int
    """How many packages stay as they are."""
