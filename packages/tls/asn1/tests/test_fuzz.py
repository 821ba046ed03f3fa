"""Octets from outside raise the declared error only, and what was read is written as it was."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mirage.asn1 import DecodeError
from mirage.asn1.testing import targets


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
