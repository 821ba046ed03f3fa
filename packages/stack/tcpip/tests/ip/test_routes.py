"""The longest prefix wins; which source address goes with which destination."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network

import pytest
from host import MAC, THEIRS4, Host, packed
from hypothesis import given
from hypothesis import strategies as st
from mirage.tcpip.errors import LimitReached, NoRoute
from mirage.tcpip.ip.interface import Interface, InterfaceAddress
from mirage.tcpip.ip.routes import Route, Routes
from mirage.tcpip.ip.sources import choose

LINKS = [Interface("eth0", 1, MAC, 1500), Interface("eth1", 2, MAC, 1500)]
four = st.builds(lambda a, b: bytes([10, a, 0, b]), st.integers(0, 3), st.integers(0, 3))
routes4 = st.builds(
    Route, four, st.sampled_from([0, 8, 14, 15, 16, 24, 30, 31, 32]), st.none() | four, st.sampled_from(LINKS),
    st.integers(0, 2),
)  # fmt: skip


@given(st.lists(st.tuples(st.booleans(), routes4), max_size=20), four, st.none() | st.sampled_from(LINKS))
def test_agrees_with_a_naive_table(
    history: list[tuple[bool, Route]], address: bytes, interface: Interface | None
) -> None:
    table = Routes(1000)
    naive: list[tuple[IPv4Network | IPv6Network, Route]] = []
    for add, route in history:
        prefix = ip_network((route.prefix, route.length), strict=False)
        same = [
            n for n in naive if n[0] == prefix and n[1].gateway == route.gateway and n[1].interface is route.interface
        ]
        naive = [n for n in naive if n not in same]
        if add:
            table.add(route)
            naive.append((prefix, route))
        else:
            assert table.remove(route.prefix, route.length, route.gateway, route.interface) == bool(same)
    matching = [
        (-prefix.prefixlen, route.metric)
        for prefix, route in naive
        if any(n == prefix for n, _ in naive)
        and int.from_bytes(address, "big") >> (32 - prefix.prefixlen) << (32 - prefix.prefixlen)
        == int(prefix.network_address)
        and interface in {None, route.interface}
    ]
    assert [(-r.length, r.metric) for r in table.find(address, interface)] == sorted(matching)
    assert len(table.all()) == len(naive)


def test_the_table_is_bounded() -> None:
    table = Routes(2)
    for number in (1, 2):
        table.add(Route(bytes([10, number, 0, 0]), 16, None, LINKS[0]))
    table.add(Route(bytes([10, 1, 0, 0]), 16, None, LINKS[0], metric=5))  # replaces
    with pytest.raises(LimitReached, match="max_routes"):
        table.add(Route(bytes([10, 3, 0, 0]), 16, None, LINKS[0]))


# RFC 6724 10.1: destination, addresses of the host, which one
EXAMPLES = [
    ("2001:db8:1::1", ["2001:db8:3::1", "fe80::1"], "2001:db8:3::1"),  # prefer appropriate scope
    ("ff05::1", ["2001:db8:3::1", "fe80::1"], "2001:db8:3::1"),
    ("2001:db8:1::1", ["2001:db8:1::1 deprecated", "2001:db8:2::1"], "2001:db8:1::1"),  # prefer the same address
    ("fe80::1", ["fe80::2 deprecated", "2001:db8:1::1"], "fe80::2"),
    ("2001:db8:1::1", ["2001:db8:1::2", "2001:db8:3::2"], "2001:db8:1::2"),  # longest matching prefix
    ("2001:db8:1::1", ["2001:db8:1::2", "2001:db8:1::3 temporary"], "2001:db8:1::3"),
    ("2002:c633:6401::1", ["2002:c633:6401::d5e3:7953:13eb:22e8 temporary", "2001:db8:1::2"],
     "2002:c633:6401::d5e3:7953:13eb:22e8"),  # prefer the matching label
    ("2001:db8:1::d5e3:0:0:1", ["2001:db8:1::2", "2001:db8:1::d5e3:7953:13eb:22e8 temporary"],
     "2001:db8:1::d5e3:7953:13eb:22e8"),  # prefer temporary
    ("192.0.2.1", ["169.254.1.1", "192.0.2.7"], "192.0.2.7"),
    ("192.0.2.1", ["192.0.2.7 tentative", "10.0.0.1"], "10.0.0.1"),
]  # fmt: skip


@pytest.mark.parametrize(("destination", "own", "expected"), EXAMPLES)
def test_rfc6724_10_1_source_selection(destination: str, own: list[str], expected: str) -> None:
    for order in (own, own[::-1]):
        candidates = []
        for text in order:
            address, _, state = text.partition(" ")
            entry = InterfaceAddress(
                packed(address), 64, temporary=state == "temporary", tentative=state == "tentative"
            )
            if state == "deprecated":
                entry.preferred_until = 0.0
            candidates.append((LINKS[0], entry))
        assert choose(packed(destination), LINKS[0], candidates, 1.0, prefer_temporary=True) == packed(expected)


def test_rfc6724_rule_5_and_nothing_usable() -> None:
    """The outgoing interface's address is preferred; one of the link of another interface is never used."""
    other = (LINKS[1], InterfaceAddress(packed("2001:db8:1::2"), 64))
    mine = (LINKS[0], InterfaceAddress(packed("2001:db8:9::2"), 64))
    far = (LINKS[1], InterfaceAddress(packed("fe80::9"), 64))
    pick = packed("2001:db8:1::1")
    assert choose(pick, LINKS[0], [other, mine], 0.0, prefer_temporary=False) == mine[1].address
    assert choose(packed("fe80::1"), LINKS[0], [far], 0.0, prefer_temporary=False) is None
    assert choose(THEIRS4, LINKS[0], [mine], 0.0, prefer_temporary=False) is None


def test_paths_follow_routes_and_addresses() -> None:
    """A route that changes changes the path at the next poll; an address that goes ends it."""
    host = Host()
    ip, gateway = host.ip, packed("10.0.0.9")
    ip.neighbours.set_permanent(host.interface, gateway, b"\2\0\0\0\0\x99")
    with pytest.raises(NoRoute):
        ip.path(packed("192.0.2.1"), 0.0)
    ip.add_route(ip_network("192.0.2.0/24"), THEIRS4, host.interface)
    path = ip.path(packed("192.0.2.1"), 0.0)
    assert path.refresh(0.0)
    generation = path.generation
    ip.add_route(ip_network("192.0.2.0/28"), gateway, host.interface)
    host.wait(0)
    assert path.fresh_until < 0
    assert path.refresh(0.0)
    assert (path.header[:6], path.generation > generation) == (b"\2\0\0\0\0\x99", True)
    ip.remove_route(ip_network("192.0.2.0/28"), gateway, host.interface)
    ip.remove_route(ip_network("192.0.2.0/24"), THEIRS4, host.interface)
    with pytest.raises(NoRoute):
        path.refresh(0.0)
    with pytest.raises(NoRoute):
        ip.path(packed("192.0.2.1"), 0.0)
    assert ip.path(packed("192.0.2.1"), 0.0, interface=host.interface).refresh(0.0) is False  # RFC 5942 4: ask the link
    ip.remove_address(host.interface, path.local)
    assert not path.alive
    with pytest.raises(NoRoute):
        path.refresh(0.0)
    ip.remove_interface(host.interface)
    assert ip.routes.all() == []
