"""What follows from what was seen: changes between two locks, bounds that take some of them in, outcomes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

from .model import Change, ChangeKind, Lock, Outcome, Probe, Release

Lists = Mapping[str, Sequence[Release]]
"""The releases of each project, oldest version first."""
Commits = Mapping[str, Sequence[Change]]
"""The new commits of each git upstream, oldest first."""


def outcome(attempts: Sequence[Probe], control: bool | None, before: Outcome | None) -> Outcome:
    """Of a job, from its attempts, whether the control passed (None: there is none), and its outcome a night ago."""
    if not attempts[-1].passed:
        return Outcome.INFRASTRUCTURE if control is False else Outcome.REGRESSED
    if len(attempts) > 1:
        return Outcome.FLAKY
    return Outcome.FIXED if before in {Outcome.REGRESSED, Outcome.UNRESOLVABLE} else Outcome.GOOD


def changes(base: Lock, newest: Lock, lists: Lists, commits: Commits | None = None) -> tuple[Change, ...]:
    """Everything between two locks, oldest first within a name: yanked releases are no part of it.

    A release that cannot be on the locks' Python is none either; nor is a pre-release, unless one was taken.
    """
    old, new = base.versions, newest.versions
    found: list[Change] = []
    for name in sorted(new):
        if new[name] == old.get(name):
            continue
        if new[name].startswith("git+") or old.get(name, "").startswith("git+"):
            revision = new[name].rpartition("@")[2]
            steps = (commits or {}).get(name) or [Change(ChangeKind.HEAD, name, old.get(name, ""), revision)]
            found += steps
            continue
        found += _releases(name, old.get(name, ""), new[name], lists.get(name, ()), newest.python)
    return tuple(found)


def _releases(name: str, old: str, new: str, releases: Sequence[Release], python: str) -> list[Change]:
    top = Version(new)
    between = [
        release
        for release in releases
        if release.version == str(top)
        or (
            old
            and Version(old) < Version(release.version) < top
            and release.yanked is None
            and (not release.prerelease or top.is_prerelease)
            and admits(release.requires_python, python)
        )
    ]
    if not any(release.version == str(top) for release in between):
        between.append(Release(name, new))
    return [
        Change(ChangeKind.RELEASE, name, old, release.version, release.uploaded, prerelease=release.prerelease)
        for release in between
    ]


def admits(requires_python: str, python: str) -> bool:
    """Whether a release may be on a Python such as ``3.11``, whatever its patch version."""
    try:
        wanted = SpecifierSet(requires_python)
    except InvalidSpecifier:
        return True
    return f"{python}.99" in wanted or f"{python}.0" in wanted


def constraints(base: Lock, newest: Lock, taken: Iterable[Change]) -> list[str]:
    """The bounds under which the resolver finds the base with just these changes taken in.

    They are ceilings, so that releases that need each other stay out together until all of them may come in. What was
    good but would not be chosen any more, since it was yanked, is held by its exact version.
    """
    taken = list(taken)
    chosen = {change.name: change.new for change in taken if change.kind is ChangeKind.RELEASE}
    heads = [change for change in taken if change.kind is ChangeKind.HEAD]
    lines = []
    for name, version in sorted((newest.versions | base.versions).items()):
        if version.startswith("git+") or any((c.kind, c.name) == (ChangeKind.HEAD, name) for c in heads):
            continue
        then = newest.versions.get(name, version)
        if name in chosen:
            lines.append(f"{name}<={chosen[name]}")
        elif name in base.versions and (then.startswith("git+") or Version(then) < Version(version)):
            lines.append(f"{name}=={version}")
        else:
            lines.append(f"{name}<={version}")
    return lines


def overrides(base: Lock, newest: Lock, taken: Iterable[Change]) -> list[str]:
    """The git upstreams at the revision that is good, or at the one that is taken."""
    chosen = {change.name: change.new for change in taken if change.kind is ChangeKind.HEAD}
    old = base.versions
    lines = []
    for name, version in sorted(newest.versions.items()):
        if version.startswith("git+"):
            url = version.rpartition("@")[0]
            place = f"{url}@{chosen[name]}" if name in chosen else old.get(name, "")
            lines += [f"{name} @ {place}"] if place.startswith("git+") else []
    return lines


def without(changes: Iterable[Change], culprits: Sequence[Change]) -> tuple[Change, ...]:
    """The changes that are left when the latest of some culprits, and what came after it of its name, is held back."""
    last = max(culprits, key=lambda c: (c.when is None, c.when or 0.0, c.name))
    kept, held = [], False
    for change in changes:
        same = (change.kind, change.name) == (last.kind, last.name)
        held = held or change == last
        if not same or not held:
            kept.append(change)
    return tuple(kept)


def difference(base: Lock, other: Lock) -> tuple[str, ...]:
    """What differs between two locks, a line each."""
    old, new = base.versions, other.versions
    return tuple(
        f"{name} {old.get(name, '(absent)')} -> {new.get(name, '(absent)')}"
        for name in sorted(old | new)
        if old.get(name) != new.get(name)
    )
