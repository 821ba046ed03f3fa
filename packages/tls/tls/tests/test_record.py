"""The record layer's ways for bulk and for single records, each against its plain twin."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mirage.tls import (
    Alert,
    ApplicationData,
    ClientConfig,
    KeysUpdated,
    PeerClosed,
    PeerMisbehaved,
    ServerConfig,
    Truncated,
)
from mirage.tls._constants import SUITES, ContentType
from mirage.tls._record import MAX_PLAINTEXT, Keys, Reader, Writer
from mirage.tls.testing import accept_anyone, connect

SUITE = SUITES["TLS_AES_128_GCM_SHA256"]
IV = bytes(range(12))
BASE = int.from_bytes(IV, "big")
AEAD = SUITE.aead.new(bytes(16))


def keys(sequence: int = 0) -> Keys:
    made = Keys(SUITE, bytes(16), IV)
    made.sequence = sequence
    return made


def reader(limit: int = MAX_PLAINTEXT) -> Reader:
    made = Reader()
    made.keys, made.limit = keys(), limit
    return made


def sealed(sequence: int, kind: int, data: bytes, padding: int = 0) -> bytes:
    """A record, as RFC 8446 5.2 and 5.3 write it down."""
    text = data + bytes((kind,)) + bytes(padding)
    header = b"\x17\x03\x03" + (len(text) + 16).to_bytes(2, "big")
    return header + AEAD.seal((BASE ^ sequence).to_bytes(12, "big"), text, header)


@pytest.mark.parametrize("length", [0, 1, 99, 100, 101, 199, 200, 201, 350])
@pytest.mark.parametrize("form", [bytes, bytearray, memoryview])
def test_what_is_written(length: int, form: type) -> None:
    """One record or many: they are those of the standard's text, and each number is used once."""
    data = bytes(n % 251 for n in range(length))
    writer = Writer()
    writer.keys, writer.limit = keys(7), 100
    found = writer.write(ContentType.DATA, form(data))
    parts = [data[at : at + 100] for at in range(0, length, 100)] or [b""]
    assert found == b"".join(sealed(7 + n, ContentType.DATA, part) for n, part in enumerate(parts))
    assert writer.keys.sequence == 7 + len(parts)


@dataclass
class Seen:
    """What a reader gave out: data, other contents with how much data came before each, and how it ended."""

    data: bytes = b""
    others: tuple[tuple[int, int, bytes], ...] = ()
    alert: Alert | None = None
    pending: int = 0
    sequence: int = 0


def read(made: Reader, wire: list[bytes], fast: bool) -> Seen:
    """Through `read` alone, or as the connection does it: `read_data` first."""
    seen = Seen()
    try:
        for piece in wire:
            content, taken = made.read_data(piece) if fast else (b"", 0)
            seen.data += content
            for kind, other in made.read(piece[taken:]):
                if kind == ContentType.DATA:
                    seen.data += other
                else:
                    seen.others += ((len(seen.data), kind, bytes(other)),)
    except PeerMisbehaved as failure:
        seen.alert = failure.alert
    assert made.keys is not None
    seen.pending, seen.sequence = made.pending, made.keys.sequence
    return seen


FLIPS = st.none() | st.tuples(st.integers(0, 400), st.integers(1, 255))
RECORDS = st.lists(
    st.tuples(
        st.sampled_from([ContentType.DATA] * 6 + [ContentType.HANDSHAKE, ContentType.ALERT]),
        st.binary(max_size=40),
        st.sampled_from([0, 0, 0, 1, 30]),
    ),
    max_size=6,
)


@given(RECORDS, st.lists(st.integers(0, 400), max_size=4), FLIPS)
def test_what_is_read(records: list[tuple[int, bytes, int]], cuts: list[int], flip: tuple[int, int] | None) -> None:
    """The fast way gives what the plain one gives, however the octets are cut and whatever was changed on the way."""
    wire = bytearray().join(sealed(n, *record) for n, record in enumerate(records))
    if flip is not None and flip[0] < len(wire):
        wire[flip[0]] ^= flip[1]
    at = sorted({0, *(cut for cut in cuts if cut < len(wire)), len(wire)})
    pieces = [bytes(wire[a:b]) for a, b in pairwise(at)]
    plain = read(reader(limit=60), pieces, fast=False)
    assert read(reader(limit=60), pieces, fast=True) == plain
    if flip is None and plain.alert is None:
        assert plain.data == b"".join(data for kind, data, _ in records if kind == ContentType.DATA)


@pytest.mark.parametrize("size", [1, 60, 61])
def test_one_record(size: int) -> None:
    """A record that comes alone is taken at once, unless it is larger than was agreed: then it is refused."""
    made, record = reader(limit=60), sealed(0, ContentType.DATA, bytes(size))
    if size > 60:
        assert made.read_data(record) == (b"", 0)
        with pytest.raises(PeerMisbehaved, match="more than 60 octets"):
            list(made.read(record))
    else:
        assert made.read_data(record) == (bytes(size), len(record))
        assert made.keys is not None
        assert made.keys.sequence == 1


@pytest.mark.parametrize("at", [0, 1, 2, 3, 5, 70])
def test_one_record_that_is_not_right(at: int) -> None:
    """Nothing of it is given out, and no number is used up."""
    record = bytearray(sealed(0, ContentType.DATA, bytes(60)))
    record[at] ^= 1
    made = reader()
    assert made.read_data(record) == (b"", 0)
    assert made.keys is not None
    assert made.keys.sequence == 0


def test_the_short_way_of_a_connection(pki: Any) -> None:
    """`take` has data that comes alone; all else it leaves, untouched, to `handle`, and a message is not cut in two."""
    theirs = ServerConfig(identities=(pki.identity(),))
    one, other, *_ = connect(ClientConfig(authenticator=accept_anyone), theirs)
    assert other.take(one.send(b"hello")) == b"hello"
    both = one.send(b"a") + one.send(b"b")
    assert other.take(both) == b""
    assert other.handle(both, 0.0).events == (ApplicationData(b"ab"),)
    update = one.update_keys()
    assert other.take(update) == b""
    assert other.handle(update, 0.0).events == (KeysUpdated(),)
    record = one.send(b"c")
    assert other.take(record[:9]) == b""
    assert other.handle(record[:9], 0.0).events == ()
    assert other.take(record[9:]) == b""
    assert other.handle(record[9:], 0.0).events == (ApplicationData(b"c"),)
    closing = one.close()
    assert other.take(closing) == b""
    assert other.handle(closing, 0.0).events == (PeerClosed(),)
    with pytest.raises(Truncated):
        one.eof()
    assert one.take(other.send(b"late")) == b""
