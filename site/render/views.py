"""Packages and release trains as their pages show them: put together from the tree and from what has been released.

Of a package that was released, its pages say what the newest release needs, which is what a client installs; of one
that was not, what its `pyproject.toml` says.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from markupsafe import Markup
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from .model import Package
from .published import Publication, Shelf

__all__ = ["Changes", "Need", "PackageView", "TrainView", "package_address", "package_views", "train_views"]


@dataclass(frozen=True, slots=True)
class Need:
    """One package needing another, seen from either side."""

    name: str
    bounds: str
    """The versions that it admits, empty for any."""
    address: str | None
    """The other's page, where it has one."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What a release of a package changed."""

    name: str
    address: str
    """The package's page."""
    version: Version
    text: Markup


@dataclass(frozen=True, slots=True)
class PackageView:
    """A package: of the tree, released, or both."""

    name: str
    summary: str
    package: Package | None
    """None where it is in the tree no more."""
    newest: Publication | None
    """What a client takes by itself."""
    releases: tuple[Publication, ...]
    """The newest version first."""
    needs: tuple[Need, ...]
    dependents: tuple[Need, ...]
    absent: tuple[str, ...]
    """What it leads to and the index does not hold."""

    @property
    def address(self) -> str:
        """Its page."""
        return package_address(self.name)


@dataclass(frozen=True, slots=True)
class TrainView:
    """A release train."""

    id: str
    date: datetime.date
    releases: tuple[Publication, ...]
    firsts: int
    """How many of its packages had not been released before."""

    @property
    def address(self) -> str:
        """Its page."""
        return f"/releases/{self.id}/"

    @property
    def title(self) -> str:
        """Its name, where nobody gave it a better one."""
        return f"Release train {self.id}"

    @property
    def summary(self) -> str:
        """How much it brought, in words."""
        count = len({one.name for one in self.releases})
        one = self.releases[0]
        what = f"{count} packages" if count > 1 else f"{one.name} {one.version}"
        fresh = "" if not self.firsts else ", for the first time" if self.firsts == count else None
        return f"{what}{f', {self.firsts} of them for the first time' if fresh is None else fresh}."


def package_address(name: str) -> str:
    """The address of a package's page."""
    return f"/packages/{name}/"


def package_views(
    packages: Iterable[Package], publications: Iterable[Publication], shelf: Shelf
) -> dict[str, PackageView]:
    """Every package that is in the tree or was released, by name."""
    here = {package.name: package for package in packages}
    released: dict[str, list[Publication]] = {}
    for one in publications:
        released.setdefault(one.name, []).append(one)
    names = sorted(here.keys() | released.keys())
    wanted = {name: _wanted(shelf.needs[name] if name in shelf.needs else _declared(here[name])) for name in names}
    wanting: dict[str, dict[str, str]] = {name: {} for name in names}
    for name, needs in wanted.items():
        for other in needs.keys() & wanting.keys():
            wanting[other][name] = needs[other]
    views = {}
    for name in names:
        releases = sorted(released.get(name, ()), key=lambda one: one.version, reverse=True)
        views[name] = PackageView(
            name,
            here[name].summary if name in here else shelf.summaries[name],
            here.get(name),
            next((one for one in releases if one.version == shelf.newest[name]), None),
            tuple(releases),
            _needs(wanted[name], wanting),
            _needs(wanting[name], wanting),
            tuple(shelf.absent(name)) if releases else (),
        )
    return views


def train_views(publications: Iterable[Publication]) -> tuple[TrainView, ...]:
    """Every release train, the newest first."""
    trains: dict[str, list[Publication]] = {}
    first: dict[str, Publication] = {}
    for one in publications:
        trains.setdefault(one.train, []).append(one)
        first[one.name] = min(first.get(one.name, one), one, key=lambda each: (each.date, each.version))
    views = [
        TrainView(
            train,
            max(one.date for one in releases),
            tuple(sorted(releases, key=lambda one: (one.name, one.version))),
            sum(first[name] in releases for name in {one.name for one in releases}),
        )
        for train, releases in trains.items()
    ]
    return tuple(sorted(sorted(views, key=lambda view: view.id), key=lambda view: view.date, reverse=True))


def _declared(package: Package) -> tuple[Requirement, ...]:
    return tuple(map(Requirement, package.needs))


def _wanted(requirements: Iterable[Requirement]) -> dict[str, str]:
    """The bounds on each distribution, by its name."""
    found: dict[str, str] = {}
    for requirement in requirements:
        name = canonicalize_name(requirement.name)
        bounds = ", ".join(sorted(map(str, requirement.specifier), key=lambda text: text[0] != ">"))
        found[name] = ", ".join(filter(None, (found.get(name, ""), bounds)))
    return found


def _needs(bounds: Mapping[str, str], known: Mapping[str, object]) -> tuple[Need, ...]:
    return tuple(
        Need(name, text, package_address(name) if name in known else None) for name, text in sorted(bounds.items())
    )
