"""A night: watch, try, bisect and explain, for every cell; saved after each step, so that it goes on where it ended."""

from __future__ import annotations

import fnmatch
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from . import heads, judge, signature, watch
from .bisect import Verdict, find
from .cells import Bench, Cell
from .config import Config
from .errors import IndexFailed
from .explain import explain, linked
from .model import (
    INFRASTRUCTURE_KEY,
    Change,
    ChangeKind,
    Culprits,
    Failure,
    Finding,
    Job,
    JobResult,
    LaneKind,
    Lock,
    Night,
    Outcome,
    Probe,
    Reason,
    State,
    finding_key,
)
from .project import Project, downstream_suite
from .registry import Registry
from .resolve import Conflict, Resolver

ROUNDS = 4
"""Sets of culprits that are looked for behind one failing job."""
_IN_A_CELL = (LaneKind.CONTROL, LaneKind.NEWEST, LaneKind.LOWEST, LaneKind.PRE)


@dataclass(slots=True)
class Run:
    """One night over one project."""

    config: Config
    project: Project
    bench: Bench
    registry: Registry
    resolver: Resolver
    clock: Callable[[], float]
    pythons: dict[str, str]
    """Patch versions of the Pythons to use, by minor version."""
    targets: frozenset[str] = frozenset({"-", "unix"})
    """Those that this machine can run."""
    only: str = ""
    """A pattern of job keys; others are not run."""
    since: str = ""
    """A date: what was newest then is what was good, whatever the state says."""
    scratch: Path = Path("_build")
    upstream: watch.Upstream = field(default_factory=watch.Upstream)

    # -- the whole ---------------------------------------------------------------------------------------------------

    def run(self) -> Night:
        """Run it, or go on with the one that was under way. Raises `process.Interrupted` when told to stop."""
        self.begin()
        try:
            quiet = self.look()
        except IndexFailed as error:
            for cell in self.cells():
                self.trouble(cell.job(LaneKind.NEWEST), Reason.INDEX, str(error))
            return self.end(settled=False)
        if quiet:
            return self.end_quietly()
        cells = self.cells()
        with ThreadPoolExecutor(max(1, self.config.jobs)) as pool:
            for _ in pool.map(self.cell, cells):
                pass
        return self.end(settled=not self.only and not self.since)

    def begin(self) -> None:
        """Take up a night that was under way, or begin one."""
        if self.bench.state.current is None:
            night = Night(self.clock(), revision=self.project.revision())
            self.bench.change(lambda state: replace(state, current=night))
        else:
            self.bench.said(f"going on with the night of {self.bench.night.name}")

    def look(self) -> bool:
        """The step `watch`; whether nothing at all is new. Raises `IndexFailed`."""
        state = self.bench.state
        wanted = watch.names(state, {line for cell in self.plain_cells() for line in self.wants(cell)})
        self.upstream = watch.look(self.config, self.project, self.registry, self.pythons, wanted)
        self.bench.fingerprint = self.upstream.fingerprint.partition(" ")[0]
        changes = watch.beside(state, self.upstream)
        self.bench.change(lambda s: replace(s, current=replace(self.bench.night, changes=changes)))
        return bool(state.nights) and state.seen == self.upstream.hash and not self.only and not self.since

    def plain_cells(self) -> list[Cell]:
        """The cells of our own suites."""
        return [
            Cell(suite, target, python)
            for suite in self.config.suites
            for target in suite.targets
            if target in self.targets
            for python in self.pythons
        ]

    def cells(self) -> list[Cell]:
        """Every cell; those of downstream projects are checked out. One that cannot be is said, as infrastructure."""
        found = self.plain_cells()
        if "downstream" not in self.config.lanes:
            return found
        for project in self.config.downstream:
            folder = self.scratch / "downstream" / project.name
            shutil.rmtree(folder, ignore_errors=True)
            try:
                revision = heads.checkout(project.url, project.branch, self.project.root, folder)
            except IndexFailed as error:
                for python in self.pythons:
                    cell = Cell(downstream_suite(project, folder), "-", python, downstream=True)
                    self.trouble(self.job(cell, LaneKind.DOWNSTREAM), Reason.INDEX, str(error))
                continue
            suite = downstream_suite(project, folder)
            found += [Cell(suite, "-", python, downstream=True, revision=revision) for python in self.pythons]
        return found

    def cell(self, cell: Cell) -> None:
        """All lanes of a cell."""
        kinds = [LaneKind.DOWNSTREAM] if cell.downstream else [k for k in _IN_A_CELL if k.value in self.config.lanes]
        for kind in kinds:
            job = self.job(cell, kind)
            done = {result.job.key for result in self.bench.night.results}
            if job.key in done or (self.only and not fnmatch.fnmatch(job.key, f"*{self.only}*")):
                continue
            try:
                self.control_lane(cell) if kind is LaneKind.CONTROL else self.lane(cell, kind)
            except IndexFailed as error:
                self.trouble(job, Reason.INDEX, str(error))

    def end(self, settled: bool) -> Night:
        """Close the night. Only one that is settled, and saw no trouble, makes the next one quiet."""
        night = self.bench.night
        outcomes = {result.outcome for result in night.results}
        clean = settled and Outcome.INFRASTRUCTURE not in outcomes
        wanted = watch.names(self.bench.state, {line for cell in self.plain_cells() for line in self.wants(cell)})
        try:
            seen = replace(self.upstream, lists=self.registry.all_releases(sorted(wanted))).hash if clean else ""
        except IndexFailed:
            seen = ""
        done = replace(night, ended=self.clock(), findings=self.broken(night), probes=night.probes + self.bench.probes)

        def change(state: State) -> State:
            state = replace(state, current=None, seen=seen, nights=(*state.nights, done)[-self.config.keep :])
            if clean and not outcomes & {Outcome.REGRESSED, Outcome.UNRESOLVABLE}:
                state = replace(state, heads=self.upstream.heads, pythons=self.upstream.pythons)
            return replace(state, locks=_needed(state))

        self.bench.change(change)
        return done

    def end_quietly(self) -> Night:
        """Nothing is new: what was found is still so."""
        last = self.bench.state.nights[-1]
        night = self.bench.night
        done = replace(night, ended=self.clock(), results=last.results, findings=last.findings, changes=(), quiet=True)

        def change(state: State) -> State:
            findings = {
                key: replace(one, last=night.started) if key in last.findings else one
                for key, one in state.findings.items()
            }
            nights = (*state.nights, done)[-self.config.keep :]
            return replace(state, current=None, findings=findings, nights=nights)

        self.bench.change(change)
        return done

    def broken(self, night: Night) -> tuple[str, ...]:
        """The findings that this night saw."""
        return tuple(sorted(key for key, one in self.bench.state.findings.items() if one.last == night.started))

    # -- the lanes ---------------------------------------------------------------------------------------------------

    def job(self, cell: Cell, kind: LaneKind) -> Job:
        """A cell's job, by the name of the project where it is another's."""
        job = cell.job(kind)
        return replace(job, lane=replace(job.lane, project=cell.suite.name)) if cell.downstream else job

    def wants(self, cell: Cell) -> tuple[str, ...]:
        """The requirements of a cell."""
        return self.project.requirements(cell.suite)

    def followed(self) -> list[str]:
        """The git upstreams at their heads, as overrides."""
        return [
            f"{one.package} @ git+{heads.address(one.url, self.project.root)}@{self.upstream.heads[one.name]}"
            for one in self.config.repositories
            if one.package and one.name in self.upstream.heads
        ]

    def resolve(self, cell: Cell, kind: LaneKind) -> Lock:
        """What a lane takes today. Raises `Conflict` and `IndexFailed`."""
        lane = LaneKind.NEWEST if kind is LaneKind.DOWNSTREAM else kind
        return self.resolver.resolve(cell.python, self.wants(cell), (), self.followed(), lane=lane, refresh=True)

    def base(self, cell: Cell, kind: LaneKind) -> Lock | None:
        """What was good: by memory, else by the tree's own lock file; None where neither knows."""
        good = self.bench.state.good
        if self.since:
            try:
                return self.resolver.resolve(cell.python, self.wants(cell), exclude_newer=self.since)
            except Conflict:
                return None
        for key in (self.job(cell, kind).key, self.job(cell, LaneKind.NEWEST).key):
            if key in good and not (kind is LaneKind.PRE and key != self.job(cell, LaneKind.NEWEST).key):
                return good[key]
        if kind is LaneKind.LOWEST or not (locked := self.project.locked()):
            return None
        try:
            return self.resolver.resolve(cell.python, self.wants(cell), locked)
        except Conflict:
            return None

    def control_lane(self, cell: Cell) -> None:
        """The last good lock once more."""
        base = self.base(cell, LaneKind.NEWEST)
        if base is None:
            return
        job, started = cell.job(LaneKind.CONTROL), self.clock()
        passed = self.bench.control(cell, base)
        probe = self.bench.remembered(cell, base)
        _, log = self.bench.log(job.key)
        if passed:
            self.record(JobResult(job, Outcome.GOOD, base.hash, started, self.clock() - started, log=log))
            return
        assert probe is not None
        assert probe.failure is not None
        self.trouble(job, Reason.CONTROL, probe.failure.line, probe.failure, base, log, started)

    def lane(self, cell: Cell, kind: LaneKind) -> None:
        """Resolve, run, judge; bisect what regressed."""
        job, started = self.job(cell, kind), self.clock()
        base = self.base(cell, kind)
        try:
            lock = self.resolve(cell, kind)
        except Conflict as conflict:
            key = self.contradiction(cell, job, str(conflict), (), None)
            self.record(
                JobResult(job, Outcome.UNRESOLVABLE, "", started, 0.0, 1, _conflict(str(conflict)), finding=key)
            )
            return
        attempts, log = self.tried(cell, job, lock)
        control = None
        if not attempts[-1].passed and base is not None:
            control = self.bench.control(cell, base)
        outcome = judge.outcome(attempts, control, self.before(job))
        failure = next((probe.failure for probe in attempts if probe.failure), None)
        result = JobResult(job, outcome, lock.hash, started, self.clock() - started, len(attempts), failure, log)
        if outcome is Outcome.INFRASTRUCTURE:
            assert failure is not None
            self.trouble(
                job, Reason.CONTROL, f"the last good lock fails too: {failure.line}", failure, lock, log, started
            )
        elif outcome is Outcome.REGRESSED:
            assert failure is not None
            self.bench.said(f"{job.key}: {failure.line}")
            keys = self.bisect(cell, kind, job, base, lock, failure)
            self.record(replace(result, finding=keys[0], seconds=self.clock() - started))
        else:
            self.bench.change(lambda state: replace(state, good={**state.good, job.key: lock}))
            key, why = self.cannot_be_had(cell, job, lock) if kind is LaneKind.NEWEST else ("", "")
            if key:
                result = replace(result, outcome=Outcome.UNRESOLVABLE, failure=_conflict(why), finding=key)
            self.record(result)

    def tried(self, cell: Cell, job: Job, lock: Lock) -> tuple[list[Probe], str]:
        """The attempts on a lock and their log, or what is remembered of it."""
        known = self.bench.remembered(cell, lock)
        if known is None:
            self.bench.probes += 1
            attempts = list(self.bench.attempts(cell, lock, job.key))
            return attempts, self.bench.log(job.key)[1]
        self.bench.refusals += 1
        nights = (self.bench.night, *reversed(self.bench.state.nights))
        logs = (one.log for night in nights for one in night.results if one.lock == lock.hash and one.log)
        return [known], next(logs, "")

    def before(self, job: Job) -> Outcome | None:
        """Its outcome in the latest night that has one."""
        for night in reversed(self.bench.state.nights):
            for result in night.results:
                if result.job.key == job.key and result.outcome is not Outcome.INFRASTRUCTURE:
                    return result.outcome
        return None

    # -- findings ----------------------------------------------------------------------------------------------------

    def bisect(
        self, cell: Cell, kind: LaneKind, job: Job, base: Lock | None, newest: Lock, failure: Failure
    ) -> list[str]:
        """The keys of what was found behind a regression, at least one."""
        if base is None or base.hash == newest.hash or kind is LaneKind.LOWEST:
            return [self.found(job, Culprits(()), failure, base, newest, cell)]
        left = judge.changes(base, newest, self.lists(base, newest), self.commits(base, newest))
        asked = [0]

        def environment(taken: Sequence[Change]) -> Lock:
            bounds = judge.constraints(base, newest, taken)
            pins = judge.overrides(base, newest, taken)
            return self.resolver.resolve(cell.python, self.wants(cell), bounds, pins, lane=kind)

        def ask(taken: tuple[Change, ...], /) -> Verdict:
            try:
                lock = environment(taken)
            except Conflict:
                return Verdict.UNKNOWN
            if lock.hash == base.hash:
                return Verdict.PASS
            before = self.bench.remembered(cell, lock)
            probe = self.bench.probe(cell, lock, job.key, failure)
            asked[0] += before is None
            self.bench.said(f"  {'good' if probe.passed else 'bad '}  {', '.join(c.spelled for c in taken)}")
            return Verdict.PASS if probe.passed else Verdict.FAIL

        keys = []
        for _ in range(ROUNDS):
            asked[0] = 0
            culprits = self.known(left, ask)
            if culprits is None:
                answer = find(left, ask, self.config.probes)
                culprits = Culprits(answer.changes, asked[0], answer.minimal)
            lock = environment(culprits.changes)
            probe = self.bench.remembered(cell, lock)
            keys.append(self.found(job, culprits, (probe and probe.failure) or failure, base, lock, cell))
            left = judge.without(left, culprits.changes)
            if not left or ask(_newest(left)) is not Verdict.FAIL:
                break
        return keys

    def known(self, left: Sequence[Change], ask: Callable[[tuple[Change, ...]], Verdict]) -> Culprits | None:
        """The culprits of a finding that is there already, if they are among the changes and fail here too."""
        names = {(change.kind, change.name, change.new): change for change in left}
        for finding in self.bench.state.findings.values():
            members = [names.get((c.kind, c.name, c.new)) for c in finding.culprits.changes]
            if finding.outcome is Outcome.REGRESSED and members and all(members):
                changes = tuple(change for change in members if change)
                if ask(changes) is Verdict.FAIL:
                    return replace(finding.culprits, changes=changes)
        return None

    def lists(self, base: Lock, newest: Lock) -> judge.Lists:
        """The release lists of what differs. Raises `IndexFailed`."""
        old = base.versions
        differ = [n for n, v in newest.versions.items() if old.get(n) != v and not v.startswith("git+")]
        return self.registry.all_releases(differ)

    def commits(self, base: Lock, newest: Lock) -> judge.Commits:
        """The commits of the git upstreams that differ. Raises `IndexFailed`."""
        old, found = base.versions, {}
        for one in self.config.repositories:
            now = newest.versions.get(one.package, "")
            then = old.get(one.package, "")
            if now.startswith("git+") and then.startswith("git+") and now != then:
                span = then.rpartition("@")[2], now.rpartition("@")[2]
                found[one.package] = heads.commits(one, *span, self.project.root, self.scratch)
        return found

    def found(
        self, job: Job, culprits: Culprits, failure: Failure, base: Lock | None, lock: Lock | None, cell: Cell
    ) -> str:
        """Store a finding, joined with what is known of it; its key."""
        outcome = Outcome.UNRESOLVABLE if failure.reason is Reason.CONFLICT else Outcome.REGRESSED
        key = finding_key(culprits.changes, failure.signature)
        now = self.bench.night.started
        before = self.bench.state.findings.get(key)
        changes = linked(culprits.changes, self.resolver.environ, cell.python)
        if before is not None:
            changes = before.culprits.changes
        culprits = replace(culprits, changes=changes)
        if before is not None and not culprits.probes:
            culprits = replace(culprits, probes=before.culprits.probes)
        jobs = {*(before.jobs if before and before.last == now else ()), job.key}
        finding = Finding(
            key,
            outcome,
            culprits,
            failure.signature,
            explain(key, failure, changes, base, lock, now),
            tuple(sorted(jobs)),
            lock.hash if lock else "",
            before.first if before else now,
            now,
        )

        def change(state: State) -> State:
            locks = {**state.locks, **{one.hash: one for one in (base, lock) if one}}
            return replace(state, findings={**state.findings, key: finding}, locks=locks)

        self.bench.change(change)
        self.bench.said(f"{job.key}: {culprits.spelled or 'no release is to blame that is known'} ({key})")
        return key

    def cannot_be_had(self, cell: Cell, job: Job, lock: Lock) -> tuple[str, str]:
        """The finding about releases that our bounds admit and others keep out, with the resolver's words."""
        admitted = watch.newest_admitted(self.wants(cell), self.upstream, cell.python)
        if not watch.held_back(lock, admitted):
            return "", ""
        why = ""
        versions = lock.versions
        moves = tuple(
            Change(ChangeKind.RELEASE, name, versions[name], release.version, release.uploaded)
            for name, release in sorted(admitted.items())
            if name in versions
        )

        def ask(taken: tuple[Change, ...], /) -> Verdict:
            nonlocal why
            try:
                self.resolver.resolve(cell.python, [*self.wants(cell), *(f"{c.name}=={c.new}" for c in taken)])
            except Conflict as conflict:
                why = str(conflict)
                return Verdict.FAIL
            return Verdict.PASS

        if ask(moves) is not Verdict.FAIL:
            return "", ""
        answer = find(moves, ask, 200)
        ask(answer.changes)
        return self.contradiction(cell, job, why, answer.changes, lock, answer.questions), why

    def contradiction(
        self, cell: Cell, job: Job, why: str, changes: tuple[Change, ...], lock: Lock | None, probes: int = 0
    ) -> str:
        """A finding about requirements that contradict each other."""
        return self.found(job, Culprits(changes, probes), _conflict(why), lock, lock, cell)

    def trouble(
        self,
        job: Job,
        reason: Reason,
        why: str,
        failure: Failure | None = None,
        lock: Lock | None = None,
        log: str = "",
        started: float = 0.0,
    ) -> None:
        """A job of which nothing is known, and the one finding that all such share."""
        failure = replace(failure, reason=reason) if failure else Failure(reason, "", why, reason.value, why)
        now = self.bench.night.started
        before = self.bench.state.findings.get(INFRASTRUCTURE_KEY)
        jobs = {*(before.jobs if before and before.last == now else ()), job.key}
        finding = Finding(
            INFRASTRUCTURE_KEY,
            Outcome.INFRASTRUCTURE,
            Culprits(()),
            failure.signature,
            replace(explain(job.key, failure, (), None, None, now), notes=(f"{job.key}: {reason.value}: {why}",)),
            tuple(sorted(jobs)),
            first=before.first if before else now,
            last=now,
        )
        if before and before.last == now:
            notes = (*before.explanation.notes, *finding.explanation.notes)
            finding = replace(finding, explanation=replace(before.explanation, notes=notes))
        self.bench.change(lambda state: replace(state, findings={**state.findings, INFRASTRUCTURE_KEY: finding}))
        self.bench.said(f"{job.key}: {reason.value}: {why}")
        hash_ = lock.hash if lock else ""
        spent = self.clock() - started if started else 0.0
        self.record(
            JobResult(
                job, Outcome.INFRASTRUCTURE, hash_, started, spent, failure=failure, log=log, finding=INFRASTRUCTURE_KEY
            )
        )

    def record(self, result: JobResult) -> None:
        """Add a job's end to the night."""
        self.bench.change(
            lambda state: replace(state, current=replace(self.bench.night, results=(*self.bench.night.results, result)))
        )
        self.bench.said(f"{result.job.key}: {result.outcome.value}, {result.seconds:.1f} s")


def _newest(changes: Sequence[Change]) -> tuple[Change, ...]:
    return tuple({(change.kind, change.name): change for change in changes}.values())


def _conflict(why: str) -> Failure:
    return Failure(Reason.CONFLICT, "resolve", why[: signature.LONGEST], f"resolve: {signature.normalise(why)}", why)


def _needed(state: State) -> dict[str, Lock]:
    """The locks that something still speaks of."""
    spoken = {result.lock for night in state.nights for result in night.results}
    spoken |= {finding.lock for finding in state.findings.values()}
    return {key: lock for key, lock in state.locks.items() if key in spoken} | {
        lock.hash: lock for lock in state.good.values()
    }
