"""Fragments of both versions, in any order, with holes, overlaps and too many of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lone import OURS4, OURS6, PEER4, PEER6, QUIET, Lone, frame4, frame6, frame_udp, kind_of
from mirage.tcpip.wire import icmp, ipv4, ipv6

BOTH = pytest.mark.parametrize("version", [4, 6])


def fragment(version: int, data: bytes, offset: int, more: bool, identification: int = 7) -> bytes:
    if version == 4:
        flags = ipv4.MORE_FRAGMENTS if more else 0
        return frame4(17, data, flags=flags, offset=offset, identification=identification)
    header = ipv6.build_fragment(ipv6.Fragment6(17, offset, more, identification))
    return frame6(ipv6.FRAGMENT, header + data)


def datagram(size: int, version: int) -> bytes:
    frame = frame_udp(bytes(n % 251 for n in range(size)), version)
    return frame[34:] if version == 4 else frame[54:]


def cut(payload: bytes, version: int, step: int = 512, identification: int = 7) -> list[bytes]:
    return [
        fragment(version, payload[at : at + step], at, at + step < len(payload), identification)
        for at in range(0, len(payload), step)
    ]


@given(
    st.sampled_from([4, 6]),
    st.integers(1, 8000),
    st.sampled_from([8, 64, 512, 1400]),
    st.randoms(use_true_random=False),
)
def test_any_order_with_repetitions(version: int, size: int, step: int, chance: object) -> None:
    """What was taken apart is put together again, whatever the network did to the order."""
    host = Lone()
    endpoint = host.stack.bind(9, version=version)
    step = max(step, size // 500 // 8 * 8 + 8)
    frames = cut(datagram(size, version), version, step)
    frames += chance.sample(frames[:-1], min(2, len(frames) - 1))  # type: ignore[attr-defined]
    chance.shuffle(frames)  # type: ignore[attr-defined]
    got = []
    for frame in frames:
        host.give(frame)
        got += [read.data for read in iter(endpoint.read, None)]
    assert bytes(n % 251 for n in range(size)) in got
    assert host.counters["udp.bad-checksum"] == 0


@BOTH
def test_rfc5722_4_overlaps(version: int) -> None:
    """A packet with overlapping fragments is dropped as a whole, what came of it before too."""
    host = Lone()
    endpoint = host.stack.bind(9, version=version)
    payload = datagram(1000, version)
    host.give(fragment(version, payload[:512], 0, True))
    host.give(fragment(version, bytes(512), 504, True))
    host.give(fragment(version, payload[512:], 512, False))
    assert endpoint.read() is None
    assert host.counters["fragments.overlapping"] == 1


@BOTH
def test_the_last_fragment_contradicts(version: int) -> None:
    """Two ends, or octets behind the end: dropped."""
    for second in (fragment(version, bytes(8), 800, False), fragment(version, bytes(8), 1600, True)):
        host = Lone()
        host.give(fragment(version, bytes(8), 1000, False))
        host.give(second)
        assert host.counters["fragments.contradictory"] == 1
        assert not host.ip.reassembly._partial


@BOTH
def test_fragments_that_are_none(version: int) -> None:
    """Of no octets, of an odd number though more follow, or beyond 65535 (the ping of death)."""
    host = Lone()
    host.give(fragment(version, b"", 64, True))
    host.give(fragment(version, bytes(13), 64, True))
    host.give(fragment(version, bytes(1000), 65528, False))
    assert host.counters["fragments.malformed"] == 3
    assert not host.ip.reassembly._partial


@BOTH
def test_rfc1122_3_3_2_time_exceeded(version: int) -> None:
    """When the rest does not come, the sender of the first fragment is told; without that one nobody is."""
    host = Lone()
    host.meet()
    host.give(fragment(version, bytes(512), 0, True))
    host.give(fragment(version, bytes(512), 512, True, identification=8))
    sent = [frame for _, frame in host.wait(31) if kind_of(frame) in {"ip4 1", "icmp6 3"}]
    assert len(sent) == 1
    message = sent[0][34:] if version == 4 else sent[0][54:]
    assert (message[0], message[1]) == ((icmp.TIME_EXCEEDED4, 1) if version == 4 else (icmp.TIME_EXCEEDED6, 1))
    assert (PEER4 if version == 4 else PEER6) in message[8:]
    assert host.counters["fragments.timeouts"] == 2


def test_rfc6946_atomic_fragments() -> None:
    """One that is a whole packet by itself has nothing to do with others of its identification."""
    host = Lone()
    endpoint = host.stack.bind(9, version=6)
    host.give(fragment(6, bytes(512), 0, True))
    host.give(fragment(6, datagram(100, 6), 0, False))
    assert endpoint.read() is not None
    assert len(host.ip.reassembly._partial) == 1


@BOTH
def test_caps(version: int) -> None:
    """Packets that are not yet whole give way to newer ones, by number and by octets."""
    host = Lone(replace(QUIET, max_fragmented_packets=10, max_fragments_octets=6000))
    for number in range(50):
        host.give(fragment(version, bytes(1000), 0, True, number))
        assert len(host.ip.reassembly._partial) <= 5
        assert host.ip.reassembly._octets <= 6000
    assert host.counters["fragments.evicted"] == 45


@BOTH
@pytest.mark.parametrize("size", [1473, 5000, 65_000])
def test_sending(version: int, size: int) -> None:
    """A large datagram leaves as fragments that fit, the offsets in eights, and arrives whole at another stack."""
    sender, receiver = Lone(), Lone(seed=2, addresses=False)
    receiver.ip.add_address(receiver.interface, PEER4 if version == 4 else PEER6, 24 if version == 4 else 64)
    sender.meet()
    endpoint, other = sender.stack.bind(7, version=version), receiver.stack.bind(9, version=version)
    data = bytes(n % 253 for n in range(size))
    endpoint.send(data, PEER4 if version == 4 else PEER6, 9, now=sender.now)
    frames = sender.out()
    assert len(frames) > 1
    assert max(map(len, frames)) <= 1514
    for frame in frames:
        receiver.give(receiver.interface.mac + frame[6:])
    read = other.read()
    assert read is not None
    assert read.data == data
    assert read.source == (OURS4 if version == 4 else OURS6)


def test_dont_fragment() -> None:
    """An endpoint that wants none gets an error of its own instead."""
    from mirage.tcpip import MessageTooLong

    host = Lone()
    host.meet()
    endpoint = host.stack.bind(version=4)
    endpoint.dont_fragment = True
    endpoint.send(bytes(1472), PEER4, 9, now=host.now)
    with pytest.raises(MessageTooLong):
        endpoint.send(bytes(1473), PEER4, 9, now=host.now)
    assert host.out()[0][20:22] == b"\x40\0"
