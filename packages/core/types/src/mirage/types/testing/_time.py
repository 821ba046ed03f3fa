"""Virtual time: a clock that a test moves by hand, and an asyncio loop that moves it whenever every task waits.

Invariants: time never passes by itself; callbacks due at one moment run in the order in which they were set; two runs
of the same test see the same times.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, TypeVarTuple, Unpack

from mirage.types.errors import MirageError

__all__ = ["Deadlock", "VirtualClock", "VirtualLoop", "run_virtual"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_EPOCH_NS = 1_417_392_000 * 1_000_000_000  # 2014-12-01T00:00:00Z


class Deadlock(MirageError):
    """Every task waits and no timer is set, so virtual time has nowhere to go."""


class VirtualClock:
    """A monotonic clock, a wall clock and a set of timers that move only through `advance`.

    Fits `MonotonicClock` and `WallClock`. The monotonic time starts at 0, the wall clock at `wall_ns`.
    """

    def __init__(self, wall_ns: int = _EPOCH_NS) -> None:
        self._elapsed = 0
        self._wall_offset = wall_ns
        self._timers: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def elapsed_ns(self) -> int:
        """Nanoseconds of virtual time since the clock was made."""
        return self._elapsed

    def now_ns(self) -> int:
        """The virtual time of day, in nanoseconds since 1970-01-01T00:00:00Z."""
        return self._wall_offset + self._elapsed

    def set_wall(self, now_ns: int) -> None:
        """Make the wall clock jump, as when somebody sets it. The monotonic time does not notice."""
        self._wall_offset = now_ns - self._elapsed

    def call_at(self, elapsed_ns: int, callback: Callable[[], None]) -> None:
        """Have `callback` called once the monotonic time reaches `elapsed_ns` (at the next `advance` if it has)."""
        heapq.heappush(self._timers, (max(elapsed_ns, self._elapsed), next(self._order), callback))

    def next_timer(self) -> int | None:
        """When the next callback is due, in monotonic nanoseconds, or None."""
        return self._timers[0][0] if self._timers else None

    def advance(self, seconds: float) -> None:
        """Let time pass; see `advance_ns`."""
        self.advance_ns(round(seconds * 1e9))

    def advance_ns(self, duration: int) -> None:
        """Let `duration` nanoseconds pass, calling what comes due at its own moment; 0 calls what is due already.

        Raises `ValueError` for a negative duration: this clock does not go back either.
        """
        if duration < 0:
            raise ValueError(f"time cannot go back by {-duration} ns; use set_wall() to set the wall clock")
        end = self._elapsed + duration
        while self._timers and self._timers[0][0] <= end:
            due, _, callback = heapq.heappop(self._timers)
            self._elapsed = max(self._elapsed, due)
            callback()
        self._elapsed = max(self._elapsed, end)


class _VirtualSelector(selectors.SelectSelector):
    """Where a loop would sleep, this moves the clock to the next timer, the loop's or the clock's own."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            self._clock.advance_ns(0)
            return ready
        # Rounded up, lest the loop find its timer a fraction of a nanosecond away and turn for ever.
        waits = [] if timeout is None else [math.ceil(timeout * 1e9)]
        due = self._clock.next_timer()
        if due is not None:
            waits.append(max(0, due - self._clock.elapsed_ns()))
        if not waits:
            raise Deadlock("every task waits and no timer is set: nothing can happen any more")
        self._clock.advance_ns(min(waits))
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An asyncio loop whose time is a `VirtualClock`: `asyncio.sleep(3600)` returns at once, an hour later.

    When every task waits, time jumps to the next timer; when there is none, the loop raises `Deadlock`. Work for an
    executor is done on the spot, so that no thread brings chance into the order of things. Real sockets are only
    polled, never waited for: use memory transports.
    """

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        super().__init__(_VirtualSelector(clock))

    def time(self) -> float:
        """Virtual seconds since the clock was made."""
        return self.clock.elapsed_ns() / 1e9

    def run_in_executor(self, executor: object, func: Callable[[Unpack[Ts]], T], *args: *Ts) -> asyncio.Future[T]:
        """Call `func` now, on this thread."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001,RUF100 - as an executor does, hand every error to the waiter
            future.set_exception(error)
        return future


def run_virtual(main: Coroutine[Any, Any, T], clock: VirtualClock | None = None) -> T:
    """Run a coroutine to its end in virtual time, as `asyncio.run` does in real time.

    Raises what `main` raises, and `Deadlock` when it waits for something that cannot happen.
    """
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(clock or VirtualClock())) as runner:
        return runner.run(main)
