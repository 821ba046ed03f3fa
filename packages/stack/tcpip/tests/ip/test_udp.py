"""UDP endpoints, without a network worth the name."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lone import OURS4, OURS6, PEER4, PEER6, PEER_MAC, QUIET, Lone, frame4, frame6, frame_udp
from mirage.tcpip import AddressInUse, AddressUnavailable, LimitReached, MessageTooLong, NotConnected
from mirage.tcpip.tcp.isn import EPHEMERAL_PORTS
from mirage.tcpip.wire import ethernet
from mirage.tcpip.wire.checksum import ones_sum
from mirage.types import Checksum, FrameMeta, Offload

BOTH = pytest.mark.parametrize("version", [4, 6])
GROUP = b"\xef\1\2\3"


def known(offload: Offload = Offload.NONE, settings: object = QUIET) -> Lone:
    host = Lone(settings, offload=offload)  # type: ignore[arg-type]
    host.meet()
    return host


def ours(version: int) -> bytes:
    return OURS4 if version == 4 else OURS6


def peer(version: int) -> bytes:
    return PEER4 if version == 4 else PEER6


@given(st.sampled_from([4, 6]), st.binary(max_size=1400))
def test_checksums(version: int, data: bytes) -> None:
    """What is sent is what is accepted; one bit of difference is not."""
    host = known()
    endpoint = host.stack.bind(7, version=version)
    endpoint.send(data, peer(version), 9, now=host.now)
    (frame,) = host.out()
    start = 34 if version == 4 else 54
    addresses = frame[26:34] if version == 4 else frame[22:54]
    assert frame[start + 6 : start + 8] != b"\0\0", "RFC 768: that would mean that there is none"
    assert (ones_sum(addresses) + 17 + len(frame) - start + ones_sum(frame[start:])) % 65535 == 0
    received = frame_udp(data, version)
    host.give(received)
    receiver = host.stack.bind(9, version=version)
    host.give(received)
    got = receiver.read()
    assert got is not None
    assert (got.data, got.source, got.port, got.local) == (data, peer(version), 7, ours(version))
    damaged = bytearray(received)
    damaged[start] ^= 1
    host.give(bytes(damaged))
    assert receiver.read() is None
    assert host.counters["udp.bad-checksum"] == 1


def test_rfc768_no_checksum() -> None:
    """Of IPv4 it is right to have none; of IPv6 it is not (RFC 8200 8.1)."""
    host = known()
    for build, version, expected in ((frame4, 4, True), (frame6, 6, False)):
        endpoint = host.stack.bind(9, version=version)
        host.give(build(17, bytes.fromhex("0007 0009 000a 0000 6869")))  # type: ignore[operator]
        assert (endpoint.read() is not None) is expected
    assert host.counters["udp.no-checksum"] == 1


@BOTH
def test_offloaded_checksums(version: int) -> None:
    """What the device completes leaves with the pseudo-header's sum; what it vouches for is not summed again."""
    host = known(Offload.CHECKSUM)
    endpoint = host.stack.bind(9, version=version)
    endpoint.send(b"data", peer(version), 7, now=host.now)
    (frame,) = host.out()
    start = 34 if version == 4 else 54
    assert host.metas[-1] == FrameMeta(Checksum.PARTIAL, start, 6)
    pseudo = ones_sum(frame[26:34] if version == 4 else frame[22:54]) + 17 + 12
    assert int.from_bytes(frame[start + 6 : start + 8], "big") == pseudo % 65535
    wrong = bytearray(frame_udp(b"data", version))
    wrong[start + 6] ^= 1
    for checksum in (Checksum.PARTIAL, Checksum.VERIFIED):
        host.give(bytes(wrong), FrameMeta(checksum))
        assert endpoint.read() is not None


def test_a_receive_buffer_is_full() -> None:
    """What does not fit is dropped and counted; empty datagrams cost memory too."""
    host = known(settings=replace(QUIET, udp_receive_buffer=10_000))
    endpoint = host.stack.bind(9, version=4)
    for _ in range(100):
        host.give(frame_udp(b"", 4))
    waiting = len(list(iter(endpoint.read, None)))
    assert 0 < waiting < 50
    assert host.counters["udp.buffer-full"] == 100 - waiting
    host.give(frame_udp(b"again", 4))
    assert endpoint.read() is not None


def test_news_are_told_once() -> None:
    host = known()
    endpoint = host.stack.bind(9, version=4)
    host.stack.take_news()
    for _ in range(3):
        host.give(frame_udp(b"x", 4))
    assert host.stack.take_news() == [endpoint]
    assert host.stack.take_news() == []


def test_ports() -> None:
    """One endpoint for each port, address and version, unless all say that they share."""
    host = known()
    first = host.stack.bind(9, version=4)
    host.stack.bind(9, version=6)
    with pytest.raises(AddressInUse):
        host.stack.bind(9, version=4)
    with pytest.raises(AddressInUse):
        host.stack.bind(9, "10.9.0.2")
    first.close()
    host.stack.bind(9, "10.9.0.2")
    host.stack.bind(9, "127.0.0.1")
    host.stack.bind(10, version=4, reuse=True)
    host.stack.bind(10, version=4, reuse=True)
    with pytest.raises(AddressUnavailable):
        host.stack.bind(9, "192.0.2.1")


def test_rfc6056_ephemeral_ports() -> None:
    """They differ, lie in the range, and do not simply count."""
    host = known()
    ports = [host.stack.bind(version=4).port for _ in range(50)]
    assert len(set(ports)) == 50
    assert all(32768 <= port < 61000 for port in ports)
    assert known().stack.bind(version=4).port == ports[0], "equal seeds give equal histories"
    assert Lone(seed=9).stack.bind(version=4).port != ports[0]


def test_limits() -> None:
    host = known(settings=replace(QUIET, max_udp_endpoints=3))
    for _ in range(3):
        endpoint = host.stack.bind(version=4)
    with pytest.raises(LimitReached):
        host.stack.bind(version=4)
    assert host.counters["udp.too-many-endpoints"] == 1
    endpoint.close()
    endpoint.close()
    host.stack.bind(version=4)
    with pytest.raises(MessageTooLong):
        host.stack.udp._bound[4, next(p for _, p in host.stack.udp._bound)][0].send(bytes(65508), PEER4, 9, now=0.0)
    with pytest.raises(NotConnected):
        endpoint.send(b"", PEER4, 9)


def test_connected_endpoints() -> None:
    """They send without an address, hear nobody else, and come before those that are not connected."""
    host = known()
    general = host.stack.bind(9, version=4, reuse=True)
    connected = host.stack.bind(9, version=4, reuse=True)
    with pytest.raises(NotConnected):
        connected.send(b"x", now=host.now)
    connected.connect(PEER4, 7)
    connected.send(b"x", now=host.now)
    assert host.out()[0][30:38] == PEER4 + b"\0\x09\0\x07"
    host.give(frame_udp(b"from the peer", 4))
    host.give(frame_udp(b"from another", 4, source_port=8))
    assert [d.data for d in iter(connected.read, None)] == [b"from the peer"]
    assert [d.data for d in iter(general.read, None)] == [b"from another"]


def test_broadcasts() -> None:
    """Nobody sends one by mistake; whoever means it reaches every host of the link, with no address even."""
    host = known()
    endpoint = host.stack.bind(68, version=4)
    for address in (b"\xff" * 4, b"\x0a\x09\0\xff"):
        with pytest.raises(AddressUnavailable):
            endpoint.send(b"x", address, 67, now=host.now)
    endpoint.broadcast = True
    for address in (b"\xff" * 4, b"\x0a\x09\0\xff"):
        endpoint.send(b"x", address, 67, now=host.now)
        (frame,) = host.out()
        assert (frame[:6], frame[30:34]) == (ethernet.BROADCAST, address)
    bare = Lone(addresses=False)
    bare.wait(5)
    endpoint = bare.stack.bind(68, version=4, interface=bare.interface)
    endpoint.broadcast = True
    endpoint.send(b"x", b"\xff" * 4, 67, now=bare.now)
    (frame,) = bare.out()
    assert frame[26:34] == bytes(4) + b"\xff" * 4
    reply = frame4(17, bytes.fromhex("0043 0044 000a 0000 6869"), PEER4, b"\xff" * 4, ethernet.BROADCAST)
    bare.give(reply)
    assert endpoint.read() is not None


def test_groups() -> None:
    """The hop limit of 1 unless asked, the group's Ethernet address, and a copy to the members on this host."""
    host = known()
    sender, member = host.stack.bind(version=4), host.stack.bind(9, version=4)
    member.join(GROUP)
    host.wait(3)
    sender.send(b"hi", GROUP, 9, now=host.now, interface=host.interface)
    (frame,) = host.out()
    assert (frame[:6], frame[22], frame[30:34]) == (ethernet.group_mac(GROUP), 1, GROUP)
    got = member.read()
    assert got is not None
    assert (got.data, got.source, got.local) == (b"hi", OURS4, GROUP)
    sender.multicast_loop = False
    sender.send(b"hi", GROUP, 9, now=host.now, interface=host.interface)
    assert member.read() is None
    member.leave(GROUP)
    assert GROUP not in host.interface.groups
    with pytest.raises(AddressUnavailable):
        member.join(PEER4)


def test_an_endpoint_that_is_bound_to_a_group() -> None:
    """It hears the group and sends from a host's address."""
    host = known()
    endpoint = host.stack.bind(9, GROUP)
    endpoint.join(GROUP)
    host.wait(3)
    endpoint.send(b"x", PEER4, 7, now=host.now)
    assert host.out()[0][26:30] == OURS4
    host.give(frame4(17, bytes.fromhex("0007 0009 000a 0000 6869"), PEER4, GROUP, ethernet.group_mac(GROUP)))
    assert endpoint.read() is not None
    host.give(frame_udp(b"to the host", 4))
    assert endpoint.read() is None


def test_padding_and_lengths() -> None:
    """What Ethernet pads is not data; a length beyond the packet is wrong."""
    host = known()
    endpoint = host.stack.bind(9, version=4)
    host.give(frame_udp(b"x", 4) + bytes(17))
    got = endpoint.read()
    assert got is not None
    assert got.data == b"x"
    host.give(frame4(17, bytes.fromhex("0007 0009 000b 0000 6869")))
    host.give(frame4(17, bytes.fromhex("0007 0009 0007 0000 6869")))
    host.give(frame4(17, b"short"))
    assert host.counters["udp.malformed"] == 3
    assert PEER_MAC


@BOTH
def test_rfc5452_9_2_nobody_can_tell_the_next_port(version: int) -> None:
    """Where a question to a name server comes from is half of what keeps forged answers out."""
    host = Lone()
    ports = [host.stack.bind(version=version).port for _ in range(200)]
    assert len(set(ports)) == 200
    steps = [(after - before) % len(EPHEMERAL_PORTS) for before, after in pairwise(ports)]
    assert max(map(steps.count, steps)) <= 3
    assert max(ports) - min(ports) > 20_000
