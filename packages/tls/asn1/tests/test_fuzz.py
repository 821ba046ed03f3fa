"""Octets from outside raise the declared error only, and what was read is written as it was."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mirage.asn1 import DecodeError
from mirage.asn1.testing import targets
from mirage.types.testing import cost

LONG = 1 << 13
HOSTILE = [
    bytes(LONG),
    b"\xff" * LONG,
    b"\x30\x80" * (LONG // 2),
    b"\x24\x80" * (LONG // 2),
    b"\xa0\x80" * (LONG // 2),
    b"\x30\x82" + (LONG - 5).to_bytes(2, "big") + b"\x02\x01\x00" * (LONG // 3),
    b"\x31\x82" + (LONG - 5).to_bytes(2, "big") + b"\x04\x01a" * (LONG // 3),
    b"\x06\x82" + (LONG - 4).to_bytes(2, "big") + b"\x81" * (LONG - 5) + b"\x01",
    b"\x02\x82" + (LONG - 4).to_bytes(2, "big") + b"\x7f" * (LONG - 4),
]
"""Deep nesting, many small parts, long numbers."""


@pytest.mark.parametrize("name", sorted(targets()))
def test_good_octets(name: str) -> None:
    """What the corpora begin with is right."""
    good, use = targets()[name]
    assert len(good) > 10
    use(good)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(targets()))
def test_each_octet(name: str) -> None:
    """Every octet changed in turn, and every length that is cut."""
    good, use = targets()[name]
    refused = 0
    for at in range(min(len(good), 600)):
        changed = (good[:at] + bytes((good[at] ^ bit,)) + good[at + 1 :] for bit in (1, 0x20, 0x80, 0xFF))
        for bad in (good[:at], *changed):
            try:
                use(bad)
            except DecodeError:
                refused += 1
    assert refused > min(len(good), 600)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(targets()))
@given(at=st.floats(0, 1), size=st.integers(0, 5), octets=st.binary(max_size=8))
@settings(max_examples=200, deadline=None)
def test_damaged(name: str, at: float, size: int, octets: bytes) -> None:
    """A piece of good octets is replaced."""
    good, use = targets()[name]
    place = int(at * len(good))
    with contextlib.suppress(DecodeError):
        use(good[:place] + octets + good[place + size :])


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(targets()))
def test_time_and_memory_are_bounded(name: str) -> None:
    """However the octets are made, each costs so many calls and so much memory at the most."""
    good, use = targets()[name]
    cost(lambda: use(good))  # what is made on the first call
    for hostile in HOSTILE:
        for place in (0, len(good) // 2, len(good)):
            data = good[:place] + hostile + good[place:]
            taken = cost(lambda data=data: use(data))  # type: ignore[misc]
            assert taken.calls < 30 * len(data) + 10_000
            assert taken.octets < 100 * len(data) + 200_000
