"""Our encodings as `openssl asn1parse` and asn1crypto read them, and theirs as we do."""

from __future__ import annotations

import random
import re
import subprocess
from typing import Any

import pytest
from asn1crypto import core
from hypothesis import given, settings
from hypothesis import strategies as st
from mirage.asn1 import (
    DecodeError,
    Grammar,
    Oid,
    bit_string,
    bmp_string,
    dump,
    generalized_time,
    ia5_string,
    integer,
    octet_string,
    oid,
    printable_string,
    sequence_of,
    utc_time,
    utf8_string,
    walk,
)

THEIRS: dict[Grammar[Any], Any] = {
    integer: core.Integer,
    octet_string: core.OctetString,
    oid: core.ObjectIdentifier,
    utf8_string: core.UTF8String,
    bmp_string: core.BMPString,
    ia5_string: core.IA5String,
    printable_string: core.PrintableString,
    utc_time: core.UTCTime,
    generalized_time: core.GeneralizedTime,
}


def values(grammar: Grammar[Any], size: int = 8) -> st.SearchStrategy[Any]:
    """Random values, as a strategy."""
    return st.randoms(use_true_random=False).map(lambda rng: grammar.random(rng, size))


@pytest.mark.slow
@pytest.mark.parametrize("grammar", THEIRS, ids=lambda g: THEIRS[g].__name__)
@given(data=st.data())
@settings(deadline=None)
def test_asn1crypto_agrees(grammar: Grammar[Any], data: st.DataObject) -> None:
    """The same value has the same octets, whichever library wrote them."""
    value = data.draw(values(grammar))
    theirs = THEIRS[grammar]
    if grammar is generalized_time and (value.year < 1000 or value.microsecond):
        return  # asn1crypto writes fewer than four digits of such a year, and other fractions
    read = theirs.load(grammar.encode(value), strict=True)
    assert (Oid(read.dotted) if grammar is oid else read.native) == value
    assert theirs(str(value) if grammar is oid else value).dump() == grammar.encode(value)


def test_integers_against_asn1crypto() -> None:
    """Every integer near a boundary of its length."""
    for bits in range(70):
        for near in (-2, -1, 0, 1, 2):
            for sign in (1, -1):
                value = sign * (1 << bits) + near
                assert core.Integer(value).dump() == integer.encode(value)


_LINE = re.compile(r"^\s*(\d+):d=(\d+)\s+hl=(\d+)\s+l=\s*(\d+)\s+(prim|cons)")


@pytest.mark.tool("openssl")
def test_openssl_sees_the_same_elements() -> None:
    """Offset, depth, lengths and form of each element of a random value."""
    grammar = sequence_of(sequence_of(utf8_string))
    rng = random.Random(5)
    for _ in range(5):
        octets = grammar.encode(grammar.random(rng, 30)) + bit_string.encode(bit_string.random(rng))
        told = subprocess.run(
            ["openssl", "asn1parse", "-inform", "DER"], input=octets, capture_output=True, check=True
        ).stdout.decode("latin-1")
        theirs = [
            (int(m[1]), int(m[2]), int(m[3]), int(m[4]), m[5] == "cons")
            for m in map(_LINE.match, told.splitlines())
            if m
        ]
        ours = [(n.offset, n.depth, n.start - n.offset, n.stop - n.start, n.constructed) for n in walk(octets)]
        assert ours == theirs


def test_dump_is_readable() -> None:
    """One line for each element."""
    octets = sequence_of(integer).encode([1, 300])
    assert dump(octets) == "     0 SEQUENCE (7)\n     2   INTEGER (1) 01\n     5   INTEGER (2) 012c"
    with pytest.raises(DecodeError, match="depth"):
        list(walk(b"".join(b"\x30\x82" + (4 * n).to_bytes(2, "big") for n in range(249, 39, -1)) + bytes(160)))
