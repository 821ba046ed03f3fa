"""What a night writes down: the ends of jobs, and findings, each joined with what is known of it already."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from . import signature
from .cells import Bench
from .explain import explain, linked
from .model import (
    INFRASTRUCTURE_KEY,
    Culprits,
    Failure,
    Finding,
    Job,
    JobResult,
    Lock,
    Outcome,
    Reason,
    State,
    finding_key,
)
from .resolve import Resolver


@dataclass(slots=True)
class Ledger:
    """The night's part of the state."""

    bench: Bench
    resolver: Resolver
    clock: Callable[[], float]

    def record(self, result: JobResult) -> None:
        """Write down how a job ended, in the place of what was there of it."""
        key = result.job.key

        def change(state: State) -> State:
            night = self.bench.night
            others = tuple(one for one in night.results if one.job.key != key)
            return replace(state, current=replace(night, results=(*others, result)))

        self.bench.change(change)
        self.bench.said(f"{key}: {result.outcome.value}, {result.seconds:.1f} s")

    def found(
        self,
        job: Job,
        culprits: Culprits,
        failure: Failure,
        base: Lock | None,
        lock: Lock | None,
        notes: tuple[str, ...] = (),
    ) -> str:
        """Write down a finding; its key. `lock` is `base` with just the culprits, `notes` what is to be said."""
        outcome = Outcome.UNRESOLVABLE if failure.reason is Reason.CONFLICT else Outcome.REGRESSED
        key = finding_key(culprits.changes, failure.signature)
        now = self.bench.night.started
        before = self.bench.state.findings.get(key)
        if before is not None:
            # What it was known by stays, so that a report changes only when something did.
            culprits = replace(before.culprits, probes=before.culprits.probes or culprits.probes)
        else:
            culprits = replace(culprits, changes=linked(culprits.changes, self.resolver.environ, job.python))
        text = explain(key, failure, culprits.changes, base, lock, before.first if before else now)
        finding = Finding(
            key,
            outcome,
            culprits,
            failure.signature,
            replace(text, notes=(*text.notes, *notes)),
            self._jobs(before, job),
            lock.hash if lock else "",
            before.first if before else now,
            now,
        )
        locks = {one.hash: one for one in (base, lock) if one}
        self.bench.change(
            lambda state: replace(state, findings={**state.findings, key: finding}, locks={**state.locks, **locks})
        )
        self.bench.said(f"{job.key}: {culprits.spelled or 'no change upstream is known to have done it'} ({key})")
        return key

    def contradiction(self, job: Job, why: str, culprits: Culprits, lock: Lock | None) -> tuple[str, Failure]:
        """Write down that requirements contradict each other; the finding's key, and the failure."""
        line = why[: signature.LONGEST]
        failure = Failure(Reason.CONFLICT, "resolve", line, f"resolve: {signature.normalise(why)}", why)
        return self.found(job, culprits, failure, lock, lock), failure

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
        """Write down a job of which nothing is known, in the one finding that all such share."""
        failure = replace(failure, reason=reason) if failure else Failure(reason, "", why, reason.value, why)
        now = self.bench.night.started
        before = self.bench.state.findings.get(INFRASTRUCTURE_KEY)
        told = f"{job.key}: {reason.value}: {why}"
        explanation = explain(job.key, failure, (), None, None, now)
        notes = [told]
        if before and before.last == now:
            explanation = before.explanation
            notes = [*(note for note in explanation.notes if note != told), told]
        finding = Finding(
            INFRASTRUCTURE_KEY,
            Outcome.INFRASTRUCTURE,
            Culprits(()),
            explanation.failure.signature,
            replace(explanation, notes=tuple(notes)),
            self._jobs(before, job),
            first=before.first if before else now,
            last=now,
        )
        self.bench.change(lambda state: replace(state, findings={**state.findings, INFRASTRUCTURE_KEY: finding}))
        self.bench.said(told)
        spent = self.clock() - started if started else 0.0
        self.record(
            JobResult(
                job,
                Outcome.INFRASTRUCTURE,
                lock.hash if lock else "",
                started,
                spent,
                failure=failure,
                log=log,
                finding=INFRASTRUCTURE_KEY,
            )
        )

    def _jobs(self, before: Finding | None, job: Job) -> tuple[str, ...]:
        """The jobs that a finding breaks: those of this night."""
        known = before.jobs if before and before.last == self.bench.night.started else ()
        return tuple(sorted({*known, job.key}))
