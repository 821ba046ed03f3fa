"""The plan, as a pure function of facts: which packages are released, in which versions, and why.

A package is released because it was never released, because what it distributes has changed, because somebody wrote a
fragment for it, or because a package that it needs is released in a version that its bounds do not admit. Its version
follows from its fragments, and from its public API compared with that of its last release: a break there forces the
number that stands for breaks, whatever the fragments say.
"""

from __future__ import annotations

import graphlib
from collections.abc import Collection, Iterable, Sequence

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from . import bounds
from .model import Bound, Facts, Member, Need, Plan, Planned
from .versions import KINDS, Level, following

__all__ = ["plan"]


def plan(facts: Facts, only: Collection[str] = ()) -> Plan:
    """The plan; with `only`, of these packages and what they drag along. What it must not be is in its `refusals`."""
    return _Planner(facts, only).result()


class _Planner:
    def __init__(self, facts: Facts, only: Collection[str]) -> None:
        self.facts = facts
        self.members = {m.name: m for m in facts.members}
        self.only = set(only)
        self.reasons: dict[str, list[str]] = {}
        self.levels: dict[str, Level] = {}
        self.bounds: dict[tuple[str, str], Bound] = {}
        self.refusals: list[str] = []

    def result(self) -> Plan:
        for member in self.facts.members:
            if not self.only or member.name in self.only:
                self._consider(member)
        self._move_bounds()
        order = self._order()
        self._look_at_bounds()
        packages = tuple(self._planned(self.members[name]) for name in order)
        others = len(self.members) - len(packages)
        rewritten = tuple(bound for _, bound in sorted(self.bounds.items()))
        return Plan(packages, rewritten, tuple(dict.fromkeys(self.refusals)), others)

    def _last(self, name: str) -> Version | None:
        releases = self.facts.published.get(name, ())
        return max((r.version for r in releases), default=None)

    def _next(self, name: str) -> Version:
        """The version that a package will have once the train has arrived."""
        last, declared = self._last(name), self.members[name].version
        if name not in self.levels:
            return last if last is not None else declared
        return declared if last is None else following(last, self.levels[name], declared)

    def _consider(self, member: Member) -> None:
        """Whether a package has a reason of its own."""
        reasons, level = [], Level.FIX
        changed, breaks = self.facts.changed.get(member.name, ()), self.facts.breaks.get(member.name, ())
        last = self._last(member.name)
        if last is None:
            reasons.append("it has never been released")
        elif changed:
            reasons.append(f"{_counted(changed)} changed since {last}")
        if last is not None and member.fragments:
            kinds = sorted({f.kind for f in member.fragments}, key=lambda kind: (-KINDS[kind], kind))
            reasons.append(f"its fragments say: {', '.join(kinds)}")
        if not reasons:
            return
        if not member.fragments:
            self.refusals.append(
                f"{member.name} changed and no fragment says how: write {member.path}/changes.d/TOPIC.KIND.md"
            )
        level = max([level, *(KINDS[f.kind] for f in member.fragments)])
        if last is not None and breaks:
            level = Level.BREAK
            reasons.append(f"its public API breaks in {len(breaks)} places: {breaks[0]}")
        releases = self.facts.published.get(member.name, ())
        yanks = [r.yanked for r in releases if r.version == last and r.yanked is not None]
        reasons += [f"{last} was yanked: {why}" for why in yanks]
        self._add(member.name, level, reasons)

    def _add(self, name: str, level: Level, reasons: Iterable[str]) -> None:
        self.levels[name] = max(level, self.levels.get(name, level))
        for reason in reasons:
            if reason not in self.reasons.setdefault(name, []):
                self.reasons[name].append(reason)

    def _drag_providers(self) -> None:
        """A package whose new version others of the train rely on goes with them, also where only some were named."""
        queue = list(self.levels)
        while queue:
            user = self.members[queue.pop()]
            for provider in sorted(user.needs_with_groups.keys() & self.members.keys() - self.levels.keys()):
                if why := self._cannot_do_without(user, provider):
                    self._consider(self.members[provider])
                    if provider in self.levels:
                        self._add(provider, Level.FIX, [f"{user.name} needs {why}"])
                        queue.append(provider)

    def _cannot_do_without(self, user: Member, provider: str) -> str:
        """What a user needs of a provider's next release; empty where one of those that are published will do."""
        if new := [need.what for need in self._needs(user.name, provider) if need.since is None]:
            return f"{new[0]} in it"
        if self._last(provider) is None:
            return "it" if provider in user.needs else ""
        unmet = [r for r in user.needs_with_groups[provider] if not self._admitted(r)]
        return bounds.rewritten(str(unmet[0]), unmet[0].specifier) if unmet else ""

    def _admitted(self, requirement: Requirement) -> list[Version]:
        releases = self.facts.published.get(canonicalize_name(requirement.name), ())
        return [r.version for r in releases if requirement.specifier.contains(r.version, prereleases=True)]

    def _needs(self, user: str, provider: str) -> tuple[Need, ...]:
        return self.facts.needs.get((user, provider), ())

    def _move_bounds(self) -> None:
        """Rewrite what does not admit a planned version, until nothing moves: who is rewritten is released too."""
        before = None
        while before != (before := {name: self._next(name) for name in self.levels}):
            self._drag_providers()
            self.bounds.clear()
            for member in self.facts.members:
                touched = [self._bound(f"{member.path}/pyproject.toml", member.name, t) for t in member.requirements]
                for text in member.groups:
                    self._bound(f"{member.path}/pyproject.toml", member.name, text)
                why = [t for t in touched if t]
                if why and (member.name in self.levels or self._last(member.name) is not None):
                    self._add(member.name, Level.FIX, why)
            for application in self.facts.applications:
                for text in application.requirements:
                    self._bound(f"{application.path}/pyproject.toml", application.path, text)

    def _bound(self, file: str, user: str, text: str) -> str:
        """Rewrite one requirement if it has to be, and say why; empty where it stays."""
        requirement = Requirement(text)
        provider = canonicalize_name(requirement.name)
        if provider not in self.members or provider == user:
            return ""
        try:
            specifier, why = self._moved(requirement.specifier, user, provider)
        except bounds.Incompatible as error:
            self.refusals.append(f"{user} needs {text}, and {provider} {self._next(provider)} comes: {error}")
            return ""
        if why:
            self.bounds[file, text] = Bound(file, text, bounds.rewritten(text, specifier), why)
        return why

    def _moved(self, specifier: SpecifierSet, user: str, provider: str) -> tuple[SpecifierSet, str]:
        """A bound as it has to be. Raises `bounds.Incompatible`."""
        why, moved = [], specifier
        version = self._next(provider)
        if provider in self.levels:
            moved = bounds.widened(specifier, version)
            why = [f"it admits {provider} {version} now"] if moved != specifier else []
        if user in self.levels or user not in self.members:
            needs = [(need.since or version, need) for need in self._needs(user, provider)]
            floor = max((since for since, _ in needs), default=None)
            if floor is not None and (high := bounds.raised(moved, floor)) != moved:
                named = [f"{need.what} ({need.where})" for since, need in needs if since == floor]
                why.append(f"it needs {_listed(named)}, which {provider} has from {floor} on")
                moved = high
        return moved, "; ".join(why)

    def _order(self) -> list[str]:
        needs = {name: sorted(self.members[name].needs.keys() & self.levels.keys() - {name}) for name in self.levels}
        sorter = graphlib.TopologicalSorter({name: needs[name] for name in sorted(needs)})
        try:
            return list(sorter.static_order())
        except graphlib.CycleError as error:
            self.refusals.append(f"packages need each other in a circle: {' -> '.join(error.args[1])}")
            return sorted(needs)

    def _look_at_bounds(self) -> None:
        """What the tree's bounds must not be, whoever set them."""
        wanted: dict[str, list[tuple[str, SpecifierSet]]] = {}
        for member in self.facts.members:
            file = f"{member.path}/pyproject.toml"
            for text in member.requirements:
                bound = self.bounds.get((file, text))
                requirement = Requirement(bound.new if bound else text)
                name = canonicalize_name(requirement.name)
                wanted.setdefault(name, []).append((member.name, requirement.specifier))
                if self._last(name) is not None and name not in self.levels and not self._admitted(requirement):
                    self.refusals.append(f"{member.name} needs {text}, and no release of {name} is one of these")
                if member.name in self.levels and (lacking := bounds.open_ends(requirement)):
                    self.refusals.append(f"{member.name} needs {text} without a {' and a '.join(lacking)}")
        self.refusals += bounds.conflicts(wanted)

    def _planned(self, member: Member) -> Planned:
        last = self._last(member.name)
        breaks = self.facts.breaks.get(member.name, ()) if last is not None else ()
        needs = tuple(sorted(member.needs.keys() & self.members.keys() - {member.name}))
        return Planned(
            member.name,
            member.path,
            member.summary,
            str(last) if last is not None else None,
            str(self._next(member.name)),
            tuple(self.reasons[member.name]),
            breaks,
            member.fragments,
            needs,
        )


def _listed(named: Sequence[str], most: int = 3) -> str:
    """The first of them, and how many there are beside."""
    shown = list(named) if len(named) <= most else [*named[:most], f"{len(named) - most} more"]
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if shown[1:] else shown)


def _counted(files: Collection[str]) -> str:
    return f"{len(files)} files" if len(files) != 1 else "1 file"
