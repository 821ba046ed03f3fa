"""Reassembly against a plain model: a dictionary of the octets that have come."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from mirage.tcpip.tcp.receiver import Receiver

STREAM = bytes(i * 7 % 251 for i in range(400))

segments = st.lists(st.tuples(st.integers(-20, 399), st.integers(1, 90)), max_size=40)


def fresh(capacity: int = 300) -> Receiver:
    """A receiver that expects number 1000, with a window of 300."""
    receiver = Receiver(capacity, 0)
    receiver.start(999)
    receiver.edge = 1000 + capacity
    return receiver


@given(segments)
def test_octets_come_out_in_order_and_once(pieces: list[tuple[int, int]]) -> None:
    """Whatever overlaps, repeats or leaves gaps: what is readable is the stream as far as it is whole."""
    receiver = fresh()
    known: set[int] = set()
    for start, length in pieces:
        low, high = max(start, 0), min(start + length, 300)
        data = bytes(STREAM[i] if i >= 0 else 0 for i in range(start, min(start + length, 400)))
        if not receiver.acceptable(1000 + start, len(data)):
            continue
        receiver.take(1000 + start, memoryview(data))
        known.update(range(low, high))
        whole = next((i for i in range(301) if i not in known), 300)
        assert receiver.nxt == 1000 + whole
        assert receiver.readable == whole
    assert bytes(receiver.read()) == STREAM[: receiver.nxt - 1000]
    assert sorted(known) == sorted(
        [*range(receiver.nxt - 1000), *(i - 1000 for r in receiver.ranges for i in range(r.start, r.end))]
    )


@given(segments)
def test_blocks_are_apart_and_the_newest_is_first(pieces: list[tuple[int, int]]) -> None:
    """RFC 2018 section 4: blocks do not touch, and the first holds what came last, if that is beyond a gap."""
    receiver = fresh()
    for start, length in pieces:
        data = memoryview(bytes(length))
        if not receiver.acceptable(1000 + start, length):
            continue
        receiver.take(1000 + start, data)
        blocks = sorted((r.start, r.end) for r in receiver.ranges)
        assert all(a[1] < b[0] for a, b in pairwise(blocks))
        assert all(left > receiver.nxt for left, _ in blocks)
        at = min(1000 + start + length, receiver.edge) - 1
        if at >= receiver.nxt:
            first = receiver.recent[0]
            assert first.start <= at < first.end
        pieces_held = [sum(map(len, r.pieces)) for r in receiver.ranges]
        assert pieces_held == [r.end - r.start for r in receiver.ranges]


def test_a_duplicate_is_told_once() -> None:
    """RFC 2883 section 4: the first block is what came twice."""
    receiver = fresh()
    receiver.take(1000, memoryview(bytes(10)))
    receiver.take(1004, memoryview(bytes(3)))
    assert receiver.sack_blocks(4) == ((1004, 1007),)
    assert receiver.sack_blocks(4) == ()


def test_tiny_pieces_take_bounded_memory() -> None:
    """Single octets beyond gaps: only so many are kept, and the stream still comes whole when they are sent again."""
    receiver = Receiver(1 << 20, 5)
    receiver.start(0)
    receiver.edge = 1 << 20
    for at in range(3, 20_000, 2):
        receiver.take(at, memoryview(b"x"))
    assert len(receiver.ranges) <= 2048


def test_the_window_never_shrinks_and_opens_by_steps() -> None:
    """RFC 9293 sections 3.8.6 and 3.8.6.2.2."""
    receiver = fresh()
    assert receiver.advertise(100) == 300
    receiver.take(1000, memoryview(bytes(300)))
    assert receiver.advertise(100) == 0
    receiver.read(60)
    assert receiver.advertise(100) == 0, "sixty octets are a crumb"
    assert not receiver.worth_telling(100)
    receiver.read(60)
    assert receiver.worth_telling(100)
    assert receiver.advertise(100) == 120


@given(st.lists(st.integers(1, 50), max_size=30), st.integers(1, 70))
def test_reading_by_any_measure_gives_the_stream(sizes: list[int], measure: int) -> None:
    """`read(limit)` cuts chunks, and joins them, without losing an octet; `own` changes nothing."""
    receiver = Receiver(4096, 0)
    receiver.start(0)
    receiver.edge = 1 + 4096
    data = bytes(range(256)) * 8
    at = 0
    for size in sizes:
        receiver.take(1 + at, memoryview(data[at : at + size]))
        at += size
    out = bytes(receiver.read(measure)) if receiver.readable else b""
    receiver.own()
    assert all(type(chunk) is bytes for chunk in receiver.chunks)
    while receiver.readable:
        got = bytes(receiver.read(measure))
        assert 0 < len(got) <= measure
        out += got
    assert out == data[:at]


def test_a_large_buffer_keeps_all_of_its_segments() -> None:
    """One that is lost at the front of a window of 4 MiB makes a gap before thousands that are kept."""
    receiver = Receiver(4 << 20, 7)
    receiver.capacity = 4 << 20
    receiver.start(0)
    receiver.edge = 4 << 20
    size = 1448
    for at in range(1 + size, (4 << 20) - size, size):
        receiver.take(at, memoryview(bytes(size)))
    assert receiver.dropped == 0
    assert len(receiver.ranges) == 1
