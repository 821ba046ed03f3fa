"""Reassembly by itself, and through a stack in both versions of IP."""

from __future__ import annotations

import random

import pytest
from host import OURS4, OURS6, THEIRS6, Host, frame4, frame6, messages6, udp4
from hypothesis import given
from hypothesis import strategies as st
from mirage.tcpip.counters import Counters
from mirage.tcpip.ip.fragments import Reassembly, Whole, pieces
from mirage.tcpip.settings import Settings
from mirage.tcpip.testing import Simulation
from mirage.tcpip.wire import icmp, ipv4, ipv6
from mirage.tcpip.wire.checksum import checksum, ones_sum

KEY = (1, b"a", b"b", 7, 17)


def table(**settings: float) -> Reassembly:
    return Reassembly(Settings(**settings), Counters())  # type: ignore[arg-type]


def add(reassembly: Reassembly, offset: int, data: bytes, more: bool, key: int = 7, now: float = 0.0) -> Whole | None:
    return reassembly.add((1, b"a", b"b", key, 17), offset, memoryview(data), more, memoryview(b"packet"), now)


@given(st.binary(min_size=9, max_size=4000), st.integers(8, 1480), st.randoms(use_true_random=False))
def test_any_order_and_repetition_gives_the_packet(payload: bytes, room: int, chance: random.Random) -> None:
    cut = pieces(payload, room)
    assert all(len(data) <= room and offset % 8 == 0 for offset, data, _ in cut)
    last = chance.randrange(len(cut))  # is not repeated, so that it completes the packet exactly once
    order = [n for n in range(len(cut)) if n != last] * 2
    chance.shuffle(order)
    reassembly = table()
    for number in order:
        offset, data, more = cut[number]
        assert add(reassembly, offset, bytes(data), more) is None
    if len(order) // 2 > 511:
        return
    offset, data, more = cut[last]
    whole = add(reassembly, offset, bytes(data), more)
    assert whole is not None
    assert whole.payload == payload
    assert (reassembly._octets, reassembly._partial) == (0, {})


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(1, 24), st.booleans()), max_size=12))
def test_nothing_is_ever_put_together_wrongly(fragments: list[tuple[int, int, bool]]) -> None:
    """Of contradictory fragments no packet comes out that lacks a part: octet n of the payload is n."""
    reassembly = table()
    for units, size, more in fragments:
        data = bytes(range(units * 8, units * 8 + size))
        whole = add(reassembly, units * 8, data, more)
        if whole is not None:
            assert whole.payload == bytes(range(len(whole.payload)))


@pytest.mark.parametrize(("start", "size"), [(8, 16), (16, 8), (0, 32), (24, 16)])
def test_rfc5722_overlaps_drop_the_packet(start: int, size: int) -> None:
    reassembly = table()
    assert add(reassembly, 8, bytes(24), True) is None
    add(reassembly, start, b"x" * size, True)
    assert reassembly._counters["fragments.overlapping"] == 1
    assert not reassembly._partial


def test_a_last_fragment_before_others_is_a_contradiction() -> None:
    reassembly = table()
    add(reassembly, 16, bytes(8), True)
    assert add(reassembly, 8, bytes(8), False) is None
    assert reassembly._counters["fragments.contradictory"] == 1
    assert not reassembly._partial


def test_caps_on_octets_and_packets() -> None:
    """What is oldest gives way, and the sum stays below the cap."""
    reassembly = table(max_fragments_octets=10_000, max_fragmented_packets=5)
    for number in range(50):
        add(reassembly, 0, bytes(1000), True, key=number)
        assert len(reassembly._partial) <= 5
        assert reassembly._octets <= 10_000
    assert reassembly._counters["fragments.evicted"] == 45
    many = table()
    for number in range(600):
        add(many, number * 16, bytes(8), True)
    assert many._counters["fragments.contradictory"] == 1


def test_old_ones_are_given_up() -> None:
    reassembly = table(reassembly_timeout=30.0)
    add(reassembly, 0, bytes(8), True, key=1, now=0.0)
    add(reassembly, 8, bytes(8), True, key=2, now=10.0)
    assert reassembly.next_deadline() == 30.0
    assert reassembly.poll(29.9) == []
    assert [bytes(e.first or b"") for e in reassembly.poll(30.0)] == [b"packet"]
    assert [e.first for e in reassembly.poll(40.0)] == [None]  # nothing to quote, so no ICMP error
    assert reassembly._octets == 0


def cut4(payload: bytes, protocol: int = 17) -> list[bytes]:
    return [
        frame4(bytes(data), protocol, identification=9, flags=ipv4.MORE_FRAGMENTS if more else 0, offset=offset)
        for offset, data, more in pieces(payload, 64)
    ]


def cut6(payload: bytes, protocol: int = 17, before: bytes = b"", first: int = ipv6.FRAGMENT) -> list[bytes]:
    return [
        frame6(before + ipv6.build_fragment(ipv6.Fragment6(protocol, offset, more, 9)) + bytes(data), first)
        for offset, data, more in pieces(payload, 64)
    ]


def test_a_datagram_in_fragments_of_ipv4() -> None:
    host = Host()
    endpoint = host.stack.bind(9, "10.0.0.1")
    frames = cut4(udp4(bytes(300)))
    host.give(*reversed(frames))
    datagram = endpoint.read()
    assert datagram is not None
    assert datagram.data == bytes(300)


@pytest.mark.parametrize("reverse", [False, True])
def test_rfc8200_4_5_the_first_fragment_says_what_is_inside(reverse: bool) -> None:
    """Extension headers may precede and follow the fragment header; the next header of other fragments is ignored."""
    host = Host()
    options = bytes([17, 0, 1, 4, 0, 0, 0, 0])
    message = memoryview(udp4(b"x" * 300))
    message = memoryview(bytes(message[:6]) + _udp6_sum(bytes(message)) + bytes(message[8:]))
    frames = cut6(options + bytes(message), 60, bytes([44, 0, 1, 4, 0, 0, 0, 0]), 60)
    for number in range(1, len(frames)):
        broken = bytearray(frames[number])
        broken[14 + 40 + 8] = 99  # the next header, in a fragment that is not the first
        frames[number] = bytes(broken)
    endpoint = host.stack.bind(9, "fd00::1")
    assert host.give(*(frames[::-1] if reverse else frames)) == []
    datagram = endpoint.read()
    assert datagram is not None
    assert datagram.data == b"x" * 300


def _udp6_sum(message: bytes) -> bytes:
    return checksum(message, ones_sum(THEIRS6 + OURS6) + 17 + len(message)).to_bytes(2, "big")


def test_rfc6946_an_atomic_fragment_is_no_fragment() -> None:
    """It is delivered at once, even if fragments of a packet with the same identification wait."""
    host = Host()
    host.give(cut6(bytes(200))[0])
    body = bytes([128, 0, 0, 0, 0, 1, 0, 1])
    echo = icmp.build6(128, 0, body[4:], b"", ones_sum(THEIRS6 + OURS6))
    answers = host.give(frame6(ipv6.build_fragment(ipv6.Fragment6(58, 0, False, 9)) + echo, ipv6.FRAGMENT))
    assert [m[2][0] for m in messages6(answers)] == [129]
    assert "fragments.overlapping" not in host.counters


@pytest.mark.parametrize("version", [4, 6])
def test_rfc792_time_exceeded_for_a_packet_that_stays_in_pieces(version: int) -> None:
    """Only if the first fragment has come (RFC 1122 3.3.2, RFC 8200 4.5), and it quotes that."""
    host = Host()
    frames = cut4(udp4(bytes(200))) if version == 4 else cut6(udp4(bytes(200)))
    host.give(frames[0])
    (answer,) = host.wait(31)
    if version == 4:
        assert (answer[23], answer[34:36]) == (1, b"\x0b\x01")
        assert answer[42:] == frames[0][14:]
    else:
        ((_, _, message),) = messages6([answer])
        assert message[:2] == b"\x03\x01"
        assert message[8:] == frames[0][14:]
    host.give(frames[1])
    assert host.wait(31) == []


@pytest.mark.parametrize("version", [4, 6])
def test_what_is_too_large_is_cut_and_comes_back(version: int) -> None:
    """An echo of 5000 octets, in fragments both ways."""
    with Simulation(seed=version) as simulation:
        network = simulation.network(delay=0.001)
        one = simulation.host("one", network, "10.0.0.1/24", "fd00::1/64")
        two = simulation.host("two", network, "10.0.0.2/24", "fd00::2/64")
        here, there = one.stack.bind(5, version=version), two.stack.bind(5, version=version)
        data = random.Random(version).randbytes(60_000)
        here.send(data, (OURS4[:3] + b"\2") if version == 4 else OURS6[:15] + b"\2", 5, now=simulation.now)
        simulation.run(lambda: there.readable)
        datagram = there.read()
        assert datagram is not None
        assert datagram.data == data
        assert one.stack.counters["fragments.sent"] > 40
