"""Octets from outside raise declared errors only, whatever is wrong, and whatever is asked of what was read."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mirage.asn1 import dump
from mirage.types.testing import cost
from mirage.x509 import Certificate, X509Error, chain_of_trust
from mirage.x509.testing import NOW, leaf, root, targets


@st.composite
def damaged(draw: st.DrawFn, good: bytes) -> bytes:
    """The octets with some of them changed, left out, doubled, or moved."""
    data = bytearray(good)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        what = draw(st.sampled_from(("set", "bit", "cut", "insert", "double", "end")))
        size = draw(st.integers(1, 12))
        if not data:
            break
        if what == "set":
            data[at] = draw(st.sampled_from((0, 1, 2, 5, 0x30, 0x31, 0x7F, 0x80, 0x82, 0xA0, 0xFF)))
        elif what == "bit":
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif what == "cut":
            del data[at : at + size]
        elif what == "insert":
            data[at:at] = draw(st.binary(min_size=1, max_size=12))
        elif what == "double":
            data[at:at] = data[at : at + size]
        else:
            del data[at:]
    return bytes(data)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(targets()))
@given(data=st.data())
@settings(max_examples=200, deadline=None)
def test_damaged(name: str, data: st.DataObject) -> None:
    """Nearly right octets of every kind."""
    good, use = targets()[name]
    with contextlib.suppress(X509Error):
        use(data.draw(damaged(good)))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(targets()))
def test_each_octet(name: str) -> None:
    """Every octet changed in turn, and every length that is cut."""
    good, use = targets()[name]
    refused = 0
    for at in range(len(good)):
        for bad in (
            good[:at],
            good[:at] + bytes((good[at] ^ 0x01,)) + good[at + 1 :],
            good[:at] + b"\x80" + good[at + 1 :],
        ):
            try:
                use(bad)
            except X509Error:
                refused += 1
    assert refused > len(good)


@pytest.mark.slow
@given(data=st.binary(max_size=80), name=st.sampled_from(sorted(targets())))
@settings(max_examples=300, deadline=None)
def test_junk(data: bytes, name: str) -> None:
    """Any octets at all."""
    with contextlib.suppress(X509Error):
        targets()[name][1](data)


@pytest.mark.slow
@given(at=st.integers(0, 10_000), bit=st.integers(0, 7))
@settings(max_examples=200, deadline=None)
def test_no_changed_certificate_is_trusted(at: int, bit: int) -> None:
    """One bit of a trusted certificate, wherever it is, is enough to lose the trust."""
    der = bytearray(leaf().der)
    der[at % len(der)] ^= 1 << bit
    with pytest.raises(X509Error):
        chain_of_trust([root().certificate])([Certificate.decode(bytes(der))], name="example.org", now=NOW)


def test_an_outline_of_everything() -> None:
    """What we make is DER through and through."""
    for name, (good, _) in targets().items():
        if name != "pem":
            assert dump(good).startswith("     0 SEQUENCE")


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(targets()))
def test_time_and_memory_are_bounded(name: str) -> None:
    """However the octets are made, they cost so many calls and so much memory at the most."""
    good, use = targets()[name]
    with contextlib.suppress(X509Error):
        use(good)  # what is made on the first call
    long = 1 << 13
    parts = b"".join(b"\x30\x03\x02\x01" + bytes((n & 127,)) for n in range(long // 5))
    nested = b"\x30\x80" * (long // 2)
    for hostile in (bytes(long), parts, nested, b"-----BEGIN X-----\n" * (long // 18), good * (long // len(good))):
        for place in range(0, len(good), max(1, len(good) // 8)):
            # with the length of what is around it put right, so that it is looked into
            inside = good[:place] + hostile + good[place:]
            whole = b"\x30\x83" + (len(inside) - 4).to_bytes(3, "big") + inside[4:]
            for data in (inside, whole):
                taken = cost(lambda data=data: use(data))  # type: ignore[misc]
                assert taken.calls < 30 * len(data) + 20_000
                assert taken.octets < 100 * len(data) + 300_000
