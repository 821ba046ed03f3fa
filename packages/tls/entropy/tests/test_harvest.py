"""The harvester: first seed, more of it, and all anew after a resume."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator

import pytest
from mirage.entropy import EntropyUnavailable, Harvester, SourceUnavailable
from mirage.entropy.health import STARTUP


class Recorder:
    """A sink that keeps what it is given."""

    def __init__(self) -> None:
        self.events: list[tuple[int, int, bytes] | None] = []

    def add(self, source: int, pool: int, data: bytes) -> None:
        assert 0 <= source < 256
        assert 0 <= pool < 32
        assert 1 <= len(data) <= 32
        self.events.append((source, pool, data))

    def reseed(self) -> None:
        self.events.append(None)


class Noise:
    """A source from a seeded generator, that can break."""

    def __init__(self, name: str, entropy: float = 8.0, width: int = 1) -> None:
        self.name, self.entropy, self.width = name, entropy, width
        self._generator = random.Random(name)
        self.drawn = 0
        self.stuck = False
        self.gone = False

    def sample(self, count: int) -> list[int]:
        if self.gone:
            raise SourceUnavailable(f"{self.name} is gone")
        self.drawn += count
        return [0 if self.stuck else self._generator.getrandbits(8 * self.width) for _ in range(count)]


def test_the_first_seed_has_what_each_source_owes() -> None:
    """256 bits by the source's own claim go into pool 0 after the start-up test, then the key is taken."""
    sink, whole, half = Recorder(), Noise("whole"), Noise("half", 0.5)
    Harvester(sink, [whole, half]).start()
    assert whole.drawn == STARTUP + 32
    assert half.drawn == STARTUP + 512
    assert sink.events[-1] is None
    assert sink.events.count(None) == 1
    given = [event for event in sink.events if event]
    assert {pool for _, pool, _ in given} == {0}
    assert sum(len(data) for source, _, data in given if source == 0) == 32
    assert sum(len(data) for source, _, data in given if source == 1) == 512


def test_polling_goes_round_the_pools() -> None:
    """Each source visits the pools in their order (Ferguson, Schneier, Kohno: 9.5.6), with at most 32 octets."""
    sink = Recorder()
    harvester = Harvester(sink, [Noise("a"), Noise("b", 8, 8)])
    harvester.start()
    del sink.events[:]
    for _ in range(40):
        harvester.poll()
    for number in (0, 1):
        assert [e[1] for e in sink.events if e and e[0] == number] == [n % 32 for n in range(40)]
    assert None not in sink.events


def test_a_source_that_fails_is_left_out() -> None:
    """The others go on; what it gave at the failure is not used; the reason can be asked for."""
    sink, good, bad = Recorder(), Noise("good"), Noise("bad")
    harvester = Harvester(sink, [good, bad])
    harvester.start()
    bad.stuck = True
    del sink.events[:]
    harvester.poll()
    harvester.poll()
    assert harvester.working == ("good",)
    assert "repetition" in harvester.failures["bad"]
    assert [e[0] for e in sink.events if e] == [0, 0]


def test_too_few_sources_are_an_error() -> None:
    """No key is taken, and the message has each failure."""
    sink, stuck, gone = Recorder(), Noise("stuck"), Noise("gone")
    stuck.stuck = gone.gone = True
    with pytest.raises(EntropyUnavailable, match=r"stuck gave 0.*gone is gone"):
        Harvester(sink, [stuck, gone]).start()
    assert sink.events == []
    with pytest.raises(ValueError, match="cannot be had"):
        Harvester(sink, [Noise("a")], needed=2)


def test_a_resumed_guest_gets_a_new_seed_first() -> None:
    """What `watch` registers with the guest draws from every source and takes a new key."""
    callbacks: list[Callable[[], object]] = []

    class Guest:
        def on_resume(self, callback: Callable[[], object], /) -> None:
            callbacks.append(callback)

    sink = Recorder()
    harvester = Harvester(sink, [Noise("a"), Noise("b")])
    harvester.start()
    harvester.watch(Guest())
    del sink.events[:]
    callbacks[0]()
    assert [event and event[:2] for event in sink.events] == [(0, 0), (1, 0), None]


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe, closed at the end."""
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def test_a_forked_child_gets_a_new_seed_first(pipe: tuple[int, int]) -> None:
    """fork(2) copies a generator as a snapshot does: the child's sink is seeded anew before the child goes on."""
    sink = Recorder()
    harvester = Harvester(sink, [Noise("a")])
    harvester.start()
    harvester.watch()
    del sink.events[:]
    child = os.fork()
    if child == 0:
        os.write(pipe[1], b"seeded" if sink.events and sink.events[-1] is None else b"same")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(pipe[0], 16) == b"seeded"
    assert sink.events == []


def test_this_machine_seeds_a_sink() -> None:
    """The real sources do."""
    sink = Recorder()
    harvester = Harvester(sink)
    harvester.start()
    assert "getrandom" in harvester.working
    assert sink.events[-1] is None
