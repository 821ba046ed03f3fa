"""A night: watch, try and bisect every cell; saved after each step, so that it goes on where it was stopped."""

from __future__ import annotations

import fnmatch
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from . import heads, judge, watch
from .cells import Bench, Cell
from .config import Config
from .errors import IndexFailed
from .ledger import Ledger
from .model import Culprits, Job, JobResult, LaneKind, Lock, Night, Outcome, Probe, Reason, State
from .project import Project, downstream_suite
from .registry import Registry
from .resolve import Conflict, Resolver
from .search import Search, Tools, conflicting

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
    _cells: list[Cell] = field(default_factory=list)

    @property
    def ledger(self) -> Ledger:
        """Where results and findings are written down."""
        return Ledger(self.bench, self.resolver, self.clock)

    def run(self) -> Night:
        """All of it. Raises `process.Interrupted` when told to stop; the next one goes on from there."""
        self.begin()
        try:
            if self.look():
                return self.end_quietly()
        except IndexFailed as error:
            for cell in self.plain_cells():
                self.ledger.trouble(cell.job(LaneKind.NEWEST), Reason.INDEX, str(error))
            return self.end(settled=False)
        self.try_all()
        self.bisect_all()
        return self.end(settled=not self.only and not self.since)

    def begin(self) -> None:
        """Take up the night that was under way, or begin one."""
        if self.bench.state.current is None:
            # Nights are told apart by the second in which they began.
            started = max(self.clock(), *(night.started + 1 for night in self.bench.state.nights[-1:]), 0.0)
            night = Night(started, revision=self.project.revision())
            self.bench.change(lambda state: replace(state, current=night))
        else:
            self.bench.said(f"going on with the night of {self.bench.night.name}")

    def look(self) -> bool:
        """The step `watch`; whether nothing at all is new. Raises `IndexFailed`."""
        state = self.bench.state
        self.upstream = watch.look(self.config, self.project, self.registry, self.pythons, self.watched())
        self.bench.fingerprint = self.upstream.fingerprint.partition(" ")[0]
        changes = watch.beside(state, self.upstream)
        self.bench.change(lambda s: replace(s, current=replace(self.bench.night, changes=changes)))
        return bool(state.nights) and state.seen == self.upstream.hash and not self.only and not self.since

    def watched(self) -> set[str]:
        """The distributions whose release lists are looked at."""
        return watch.names(self.bench.state, {line for cell in self.plain_cells() for line in self.wants(cell)})

    def try_all(self) -> None:
        """The step `try`: every lane of every cell that has no result yet."""
        self._each_cell(self.try_cell)

    def bisect_all(self) -> None:
        """The step `bisect`: every result that regressed and has no finding yet."""
        self._each_cell(self.bisect_cell)

    def _each_cell(self, what: Callable[[Cell], None]) -> None:
        with ThreadPoolExecutor(max(1, self.config.jobs)) as pool:
            for _ in pool.map(what, self.cells()):
                pass

    def end(self, settled: bool = True) -> Night:
        """Close the night. Only one that is settled, and saw no trouble, lets the next one be quiet."""
        night = self.bench.night
        outcomes = {result.outcome for result in night.results}
        clean = settled and Outcome.INFRASTRUCTURE not in outcomes
        seen = ""
        if clean:
            try:
                lists = self.registry.all_releases(sorted(self.watched()))
                seen = replace(self.upstream, lists=lists).hash
            except IndexFailed as error:
                self.bench.said(f"the next night will look at everything: {error}")
        state = self.bench.state
        broken = tuple(sorted(key for key, one in state.findings.items() if one.last == night.started))
        results = tuple(sorted(night.results, key=lambda result: result.job.key))
        probes = night.probes + self.bench.probes
        done = replace(night, ended=self.clock(), findings=broken, probes=probes, results=results)

        def change(state: State) -> State:
            state = replace(state, current=None, seen=seen, nights=(*state.nights, done)[-self.config.keep :])
            if clean and not outcomes & {Outcome.REGRESSED, Outcome.UNRESOLVABLE}:
                state = replace(state, heads=self.upstream.heads, pythons=self.upstream.pythons)
            return replace(state, locks=_needed(state))

        self.bench.change(change)
        return done

    def end_quietly(self) -> Night:
        """Nothing is new: what was so is still so."""
        last, night = self.bench.state.nights[-1], self.bench.night
        done = replace(night, ended=self.clock(), results=last.results, findings=last.findings, changes=(), quiet=True)

        def change(state: State) -> State:
            again = {
                key: replace(one, last=night.started) for key, one in state.findings.items() if key in last.findings
            }
            nights = (*state.nights, done)[-self.config.keep :]
            return replace(state, current=None, findings={**state.findings, **again}, nights=nights)

        self.bench.change(change)
        return done

    # -- cells -------------------------------------------------------------------------------------------------------

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
        """Every cell; the downstream projects are checked out, once a night."""
        if not self._cells:
            self._cells = self.plain_cells()
            if "downstream" in self.config.lanes:
                self._cells += self.downstream_cells()
        return self._cells

    def downstream_cells(self) -> Iterable[Cell]:
        """The cells of the projects that can be checked out; the others are written down as trouble."""
        for project in self.config.downstream:
            folder = self.scratch / "downstream" / project.name
            suite = downstream_suite(project, folder)
            shutil.rmtree(folder, ignore_errors=True)
            try:
                revision = heads.checkout(project.url, project.branch, self.project.root, folder)
            except IndexFailed as error:
                for python in self.pythons:
                    job = self.job(Cell(suite, "-", python, downstream=True), LaneKind.DOWNSTREAM)
                    self.ledger.trouble(job, Reason.INDEX, str(error))
                continue
            for python in self.pythons:
                yield Cell(suite, "-", python, downstream=True, revision=revision)

    def jobs(self, cell: Cell) -> list[Job]:
        """The jobs of a cell that are wanted, in the order in which they run."""
        kinds = [LaneKind.DOWNSTREAM] if cell.downstream else [k for k in _IN_A_CELL if k.value in self.config.lanes]
        jobs = (self.job(cell, kind) for kind in kinds)
        return [job for job in jobs if not self.only or fnmatch.fnmatch(job.key, f"*{self.only}*")]

    def job(self, cell: Cell, kind: LaneKind) -> Job:
        """A cell's job, by the name of the project where it is another's."""
        job = cell.job(kind)
        return replace(job, lane=replace(job.lane, project=cell.suite.name)) if cell.downstream else job

    def try_cell(self, cell: Cell) -> None:
        """All lanes of a cell."""
        for job in self.jobs(cell):
            if job.key in {result.job.key for result in self.bench.night.results}:
                continue
            try:
                if job.lane.kind is LaneKind.CONTROL:
                    self.control(cell, job)
                else:
                    self.attempt(cell, job)
            except IndexFailed as error:
                self.ledger.trouble(job, Reason.INDEX, str(error))

    def bisect_cell(self, cell: Cell) -> None:
        """All results of a cell that are not explained."""
        keys = {job.key for job in self.jobs(cell)}
        for result in self.bench.night.results:
            if result.job.key not in keys or result.outcome is not Outcome.REGRESSED or result.finding:
                continue
            try:
                found = self.bisect(cell, result)
            except IndexFailed as error:
                self.ledger.trouble(result.job, Reason.INDEX, str(error), result.failure, log=result.log)
            else:
                self.ledger.record(replace(result, finding=found[0]))

    # -- lanes -------------------------------------------------------------------------------------------------------

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

    def base(self, cell: Cell, job: Job) -> Lock | None:
        """What was good: by memory, else by the tree's lock file; None where neither knows. Raises `IndexFailed`."""
        kind, good = job.lane.kind, self.bench.state.good
        newest = self.job(cell, LaneKind.NEWEST).key
        keys = [newest] if kind in {LaneKind.CONTROL, LaneKind.PRE} else [job.key, newest]
        locked: tuple[str, ...] = ()
        if not self.since:
            if known := next((good[key] for key in keys if key in good), None):
                return known
            if not (locked := self.project.locked()):
                return None
        try:
            return self.resolver.resolve(cell.python, self.wants(cell), locked, exclude_newer=self.since)
        except Conflict:
            return None

    def control(self, cell: Cell, job: Job) -> None:
        """The last good lock once more."""
        base, started = self.base(cell, job), self.clock()
        if base is None:
            return
        passed = self.bench.control(cell, base)
        probe = self.bench.remembered(cell, base)
        log = self.bench.log(job.key)[1]
        if passed or probe is None or probe.failure is None:
            spent = self.clock() - started
            self.ledger.record(JobResult(job, Outcome.GOOD, base.hash, started, spent, log=log))
        else:
            self.ledger.trouble(job, Reason.CONTROL, probe.failure.line, probe.failure, base, log, started)

    def attempt(self, cell: Cell, job: Job) -> None:
        """Resolve, run, judge."""
        kind, started = job.lane.kind, self.clock()
        base = self.base(cell, job)
        try:
            lane = LaneKind.NEWEST if kind is LaneKind.DOWNSTREAM else kind
            lock = self.resolver.resolve(cell.python, self.wants(cell), (), self.followed(), lane=lane, refresh=True)
        except Conflict as conflict:
            key, contradiction = self.ledger.contradiction(job, str(conflict), Culprits(()), base)
            self.ledger.record(JobResult(job, Outcome.UNRESOLVABLE, "", started, failure=contradiction, finding=key))
            return
        attempts, log = self.tried(cell, job, lock)
        failure = next((probe.failure for probe in attempts if probe.failure), None)
        control = None
        if failure and not attempts[-1].passed and base is not None:
            control = self.bench.control(cell, base)
        outcome = judge.outcome(attempts, control, self.before(job))
        if failure and outcome is Outcome.INFRASTRUCTURE:
            why = f"the last good lock fails too: {failure.line}"
            self.ledger.trouble(job, Reason.CONTROL, why, failure, lock, log, started)
            return
        result = JobResult(job, outcome, lock.hash, started, self.clock() - started, len(attempts), failure, log)
        if outcome is not Outcome.REGRESSED:
            self.bench.change(lambda state: replace(state, good={**state.good, job.key: lock}))
            if kind is LaneKind.NEWEST:
                result = self.checked(cell, result, lock)
        self.ledger.record(result)

    def checked(self, cell: Cell, result: JobResult, lock: Lock) -> JobResult:
        """A good result; it is UNRESOLVABLE where something newest could not be had."""
        found = conflicting(self.resolver, cell.python, self.wants(cell), lock, self.upstream)
        if found is None:
            return result
        key, failure = self.ledger.contradiction(result.job, found[1], found[0], lock)
        return replace(result, outcome=Outcome.UNRESOLVABLE, failure=failure, finding=key)

    def tried(self, cell: Cell, job: Job, lock: Lock) -> tuple[list[Probe], str]:
        """The attempts on a lock and their log, or what is remembered of it."""
        known = self.bench.remembered(cell, lock)
        if known is None:
            self.bench.probes += 1
            return list(self.bench.attempts(cell, lock, job.key)), self.bench.log(job.key)[1]
        self.bench.spared += 1
        nights = (self.bench.night, *reversed(self.bench.state.nights))
        logs = (one.log for night in nights for one in night.results if one.lock == lock.hash and one.log)
        return [known], next(logs, "")

    def before(self, job: Job) -> Outcome | None:
        """Its outcome in the latest night that knows one."""
        for night in reversed(self.bench.state.nights):
            for result in night.results:
                if result.job.key == job.key and result.outcome is not Outcome.INFRASTRUCTURE:
                    return result.outcome
        return None

    def bisect(self, cell: Cell, result: JobResult) -> list[str]:
        """The keys of what was found behind a regression, at least one. Raises `IndexFailed`."""
        job, failure = result.job, result.failure
        base, newest = self.base(cell, job), self.bench.state.locks.get(result.lock)
        assert failure is not None
        if base is None or newest is None or base.hash == newest.hash:
            return [self.ledger.found(job, Culprits(()), failure, base, newest)]
        tools = Tools(self.config, self.project, self.bench, self.registry, self.resolver, self.ledger, self.scratch)
        return Search(tools, cell, job, base, newest, failure).run()


def _needed(state: State) -> dict[str, Lock]:
    """The locks that something still speaks of."""
    spoken = {result.lock for night in state.nights for result in night.results}
    spoken |= {finding.lock for finding in state.findings.values()}
    kept = {key: lock for key, lock in state.locks.items() if key in spoken}
    return kept | {lock.hash: lock for lock in state.good.values()}
