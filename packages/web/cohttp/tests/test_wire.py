"""Parsing and building of heads: the fast path against its plain twin, and each against its pair."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mirage.cohttp import RemoteProtocolError, ResponseHead, _wire
from mirage.cohttp._events import Fields, Limits, RequestHead

TOKEN = st.text("abcXYZ019!#$%&'*+-.^_`|~", min_size=1, max_size=12)
VALUE = st.binary(max_size=20).map(lambda b: b.translate(None, bytes([*range(9), *range(10, 32), 127])).strip(b" \t"))
PIECES = st.sampled_from(
    [
        b"GET / HTTP/1.1",
        b"\r\n",
        b"\n",
        b"\r",
        b" ",
        b"\t",
        b":",
        b": ",
        b"Host",
        b"host",
        b"Accept",
        b"x",
        b"\x00",
        b"\xff",
    ]
)


@pytest.mark.slow
@settings(max_examples=500, deadline=None)
@given(st.lists(PIECES, max_size=14).map(b"".join))
def test_fast_path_is_its_twin(head: bytes) -> None:
    """Where the fast path gives an answer, the plain one gives the same."""
    fast = _wire._split_fast(head)
    if fast is not None:
        assert fast == _wire._split_plain(head)


def test_fast_path_is_taken() -> None:
    """A browser's request does not fall to the plain path."""
    head = b"GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: x (y) z\r\nAccept-Language: en-US,en;q=0.5\r\nDNT: 1"
    assert _wire._split_fast(head) is not None


@pytest.mark.slow
@given(st.lists(st.tuples(TOKEN.map(lambda t: t.lower().encode()), VALUE), max_size=8))
def test_fields_round_trip(fields: Fields) -> None:
    """Fields that are built are parsed as they were."""
    block = _wire.build_fields(fields)
    assert _wire.parse_fields(block.removesuffix(b"\r\n")) == fields


@given(TOKEN, st.text("abc/?%=&-._~|[]", max_size=20))
def test_request_line_round_trip(method: str, rest: str) -> None:
    """Request lines that are built are parsed as they were."""
    if method != "CONNECT":
        line = _wire.build_request_line(RequestHead(method, "/" + rest, []))
        assert _wire.parse_request_line(line[:-2]) == (method, b"/" + rest.encode(), "1.1")


@given(st.integers(100, 999), st.none() | st.text("abc \t\xe9", max_size=10))
def test_status_line_round_trip(status: int, reason: str | None) -> None:
    """Status lines that are built are parsed as they were."""
    line = _wire.build_status_line(ResponseHead(status, [], reason))
    parsed, phrase, version = _wire.parse_status_line(line[:-2])
    assert (parsed, version) == (status, "1.1")
    assert phrase == (_wire.REASONS.get(status, "") if reason is None else reason)


def test_names_are_bounded() -> None:
    """No client can grow the table of known names beyond its bound."""
    for n in range(2000):
        _wire.parse_head(b"GET / HTTP/1.1\r\nX-%d: a" % n, Limits())
    assert len(_wire._NAMES) <= _wire._NAMES_MOST


@pytest.mark.slow
@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=100))
def test_head_raises_only_its_error(head: bytes) -> None:
    """Any octets are a head or a `RemoteProtocolError`."""
    try:
        line, _ = _wire.parse_head(head, Limits())
        parsed = _wire.parse_request_line(line)
    except RemoteProtocolError:
        return
    assert len(parsed) == 3
