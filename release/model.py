"""What a plan is made from, and what it says: plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

__all__ = ["Application", "Bound", "Facts", "Fragment", "Member", "Plan", "Planned", "Published"]


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
    """What its dependency groups need."""
    fragments: tuple[Fragment, ...] = ()

    @cached_property
    def needs(self) -> Mapping[str, tuple[Requirement, ...]]:
        """Its run-time requirements by canonical name."""
        found: dict[str, list[Requirement]] = {}
        for text in self.requirements:
            requirement = Requirement(text)
            found.setdefault(canonicalize_name(requirement.name), []).append(requirement)
        return {name: tuple(each) for name, each in found.items()}


@dataclass(frozen=True, slots=True)
class Application:
    """Something in the tree that needs packages and is not published, such as the site."""

    path: str
    requirements: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Published:
    """A release in the index."""

    version: Version
    commit: str
    """What it was built from."""
    yanked: str | None = None


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
    new_names: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    """(user, provider): what the user imports that the provider's last release does not have."""


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
