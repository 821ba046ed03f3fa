"""Router advertisements and what becomes of them, in virtual time."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from math import inf

import pytest
from lone import ALL_NODES, PEER6, PEER_MAC, ROUTER, Lone, frame_icmp6, kind_of
from mirage.tcpip import NoRoute, Settings
from mirage.tcpip.ip.interface import InterfaceAddress
from mirage.tcpip.wire import ndp
from mirage.tcpip.wire.ndp import Prefix, RouterAdvertisement

PREFIX = ipaddress.ip_address("2001:db8:1:2::").packed
FAR = ipaddress.ip_address("2001:db8:ffff::9").packed
SETTINGS = Settings(temporary_addresses=False, duplicate_address_probes=0)
TEMPORARY = replace(SETTINGS, temporary_addresses=True)
HOUR, DAY = 3600, 86400


def prefix(valid: int = 10 * HOUR, preferred: int = 5 * HOUR, **fields: object) -> Prefix:
    values = {"prefix": PREFIX, "length": 64, "on_link": True, "autonomous": True, **fields}
    return Prefix(valid=valid, preferred=preferred, **values)  # type: ignore[arg-type]


def advertise(
    host: Lone, *, router: bytes = ROUTER, hop_limit: int = 255, lifetime: int = 1800, **fields: object
) -> list[bytes]:
    body = ndp.build_router_advertisement(
        RouterAdvertisement(lifetime=lifetime, link=PEER_MAC, **fields)  # type: ignore[arg-type]
    )
    return host.give(frame_icmp6(ndp.ROUTER_ADVERTISEMENT, body[:4], body[4:], router, ALL_NODES, hop_limit))


def automatic(host: Lone) -> list[InterfaceAddress]:
    return [own for own in host.interface.addresses.values() if own.automatic]


def new(settings: Settings = SETTINGS) -> Lone:
    host = Lone(settings, addresses=False)
    host.wait(0.1)
    return host


def test_rfc4861_6_3_7_routers_are_asked_for() -> None:
    """Three times, four seconds apart; not again once one has answered."""
    host = Lone(SETTINGS, addresses=False)
    asked = [at for at, frame in host.wait(60) if kind_of(frame) == "icmp6 133"]
    assert [round(at, 3) for at in asked] == [0, 4, 8]
    host = Lone(SETTINGS, addresses=False)
    host.wait(1)
    advertise(host)
    assert [frame for _, frame in host.wait(60) if kind_of(frame) == "icmp6 133"] == []


def test_rfc4861_6_1_2_advertisements_that_are_none() -> None:
    """From beyond the link, from no link-local address, or cut off: nothing comes of them."""
    host = new()
    advertise(host, hop_limit=64, prefixes=(prefix(),))
    advertise(host, router=PEER6, prefixes=(prefix(),))
    host.give(frame_icmp6(ndp.ROUTER_ADVERTISEMENT, bytes(4), bytes(4), ROUTER, ALL_NODES, 255))
    assert host.counters["ip.malformed"] == 3
    assert not automatic(host)


def test_rfc4861_6_3_4_default_router_and_its_lifetime() -> None:
    """A router is a default route for as long as it says, no longer once it says 0."""
    host = new()
    advertise(host, prefixes=(prefix(),))
    assert host.ip.path(FAR, host.now).refresh(host.now)
    assert host.ip.path(FAR, host.now).header[:6] == PEER_MAC
    host.wait(1801)
    with pytest.raises(NoRoute):
        host.ip.path(FAR, host.now).refresh(host.now)
    advertise(host, prefixes=(prefix(),))
    assert host.ip.path(FAR, host.now).refresh(host.now)
    advertise(host, lifetime=0)
    with pytest.raises(NoRoute):
        host.ip.path(FAR, host.now).refresh(host.now)


def test_rfc4861_6_3_4_parameters() -> None:
    """Hop limit, MTU within bounds, and the two times; unspecified values change nothing."""
    host = new()
    advertise(host, hop_limit=255, prefixes=(prefix(),), mtu=1400, reachable_ms=10_000, retransmit_ms=500)
    body = RouterAdvertisement(hop_limit=33, lifetime=1800, link=PEER_MAC)
    octets = ndp.build_router_advertisement(body)
    path = host.ip.path(FAR, host.now)
    assert path.refresh(host.now)
    assert path.header[21] == 64
    host.give(frame_icmp6(ndp.ROUTER_ADVERTISEMENT, octets[:4], octets[4:], ROUTER, ALL_NODES, 255))
    generation = path.generation
    assert path.refresh(host.now)
    assert path.generation > generation
    assert (path.header[21], path.mtu) == (33, 1400)
    assert 5 <= host.interface.reachable_time <= 15
    assert host.interface.retransmit == 0.5
    for mtu in (1279, 1501):
        advertise(host, mtu=mtu)
        assert host.interface.mtu6 == 1400
    assert host.interface.mtu == 1500  # IPv4's stays


def test_rfc4862_5_5_3_addresses_of_autonomous_prefixes() -> None:
    """Only from those that may be: autonomous, 64 bits long, not link-local, not preferred beyond their validity."""
    host = new()
    advertise(
        host,
        prefixes=(
            prefix(autonomous=False, prefix=ipaddress.ip_address("2001:db8:a::").packed),
            prefix(prefix=ipaddress.ip_address("fe80::").packed),
            prefix(valid=10, preferred=20, prefix=ipaddress.ip_address("2001:db8:b::").packed),
            prefix(length=56, prefix=ipaddress.ip_address("2001:db8:c::").packed),
            prefix(),
        ),
    )
    (own,) = automatic(host)
    assert own.address[:8] == PREFIX[:8]
    assert own.valid_until == host.now + 10 * HOUR
    assert own.preferred_until == host.now + 5 * HOUR


def test_rfc7217_5_stable_addresses_say_nothing_of_the_hardware() -> None:
    """With a secret they are the same after a restart, other ones on another network, and never the MAC's."""
    keyed = replace(SETTINGS, address_secret=b"0123456789abcdef")
    found = []
    for seed in (1, 2):
        host = Lone(keyed, addresses=False, seed=seed)
        advertise(host, prefixes=(prefix(), prefix(prefix=ipaddress.ip_address("2001:db8:9::").packed)))
        found.append({own.address for own in automatic(host)})
    assert found[0] == found[1]
    assert len({address[8:] for address in found[0]}) == 2
    assert all(address[11:13] != b"\xff\xfe" for address in found[0])
    assert {own.address for own in automatic(host)} != {own.address for own in automatic(new())}


def test_rfc4862_5_5_3_e_two_hours() -> None:
    """A forged advertisement cannot take an address away sooner than in two hours, and cannot do that again and
    again."""
    host = new()
    advertise(host, prefixes=(prefix(valid=10 * HOUR),))
    (own,) = automatic(host)
    advertise(host, prefixes=(prefix(valid=1, preferred=0),))
    assert own.valid_until == host.now + 2 * HOUR
    until = own.valid_until
    host.wait(HOUR)
    advertise(host, prefixes=(prefix(valid=1, preferred=0),))
    assert own.valid_until == until
    advertise(host, prefixes=(prefix(valid=3 * HOUR, preferred=0),))
    assert own.valid_until == host.now + 3 * HOUR
    host.wait(3 * HOUR + 1)
    assert automatic(host) == []


def test_rfc4862_5_5_4_deprecated_addresses() -> None:
    """They stay for what uses them, and new paths start from others."""
    host = new()
    other = ipaddress.ip_address("2001:db8:7::").packed
    advertise(host, prefixes=(prefix(preferred=100), prefix(prefix=other, preferred=10 * HOUR)))
    # FAR has more in common with the one of PREFIX (RFC 6724 rule 8), until that is deprecated (rule 3)
    near = PREFIX[:8] + FAR[8:]
    before = host.ip.path(near, host.now)
    assert before.local[:8] == PREFIX[:8]
    host.wait(101)
    after = host.ip.path(near, host.now)
    assert after.local[:8] == other[:8]
    assert before.alive


def test_rfc8981_3_4_temporary_addresses() -> None:
    """Preferred for a day at most, preferred to the stable one, with a successor in time, gone after two days."""
    host = new(TEMPORARY)
    advertise(host, prefixes=(prefix(valid=0xFFFFFFFF, preferred=0xFFFFFFFF),), lifetime=9000)
    stable, first = sorted(automatic(host), key=lambda own: own.temporary)
    assert (stable.temporary, first.temporary) == (False, True)
    assert stable.valid_until == inf
    assert 0.6 * DAY <= first.preferred_until - host.now <= DAY
    assert first.valid_until - host.now == pytest.approx(2 * DAY)
    assert host.ip.path(FAR, host.now).local == first.address
    path = host.ip.path(FAR, host.now)
    start = host.now
    made = {first.address}
    for _ in range(5 * 24):
        host.wait(HOUR)
        advertise(host, prefixes=(prefix(valid=0xFFFFFFFF, preferred=0xFFFFFFFF),), lifetime=9000)
        current = {own.address for own in automatic(host) if own.temporary}
        made |= current
        assert 1 <= len(current) <= 4
        local = host.ip.path(FAR, host.now).local
        assert host.interface.addresses[local].temporary
        assert host.interface.addresses[local].preferred_until > host.now
    assert 5 <= len(made) <= 9, (host.now - start, made)
    assert not path.alive


def test_rfc8981_3_4_no_temporary_addresses_where_none_are_wanted() -> None:
    host = new(SETTINGS)
    advertise(host, prefixes=(prefix(),))
    assert [own.temporary for own in automatic(host)] == [False]


def test_rfc8106_servers_and_domains() -> None:
    """As values with their lifetimes; 0 takes them away, and there is a bound."""
    host = new()
    servers = tuple(ipaddress.ip_address(f"2001:db8::{n}").packed for n in range(1, 20))
    advertise(host, rdnss=(ndp.Rdnss(600, servers[:2]),), dnssl=(ndp.Dnssl(60, ("example.org", "example.net")),))
    assert [str(server) for server in host.interface.dns_servers] == ["2001:db8::1", "2001:db8::2"]
    assert list(host.interface.dns_domains) == ["example.org", "example.net"]
    host.wait(61)
    assert list(host.interface.dns_domains) == []
    advertise(host, rdnss=(ndp.Rdnss(0, servers[:1]),))
    assert [str(server) for server in host.interface.dns_servers] == ["2001:db8::2"]
    advertise(host, rdnss=(ndp.Rdnss(600, servers),))
    assert len(host.interface.dns_servers) == 8
    host.wait(601)
    assert not host.interface.dns_servers


def test_routers_are_capped() -> None:
    """However many say that they are one: what is configured by hand still finds room in the table."""
    host = Lone(replace(SETTINGS, max_routes=200), addresses=False)
    for number in range(1, 400):
        advertise(host, router=b"\xfe\x80" + bytes(12) + number.to_bytes(2, "big"))
    assert sum(route.automatic for route in host.ip.routes.all()) == 128
    assert host.counters["ip6.routes-refused"] == 399 - 128
    host.ip.add_route(ipaddress.ip_network("2001:db8::/32"), ROUTER, host.interface)


def test_rfc8106_5_2_a_bad_domain_does_not_cost_the_router() -> None:
    """A label that goes on after its option: that option is as if it were absent, and the rest counts."""
    host = new()
    body = ndp.build_router_advertisement(RouterAdvertisement(lifetime=1800, link=PEER_MAC, prefixes=(prefix(),)))
    body += bytes([ndp.DNSSL, 2, 0, 0]) + (600).to_bytes(4, "big") + bytes([70]) + b"example"
    host.give(frame_icmp6(ndp.ROUTER_ADVERTISEMENT, body[:4], body[4:], ROUTER, ALL_NODES, 255))
    assert automatic(host)
    assert not host.interface.dns_domains


def test_those_who_want_to_hear_of_names_and_flags() -> None:
    """`on_advertised` is called when something is other than before, and not for each advertisement."""
    host = new()
    heard: list[tuple[int, int, bool]] = []
    host.ip.on_advertised.append(lambda one: heard.append((len(one.dns_servers), len(one.dns_domains), one.other)))
    servers = (ndp.Rdnss(600, (PEER6,)),)
    for _ in range(3):
        advertise(host, rdnss=servers)
    assert heard == [(1, 0, False)]
    advertise(host, rdnss=servers, dnssl=(ndp.Dnssl(60, ("example.org",)),), other=True)
    host.wait(61)
    host.wait(601)
    assert heard[1:] == [(1, 1, True), (1, 0, True), (0, 0, True)]


def test_rfc4191_routes_and_preferences() -> None:
    """The router that says high comes first; a route of a longer prefix goes before both."""
    host = new()
    second = ipaddress.ip_address("fe80::2").packed
    advertise(host, prefixes=(prefix(),), preference=0)
    advertise(host, router=second, preference=1)
    assert host.ip.routes.find(FAR)[0].gateway == second
    special = ndp.RouteInformation(FAR[:6] + bytes(10), 48, -1, 600)
    advertise(host, routes=(special,))
    assert host.ip.routes.find(FAR)[0].gateway == ROUTER
    host.wait(601)
    assert host.ip.routes.find(FAR)[0].gateway == second


def test_rfc4861_6_3_6_a_dead_router_is_left() -> None:
    """When the first router does not answer any more, paths go by the second."""
    host = new()
    second = ipaddress.ip_address("fe80::2").packed
    mac = b"\2\0\0\0\0\3"
    advertise(host, prefixes=(prefix(),))
    body = ndp.build_router_advertisement(RouterAdvertisement(lifetime=1800, link=mac))
    host.give(frame_icmp6(ndp.ROUTER_ADVERTISEMENT, body[:4], body[4:], second, ALL_NODES, 255))
    path = host.ip.path(FAR, host.now)
    assert path.refresh(host.now)
    assert path.header[:6] == PEER_MAC
    host.wait(9)  # DELAY, then three probes, to which nobody answers
    assert path.refresh(host.now)
    assert path.header[:6] == mac


def test_a_flood_of_prefixes_is_bounded() -> None:
    """However many are advertised, an interface has so many addresses and the table so many routes."""
    host = Lone(replace(TEMPORARY, max_routes=32), addresses=False)
    for number in range(100):
        found = ipaddress.ip_address(f"2001:db8:{number:x}::").packed
        advertise(host, prefixes=(prefix(prefix=found),))
    assert len(automatic(host)) <= 17
    assert len(host.ip.routes.all()) <= 32
    assert host.counters["ip6.routes-refused"] > 0


def test_routers_do_not_configure_themselves() -> None:
    """Neither an interface that carries others' packets, nor a stack that was told not to."""
    host = new()
    host.interface.transparent = True
    advertise(host, prefixes=(prefix(),))
    assert not automatic(host)
    host = Lone(replace(SETTINGS, autoconfigure=False), addresses=False)
    assert [f for _, f in host.wait(20) if kind_of(f) == "icmp6 133"] == []
    advertise(host, prefixes=(prefix(),))
    assert not automatic(host)
