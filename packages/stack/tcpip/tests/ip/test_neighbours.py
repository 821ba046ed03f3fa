"""Neighbour unreachability detection, one machine for ARP and NDP (RFC 4861 7.3)."""

from __future__ import annotations

import ipaddress

import pytest
from lone import (
    OURS4,
    OURS6,
    PEER4,
    PEER6,
    PEER_MAC,
    Lone,
    frame_arp,
    frame_icmp6,
    frame_udp,
    kind_of,
)
from mirage.tcpip import Unreachable
from mirage.tcpip.ip.neighbours import Neighbour, Reachability
from mirage.tcpip.wire import ndp

BOTH = pytest.mark.parametrize("version", [4, 6])
OTHER_MAC = b"\2\0\0\0\0\x99"


def peer(version: int) -> bytes:
    return PEER4 if version == 4 else PEER6


def asks(version: int) -> str:
    return "arp request" if version == 4 else "icmp6 135"


def answer(version: int, mac: bytes = PEER_MAC, flags: int = 0x60) -> bytes:
    if version == 4:
        return frame_arp(2, mac, PEER4, OURS4)
    body = PEER6 + ndp.build_link(2, mac)
    return frame_icmp6(ndp.ADVERTISEMENT, bytes([flags, 0, 0, 0]), body, PEER6, OURS6, 255)


def entry(host: Lone, version: int) -> Neighbour:
    return host.ip.neighbours.known[host.interface.index, peer(version)]


def fresh() -> Lone:
    host = Lone()
    host.wait(5)
    return host


@BOTH
def test_resolution(version: int) -> None:
    """It is asked for in a broadcast or its group; what waits goes out when the answer comes, in order."""
    host = fresh()
    endpoint = host.stack.bind(version=version)
    for number in range(3):
        endpoint.send(bytes([number]), peer(version), 9, now=host.now)
    (question,) = host.out()
    assert kind_of(question) == asks(version)
    assert question[0] & 1
    frames = host.give(answer(version))
    assert [frame[-1] for frame in frames] == [0, 1, 2]
    assert {frame[:6] for frame in frames} == {PEER_MAC}
    assert entry(host, version).state is Reachability.REACHABLE


@BOTH
def test_rfc4861_7_2_2_nobody_answers(version: int) -> None:
    """Three questions a second apart; then the transport learns it, and for a while nobody is asked again."""
    host = fresh()
    endpoint = host.stack.bind(version=version)
    endpoint.send(b"?", peer(version), 9, now=host.now)
    asked = [at for at, frame in host.wait(10) if kind_of(frame) == asks(version)]
    assert [round(at, 3) for at in asked] == [0, 1, 2]
    assert isinstance(endpoint.take_error(), Unreachable)
    endpoint.send(b"?", peer(version), 9, now=host.now)
    assert len(host.out()) == 1


@BOTH
def test_a_few_packets_wait(version: int) -> None:
    """The oldest of more than sixteen is dropped and counted."""
    host = fresh()
    endpoint = host.stack.bind(version=version)
    for number in range(20):
        endpoint.send(bytes([number]), peer(version), 9, now=host.now)
    host.out()
    frames = host.give(answer(version))
    assert [frame[-1] for frame in frames] == list(range(4, 20))
    assert host.counters["neighbours.queue-full"] == 4


@BOTH
def test_rfc4861_7_3_3_stale_delay_probe(version: int) -> None:
    """After its time it is still used at once; it is asked only if it is used and nothing confirms it."""
    host = fresh()
    path = host.ip.path(peer(version), host.now)
    assert not path.refresh(host.now)
    host.give(answer(version))
    assert path.refresh(host.now)
    assert path.fresh_until == pytest.approx(host.now + 30)
    assert host.wait(31) == []
    assert path.refresh(host.now)
    assert entry(host, version).state is Reachability.DELAY
    sent = host.wait(5.5)
    assert [kind_of(frame) for _, frame in sent] == [asks(version)]
    assert sent[0][0] == pytest.approx(5, abs=0.01)
    assert sent[0][1][:6] == PEER_MAC, "RFC 4861 7.3.3: probes go straight to it"
    assert path.refresh(host.now), "frames still go out"
    host.give(answer(version))
    assert entry(host, version).state is Reachability.REACHABLE
    assert host.wait(20) == []


@BOTH
def test_rfc4861_7_3_1_a_transport_confirms(version: int) -> None:
    """What a peer acknowledges is as good as an answer."""
    host = fresh()
    path = host.ip.path(peer(version), host.now)
    path.refresh(host.now)
    host.give(answer(version))
    for _ in range(20):
        path.refresh(host.now)
        path.confirm(host.now)
        assert [f for _, f in host.wait(10) if kind_of(f) == asks(version)] == []
    assert entry(host, version).state is Reachability.REACHABLE


@BOTH
def test_rfc4861_7_3_3_a_dead_neighbour(version: int) -> None:
    """After three probes it is forgotten, and asked for in its group again."""
    host = fresh()
    path = host.ip.path(peer(version), host.now)
    path.refresh(host.now)
    host.give(answer(version))
    host.wait(31)
    path.refresh(host.now)
    sent = [frame for _, frame in host.wait(8.5) if kind_of(frame) == asks(version)]
    assert [frame[:6] for frame in sent] == 3 * [PEER_MAC]
    with pytest.raises(Unreachable):
        path.refresh(host.now)
    host.wait(1)
    assert not path.refresh(host.now)
    (question,) = host.out()
    assert question[0] & 1


@BOTH
def test_a_neighbour_that_moves(version: int) -> None:
    """A new Ethernet address changes the header of paths that are in use, and their generation."""
    host = fresh()
    path = host.ip.path(peer(version), host.now)
    path.refresh(host.now)
    host.give(answer(version))
    path.refresh(host.now)
    generation = path.generation
    host.give(answer(version, OTHER_MAC))
    assert path.fresh_until < host.now
    path.refresh(host.now)
    assert path.header[:6] == OTHER_MAC
    assert path.generation > generation


def test_rfc4861_7_2_5_without_override() -> None:
    """An advertisement without the flag does not take an address over; it only makes it doubtful."""
    host = fresh()
    path = host.ip.path(PEER6, host.now)
    path.refresh(host.now)
    host.give(answer(6))
    host.give(answer(6, OTHER_MAC, flags=0x40))
    assert entry(host, 6).state is Reachability.STALE
    path.refresh(host.now)
    assert path.header[:6] == PEER_MAC


def test_rfc4861_7_2_5_nobody_asked() -> None:
    """An advertisement for an address that nobody wants makes no entry; nor does an ARP reply."""
    host = fresh()
    before = len(host.ip.neighbours.known)
    host.give(answer(6))
    host.give(answer(4))
    assert len(host.ip.neighbours.known) == before


def test_rfc826_an_asker_is_known() -> None:
    """Who asks for us will want an answer: it needs no question of ours."""
    host = fresh()
    host.give(frame_arp(1, PEER_MAC, PEER4, OURS4))
    assert entry(host, 4).state is Reachability.STALE
    assert [kind_of(f) for f in host.give(frame_udp(1, 4))] == ["ip4 1"]


def test_paths_are_let_go() -> None:
    """A path that nobody has any more costs no memory: not in the cache's place, not with its neighbour."""
    host = fresh()
    host.ip.add_route(ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_address("10.9.0.1"), host.interface)
    for number in range(10_000):
        path = host.ip.path(b"\xc6\x33" + number.to_bytes(2, "big"), host.now)
        path.refresh(host.now)
    del path
    assert len(host.ip._paths) <= host.stack.settings.max_paths
    assert len(host.ip._known_paths) <= host.stack.settings.max_paths + 1
    assert len(entry(host, 4).paths) <= host.stack.settings.max_paths + 1
