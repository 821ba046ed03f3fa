"""What changed upstream: releases, git heads, Pythons. The step `watch` of a night."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from .config import Config, Repository
from .heads import heads
from .judge import admits
from .model import Change, ChangeKind, Lock, Release, State
from .project import Project
from .registry import Registry


@dataclass(frozen=True, slots=True)
class Upstream:
    """All that a night depends on and does not decide."""

    lists: dict[str, tuple[Release, ...]] = field(default_factory=dict)
    heads: dict[str, str] = field(default_factory=dict)
    pythons: dict[str, str] = field(default_factory=dict)
    """Patch versions by minor version."""
    fingerprint: str = ""
    """Of the tree itself, and of what the bot was told."""

    @property
    def hash(self) -> str:
        """Equal when nothing is new."""
        lists = sorted((name, [(r.version, r.yanked) for r in ones]) for name, ones in self.lists.items())
        parts = (lists, sorted(self.heads.items()), sorted(self.pythons.items()), self.fingerprint)
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def names(state: State, requirements: Iterable[str]) -> set[str]:
    """The distributions to look at: those required, and those that the last good locks have."""
    found: set[str] = {canonicalize_name(Requirement(line).name) for line in requirements}
    for lock in state.good.values():
        found.update(name for name, version in lock.versions.items() if not version.startswith("git+"))
    return found


def look(
    config: Config, project: Project, registry: Registry, pythons: dict[str, str], wanted: Iterable[str]
) -> Upstream:
    """Ask the index, the repositories and the machine. Raises `IndexFailed`."""
    told = hashlib.sha256(repr(config).encode()).hexdigest()[:8]
    lists = registry.all_releases(sorted(wanted))
    others = [Repository(one.name, one.url, one.branch) for one in config.downstream]
    found = heads([*config.repositories, *others], project.root)
    return Upstream(lists, found, pythons, f"{project.fingerprint()} {told}")


def beside(state: State, upstream: Upstream) -> tuple[Change, ...]:
    """The changes that are no releases: heads, and patch versions of Python."""
    found = [
        Change(ChangeKind.HEAD, name, state.heads.get(name, ""), revision)
        for name, revision in sorted(upstream.heads.items())
        if state.heads.get(name) != revision
    ]
    found += [
        Change(ChangeKind.PYTHON, minor, state.pythons.get(minor, ""), patch)
        for minor, patch in sorted(upstream.pythons.items())
        if state.pythons.get(minor) != patch
    ]
    return tuple(found)


def newest_admitted(requirements: Iterable[str], upstream: Upstream, python: str) -> dict[str, Release]:
    """The newest release of each distribution that our own bounds admit on a Python, whatever the others say."""
    bounds: dict[str, SpecifierSet] = {}
    for line in requirements:
        wanted = Requirement(line)
        if wanted.url or (wanted.marker and not wanted.marker.evaluate({"python_version": python, "extra": ""})):
            continue
        name = str(canonicalize_name(wanted.name))
        bounds[name] = bounds.get(name, SpecifierSet()) & wanted.specifier
    found = {}
    for name, bound in bounds.items():
        fit = [
            release
            for release in upstream.lists.get(name, ())
            if release.yanked is None
            and not release.prerelease
            and bound.contains(release.version)
            and admits(release.requires_python, python)
        ]
        if fit:
            found[name] = fit[-1]
    return found


def held_back(lock: Lock, admitted: dict[str, Release]) -> tuple[Release, ...]:
    """The releases that our bounds admit and the resolver did not take: something keeps them out."""
    versions = lock.versions
    return tuple(
        release
        for name, release in sorted(admitted.items())
        if name in versions
        and not versions[name].startswith("git+")
        and Version(versions[name]) < Version(release.version)
    )


def told(upstream: Upstream, state: State) -> str:
    """What ``-- watch`` prints: a line a distribution that has something newer than what was good."""
    good: dict[str, set[str]] = {}
    for lock in state.good.values():
        for name, version in lock.versions.items():
            good.setdefault(name, set()).add(version)
    lines = []
    for name, releases in sorted(upstream.lists.items()):
        had = [Version(v) for v in good.get(name, ()) if not v.startswith("git+")]
        newer = [r for r in releases if had and Version(r.version) > max(had)]
        yanked = [r for r in releases if r.yanked is not None and Version(r.version) in had]
        if newer or yanked or not had:
            words = [f"{r.version}{' (pre-release)' if r.prerelease else ''}" for r in newer if r.yanked is None]
            words += [
                f"{r.version} (yanked{': ' if r.yanked else ''}{r.yanked})" for r in newer if r.yanked is not None
            ]
            words += [f"the good {r.version} was yanked{': ' if r.yanked else ''}{r.yanked}" for r in yanked]
            known = str(max(had)) if had else f"{len(releases)} releases, none was tried yet"
            lines.append(f"{name}  {known}  {'; '.join(words)}".rstrip())
    lines += [f"{c.kind.value}  {c.name}  {c.old or '(new)'} -> {c.new}" for c in beside(state, upstream)]
    return "\n".join(lines) or "nothing is new"
