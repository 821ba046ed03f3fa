"""Every parser and builder below IP and beside it: octets by hand, round trips, and arbitrary octets."""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mirage.tcpip import WireError
from mirage.tcpip.wire import arp, ethernet, icmp, igmp, ipv4, ipv6, mld, ndp, udp
from mirage.tcpip.wire.checksum import checksum, ones_sum


def view(text: str) -> memoryview:
    return memoryview(bytes.fromhex(text))


def test_arp_request() -> None:
    """RFC 826: who has 192.0.2.1, tell 192.0.2.2."""
    octets = view("0001 0800 06 04 0001 020000000002 c0000202 000000000000 c0000201")
    message = arp.parse(octets)
    assert message == arp.Arp(1, b"\2\0\0\0\0\2", b"\xc0\0\2\2", bytes(6), b"\xc0\0\2\1")
    assert arp.build(message) == octets


def test_ipv4_header() -> None:
    """The header with which many explain the checksum: b861."""
    octets = memoryview(bytes(view("4500 0073 0000 4000 4011 b861 c0a80001 c0a800c7")) + bytes(95))
    header = ipv4.parse(octets)
    assert (header.length, header.total, header.hop_limit, header.protocol) == (20, 115, 64, 17)
    assert header.flags == ipv4.DONT_FRAGMENT
    assert not header.fragment
    assert ones_sum(octets[:20]) == 0
    assert ipv4.build(95, 17, header.source, header.destination, hop_limit=64) == octets[:20]


@pytest.mark.parametrize(
    "text",
    [
        "4500 0014 0000 0000 40 11 0000 c0a80001",  # cut off
        "6500 0014 0000 0000 40 11 0000 c0a80001 c0a800c7",  # another version
        "4400 0014 0000 0000 40 11 0000 c0a80001 c0a800c7",  # RFC 791 3.1: at least five words of header
        "4600 0014 0000 0000 40 11 0000 c0a80001 c0a800c7",  # more header than packet
        "4500 0015 0000 0000 40 11 0000 c0a80001 c0a800c7",  # more than came
    ],
)
def test_ipv4_that_is_none(text: str) -> None:
    with pytest.raises(WireError):
        ipv4.parse(view(text))


def test_ipv6_extension_headers() -> None:
    """RFC 8200 4: hop-by-hop, destination options, a used-up routing header, and an atomic fragment are gone past."""
    fixed = "6000 0000 0028 00 40" + "fd" + "00" * 14 + "01" + "fd" + "00" * 14 + "02"
    octets = view(
        fixed + "2b 00 05 02 0000 01 00" + "3c 00 00 00 0000 0000" + "2c 00 01 04 0000 0000" + "11 00 0000 0000abcd"
        "0007 0009 0008 0000"
    )
    header = ipv6.parse(octets)
    inner = ipv6.walk(octets, header.next_header)
    assert (inner.protocol, inner.offset) == (17, 72)
    assert inner.fragment == ipv6.Fragment6(17, 0, False, 0xABCD)


@pytest.mark.parametrize(
    ("extension", "to_groups", "pointer"),
    [
        ("1100 c1 04 00000000", False, 42),  # RFC 8200 4.2: unknown, report unless the packet came to a group
        ("1100 81 04 00000000", True, 42),  # unknown, report in any case
    ],
)
def test_rfc8200_4_2_unknown_options(extension: str, to_groups: bool, pointer: int) -> None:
    octets = view("6000 0000 0008 00 40" + "fd" + "00" * 30 + "02" + extension)
    with pytest.raises(ipv6.BadExtension) as caught:
        ipv6.walk(octets, 0)
    assert (caught.value.code, caught.value.pointer, caught.value.to_groups) == (2, pointer, to_groups)


def test_rfc5095_routing_header_of_type_0() -> None:
    """Nobody is routed through a host: a parameter problem points at the type."""
    octets = view("6000 0000 0018 2b 40" + "fd" + "00" * 30 + "02" + "11 02 00 01 0000 0000" + "00" * 16)
    with pytest.raises(ipv6.BadExtension) as caught:
        ipv6.walk(octets, 43)
    assert (caught.value.code, caught.value.pointer) == (0, 42)


def test_rfc8504_5_3_so_many_extension_headers() -> None:
    """An endless chain costs no endless time."""
    octets = memoryview(bytes(40) + bytes(view("3c00 0104 00000000")) * 150)
    with pytest.raises(WireError, match="extension headers"):
        ipv6.walk(octets, 60)


names = st.from_regex(r"[a-z]([a-z0-9-]{0,10}[a-z0-9])?(\.[a-z]([a-z0-9-]{0,10}[a-z0-9])?){0,3}", fullmatch=True)
addresses6 = st.binary(min_size=16, max_size=16)
lifetimes = st.integers(0, 0xFFFFFFFF)
advertisements = st.builds(
    ndp.RouterAdvertisement,
    hop_limit=st.integers(0, 255),
    managed=st.booleans(),
    other=st.booleans(),
    preference=st.sampled_from([-1, 0, 1]),
    lifetime=st.integers(0, 65535),
    reachable_ms=lifetimes,
    retransmit_ms=lifetimes,
    link=st.none() | st.binary(min_size=6, max_size=6),
    mtu=st.none() | lifetimes,
    prefixes=st.lists(
        st.builds(ndp.Prefix, addresses6, st.integers(0, 128), st.booleans(), st.booleans(), lifetimes, lifetimes),
        max_size=3,
    ).map(tuple),
    routes=st.lists(
        st.builds(ndp.RouteInformation, addresses6, st.integers(65, 128), st.sampled_from([-1, 0, 1]), lifetimes),
        max_size=2,
    ).map(tuple),
    rdnss=st.lists(
        st.builds(ndp.Rdnss, lifetimes, st.lists(addresses6, min_size=1, max_size=3).map(tuple)), max_size=2
    ).map(tuple),
    dnssl=st.lists(st.builds(ndp.Dnssl, lifetimes, st.lists(names, min_size=1, max_size=3).map(tuple)), max_size=2).map(
        tuple
    ),
)


@given(advertisements)
def test_router_advertisements_round_trip(advertisement: ndp.RouterAdvertisement) -> None:
    """What is built is what is read."""
    octets = ndp.build_router_advertisement(advertisement)
    assert ndp.parse_router_advertisement(octets[:4], memoryview(octets)[4:]) == advertisement


def test_rfc4191_short_route_options() -> None:
    """A route's option is as long as its prefix needs; the default route needs none of it."""
    for length, octets in ((0, 0), (64, 8), (65, 16)):
        route = ndp.RouteInformation(b"\x20\1\x0d\xb8" + bytes(12), length, 1, 600)
        built = ndp.build_router_advertisement(ndp.RouterAdvertisement(routes=(route,)))
        assert len(built) == 12 + 8 + octets
        (read,) = ndp.parse_router_advertisement(built[:4], memoryview(built)[4:]).routes
        assert (read.length, read.preference, read.lifetime) == (length, 1, 600)


def test_rfc4861_4_6_options_of_no_length() -> None:
    """They would have no end."""
    with pytest.raises(WireError):
        list(ndp.options(memoryview(bytes(8))))


def test_igmp_queries() -> None:
    """RFC 3376 7.1: the version of a query is that of its length and its code."""

    def summed(octets: bytes) -> memoryview:
        return memoryview(octets[:2] + checksum(octets).to_bytes(2, "big") + octets[4:])

    group = b"\xe0\1\2\3"
    assert igmp.parse_query(summed(b"\x11\0\0\0" + bytes(4))) == igmp.Query(1, bytes(4), 10.0, 0, False)
    assert igmp.parse_query(summed(b"\x11\x64\0\0" + group)) == igmp.Query(2, group, 10.0, 0, False)
    third = summed(b"\x11\x8a\0\0" + group + b"\2\x7d\0\1" + b"\xc0\0\2\1")
    # RFC 3376 4.1.1: 0x8a is (10 | 16) << 3 tenths of a second
    assert igmp.parse_query(third) == igmp.Query(3, group, 20.8, 2, True)
    assert igmp.parse_query(summed(b"\x16\0\0\0" + group)) is None
    with pytest.raises(WireError):
        igmp.parse_query(memoryview(b"\x11\x64\0\0" + group))


def test_igmp_report_of_version_3() -> None:
    """RFC 3376 4.2, by hand: to exclude nothing of 224.1.2.3 is to join it."""
    octets = igmp.build_report3([igmp.Record(b"\xe0\1\2\3", igmp.TO_EXCLUDE)])
    assert octets[:1] + octets[4:] == bytes.fromhex("22 0000 0001 04 00 0000 e0010203")
    assert ones_sum(octets) == 0


def test_mld_queries() -> None:
    """RFC 3810 8.1: 24 octets are version 1, 28 and more are version 2."""
    group = ipaddress.ip_address("ff02::abcd").packed
    assert mld.parse_query(b"\x27\x10\0\0", memoryview(bytes(16))) == igmp.Query(2, bytes(16), 10.0, 0, False)
    assert mld.parse_query(b"\x83\xe8\0\0", memoryview(group + b"\2\x7d\0\0")) == igmp.Query(
        3, group, (0x3E8 | 0x1000) * 8 / 1000, 2, False
    )
    for body in (bytes(18), b"\xfd" + bytes(15), bytes(8)):
        with pytest.raises(WireError):
            mld.parse_query(bytes(4), memoryview(body))


def test_group_addresses_of_ethernet() -> None:
    """RFC 1112 6.4: 23 bits of an IPv4 group; RFC 2464 7: 32 of an IPv6 group."""
    assert ethernet.group_mac(ipaddress.ip_address("239.129.2.3").packed).hex(":") == "01:00:5e:01:02:03"
    assert ethernet.group_mac(ipaddress.ip_address("ff02::1:ff00:2").packed).hex(":") == "33:33:ff:00:00:02"


def _redirect(data: memoryview) -> object:
    return ndp.parse_redirect(data)


PARSERS: list[Callable[[memoryview], object]] = [
    arp.parse,
    ipv4.parse,
    ipv6.parse,
    icmp.parse,
    udp.parse,
    igmp.parse_query,
    lambda data: ipv6.walk(data, data[6] if len(data) > 6 else 0),
    lambda data: mld.parse_query(bytes(data[:4]), data[4:]),
    lambda data: ndp.parse_router_advertisement(bytes(data[:4]).ljust(4, b"\0"), data[4:]),
    _redirect,
    lambda data: ndp.first_options(data),
]


@given(st.sampled_from(PARSERS), st.binary(max_size=400))
def test_arbitrary_octets(parse: Callable[[memoryview], object], data: bytes) -> None:
    """Whatever comes is read, or is a `WireError`."""
    with contextlib.suppress(WireError):
        parse(memoryview(data))


options6 = st.lists(
    st.tuples(st.integers(0, 255), st.binary(max_size=40)).map(
        lambda o: bytes([o[0], (len(o[1]) + 9) // 8]) + o[1] + bytes(-(len(o[1]) + 2) % 8)
    ),
    max_size=6,
).map(b"".join)


@given(st.binary(min_size=4, max_size=4), st.binary(min_size=8, max_size=8), options6)
def test_arbitrary_options(rest: bytes, times: bytes, options: bytes) -> None:
    """A router advertisement of well-formed options with anything in them is read, or is a `WireError`."""
    with contextlib.suppress(WireError):
        ndp.parse_router_advertisement(rest, memoryview(times + options))


@pytest.mark.parametrize(
    ("text", "expected"),
    [("01010100", False), ("94040000", False), ("01830304", True), ("89030400", True), ("00830304", False)],
)
def test_rfc7126_source_routes(text: str, expected: bool) -> None:
    """Found behind other options, not behind the end of the list."""
    assert ipv4.source_routed(view(text)) is expected


@pytest.mark.parametrize("text", ["9400", "94050000", "94"])
def test_ipv4_options_of_impossible_lengths(text: str) -> None:
    with pytest.raises(WireError):
        ipv4.source_routed(view(text))
