"""The Fortuna generator: known answers, reseeding, and what it refuses."""

from __future__ import annotations

import copy
import hashlib
import pickle
import subprocess
import sys
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mirage.crypto.random import INTERVAL, MOST, Fortuna, Generator, NotSeeded, seeded, system_random
from mirage.crypto.testing import DeterministicRandom
from mirage.types import DeviceError, Random


def test_known_answers_of_the_generator() -> None:
    """The published answers for the seed "Hello": two blocks, the key after them, and two more blocks."""
    generator = Generator()
    generator.reseed(b"Hello")
    assert generator._key.hex() == "0ea6919d4361551364242a4ba890f8f073676e82cf1a52bb880f7e496648b565"
    assert generator.generate(32).hex() == "7cbe2c17684ac223d08969ee8b565616717661c0d2f4758bd6ba140bf3791abd"
    assert generator._key.hex() == "33a1bb21987859caf2bbfc5615bef56de6b71ff9f37112d0c193a135160862b7"
    assert generator.generate(32).hex() == "fd6648ba3086e919cee34904ef09a7ff021f77580558b8c3e9248275f23042bf"


def test_nothing_comes_before_the_first_seed() -> None:
    """Both refuse, with an error of devices too, as `mirage.types.Random` says."""
    with pytest.raises(NotSeeded):
        Generator().generate(1)
    with pytest.raises(DeviceError, match="Harvester"):
        Fortuna().generate(1)


@given(st.lists(st.integers(0, 100), max_size=8))
def test_each_request_has_a_key_of_its_own(sizes: list[int]) -> None:
    """Two generators agree on equal requests; one that took an octet more goes another way afterwards."""
    one, other = Generator(), Generator()
    for generator in (one, other):
        generator.reseed(b"seed")
    for size in sizes:
        assert one.generate(size) == other.generate(size)
    one.generate(1)
    assert one.generate(16) != other.generate(16)


def test_no_key_gives_more_than_a_mebioctet() -> None:
    """A longer request changes the key on the way: it is the requests that it consists of."""
    one, other = Generator(), Generator()
    for generator in (one, other):
        generator.reseed(b"seed")
    assert one.generate(MOST + 5) == other.generate(MOST) + other.generate(5)


class Clock:
    """Time that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_pools_take_turns() -> None:
    """Pool i takes part in every 2**i-th reseed; the seed is what the pools hashed, twice."""
    fortuna, model = Fortuna(Clock()), Generator()
    for number in range(1, 10):
        seed = b""
        for pool in range(5):
            fortuna.add(7, pool, b"%d" % number)
        pools = [p for p in range(5) if number % (1 << p) == 0]
        for pool in pools:
            since = range(number - (1 << pool) + 1, number + 1)
            content = b"".join(bytes((7, len(b"%d" % n))) + b"%d" % n for n in since)
            seed += hashlib.sha256(hashlib.sha256(content).digest()).digest()
        fortuna.reseed()
        model.reseed(seed)
        assert fortuna.generate(20) == model.generate(20)


def test_it_reseeds_by_itself_ten_times_a_second_at_most() -> None:
    """When pool 0 has 64 octets and a tenth of a second is over, the next request has a new key first."""
    clock = Clock()
    fortuna = Fortuna(clock)
    fortuna.add(0, 0, bytes(32))
    fortuna.reseed()
    fortuna.add(0, 0, bytes(32))
    fortuna.add(1, 0, bytes(32))
    fortuna.generate(1)
    assert fortuna.reseeds == 1
    clock.now = INTERVAL
    fortuna.generate(1)
    fortuna.generate(1)
    assert fortuna.reseeds == 2


def test_reseeding_waits_for_the_first_pool() -> None:
    """Fewer than 64 octets in pool 0 are not worth it, whatever the others hold."""
    clock = Clock()
    fortuna = Fortuna(clock)
    fortuna.reseed()
    clock.now = 10
    fortuna.add(0, 0, bytes(32))
    fortuna.add(0, 1, bytes(32))
    fortuna.add(0, 1, bytes(32))
    fortuna.generate(1)
    assert fortuna.reseeds == 1


@pytest.mark.parametrize(("source", "pool", "size"), [(256, 0, 1), (-1, 0, 1), (0, 32, 1), (0, 0, 0), (0, 0, 33)])
def test_events_have_their_limits(source: int, pool: int, size: int) -> None:
    """9.5.6: numbers of one octet, 32 pools, 1 to 32 octets."""
    with pytest.raises(ValueError, match="at most"):
        Fortuna().add(source, pool, bytes(size))


def test_a_generator_is_neither_shown_nor_copied() -> None:
    """A copy would give the same octets twice."""
    fortuna = seeded()
    with pytest.raises(TypeError):
        pickle.dumps(fortuna)
    with pytest.raises(TypeError):
        copy.copy(fortuna)
    generator = Generator()
    generator.reseed(b"secret")
    assert generator._key.hex() not in repr(generator)
    assert isinstance(fortuna, Random)


def test_a_resumed_clone_gives_other_octets() -> None:
    """Two guests from one snapshot: what the guest calls on its resume changes what comes out next."""
    callbacks: list[Callable[[], object]] = []

    class Guest:
        def on_resume(self, callback: Callable[[], object], /) -> None:
            callbacks.append(callback)

    fortuna = seeded(guest=Guest())
    key, counter = fortuna._generator._key, fortuna._generator._counter
    first = fortuna.generate(32)
    fortuna._generator._key, fortuna._generator._counter = key, counter
    assert fortuna.generate(32) == first  # so it is without the call
    fortuna._generator._key, fortuna._generator._counter = key, counter
    callbacks[0]()
    assert fortuna.generate(32) != first


def test_the_systems_octets_differ() -> None:
    """And there are as many as were asked for."""
    assert system_random(0) == b""
    assert len(system_random(33)) == 33
    assert system_random(16) != system_random(16)


@given(st.lists(st.integers(0, 3000), max_size=10))
def test_the_deterministic_one_is_one_stream(sizes: list[int]) -> None:
    """However it is cut, the octets are the same; another seed gives other ones."""
    whole = DeterministicRandom(b"seed").generate(40_000)
    generator = DeterministicRandom(b"seed")
    assert b"".join(generator(size) for size in sizes) == whole[: sum(sizes)]
    assert DeterministicRandom(b"seeds").generate(16) != whole[:16]


@pytest.mark.slow
def test_the_deterministic_one_refuses_to_work_in_a_program() -> None:
    """Outside of a test runner it has to be told that its octets are no secrets."""
    make = "from mirage.crypto.testing import DeterministicRandom; print(len(DeterministicRandom({}).generate(8)))"
    refused = subprocess.run([sys.executable, "-c", make.format("")], capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "NotInProduction" in refused.stderr
    told = subprocess.run([sys.executable, "-c", make.format("not_secret=True")], capture_output=True, check=True)
    assert told.stdout == b"8\n"
