"""Routes by longest prefix, and source addresses by RFC 6724."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lone import OURS4, QUIET, Lone
from mirage.tcpip import AddressUnavailable, LimitReached, NoRoute
from mirage.tcpip.ip.interface import Interface, InterfaceAddress
from mirage.tcpip.ip.routes import Route, Routes
from mirage.tcpip.ip.sources import choose, order

FIRST, SECOND = Interface("a", 1, bytes(6), 1500), Interface("b", 2, bytes(6), 1500)


def octets(text: str) -> bytes:
    return ipaddress.ip_address(text).packed


def chosen(destination: str, *addresses: InterfaceAddress | tuple[Interface, InterfaceAddress]) -> str:
    candidates = [a if isinstance(a, tuple) else (FIRST, a) for a in addresses]
    found = choose(octets(destination), FIRST, candidates, 100.0, prefer_temporary=True)
    backwards = choose(octets(destination), FIRST, candidates[::-1], 100.0, prefer_temporary=True)
    assert found == backwards, "the order of addresses decides nothing here"
    assert found is not None
    return str(ipaddress.ip_address(found))


def own(text: str, preferred: float = inf, temporary: bool = False) -> InterfaceAddress:
    return InterfaceAddress(octets(text), 64, preferred_until=preferred, temporary=temporary)


def test_rfc6724_5_rule_1_the_same_address() -> None:
    assert chosen("2001:db8::2", own("2001:db8::1"), own("2001:db8::2")) == "2001:db8::2"


def test_rfc6724_5_rule_2_scope() -> None:
    """Link-local for the link, global for everywhere; for a group of the link, link-local."""
    both = own("fe80::1"), own("2001:db8::1")
    assert chosen("2001:db8:1::1", *both) == "2001:db8::1"
    assert chosen("fe80::2", *both) == "fe80::1"
    assert chosen("ff02::1", *both) == "fe80::1"
    assert chosen("ff05::1", *both) == "2001:db8::1"


def test_rfc6724_5_rule_3_deprecated() -> None:
    assert chosen("2001:db8:1::9", own("2001:db8:1::1", preferred=50), own("2001:db8:2::1")) == "2001:db8:2::1"


def test_rfc6724_5_rule_5_the_outgoing_interface() -> None:
    other = (SECOND, own("2001:db8:1::1"))
    assert chosen("2001:db8:1::9", other, own("2001:db8:2::1")) == "2001:db8:2::1"


def test_rfc6724_5_rule_6_labels() -> None:
    """RFC 6724 10.2: 6to4 to 6to4, unique local to unique local."""
    assert chosen("2002:c633:6401::1", own("2001:db8::1"), own("2002:c633:6401::d5e3")) == "2002:c633:6401::d5e3"
    assert chosen("fd11::1", own("fd22::1"), own("2001:db8::1")) == "fd22::1"
    assert chosen("2001:db8:1::1", own("fd22::1"), own("2002:c633:6401::d5e3")) != "fd22::1"


def test_rfc6724_5_rule_7_temporary() -> None:
    assert chosen("2001:db8:1::9", own("2001:db8:1::1"), own("2001:db8:1::2", temporary=True)) == "2001:db8:1::2"


def test_rfc6724_5_rule_8_the_longest_common_prefix() -> None:
    assert chosen("2001:db8:1::9", own("2001:db8:1::1"), own("2001:db8:3ffe::2")) == "2001:db8:1::1"
    assert chosen("10.1.2.9", own("10.1.2.1"), own("192.0.2.1")) == "10.1.2.1"


def test_tentative_and_invalid_addresses_are_none() -> None:
    tentative = own("2001:db8:1::1")
    tentative.tentative = True
    old = own("2001:db8:1::2")
    old.valid_until = 99.0
    assert chosen("2001:db8:1::9", tentative, old, own("2001:db8:7::1")) == "2001:db8:7::1"
    assert choose(octets("2001:db8::1"), FIRST, [(FIRST, tentative)], 100.0, prefer_temporary=True) is None


networks = st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32)).map(
    lambda n: ipaddress.ip_network((n[0] >> (32 - n[1]) << (32 - n[1]), n[1]))
)


@given(st.lists(networks, max_size=20), st.integers(0, 2**32 - 1), st.data())
def test_the_longest_prefix_wins(given_networks: list[ipaddress.IPv4Network], number: int, data: st.DataObject) -> None:
    """Against the definition, with some routes taken out again."""
    routes = Routes(100)
    kept = set(given_networks)
    for network in given_networks:
        routes.add(Route(network.network_address.packed, network.prefixlen, None, FIRST))
    for network in data.draw(st.lists(st.sampled_from(given_networks), max_size=5) if given_networks else st.just([])):
        assert routes.remove(network.network_address.packed, network.prefixlen, None, FIRST) is (network in kept)
        kept.discard(network)
    address = ipaddress.IPv4Address(number)
    matching = sorted((n.prefixlen for n in kept if address in n), reverse=True)
    assert [route.length for route in routes.find(address.packed)] == matching
    assert len(routes.all()) == len(kept)


def test_metrics_and_limits() -> None:
    routes = Routes(3)
    for metric in (30, 10, 20):
        routes.add(Route(bytes(4), 0, bytes([metric, 0, 0, 1]), FIRST, metric))
    assert [route.metric for route in routes.find(octets("192.0.2.1"))] == [10, 20, 30]
    with pytest.raises(LimitReached):
        routes.add(Route(bytes(4), 0, octets("10.0.0.9"), FIRST))
    before = routes.version
    routes.add(Route(bytes(4), 0, bytes([10, 0, 0, 1]), FIRST, 10, expires=5.0))
    assert routes.version == before, "only its time has changed"
    routes.expire(5.0)
    assert [route.metric for route in routes.find(octets("192.0.2.1"))] == [20, 30]


def test_paths_follow_the_routes() -> None:
    """A path that is in use takes the new gateway when there is a better route, and none when there is none."""
    host = Lone()
    everywhere = ipaddress.ip_network("0.0.0.0/0")
    first, second = ipaddress.ip_address("10.9.0.7"), ipaddress.ip_address("10.9.0.8")
    with pytest.raises(NoRoute):
        host.ip.path(octets("192.0.2.1"), host.now)
    host.ip.add_route(everywhere, first, host.interface, 10)
    path = host.ip.path(octets("192.0.2.1"), host.now)
    assert host.ip.next_hop(path, host.now) == first.packed
    host.ip.add_route(ipaddress.ip_network("192.0.2.0/24"), second, host.interface, 10)
    assert host.ip.next_hop(path, host.now) == second.packed
    assert host.ip.remove_route(ipaddress.ip_network("192.0.2.0/24"), second, host.interface)
    assert host.ip.next_hop(path, host.now) == first.packed
    assert host.ip.remove_route(everywhere, first, host.interface)
    with pytest.raises(NoRoute):
        path.refresh(host.now)


def test_an_address_that_is_taken_away() -> None:
    """Paths from it are dead, whoever holds them; others go on."""
    host = Lone()
    path = host.ip.path(octets("10.9.0.1"), host.now)
    other = host.ip.path(octets("fd00::1"), host.now)
    host.ip.remove_address(host.interface, OURS4)
    assert not path.alive
    with pytest.raises(NoRoute):
        path.refresh(host.now)
    assert other.alive
    with pytest.raises(NoRoute):
        host.ip.path(octets("10.9.0.1"), host.now)


@pytest.mark.parametrize("address", ["0.0.0.0", "224.0.0.1", "255.255.255.255", "127.0.0.1", "::", "ff02::1", "::1"])
def test_addresses_that_no_host_has(address: str) -> None:
    host = Lone()
    with pytest.raises(AddressUnavailable):
        host.ip.add_address(host.interface, octets(address), 8)


def test_lifetimes_of_given_addresses() -> None:
    """What DHCP gives goes when its time is over, unless it is given again."""
    host = Lone(replace(QUIET, autoconfigure=False))
    address = octets("10.9.0.77")
    host.ip.add_address(host.interface, address, 24, preferred=50, valid=100, now=host.now)
    host.wait(90)
    host.ip.add_address(host.interface, address, 24, preferred=50, valid=100, now=host.now)
    host.wait(90)
    assert host.ip.is_local(address)
    host.wait(11)
    assert not host.ip.is_local(address)
    assert host.ip.path(octets("10.9.0.1"), host.now).local == OURS4


def test_paths_are_capped_and_counted() -> None:
    """To whomever is talked to: the one that was used least lately is forgotten."""
    host = Lone(replace(QUIET, max_paths=4))
    for number in range(1, 10):
        host.ip.path(bytes([10, 9, 0, number + 10]), host.now)
        host.ip.remember_mtu(bytes([10, 9, 0, number + 10]), 1000, host.now + 10)
    assert len(host.ip._paths) == len(host.ip.path_mtus) == 4
    assert host.counters["paths.evicted"] == host.counters["paths.mtus-evicted"] == 5


def ordered(*destinations: str, sources: tuple[str, ...] = ("10.0.0.2", "2001:db8::2"), old: str = "") -> list[str]:
    """`destinations` in order, for a host that has these addresses, the first of a version for each destination."""

    def source(destination: bytes) -> tuple[bytes, bool] | None:
        found = next((octets(text) for text in sources if len(octets(text)) == len(destination)), None)
        return None if found is None else (found, bool(old) and found == octets(old))

    return [str(ipaddress.ip_address(address)) for address in order(map(octets, destinations), source)]


@pytest.mark.parametrize(("found", "best", "sources", "old"), [
    ("2001:db8:1::1 198.51.100.1", "198.51.100.1", ("10.0.0.2",), ""),  # rule 1
    ("2001:db8:1::1 198.51.100.1", "198.51.100.1", ("10.0.0.2", "fe80::2"), ""),  # rule 2
    ("2001:db8:1::1 198.51.100.1", "198.51.100.1", ("10.0.0.2", "2001:db8::2"), "2001:db8::2"),  # rule 3
    ("2001:db8:1::1 198.51.100.1", "198.51.100.1", ("10.0.0.2", "2002::2"), ""),  # rule 5
    ("198.51.100.1 2001:db8:1::1", "2001:db8:1::1", ("10.0.0.2", "2001:db8::2"), ""),  # rule 6
    ("fd00::1 198.51.100.1", "198.51.100.1", ("10.0.0.2", "fd00::2"), ""),  # rule 6
    ("2001:db8:ffff::1 2001:db8:0:1::1", "2001:db8:0:1::1", ("2001:db8::2",), ""),  # rule 9
    ("198.51.100.2 198.51.100.1", "198.51.100.2", ("198.51.100.9",), ""),  # rule 10, with 30 bits alike
])  # fmt: skip
def test_rfc6724_6_the_best_destination(found: str, best: str, sources: tuple[str, ...], old: str) -> None:
    """The rules in turn; what is equal stays as it came."""
    assert ordered(*found.split(), sources=sources, old=old)[0] == best


def test_rfc6724_6_what_no_way_leads_to_comes_last() -> None:
    """A host without IPv6 beyond its link tries IPv4 first, and itself before both."""
    host = Lone(addresses=False)
    host.ip.add_address(host.interface, OURS4, 24)
    host.ip.add_route(ipaddress.ip_network("0.0.0.0/0"), octets("10.9.0.1"), host.interface)
    found = [octets(text) for text in ("2001:db8::1", "198.51.100.1", "::1")]
    assert host.ip.order(found, host.now) == [found[2], found[1], found[0]]
