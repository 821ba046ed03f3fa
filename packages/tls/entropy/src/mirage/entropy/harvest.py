"""From sources to a generator: start-up tests, the first seed, more of it while running, and all anew after a resume.

A generator that can be fed is a `Sink`; `mirage.crypto.random.Fortuna` is one. The harvester does no waiting: `start`
takes what a first seed needs, `poll` a little more whenever the program has a moment, and `resumed` is for a guest that
goes on from a snapshot, as others may from the same file: no octet may leave the generator before it was called.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Sequence
from math import ceil
from typing import Final, Protocol

from .errors import EntropyUnavailable, SourceUnavailable, Unhealthy
from .health import STARTUP, HealthTests
from .sources import GetRandom, Rdrand, Source, TimerJitter

__all__ = ["Guest", "Harvester", "Sink", "system_sources"]

SEED_BITS: Final = 256
"""Entropy that each source claims to have given before the generator may be used."""
_EVENT: Final = 32
_POOLS: Final = 32


class Sink(Protocol):
    """What the octets go to: an accumulator with pools, after Fortuna."""

    def add(self, source: int, pool: int, data: bytes) -> None:
        """Take 1 to 32 octets of a source, numbered from 0 to 255, into a pool, numbered from 0 to 31."""
        ...

    def reseed(self) -> None:
        """Take a new key, now, from all that the pools hold."""
        ...


class Guest(Protocol):
    """What `mirage.hvt.guest` has for a program in a virtual machine."""

    def on_resume(self, callback: Callable[[], object], /) -> None:
        """Call this in every guest that goes on from a snapshot."""
        ...


def system_sources() -> tuple[Source, ...]:
    """What this machine has, the system's own generator first."""
    found: list[Source] = [GetRandom()]
    with contextlib.suppress(SourceUnavailable):  # an addition: getrandom has it mixed in where there is one
        found.append(Rdrand())
    found.append(TimerJitter())
    return tuple(found)


class _Tested:
    """A source with its tests."""

    def __init__(self, number: int, source: Source) -> None:
        self.number = number
        self.source = source
        self.tests = HealthTests(source.name, source.entropy)
        self.pool = 0
        self.failure: Exception | None = None

    def draw(self, count: int) -> bytes:
        """`count` samples, tested, as octets. Raises `SourceUnavailable`, `Unhealthy`."""
        samples = self.source.sample(count)
        self.tests.test(samples)
        width = self.source.width
        return b"".join(sample.to_bytes(width, "little") for sample in samples)


class Harvester:
    """Feeds one sink. Not for several threads at once."""

    def __init__(self, sink: Sink, sources: Sequence[Source] | None = None, *, needed: int = 1) -> None:
        """With `needed` sources at least that pass their tests; by default from `system_sources`."""
        self._sink = sink
        self._sources = [_Tested(n, s) for n, s in enumerate(system_sources() if sources is None else sources)]
        self._needed = needed
        if not 1 <= needed <= len(self._sources) <= 256:
            raise ValueError(f"{needed} of {len(self._sources)} sources cannot be had: from 1 to all, at most 256")

    @property
    def working(self) -> tuple[str, ...]:
        """The names of the sources that passed all tests so far."""
        return tuple(s.source.name for s in self._sources if s.failure is None)

    @property
    def failures(self) -> dict[str, str]:
        """The other ones, each with what was wrong."""
        return {s.source.name: str(s.failure) for s in self._sources if s.failure is not None}

    def start(self) -> None:
        """Test every source, seed the sink from those that pass, and have it take its first key.

        Raises `EntropyUnavailable` when fewer pass than are needed.
        """
        for each in self._alive():
            # SP 800-90B section 4.3: samples of the start-up test may be used once it is passed; here they are not.
            self._guarded(each, STARTUP)
        self._require()
        self.resumed()

    def poll(self) -> None:
        """Some octets of every source, each into the source's next pool. Raises `EntropyUnavailable` as `start`."""
        for each in self._alive():
            data = self._guarded(each, max(1, _EVENT // each.source.width))
            if data is not None:
                self._sink.add(each.number, each.pool, data[:_EVENT])
                each.pool = (each.pool + 1) % _POOLS
        self._require()

    def resumed(self) -> None:
        """A new seed from every source into the first pool, and a new key. Raises `EntropyUnavailable` as `start`."""
        for each in self._alive():
            data = self._guarded(each, ceil(SEED_BITS / each.source.entropy))
            if data is not None:
                for at in range(0, len(data), _EVENT):
                    self._sink.add(each.number, 0, data[at : at + _EVENT])
        self._require()
        self._sink.reseed()

    def watch(self, guest: Guest | None = None) -> None:
        """Have `resumed` called in each clone: of a guest from its snapshot, and of a process by fork(2)."""
        if guest is not None:
            guest.on_resume(self.resumed)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.resumed)

    def _alive(self) -> Iterable[_Tested]:
        return [each for each in self._sources if each.failure is None]

    def _guarded(self, each: _Tested, count: int) -> bytes | None:
        try:
            return each.draw(count)
        except (SourceUnavailable, Unhealthy) as error:
            each.failure = error
            return None

    def _require(self) -> None:
        if len(self.working) < self._needed:
            told = "; ".join(self.failures.values())
            raise EntropyUnavailable(f"{len(self.working)} entropy sources work, and {self._needed} are needed: {told}")
