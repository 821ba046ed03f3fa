"""Whole frames that somebody has damaged: nothing is raised, and what is remembered stays within its bounds."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lone import (
    ALL_NODES,
    MAC,
    OURS4,
    OURS6,
    PEER4,
    PEER6,
    PEER_MAC,
    ROUTER,
    Lone,
    frame4,
    frame6,
    frame_arp,
    frame_icmp6,
    frame_udp,
)
from mirage.tcpip import Settings
from mirage.tcpip.wire import icmp, igmp, ipv6, ndp
from mirage.types import Checksum, FrameMeta

SMALL = Settings(
    max_neighbours=8,
    max_fragmented_packets=4,
    max_fragments_octets=20_000,
    max_paths=8,
    max_routes=16,
    accept_redirects=True,
)
ADVERTISEMENT = ndp.build_router_advertisement(
    ndp.RouterAdvertisement(
        64,
        False,
        True,
        0,
        1800,
        30_000,
        1000,
        PEER_MAC,
        1400,
        (ndp.Prefix(bytes.fromhex("20010db8") + bytes(12), 64, True, True, 3600, 1800),),
        (ndp.RouteInformation(bytes.fromhex("20010db9") + bytes(12), 48, 0, 600),),
        (ndp.Rdnss(600, (PEER6,)),),
        (ndp.Dnssl(600, ("example.org",)),),
    )
)
QUOTED = frame4(17, bytes.fromhex("00090007000c0000 00000000"), OURS4, PEER4)[14:]
QUOTED6 = frame6(17, bytes.fromhex("00090007000c0000 00000000"), OURS6, PEER6)[14:]

FRAMES = [
    frame_arp(1, PEER_MAC, PEER4, OURS4),
    frame_arp(2, PEER_MAC, PEER4, OURS4, MAC),
    frame_udp(20, 4),
    frame_udp(20, 6),
    frame4(1, icmp.build4(icmp.ECHO_REQUEST4, 0, b"\0\1\0\1", bytes(30))),
    frame4(1, icmp.build4(icmp.UNREACHABLE4, 4, b"\0\0\5\0", QUOTED)),
    frame4(1, icmp.build4(icmp.REDIRECT4, 1, PEER4, QUOTED)),
    frame4(17, bytes(16), flags=0x2000, identification=7),
    frame4(17, bytes(16), flags=0, offset=16, identification=7),
    frame4(99, bytes(16)),
    frame4(2, igmp.build_report(2, b"\xe0\1\2\3"), destination=b"\xe0\1\2\3", to=b"\1\0\x5e\1\2\3"),
    frame_icmp6(icmp.ECHO_REQUEST6, b"\0\1\0\1", bytes(30)),
    frame_icmp6(icmp.TOO_BIG6, b"\0\0\5\0", QUOTED6),
    frame_icmp6(icmp.UNREACHABLE6, b"\0\0\0\0", QUOTED6),
    frame_icmp6(ndp.SOLICITATION, bytes(4), OURS6 + ndp.build_link(1, PEER_MAC), hop_limit=255),
    frame_icmp6(ndp.ADVERTISEMENT, b"\x60\0\0\0", PEER6 + ndp.build_link(2, PEER_MAC), hop_limit=255),
    frame_icmp6(ndp.ROUTER_ADVERTISEMENT, ADVERTISEMENT[:4], ADVERTISEMENT[4:], ROUTER, ALL_NODES, 255),
    frame_icmp6(ndp.REDIRECT, bytes(4), ROUTER + PEER6 + ndp.build_link(2, PEER_MAC), ROUTER, OURS6, 255),
    frame_icmp6(130, b"\x27\x10\0\0", bytes(16) + b"\2\x7d\0\0", ROUTER, ALL_NODES, 1),
    frame6(ipv6.FRAGMENT, ipv6.build_fragment(ipv6.Fragment6(17, 0, True, 5)) + bytes(16)),
    frame6(ipv6.FRAGMENT, ipv6.build_fragment(ipv6.Fragment6(17, 16, False, 5)) + bytes(16)),
    frame6(0, bytes.fromhex("3c000104000000003a000104000000008000f4fd00010001")),
    frame6(43, bytes.fromhex("3b00040000000000")),
]


def damage(frame: bytes, chance: random.Random) -> bytes:
    """The frame with some octets changed, cut off, or put in."""
    octets = bytearray(frame)
    for _ in range(chance.choice([0, 1, 1, 2, 4, 16])):
        way = chance.random()
        at = chance.randrange(len(octets))
        if way < 0.6:
            # Mostly behind the Ethernet header: what is not for us does not get far.
            octets[chance.randrange(12, len(octets)) if len(octets) > 14 and chance.random() < 0.9 else at] = (
                chance.choice([0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)])
            )
        elif way < 0.8 and len(octets) > 15:
            del octets[chance.randrange(14, len(octets)) :]
        else:
            octets[at:at] = chance.randbytes(chance.randrange(1, 9))
    return bytes(octets)


def check_bounds(host: Lone) -> None:
    assert len(host.ip.neighbours.known) <= SMALL.max_neighbours
    assert len(host.ip._paths) <= SMALL.max_paths + 1
    assert len(host.ip.path_mtus) <= SMALL.max_paths
    assert len(host.ip.routes.all()) <= SMALL.max_routes
    assert len(host.ip.reassembly._partial) <= SMALL.max_fragmented_packets
    assert host.ip.reassembly._octets <= SMALL.max_fragments_octets
    assert len(host.interface.addresses) <= 3 + 16 + 1
    assert len(host.interface.dns_servers) <= 8


@given(st.integers(0, 2**32), st.sampled_from(list(Checksum)))
def test_damaged_frames(seed: int, checksum: Checksum) -> None:
    """A hundred frames, each damaged a little, with time passing between them; then the host still answers."""
    chance = random.Random(seed)
    host = Lone(SMALL, seed=3)
    host.stack.bind(9, version=4)
    host.stack.bind(9, version=6)
    for _ in range(100):
        # Where the device vouches for the checksum, damage gets further in.
        meta = FrameMeta(checksum) if checksum is not Checksum.COMPLETE else FrameMeta()
        host.give(damage(chance.choice(FRAMES), chance), meta)
        host.now += chance.choice([0, 0, 0.001, 0.5, 3])
        check_bounds(host)
    host.wait(100)
    answers = host.give(frame_icmp6(ndp.SOLICITATION, bytes(4), OURS6 + ndp.build_link(1, PEER_MAC), hop_limit=255))
    assert answers or OURS6 not in host.interface.addresses


@given(st.binary(max_size=200))
def test_arbitrary_frames(data: bytes) -> None:
    """Anything at all."""
    host = Lone(SMALL)
    for start in (b"", MAC + PEER_MAC, MAC + PEER_MAC + b"\x08\0\x45", MAC + PEER_MAC + b"\x86\xdd\x60"):
        host.give(start + data)


@pytest.mark.slow
def test_a_flood_of_sources() -> None:
    """Three thousand hosts that ask for us, ping us and send half packets: everything stays within its bounds."""
    host = Lone(SMALL)
    for number in range(3000):
        source = b"\x0a\x09" + (number + 256).to_bytes(2, "big")
        host.give(frame_arp(1, PEER_MAC, source, OURS4))
        host.give(frame4(1, icmp.build4(icmp.ECHO_REQUEST4, 0, b"\0\1\0\1", b""), source))
        host.give(frame4(17, bytes(1400), source, flags=0x2000, identification=number))
        host.give(
            frame_icmp6(
                ndp.SOLICITATION,
                bytes(4),
                OURS6 + ndp.build_link(1, PEER_MAC),
                PEER6[:14] + number.to_bytes(2, "big"),
                hop_limit=255,
            )
        )
        if number % 100 == 0:
            check_bounds(host)
    assert host.counters["fragments.evicted"] > 2900
    assert host.counters["neighbours.evicted"] > 2900
