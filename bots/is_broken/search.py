"""From a job that regressed to the changes that did it. The step `bisect` of a night: `bisect.find` on real suites."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from . import heads, judge, watch
from .bisect import Verdict, find
from .cells import Bench, Cell
from .config import Config
from .ledger import Ledger
from .model import Change, ChangeKind, Culprits, Failure, Job, Lock, Outcome
from .project import Project
from .registry import Registry
from .resolve import Conflict, Resolver

ROUNDS = 4
"""Sets of culprits that are looked for behind one failing job."""


@dataclass(slots=True)
class Tools:
    """What all searches of a night share."""

    config: Config
    project: Project
    bench: Bench
    registry: Registry
    resolver: Resolver
    ledger: Ledger
    scratch: Path


@dataclass(slots=True)
class Search:
    """A job, and the two locks between which it turned bad."""

    tools: Tools
    cell: Cell
    job: Job
    base: Lock
    newest: Lock
    failure: Failure
    asked: int = 0
    """Suites that were run for it."""

    def run(self) -> list[str]:
        """Write down every set of culprits; their keys, at least one. Raises `IndexFailed`."""
        left = judge.changes(self.base, self.newest, self.lists(), self.commits())
        keys = []
        for _ in range(ROUNDS):
            self.asked = 0
            culprits = self.known(left)
            if culprits is None:
                answer = find(left, self.ask, self.tools.config.probes)
                culprits = Culprits(answer.changes, self.asked, answer.minimal)
            lock = self.environment(culprits.changes)
            probe = self.tools.bench.remembered(self.cell, lock)
            failure = (probe and probe.failure) or self.failure
            notes = self.bound(culprits.changes)
            keys.append(self.tools.ledger.found(self.job, culprits, failure, self.base, lock, notes))
            left = judge.without(left, culprits.changes)
            if not left or self.ask(newest_of(left)) is not Verdict.FAIL:
                break
        return keys

    def environment(self, taken: Sequence[Change]) -> Lock:
        """The base with some changes taken in. Raises `Conflict` and `IndexFailed`."""
        bounds = judge.constraints(self.base, self.newest, taken)
        pins = judge.overrides(self.base, self.newest, taken)
        wants = self.tools.project.requirements(self.cell.suite)
        return self.tools.resolver.resolve(self.cell.python, wants, bounds, pins, lane=self.job.lane.kind)

    def ask(self, taken: tuple[Change, ...], /) -> Verdict:
        """Try some changes; what was tried before is remembered by its lock."""
        bench = self.tools.bench
        try:
            lock = self.environment(taken)
        except Conflict:
            return Verdict.UNKNOWN
        if lock.hash == self.base.hash:
            return Verdict.PASS
        self.asked += bench.remembered(self.cell, lock) is None
        probe = bench.probe(self.cell, lock, self.job.key, self.failure)
        bench.said(f"  {'good' if probe.passed else 'bad '}  {', '.join(change.spelled for change in taken)}")
        return Verdict.PASS if probe.passed else Verdict.FAIL

    def bound(self, members: tuple[Change, ...]) -> tuple[str, ...]:
        """A sentence on each member of a set that cannot be had without the others, which were seen to pass alone.

        It is the one to look at first: the others are there because it requires them. Only the resolver is asked.
        """
        found = []
        for member in members if len(members) > 1 else ():
            others = " and ".join(other.spelled for other in members if other is not member)
            try:
                had = self.environment((member,)).versions.get(member.name, "")
            except Conflict:
                had = ""
            if not had.endswith(member.new):
                found.append(f"{member.spelled} cannot be had without {others}; without {member.spelled} nothing fails")
        return tuple(found)

    def known(self, left: Sequence[Change]) -> Culprits | None:
        """The culprits of a finding that is there already, where they are among the changes and fail here too."""
        there = {(change.kind, change.name, change.new): change for change in left}
        for finding in self.tools.bench.state.findings.values():
            members = [there.get((c.kind, c.name, c.new)) for c in finding.culprits.changes]
            if finding.outcome is Outcome.REGRESSED and members and all(members):
                changes = tuple(change for change in members if change)
                if self.ask(changes) is Verdict.FAIL:
                    return replace(finding.culprits, changes=changes)
        return None

    def lists(self) -> judge.Lists:
        """The release lists of what differs. Raises `IndexFailed`."""
        old = self.base.versions
        differ = [n for n, v in self.newest.versions.items() if old.get(n) != v and not v.startswith("git+")]
        return self.tools.registry.all_releases(differ)

    def commits(self) -> judge.Commits:
        """The commits of the git upstreams that differ. Raises `IndexFailed`."""
        old, found = self.base.versions, {}
        for one in self.tools.config.repositories:
            now, then = self.newest.versions.get(one.package, ""), old.get(one.package, "")
            if now.startswith("git+") and then.startswith("git+") and now != then:
                span = then.rpartition("@")[2], now.rpartition("@")[2]
                found[one.package] = heads.commits(one, *span, self.tools.project.root, self.tools.scratch)
        return found


def conflicting(
    resolver: Resolver, python: str, wants: Sequence[str], lock: Lock, upstream: watch.Upstream
) -> tuple[Culprits, str] | None:
    """The smallest set of newest releases that our bounds admit and that cannot be had together, with uv's words.

    None where everything newest was had. Nothing is run for it but the resolver. Raises `IndexFailed`.
    """
    admitted = watch.newest_admitted(wants, upstream, python)
    if not watch.held_back(lock, admitted):
        return None
    versions = lock.versions
    moves = tuple(
        Change(ChangeKind.RELEASE, name, versions[name], release.version, release.uploaded)
        for name, release in sorted(admitted.items())
        if name in versions and not versions[name].startswith("git+")
    )
    said: dict[tuple[Change, ...], str] = {}

    def ask(taken: tuple[Change, ...], /) -> Verdict:
        try:
            resolver.resolve(python, [*wants, *(f"{change.name}=={change.new}" for change in taken)])
        except Conflict as conflict:
            said[taken] = str(conflict)
            return Verdict.FAIL
        return Verdict.PASS

    if ask(moves) is not Verdict.FAIL:
        return None
    answer = find(moves, ask, budget=200)
    if answer.changes not in said:
        ask(answer.changes)
    return Culprits(answer.changes, answer.questions, answer.minimal), said.get(answer.changes, "")


def newest_of(changes: Sequence[Change]) -> tuple[Change, ...]:
    """The last change of each name."""
    return tuple({(change.kind, change.name): change for change in changes}.values())
