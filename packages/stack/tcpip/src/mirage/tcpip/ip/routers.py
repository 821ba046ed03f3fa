"""Routers that advertise themselves: solicitations, what advertisements say, and which router is used (RFC 4861 6.3).

`Ip.autoconfigure` begins it for an interface; without that advertisements are ignored. What was learnt lies on the
interface as `Interface.learned`, routes and addresses where those of hand-made ones are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, TypeVar

from ..errors import LimitReached, WireError
from ..wire import router
from ..wire.router import Advertisement
from . import ndp
from .routes import Route
from .slaac import Slaac, lifetime
from .sources import scope

if TYPE_CHECKING:
    from .interface import Interface
    from .layer import Ip
    from .neighbours import Neighbour
    from .packet import Packet

__all__ = ["Learned", "Routers"]

_ALL_ROUTERS = b"\xff\x02" + bytes(13) + b"\x02"
_NOWHERE = bytes(16)
_SOLICITATIONS = 3
_APART = 4.0
_DELAY = 1.0
"""RFC 4861 10: MAX_RTR_SOLICITATIONS, RTR_SOLICITATION_INTERVAL, MAX_RTR_SOLICITATION_DELAY, in seconds."""
_METRICS = {1: 512, 0: 1024, -1: 2048}
"""Of routes by a router of high, medium and low preference (RFC 4191 3.2): routes made by hand go before them."""
_UNREACHABLE = 1 << 16
_Key = TypeVar("_Key", bytes, str)
_MAX_ROUTES, _MAX_NAMES = 32, 16
"""How many routes, and name servers or domains, are believed of one interface."""


@dataclass(slots=True)
class Learned:
    """What routers have told about a link. Times are those until which it holds."""

    dns: dict[bytes, float] = field(default_factory=dict)
    """Name servers (RFC 8106), 16 octets each, the first one told first."""
    search: dict[str, float] = field(default_factory=dict)
    """Domains in which names are looked for."""
    managed: bool = False
    """Whether DHCPv6 gives addresses (RFC 4861 4.2), and `other`: whether it gives the rest."""
    other: bool = False
    advertisements: int = 0
    """How many have come."""
    routes: dict[tuple[bytes, int, bytes | None], float] = field(default_factory=dict)
    """Prefix, its length, and the router, or None for a prefix on the link."""


class _Link:
    def __init__(self, interface: Interface, at: float) -> None:
        self.interface = interface
        self.left = _SOLICITATIONS
        self.at = at


class Routers:
    """The side of a host, for one stack."""

    def __init__(self, ip: Ip) -> None:
        self._ip = ip
        self._slaac = Slaac(ip)
        self._links: dict[int, _Link] = {}

    def begin(self, interface: Interface, now: float) -> None:
        """Ask for routers, and believe them; the link-local address is made anew, and checked."""
        for address in [a for a in interface.addresses if a[:2] == b"\xfe\x80"]:
            self._ip.remove_address(interface, address)
        self._slaac.link_local(interface, 0, now)
        interface.learned = interface.learned or Learned()
        self._ip.wake()
        self._links[interface.index] = _Link(interface, now + self._ip.draw() * _DELAY)

    def forget(self, interface: Interface) -> None:
        """The interface has gone."""
        self._links.pop(interface.index, None)

    def received(self, packet: Packet, now: float) -> None:
        """An advertisement has come. Raises `WireError`."""
        interface, source = packet.interface, packet.source
        link = self._links.get(interface.index)
        if link is None:
            return
        if packet.hop_limit != 255 or packet.payload[1] or scope(source) != 2:
            raise WireError("a router advertisement from beyond the link (RFC 4861 6.1.2)")
        said = router.parse(packet.payload)
        learned = interface.learned
        assert learned is not None
        learned.advertisements += 1
        self._ip.wake()
        learned.managed, learned.other = said.managed, said.other
        if said.lifetime:
            link.left = 0
        self._numbers(interface, said)
        self._default(interface, source, said, now)
        for prefix in said.prefixes:
            if scope(prefix.prefix) == 2 or prefix.prefix[0] == 0xFF:
                continue
            if prefix.on_link:
                self._route(interface, prefix.prefix, prefix.length, None, 0, prefix.valid, now)
            if prefix.autonomous:
                self._slaac.prefix(interface, prefix, now)
        for route in said.routes:
            metric = _METRICS[route.preference]
            self._route(interface, route.prefix, route.length, source, metric, route.lifetime, now)
        for address, life in said.dns:
            _remember(learned.dns, address, lifetime(life, now), now)
        for name, life in said.search:
            _remember(learned.search, name, lifetime(life, now), now)

    def _numbers(self, interface: Interface, said: Advertisement) -> None:
        """Hop limit, MTU and times of the link (RFC 4861 6.3.4)."""
        changed = False
        if said.hop_limit and said.hop_limit != interface.hop_limit:
            interface.hop_limit, changed = said.hop_limit, True
        if 1280 <= said.mtu <= interface.mtu and said.mtu != interface.mtu6:
            interface.mtu6, changed = said.mtu, True
        if said.reachable:
            interface.reachable_time = min(max(said.reachable / 1000, 1.0), 3600.0)
        if said.retransmit:
            interface.retransmit = min(max(said.retransmit / 1000, 0.1), 10.0)
        if changed:
            self._ip.renew_paths(interface)

    def _default(self, interface: Interface, source: bytes, said: Advertisement, now: float) -> None:
        if said.link:
            self._ip.neighbours.heard(interface, source, said.link, now, solicited=False, create=bool(said.lifetime))
        known = self._ip.neighbours.known.get((interface.index, source))
        if known is not None:
            known.router = True
        self._route(interface, _NOWHERE, 0, source, _METRICS[said.preference], said.lifetime, now)

    def _route(
        self,
        interface: Interface,
        prefix: bytes,
        length: int,
        gateway: bytes | None,
        metric: int,
        life: int,
        now: float,
    ) -> None:
        assert interface.learned is not None
        routes, key = interface.learned.routes, (prefix, length, gateway)
        until = lifetime(life, now)
        if until <= now:
            if routes.pop(key, None) is not None:
                self._ip.routes.remove(prefix, length, gateway, interface)
            return
        if key not in routes and len(routes) >= _MAX_ROUTES:
            self._ip.counters["ip6.routes-ignored"] += 1
            return
        found = next(
            (r for r in self._ip.routes.find(prefix, interface) if r.length == length and r.gateway == gateway), None
        )
        if found is not None and not found.automatic:
            return  # made by hand
        if found is None or found.metric != metric:
            try:
                self._ip.routes.add(Route(prefix, length, gateway, interface, metric, automatic=True))
            except LimitReached:
                self._ip.counters["ip6.routes-ignored"] += 1
                return
        routes[key] = until

    def unreachable(self, neighbour: Neighbour) -> None:
        """A neighbour does not answer: if it is a router, others are tried before it, until it is heard again
        (RFC 4861 6.3.6)."""
        learned = neighbour.interface.learned
        for prefix, length, gateway in learned.routes if learned is not None else ():
            if gateway != neighbour.address:
                continue
            for route in self._ip.routes.find(prefix, neighbour.interface):
                if (route.length, route.gateway) == (length, gateway) and route.metric < _UNREACHABLE:
                    metric = route.metric + _UNREACHABLE
                    self._ip.routes.add(Route(prefix, length, gateway, neighbour.interface, metric, automatic=True))
                    self._ip.counters["ip6.routers-unreachable"] += 1

    def poll(self, now: float) -> None:
        """Ask, and let go what has come to its end."""
        for link in list(self._links.values()):
            interface = link.interface
            if link.left and link.at <= now:
                link.left -= 1
                link.at = now + _APART
                self._solicit(interface)
            learned = interface.learned
            assert learned is not None
            for key in [key for key, until in learned.routes.items() if until <= now]:
                del learned.routes[key]
                self._ip.routes.remove(key[0], key[1], key[2], interface)
            _expire(learned.dns, now)
            _expire(learned.search, now)
            self._slaac.poll(interface, now)

    def _solicit(self, interface: Interface) -> None:
        """RFC 4861 6.3.7."""
        source = next(
            (a for a, own in interface.addresses.items() if a[:2] == b"\xfe\x80" and not own.tentative), bytes(16)
        )
        link = bytes([1, 1]) + interface.mac if any(source) else b""
        ndp.send(self._ip, interface, source, _ALL_ROUTERS, b"\x33\x33\0\0\0\x02", router.SOLICITATION, bytes(4) + link)

    def next_deadline(self) -> float:
        """When `poll` is wanted."""
        due = inf
        for link in self._links.values():
            learned = link.interface.learned
            assert learned is not None
            if link.left:
                due = min(due, link.at)
            for table in (learned.routes, learned.dns, learned.search):
                due = min(due, min(table.values(), default=inf))
            due = min(due, self._slaac.next_deadline(link.interface))
        return due


def _remember(table: dict[_Key, float], key: _Key, until: float, now: float) -> None:
    if until <= now:
        table.pop(key, None)
    elif key in table or len(table) < _MAX_NAMES:
        table[key] = until


def _expire(table: dict[_Key, float], now: float) -> None:
    for key in [key for key, until in table.items() if until <= now]:
        del table[key]
