"""What routers advertise becomes addresses, routes and parameters (RFC 4861 6.3, RFC 4862 5.5, RFC 8981, RFC 8106).

* Routers are asked for at start, `Settings.router_solicitations` times, and heard whenever they speak.
* An autonomous prefix gives a stable address that says nothing of the hardware (RFC 7217), and a temporary one beside
  it (RFC 8981), with a successor before it goes out of use.
* Nobody shortens the life of an address below two hours by a forged advertisement (RFC 4862 5.5.3 e).
* Everything that a router says is bounded: so many prefixes, servers and domains, whatever comes.
"""

from __future__ import annotations

import ipaddress
from math import inf
from typing import TYPE_CHECKING, TypeVar

from ..errors import AddressUnavailable, LimitReached, WireError
from ..wire import ndp
from ..wire.icmp import Icmp
from . import discovery
from .interface import InterfaceAddress
from .routes import Route, in_prefix

if TYPE_CHECKING:
    from .interface import Interface
    from .layer import Ip
    from .packet import Packet

__all__ = ["Autoconfiguration"]

_Name = TypeVar("_Name")
_FOR_EVER = 0xFFFFFFFF
_TWO_HOURS = 7200
_SOLICITATION_INTERVAL = 4.0
_MAX_ADDRESSES = 16
"""Addresses that advertisements may make on one interface (RFC 8504 6.6 warns of what no limit does)."""
_MAX_ROUTES = 128
"""Routes of one interface that advertisements may make: the table is everybody's."""
_MAX_NAMES = 8
"""DNS servers, and domains to search, of one interface."""
_LEAST_MTU = 1280

# RFC 8981 3.8
_TEMPORARY_VALID = 2 * 86400.0
_TEMPORARY_PREFERRED = 86400.0
_MAX_DESYNC = 0.4 * _TEMPORARY_PREFERRED
_REGENERATIONS = 3
"""Temporary addresses that were duplicates, one after the other, before that is given up (TEMP_IDGEN_RETRIES)."""

_DEFAULT = bytes(16)
_METRICS = {1: 512, 0: 1024, -1: 2048}
"""Of advertised routes, by preference (RFC 4191 2.1): behind those that were set by hand."""


class _Advertised:
    """What is known of one interface."""

    __slots__ = ("at", "duplicates", "left", "regenerated")

    def __init__(self, left: int, at: float) -> None:
        self.left = left
        self.at = at
        self.duplicates: dict[bytes, int] = {}
        """Of each prefix, how many of its stable addresses were somebody else's (RFC 7217 6)."""
        self.regenerated = 0


class Autoconfiguration:
    """Stateless address autoconfiguration on all interfaces."""

    def __init__(self, ip: Ip) -> None:
        self._ip = ip
        self._links: dict[Interface, _Advertised] = {}
        self.due = inf
        """When `poll` is wanted."""

    def start(self, interface: Interface, now: float) -> None:
        """Ask for routers on an interface that has just come up."""
        settings = self._ip.settings
        self._links[interface] = _Advertised(settings.router_solicitations if settings.autoconfigure else 0, now)
        self.reckon()

    def forget(self, interface: Interface) -> None:
        """The interface has gone."""
        self._links.pop(interface, None)

    def no_router(self, interface: Interface, address: bytes) -> None:
        """It says itself that it is a router no more."""
        self._ip.routes.remove(_DEFAULT, 0, address, interface)

    # What comes

    def advertised(self, packet: Packet, message: Icmp, now: float) -> None:
        """A router advertisement (RFC 4861 6.3.4). Raises `WireError`."""
        interface, router = packet.interface, packet.source
        if router[0] != 0xFE or router[1] & 0xC0 != 0x80:
            raise WireError("a router advertisement from no link-local address (RFC 4861 6.1.2)")
        heard = ndp.parse_router_advertisement(message.rest, message.body)
        link = self._links.get(interface)
        if not self._ip.settings.autoconfigure or link is None:
            return
        if interface.transparent or router in interface.addresses:
            return  # a router does not configure itself from others
        self._ip.counters["ip6.router-advertisements"] += 1
        if heard.lifetime:
            link.left = 0  # RFC 4861 6.3.7: somebody has answered
        if heard.link is not None and not heard.link[0] & 1:
            self._ip.neighbours.heard(interface, router, heard.link, now, solicited=False)
            known = self._ip.neighbours.known.get((interface.index, router))
            if known is not None:
                known.router = True
        before = _told(interface)
        self._parameters(interface, heard)
        self._route(interface, _DEFAULT, 0, router, heard.preference, heard.lifetime, now)
        for route in heard.routes:
            self._route(interface, route.prefix, route.length, router, route.preference, route.lifetime, now)
        for prefix in heard.prefixes:
            if prefix.prefix[:2] == b"\xfe\x80" or prefix.prefix[0] == 0xFF:
                continue  # RFC 4862 5.5.3 b
            if prefix.on_link:
                self._route(interface, prefix.prefix, prefix.length, None, 0, prefix.valid, now)
            if prefix.autonomous and prefix.preferred <= prefix.valid and prefix.length == 64:
                self._prefix(interface, link, prefix, now)
        self._names(interface, heard, now)
        self._tell(interface, before)
        self.reckon()

    def _parameters(self, interface: Interface, heard: ndp.RouterAdvertisement) -> None:
        hop_limit = heard.hop_limit or interface.hop_limit
        mtu = heard.mtu if heard.mtu is not None and _LEAST_MTU <= heard.mtu <= interface.mtu else interface.mtu6
        if (hop_limit, mtu) != (interface.hop_limit, interface.mtu6):
            interface.hop_limit, interface.mtu6 = hop_limit, mtu
            self._ip.routes.touch()
        if heard.reachable_ms and heard.reachable_ms <= 3_600_000:  # RFC 4861 6.2.1
            interface.reachable_time = heard.reachable_ms / 1000 * self._ip.chance.uniform(0.5, 1.5)
        if heard.retransmit_ms:
            interface.retransmit = min(max(heard.retransmit_ms / 1000, 0.1), 60.0)
        interface.managed, interface.other = heard.managed, heard.other

    def _route(
        self,
        interface: Interface,
        prefix: bytes,
        length: int,
        gateway: bytes | None,
        preference: int,
        lifetime: int,
        now: float,
    ) -> None:
        """A route that lasts for `lifetime` seconds; 0 ends it. One that was set by hand stays as it is."""
        routes = self._ip.routes
        old = routes.get(prefix, length, gateway, interface)
        if old is not None and not old.automatic:
            return
        if not lifetime:
            routes.remove(prefix, length, gateway, interface)
            return
        if old is None and sum(r.automatic and r.interface is interface for r in routes.all()) >= _MAX_ROUTES:
            self._ip.counters["ip6.routes-refused"] += 1
            return
        try:
            routes.add(
                Route(prefix, length, gateway, interface, _METRICS[preference], _end(now, lifetime), automatic=True)
            )
        except LimitReached:
            self._ip.counters["ip6.routes-refused"] += 1

    def _prefix(self, interface: Interface, link: _Advertised, prefix: ndp.Prefix, now: float) -> None:
        """An autonomous prefix (RFC 4862 5.5.3)."""
        found = False
        for own in interface.addresses.values():
            if own.automatic and own.prefix == 64 and in_prefix(own.address, prefix.prefix, 64):
                found = found or not own.temporary
                self._renew(own, prefix, now)
        if found:
            self._ip.forget_choices()
            return
        if not prefix.valid or sum(a.automatic for a in interface.addresses.values()) >= _MAX_ADDRESSES:
            return
        count = link.duplicates.get(prefix.prefix[:8], 0)
        address = self._ip.opaque(prefix.prefix[:8], interface, count)
        valid, preferred = _end(now, prefix.valid), _end(now, prefix.preferred)
        self._add(interface, InterfaceAddress(address, 64, preferred_until=preferred, valid_until=valid), now)
        if self._ip.settings.temporary_addresses and prefix.preferred:
            self._temporary(interface, prefix.prefix, valid, preferred, now)

    def _renew(self, own: InterfaceAddress, prefix: ndp.Prefix, now: float) -> None:
        """New lifetimes for an address that is there already (RFC 4862 5.5.3 e, RFC 8981 3.4)."""
        preferred, valid = _end(now, prefix.preferred), _end(now, prefix.valid)
        if prefix.valid > _TWO_HOURS or valid > own.valid_until:
            new = valid
        elif own.valid_until - now <= _TWO_HOURS:
            new = own.valid_until
        else:
            new = now + _TWO_HOURS
        if own.temporary:
            preferred = min(preferred, own.created + _TEMPORARY_PREFERRED - own.desync)
            new = min(new, own.created + _TEMPORARY_VALID)
        own.preferred_until, own.valid_until = preferred, new

    def _temporary(self, interface: Interface, prefix: bytes, valid: float, preferred: float, now: float) -> None:
        """An address that is given up after a day or so (RFC 8981 3.4)."""
        desync = self._ip.chance.random() * _MAX_DESYNC
        preferred = min(preferred, now + _TEMPORARY_PREFERRED - desync)
        if preferred <= now + self._advance(interface):
            return  # RFC 8981 3.4 5: it would be of no use
        own = InterfaceAddress(
            prefix[:8] + self._ip.secret_octets(8),
            64,
            preferred_until=preferred,
            valid_until=min(valid, now + _TEMPORARY_VALID),
            temporary=True,
            created=now,
            desync=desync,
        )
        self._add(interface, own, now)

    def _advance(self, interface: Interface) -> float:
        """How long before a temporary address is deprecated its successor is made (RFC 8981 3.8 REGEN_ADVANCE)."""
        probes = self._ip.settings.duplicate_address_probes
        return 2 + _REGENERATIONS * probes * interface.retransmit

    def _add(self, interface: Interface, own: InterfaceAddress, now: float) -> None:
        own.automatic = True
        try:
            self._ip.install(interface, own, now)
        except (AddressUnavailable, LimitReached):
            self._ip.counters["ip6.addresses-refused"] += 1

    def taken(self, interface: Interface, own: InterfaceAddress, now: float) -> None:
        """An address was a duplicate: make another, as often as is sensible (RFC 7217 6, RFC 8981 3.4 4)."""
        link = self._links.get(interface)
        if link is None or not own.automatic:
            return
        prefix = own.address[:8]
        count = link.duplicates[prefix] = link.duplicates.get(prefix, 0) + 1
        if len(link.duplicates) > 2 * _MAX_ADDRESSES or count > _REGENERATIONS:
            self._ip.counters["ip6.autoconfiguration-given-up"] += 1
            return
        if own.temporary:
            self._temporary(interface, prefix, own.valid_until, own.preferred_until, now)
        else:
            address = self._ip.opaque(prefix, interface, count)
            self._add(
                interface,
                InterfaceAddress(address, 64, preferred_until=own.preferred_until, valid_until=own.valid_until),
                now,
            )

    def _names(self, interface: Interface, heard: ndp.RouterAdvertisement, now: float) -> None:
        """DNS servers and domains (RFC 8106 5, 6); a lifetime of 0 takes them away."""
        for servers in heard.rdnss:
            for server in servers.servers:
                _keep(interface.dns_servers, ipaddress.IPv6Address(server), _end(now, servers.lifetime), now)
        for domains in heard.dnssl:
            for domain in domains.domains:
                _keep(interface.dns_domains, domain, _end(now, domains.lifetime), now)

    def _tell(self, interface: Interface, before: tuple[object, ...]) -> None:
        """Whoever wants to know hears of what is other than before."""
        if _told(interface) != before:
            for tell in tuple(self._ip.on_advertised):
                tell(interface)

    # Time

    def poll(self, now: float) -> None:
        """Ask again, and let what has had its time go."""
        if now < self.due:
            return
        for interface, link in self._links.items():
            if link.left and link.at <= now:
                link.left -= 1
                link.at = now + _SOLICITATION_INTERVAL
                if not interface.transparent:
                    discovery.solicit_routers(self._ip, interface)
            for own in list(interface.addresses.values()):
                if own.valid_until <= now:
                    self._ip.remove_address(interface, own.address)
                elif own.temporary and not own.succeeded and own.preferred_until - self._advance(interface) <= now:
                    self._succeed(interface, own, now)
                elif own.preferred_until <= now and not own.deprecated:
                    own.deprecated = True
                    self._ip.forget_choices()
            before = _told(interface)
            _forget(interface.dns_servers, now)
            _forget(interface.dns_domains, now)
            self._tell(interface, before)
        self._ip.routes.expire(now)
        self.reckon()

    def _succeed(self, interface: Interface, own: InterfaceAddress, now: float) -> None:
        """Make the successor of a temporary address, with what its stable sibling has left."""
        own.succeeded = True
        for other in list(interface.addresses.values()):
            if other.automatic and not other.temporary and in_prefix(other.address, own.address, 64):
                self._temporary(interface, own.address[:8] + bytes(8), other.valid_until, other.preferred_until, now)
                return

    def reckon(self) -> None:
        """Addresses or routes have changed: find out when the next of them has had its time."""
        due = self._ip.routes.next_deadline()
        for interface, link in self._links.items():
            if link.left:
                due = min(due, link.at)
            for own in interface.addresses.values():
                due = min(due, own.valid_until)
                if own.temporary and not own.succeeded:
                    due = min(due, own.preferred_until - self._advance(interface))
                elif not own.deprecated:
                    due = min(due, own.preferred_until)
            for names in (interface.dns_servers, interface.dns_domains):
                due = min(due, min(names.values(), default=inf))
        self.due = due


def _told(interface: Interface) -> tuple[object, ...]:
    return tuple(interface.dns_servers), tuple(interface.dns_domains), interface.managed, interface.other


def _end(now: float, lifetime: int) -> float:
    return inf if lifetime == _FOR_EVER else now + lifetime


def _keep(names: dict[_Name, float], name: _Name, until: float, now: float) -> None:
    if until <= now:
        names.pop(name, None)
    elif name in names or len(names) < _MAX_NAMES:
        names[name] = until


def _forget(names: dict[_Name, float], now: float) -> None:
    for name in [name for name, until in names.items() if until <= now]:
        del names[name]
