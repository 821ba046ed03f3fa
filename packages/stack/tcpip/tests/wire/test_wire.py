"""Parsers and builders of headers are each other's reverse, and parsers raise nothing but `WireError`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mirage.tcpip.errors import WireError
from mirage.tcpip.wire import arp, icmp, ipv4, ipv6, udp
from mirage.tcpip.wire.checksum import ones_sum

four, sixteen, six = (st.binary(min_size=n, max_size=n) for n in (4, 16, 6))
byte = st.integers(0, 255)


@given(st.sampled_from([1, 2]), six, four, six, four, st.binary(max_size=20))
def test_arp_comes_back(operation: int, mac: bytes, sender: bytes, to: bytes, target: bytes, padding: bytes) -> None:
    message = arp.Arp(operation, mac, sender, to, target)
    assert arp.parse(memoryview(arp.build(message) + padding)) == message


@given(
    st.binary(max_size=64),
    byte,
    four,
    four,
    byte,
    byte,
    st.integers(0, 65535),
    st.integers(0, 8191),
    st.integers(0, 10),
)
def test_ipv4_comes_back(
    payload: bytes, protocol: int, source: bytes, to: bytes, hop_limit: int, traffic_class: int, identification: int,
    offset: int, words: int,
) -> None:  # fmt: skip
    built = ipv4.build(
        len(payload), protocol, source, to, hop_limit=hop_limit, traffic_class=traffic_class,
        identification=identification, flags=ipv4.MORE_FRAGMENTS, offset=offset * 8, options=bytes(words * 4),
    )  # fmt: skip
    header = ipv4.parse(memoryview(built + payload + b"padding"))
    assert ones_sum(built) == 0
    assert header == (
        20 + words * 4, traffic_class, len(built) + len(payload), identification, ipv4.MORE_FRAGMENTS, offset * 8,
        hop_limit, protocol, source, to,
    )  # fmt: skip
    assert header.fragment


@given(st.binary(max_size=64), byte, sixteen, sixteen, byte, byte, st.integers(0, 0xFFFFF))
def test_ipv6_comes_back(
    payload: bytes, protocol: int, source: bytes, to: bytes, hop_limit: int, traffic_class: int, label: int
) -> None:
    built = ipv6.build(
        len(payload), protocol, source, to, hop_limit=hop_limit, traffic_class=traffic_class, flow_label=label
    )
    header = ipv6.parse(memoryview(built + payload + b"padding"))
    assert header == (traffic_class, label, len(payload), protocol, hop_limit, source, to)


@given(st.integers(0, 8191), st.booleans(), st.integers(0, 2**32 - 1))
def test_a_fragment_header_comes_back(units: int, more: bool, identification: int) -> None:
    fragment = ipv6.Fragment6(17, units * 8, more, identification)
    packet = ipv6.build(16, ipv6.FRAGMENT, bytes(16), bytes(16), hop_limit=1) + ipv6.build_fragment(fragment) + bytes(8)
    inner = ipv6.walk(memoryview(packet), ipv6.FRAGMENT)
    assert (inner.fragment, inner.offset) == (fragment, 48)
    whole = not units and not more
    assert inner.protocol == (17 if whole else ipv6.FRAGMENT)  # RFC 6946: an atomic fragment is a whole packet


@given(st.binary(max_size=100), st.integers(0, 65535), st.integers(0, 65535))
def test_udp_comes_back(data: bytes, source: int, destination: int) -> None:
    built = udp.build(source, destination, len(data)) + data
    message = udp.parse(memoryview(built + b"padding"))
    assert (message.source_port, message.destination_port, bytes(message.payload)) == (source, destination, data)


@given(byte, byte, four, st.binary(max_size=100), sixteen, sixteen)
def test_icmp_comes_back(kind: int, code: int, rest: bytes, body: bytes, source: bytes, to: bytes) -> None:
    four_, six_ = icmp.build4(kind, code, rest, body), icmp.build6(kind, code, rest, body, ones_sum(source + to))
    assert ones_sum(four_) == 0
    assert (ones_sum(six_) + ones_sum(source + to) + 58 + len(six_)) % 65535 == 0
    for built in (four_, six_):
        message = icmp.parse(memoryview(built))
        assert (message.kind, message.code, message.rest, bytes(message.body)) == (kind, code, rest, body)


PARSERS: list[Callable[[memoryview], Any]] = [
    arp.parse,
    ipv4.parse,
    ipv6.parse,
    udp.parse,
    icmp.parse,
    lambda data: ipv6.walk(data, data[6] if len(data) > 6 else 0),
]


@pytest.mark.parametrize("parse", PARSERS)
@given(st.binary(max_size=120))
def test_any_octets_are_parsed_or_refused(parse: Callable[[memoryview], Any], data: bytes) -> None:
    with contextlib.suppress(WireError):
        parse(memoryview(data))


@given(st.sampled_from([0, 43, 44, 60]), st.binary(min_size=40, max_size=200))
def test_any_extension_headers_end(first: int, data: bytes) -> None:
    """RFC 8504 5.3: a chain is walked to its end, or refused; never past the packet."""
    with contextlib.suppress(WireError):
        inner = ipv6.walk(memoryview(data), first)
        assert 40 <= inner.offset <= len(data)
        assert inner.pointer < len(data)


@pytest.mark.parametrize(
    ("option", "to_groups"),
    [(0x1E, None), (0x80 | 0x1E, True), (0xC0 | 0x1E, False)],
)
def test_rfc8200_4_2_unknown_options(option: int, to_groups: bool | None) -> None:
    """The two highest bits say: go past it, or answer with a Parameter Problem that points at it."""
    packet = bytes(40) + bytes([17, 0, option, 4, 0, 0, 0, 0])
    if to_groups is None:
        assert ipv6.walk(memoryview(packet), 60).protocol == 17
        return
    with pytest.raises(ipv6.BadExtension) as bad:
        ipv6.walk(memoryview(packet), 60)
    assert (bad.value.code, bad.value.pointer, bad.value.to_groups) == (2, 42, to_groups)


def test_rfc5095_routing_headers_are_not_followed() -> None:
    with pytest.raises(ipv6.BadExtension, match="segments left"):
        ipv6.walk(memoryview(bytes(40) + bytes([17, 2, 0, 1]) + bytes(20)), 43)
    assert ipv6.walk(memoryview(bytes(40) + bytes([17, 2, 0, 0]) + bytes(20)), 43).protocol == 17
