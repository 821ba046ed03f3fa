"""The jobs of a night, and the runs behind them: every verdict on a lock is remembered, so none is bought twice."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from . import store
from .attempt import Workshop
from .config import Config, Suite
from .model import Failure, Job, Lane, LaneKind, Lock, Night, Outcome, Probe, State
from .process import Interrupted

PROBES_KEPT = 2000


@dataclass(frozen=True, slots=True)
class Cell:
    """A suite on a target and a Python: what all lanes of it share."""

    suite: Suite
    target: str
    python: str
    downstream: bool = False
    revision: str = ""
    """Of another project's checkout."""

    def job(self, kind: LaneKind) -> Job:
        """Its job in a lane."""
        return Job(Lane(kind), self.target, self.python, self.suite.name)

    def memory(self, fingerprint: str, lock: Lock) -> str:
        """The key of its verdict on a lock."""
        return f"{self.suite.name}-{self.target}/{fingerprint}{self.revision[:12]}/{lock.hash}"


@dataclass(slots=True)
class Bench:
    """Runs suites for a night, several threads at once, and keeps the state on disk in step."""

    config: Config
    data: Path
    workshop: Workshop
    state: State
    fingerprint: str = ""
    dry: bool = False
    probes: int = 0
    """Suites that were run."""
    spared: int = 0
    """Answers that came from memory."""
    said: Callable[[str], None] = lambda line: None
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _controls: dict[str, bool] = field(default_factory=dict)

    @property
    def night(self) -> Night:
        """The one under way."""
        assert self.state.current is not None
        return self.state.current

    def change(self, how: Callable[[State], State]) -> None:
        """Replace the state, here and on disk."""
        with self._lock:
            self.state = how(self.state)
            if not self.dry:
                store.save(self.data, self.state)

    def log(self, name: str) -> tuple[Path, str]:
        """The file of a job's log, and its path below the data folder."""
        place = f"logs/{self.night.name}/{name}.log"
        return self.data / place, place

    def remembered(self, cell: Cell, lock: Lock) -> Probe | None:
        """What is known of a lock without running anything."""
        return self.state.probes.get(cell.memory(self.fingerprint, lock))

    def attempts(self, cell: Cell, lock: Lock, name: str, expected: Failure | None = None) -> Iterator[Probe]:
        """Run a suite until it passes, or a failure is believed; the last verdict is remembered.

        A failure is believed when it was seen `config.attempts` times, or when it is the `expected` one.
        """
        log, _ = self.log(name)
        for number in range(self.config.attempts):
            if self.workshop.stopped():
                raise Interrupted
            probe = self.workshop.attempt(cell.suite, cell.target, lock, log, self.config.limits)
            yield probe
            same = expected and probe.failure and probe.failure.signature == expected.signature
            if probe.passed or same or number + 1 == self.config.attempts:
                key = cell.memory(self.fingerprint, lock)
                self.change(
                    lambda state, key=key, probe=probe: replace(  # type: ignore[misc]
                        state, probes=_latest({**state.probes, key: probe}), locks={**state.locks, lock.hash: lock}
                    )
                )
                return

    def probe(self, cell: Cell, lock: Lock, name: str, expected: Failure | None = None) -> Probe:
        """The verdict on a lock, from memory where it is known."""
        known = self.remembered(cell, lock)
        if known is not None:
            with self._lock:
                self.spared += 1
            return known
        with self._lock:
            self.probes += 1
        return list(self.attempts(cell, lock, f"{name}.{lock.hash}", expected))[-1]

    def control(self, cell: Cell, base: Lock) -> bool:
        """Whether the last good lock still passes: run once a night, never from memory."""
        key = cell.memory(self.fingerprint, base)
        job = cell.job(LaneKind.CONTROL)
        with self._lock:
            known = self._controls.get(key)
        if known is None:
            # A night that goes on has run it already.
            ran = (one.outcome for one in self.night.results if one.job == job and one.lock == base.hash)
            known = next((outcome is Outcome.GOOD for outcome in ran), None)
        if known is None:
            known = list(self.attempts(cell, base, job.key))[-1].passed
            with self._lock:
                self._controls[key] = known
        return known


def _latest(probes: dict[str, Probe]) -> dict[str, Probe]:
    """The newest ones: memory is bounded."""
    if len(probes) <= PROBES_KEPT:
        return probes
    kept = sorted(probes.items(), key=lambda item: item[1].when)[-PROBES_KEPT:]
    return dict(kept)
