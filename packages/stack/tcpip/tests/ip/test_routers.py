"""Routers that advertise themselves, and addresses made from what they say (RFC 4861 6.3, RFC 4862, RFC 8981)."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest
from host import MAC, PEER, ROUTER6, Host, icmp6, messages6, packed
from mirage.tcpip.errors import NoRoute
from mirage.tcpip.ip.interface import InterfaceAddress
from mirage.tcpip.ip.sources import scope
from mirage.tcpip.settings import Settings
from mirage.tcpip.wire import router
from mirage.tcpip.wire.router import Advertisement, Prefix, RouteInfo

ALL = packed("ff02::1")
PREFIX, FAR = packed("2001:db8:1::"), packed("2001:db8:99::1")
ROUTER7 = packed("fe80::7")


def said(*, source: bytes = ROUTER6, hop_limit_of_packet: int = 255, **fields: Any) -> bytes:
    """A frame with an advertisement."""
    fields.setdefault("link", PEER)
    body = router.build(Advertisement(**fields))
    return icmp6(134, body, source=source, to=ALL, mac=b"\x33\x33\0\0\0\1", hop_limit=hop_limit_of_packet)


def prefix(valid: int = 86400, preferred: int = 14400, **flags: bool) -> tuple[Prefix, ...]:
    return (Prefix(PREFIX, 64, valid, preferred, **flags),)


class Auto(Host):
    def __init__(self, settings: Settings | None = None) -> None:
        super().__init__(settings or Settings(temporary_addresses=False))
        self.ip.autoconfigure(self.interface, self.now)
        self.sent = self.wait(20)

    @property
    def made(self) -> list[InterfaceAddress]:
        return [own for own in self.interface.addresses.values() if own.automatic]


def test_rfc4861_6_3_7_three_solicitations_four_seconds_apart() -> None:
    host = Auto()
    asked = messages6(host.sent, 133)
    assert len(asked) == 3
    source, to, message = asked[-1]
    assert (source, to, message[8:]) == (host.link_local, packed("ff02::2"), b"\1\1" + MAC)
    answered = Host()
    answered.ip.autoconfigure(answered.interface, 0.0)
    answered.give(said())
    assert messages6(answered.wait(20), 133) == []


def test_the_link_local_address_is_checked_and_made_anew() -> None:
    """RFC 7217 6: another one, up to three times."""
    host = Host()
    host.ip.autoconfigure(host.interface, 0.0)
    for tries in range(4):
        first = host.link_local
        host.give()
        answer = icmp6(136, b"\x20\0\0\0" + first, source=first, to=ALL, mac=b"\x33\x33\0\0\0\1")
        host.give(answer)
        assert first not in host.interface.addresses
        assert any(a[0] == 0xFE for a in host.interface.addresses) == (tries < 3)
    assert host.counters["ip6.autoconfiguration-failed"] == 1


def test_stable_addresses_stay_over_restarts() -> None:
    same = Settings(stable_secret=b"secret", temporary_addresses=False)
    assert Host(same, seed=1).link_local == Host(same, seed=2).link_local
    assert Host(seed=1).link_local != Host(seed=2).link_local
    one, two = Auto(same), Auto(same)
    one.give(said(prefixes=prefix()))
    two.give(said(prefixes=prefix()))
    assert [a.address for a in one.made] == [a.address for a in two.made]
    assert one.made[0].address[8:] != one.link_local[8:]  # RFC 7217 5: another one for each prefix


def test_nothing_is_believed_unasked_or_from_afar() -> None:
    host = Host()
    host.give(said(prefixes=prefix()))
    assert host.interface.learned is None
    auto = Auto()
    auto.give(said(source=packed("2001:db8::1")), said(hop_limit_of_packet=64))
    assert auto.interface.learned is not None
    assert auto.interface.learned.advertisements == 0
    assert auto.counters["ip.malformed"] == 2


def test_rfc4861_6_3_4_the_default_router_comes_and_goes() -> None:
    host = Auto()
    with pytest.raises(NoRoute):
        host.ip.path(FAR, host.now)
    host.give(said(lifetime=100, hop_limit=33, mtu=1400, prefixes=prefix()))
    host.wait(2)
    path = host.ip.path(FAR, host.now)
    assert path.refresh(host.now)
    assert (path.header[:6], path.header[21], path.mtu) == (PEER, 33, 1400)
    assert path.local == host.made[0].address
    assert host.ip.path(packed("10.0.0.2"), host.now).mtu == 1500  # IPv4 has nothing to do with it
    host.give(said(lifetime=100, mtu=1300))
    assert path.mtu == 1300
    host.give(said(lifetime=0))
    with pytest.raises(NoRoute):
        host.ip.path(packed("2001:db8:99::2"), host.now)
    host.give(said(lifetime=100))
    host.wait(99)
    host.ip.path(packed("2001:db8:99::3"), host.now)
    host.wait(2)
    with pytest.raises(NoRoute):
        host.ip.path(packed("2001:db8:99::4"), host.now)


def test_rfc4191_preferences_and_routes() -> None:
    """High before medium before low; a more specific route before all; what was made by hand is left alone."""
    host = Auto()
    two = packed("fe80::2")
    host.give(said(preference=-1), said(source=ROUTER7, link=b"\2\0\0\0\0\7"))
    assert host.ip.routes.find(FAR)[0].gateway == ROUTER7
    host.give(said(preference=1))
    assert host.ip.routes.find(FAR)[0].gateway == ROUTER6
    host.give(said(source=two, lifetime=0, routes=(RouteInfo(packed("2001:db8:99::"), 48, -1, 600),)))
    assert host.ip.routes.find(FAR)[0].gateway == two
    host.ip.routes.add(type(host.ip.routes.all()[0])(bytes(16), 0, packed("fe80::9"), host.interface))
    assert next(r.gateway for r in host.ip.routes.find(packed("2001::1"))) == packed("fe80::9")


def test_rfc4861_6_3_6_a_router_that_does_not_answer() -> None:
    """The other one is used, until the first is heard again."""
    host = Auto()
    host.give(said(prefixes=prefix()), said(source=ROUTER7, link=b"\2\0\0\0\0\7", preference=-1))
    host.wait(2)
    path = host.ip.path(FAR, host.now)
    assert path.refresh(host.now)
    assert path.header[:6] == PEER
    for _ in range(9):  # used, but never confirmed
        host.wait(1)
        path.refresh(host.now)
    assert path.header[:6] == b"\2\0\0\0\0\7"
    assert host.counters["ip6.routers-unreachable"] >= 1
    host.give(said())
    assert path.refresh(host.now)
    assert path.header[:6] == PEER


def test_rfc4862_5_5_an_address_of_the_prefix() -> None:
    """Checked, used, deprecated, gone."""
    host = Auto()
    host.give(said(prefixes=prefix(valid=10000, preferred=5000), lifetime=9000))
    (own,) = host.made
    assert own.tentative
    assert own.address[:8] == PREFIX[:8]
    host.wait(2)
    assert not own.tentative
    assert host.ip.path(FAR, host.now).local == own.address
    assert host.ip.routes.find(PREFIX[:15] + b"\x77")[0].gateway is None
    host.wait(5000)
    assert own.deprecated
    assert host.ip.path(FAR, host.now).local != own.address
    assert messages6(host.give(icmp6(128, bytes(4), to=own.address)), 129) != []
    host.wait(5000)
    assert host.made == []
    assert messages6(host.give(icmp6(128, bytes(4), to=own.address)), 129) == []


def test_rfc4862_5_5_3_prefixes_that_make_no_address() -> None:
    host = Auto()
    host.give(
        said(prefixes=prefix(valid=10, preferred=20)),
        said(prefixes=(Prefix(packed("fe80::"), 64, 100, 100),)),
        said(prefixes=(Prefix(PREFIX, 80, 100, 100),)),
        said(prefixes=prefix(autonomous=False)),
        said(prefixes=prefix(valid=0, preferred=0)),
    )
    assert host.made == []
    many = [Prefix(packed(f"2001:db8:{n:x}::"), 64, 9999, 9999) for n in range(1, 60)]
    host.give(*(said(prefixes=tuple(many[n : n + 10])) for n in range(0, 59, 10)))
    assert len(host.made) == 16
    assert len(host.interface.learned.routes) == 32  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("left", "told", "then"), [(86400, 90000, 90000), (86400, 600, 7200), (3600, 600, 3600), (600, 3600, 3600)]
)
def test_rfc4862_5_5_3_the_two_hour_rule(left: int, told: int, then: int) -> None:
    host = Auto()
    host.give(said(prefixes=prefix(valid=left, preferred=0 if left < 14400 else 14400)))
    (own,) = host.made
    host.give(said(prefixes=prefix(valid=told, preferred=0)))
    assert own.valid_until - host.now == pytest.approx(then)
    assert own.preferred_until <= host.now


def test_rfc8981_temporary_addresses() -> None:
    """A random one beside the stable one, preferred for what begins here; the next one follows before it is deprecated,
    and none lives over two days however long the prefix does."""
    host = Auto(Settings())
    week = said(prefixes=prefix(valid=0xFFFFFFFF, preferred=0xFFFFFFFF), lifetime=9000)
    host.give(week)
    host.wait(2)
    stable, temporary = sorted(host.made, key=lambda own: own.temporary)
    assert (stable.temporary, temporary.temporary) == (False, True)
    assert stable.valid_until == inf
    assert host.ip.path(FAR, host.now).local == temporary.address
    seen = set()
    for _ in range(7 * 24):
        host.give(week)
        host.wait(3600)
        source = host.ip.path(FAR, host.now).local
        assert source != stable.address
        seen.add(source)
        assert 2 <= len(host.made) <= 5
    assert 7 <= len(seen) <= 13
    assert temporary.address not in host.interface.addresses


def test_rfc8106_name_servers_are_there_to_be_read() -> None:
    host = Auto()
    servers = [packed(f"2001:db8::{n:x}") for n in range(1, 40)]
    host.give(said(dns=tuple((s, 600) for s in servers[:2]), search=(("example.org", 600), ("a.b", 300))))
    learned = host.interface.learned
    assert learned is not None
    assert list(learned.dns) == servers[:2]
    host.wait(301)
    assert list(learned.search) == ["example.org"]
    host.give(said(dns=((servers[0], 0),)))
    assert list(learned.dns) == [servers[1]]
    host.give(*(said(dns=((s, 600),)) for s in servers))
    assert len(learned.dns) == 16
    host.wait(601)
    assert (learned.dns, learned.search) == ({}, {})


def test_all_of_it_goes_with_the_interface() -> None:
    host = Auto()
    host.give(said(prefixes=prefix()))
    host.ip.remove_interface(host.interface)
    host.take()
    assert host.ip.routes.all() == []
    host.wait(1e6)
    assert host.stack.next_deadline() == inf


def test_scopes() -> None:
    assert [scope(packed(a)) for a in ("fe80::1", "2001::1", "ff05::1", "::1", "169.254.1.1")] == [2, 14, 5, 2, 2]
