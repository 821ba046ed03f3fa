"""Questions to an index: what is there, what needs what, and which versions go together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from packaging.metadata import Metadata
from packaging.ranges import VersionRange
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name, canonicalize_version
from packaging.version import Version

from ._opam import applies
from ._simple import FileEntry, version_of
from ._tree import SUMS, read_sums
from .errors import InvalidIndex, NoVersion, UnknownProject

__all__ = ["Fit", "Index", "Release"]


@dataclass(frozen=True, slots=True)
class Release:
    """One version of a project."""

    name: str
    version: Version
    files: tuple[FileEntry, ...]

    @property
    def uploaded(self) -> str:
        """When its first file came, in the form of RFC 3339."""
        return min(f["upload-time"] for f in self.files)

    @property
    def yanked(self) -> str | None:
        """Why nobody should choose it any more, None where it is good."""
        marked = [f["yanked"] for f in self.files]
        return None if False in marked else str(marked[0]) if marked[0] is not True else ""


@dataclass(frozen=True, slots=True)
class Fit:
    """Which versions of a project work with every dependent of it."""

    name: str
    wanted: Mapping[str, SpecifierSet]
    """What the newest release of each dependent admits."""
    admitted: VersionRange
    """What all of them admit together."""
    versions: tuple[Version, ...]
    """The published versions in that, oldest first."""


class Index:
    """A tree of files, read as an index. Raises `InvalidIndex` where it is none."""

    def __init__(self, tree: Mapping[str, bytes]) -> None:
        self._tree = tree
        try:
            self._names = [str(p["name"]) for p in self._json("simple/index.json")["projects"]]
        except (KeyError, TypeError) as error:
            raise InvalidIndex(f"simple/index.json is no list of projects: {error!r}") from error
        self._releases: dict[str, list[Release]] = {}

    @property
    def projects(self) -> list[str]:
        """The names of all projects, in order."""
        return sorted(self._names)

    def releases(self, name: str) -> list[Release]:
        """The releases of a project, oldest version first. Raises `UnknownProject`."""
        name = canonicalize_name(name)
        if name not in self._names:
            raise UnknownProject(f"the index holds no {name}")
        if name not in self._releases:
            found: dict[Version, list[FileEntry]] = {}
            try:
                for file in self._json(f"simple/{name}/index.json")["files"]:
                    found.setdefault(version_of(file["filename"]), []).append(file)
            except (KeyError, TypeError, ValueError) as error:
                raise InvalidIndex(f"simple/{name}/index.json is no page of a project: {error!r}") from error
            self._releases[name] = [Release(name, v, tuple(files)) for v, files in sorted(found.items())]
        return self._releases[name]

    def release(self, name: str, version: str | None = None) -> Release:
        """A release of a project: the newest good one if no version is named. Raises `UnknownProject`.

        Pre-releases and yanked ones are taken only where there is nothing else.
        """
        found = self.releases(name)
        if version is not None:
            version = canonicalize_version(version, strip_trailing_zero=False)
            for release in found:
                if str(release.version) == str(version):
                    return release
            there = ", ".join(str(r.version) for r in found)
            raise UnknownProject(f"the index holds no {name} {version}; it holds {there}")
        return max(found, key=lambda r: (r.yanked is None, not r.version.is_prerelease, r.version))

    def metadata(self, release: Release) -> Metadata:
        """The core metadata of a release: of its wheel, where it has one."""
        file = min(release.files, key=lambda f: not f["filename"].endswith(".whl"))
        path = f"files/{release.name}/{file['filename']}.metadata"
        try:
            return Metadata.from_email(self._get(path), validate=False)
        except (ValueError, ExceptionGroup) as error:
            raise InvalidIndex(f"{path} is no core metadata: {error}") from error

    def requires(self, release: Release) -> list[Requirement]:
        """What a release needs on Linux, extras left out. Raises `InvalidIndex`."""
        try:
            return [r for r in self.metadata(release).requires_dist or [] if applies(r)]
        except ValueError as error:
            raise InvalidIndex(f"{release.name} {release.version}: {error}") from error

    def absent(self) -> dict[str, list[str]]:
        """What newest releases need and the index does not hold: the name, and who needs it."""
        found: dict[str, list[str]] = {}
        for name in self.projects:
            for other in self._needs(name):
                if other not in self._names:
                    found.setdefault(other, []).append(name)
        return dict(sorted(found.items()))

    def search(self, text: str) -> list[Release]:
        """The newest release of each project that has the text in its name or summary, in either case."""
        wanted = text.casefold()
        newest = [self.release(name) for name in self.projects]
        return [r for r in newest if wanted in r.name or wanted in (self.metadata(r).summary or "").casefold()]

    def closure(self, wanted: Iterable[Requirement]) -> dict[str, Release]:
        """The releases that requirements lead to: of each project, the newest that all bounds met on the way admit.

        There is no backtracking: where the newest releases do not fit together, that is an error which names the
        bounds, although older ones might. Raises `NoVersion`, `UnknownProject`.
        """
        bounds: dict[str, dict[str, SpecifierSet]] = {}
        chosen: dict[str, Release] = {}
        queue = [("you", r) for r in wanted]
        while queue:
            origin, requirement = queue.pop()
            name = canonicalize_name(requirement.name)
            bounds.setdefault(name, {})[f"{origin} ({requirement})"] = requirement.specifier
            release = self._newest(name, bounds[name])
            if chosen.get(name) != release:
                chosen[name] = release
                queue += [(f"{name} {release.version}", r) for r in self.requires(release)]
        return dict(sorted(chosen.items()))

    def dependents(self, name: str, *, direct: bool = True) -> dict[str, SpecifierSet]:
        """The projects whose newest release needs this one, and in which versions.

        With `direct=False` also those that need it through others; these have no bounds of their own on it.
        """
        name = canonicalize_name(name)
        self.releases(name)
        needs = {n: self._needs(n) for n in self.projects}
        found = {n: wanted[name] for n, wanted in needs.items() if name in wanted}
        while not direct:
            more = {n for n, wanted in needs.items() if wanted.keys() & found.keys()} - found.keys()
            if not more:
                break
            found |= dict.fromkeys(more, SpecifierSet())
        return dict(sorted(found.items()))

    def fits(self, name: str) -> Fit:
        """Which versions of a project the newest release of every dependent admits. Raises `UnknownProject`."""
        wanted = self.dependents(name)
        admitted = VersionRange.full()
        for specifiers in wanted.values():
            admitted &= specifiers.to_range()
        good = [r.version for r in self.releases(name) if r.yanked is None]
        inside = tuple(v for v in good if admitted.contains(v, prereleases=True))
        return Fit(canonicalize_name(name), wanted, admitted, inside)

    def problems(self) -> list[str]:
        """What is wrong with the tree: files that are missing or whose octets are not those of the root."""
        found = []
        for path, expected in read_sums(self._get(SUMS)).items():
            data = self._tree.get(path)
            if data is None:
                found.append(f"{path} is missing")
            elif (here := hashlib.sha256(data).hexdigest()) != expected:
                found.append(f"{path} has SHA-256 {here}, and {SUMS} says {expected}")
        return found

    def _needs(self, name: str) -> dict[str, SpecifierSet]:
        found: dict[str, SpecifierSet] = {}
        for requirement in self.requires(self.release(name)):
            other = canonicalize_name(requirement.name)
            found[other] = found.get(other, SpecifierSet()) & requirement.specifier
        return found

    def _newest(self, name: str, bounds: Mapping[str, SpecifierSet]) -> Release:
        admitted = VersionRange.full()
        for specifiers in bounds.values():
            admitted &= specifiers.to_range()
        inside = [r for r in self.releases(name) if admitted.contains(r.version, prereleases=True)]
        if not inside:
            raise NoVersion(f"no release of {name} fits {' and '.join(sorted(bounds))}")
        return max(inside, key=lambda r: (r.yanked is None, not r.version.is_prerelease, r.version))

    def _get(self, path: str) -> bytes:
        try:
            return self._tree[path]
        except KeyError as error:
            raise InvalidIndex(f"{path} is missing, so this is no index, or not all of one") from error

    def _json(self, path: str) -> Any:
        try:
            return json.loads(self._get(path))
        except ValueError as error:
            raise InvalidIndex(f"{path} is no JSON: {error}") from error
