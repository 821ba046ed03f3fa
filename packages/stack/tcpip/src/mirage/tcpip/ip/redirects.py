"""Redirects: a router says that another neighbour is nearer to a destination (RFC 4861 8, RFC 1122 3.2.2.2).

Believed only with `Settings.accept_redirects`, from the router that is used for the destination, and about hosts of the
link; forgotten after a while.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from ..errors import LimitReached, WireError
from ..wire import ipv4
from ..wire.icmp import Icmp
from . import ndp
from .routes import Route
from .sources import scope

if TYPE_CHECKING:
    from .interface import Interface
    from .layer import Ip
    from .packet import Packet

__all__ = ["Redirects"]

_MOST = 64
_LIFETIME = 600.0
_TARGET_LINK = 2


class Redirects:
    """Those of one stack that are believed."""

    def __init__(self, ip: Ip) -> None:
        self._ip = ip
        self._known: dict[tuple[bytes, bytes | None], tuple[Interface, float]] = {}
        """Destination and gateway, each with the interface and when it is forgotten."""

    def received6(self, packet: Packet, message: Icmp, now: float) -> None:
        """An ICMPv6 redirect. Raises `WireError`."""
        if packet.hop_limit != 255 or message.code or scope(packet.source) != 2 or len(message.body) < 32:
            raise WireError("a redirect that is malformed, or from beyond the link (RFC 4861 8.1)")
        target, destination = bytes(message.body[:16]), bytes(message.body[16:32])
        known = ndp.options(message.body[32:])
        if not self._ip.is_unicast(destination) or (target != destination and scope(target) != 2):
            raise WireError("a redirect to what is no router of the link (RFC 4861 8.1)")
        if self._believe(packet, destination, None if target == destination else target, now):
            link = known.get(_TARGET_LINK)
            if link is not None:
                self._ip.neighbours.heard(packet.interface, target, link[:6], now, solicited=False)

    def received4(self, packet: Packet, message: Icmp, now: float) -> None:
        """An ICMP redirect. Raises `WireError`."""
        if len(message.body) < ipv4.HEADER or message.body[0] >> 4 != 4:
            raise WireError("a redirect that quotes too little")
        source, destination, gateway = bytes(message.body[12:16]), bytes(message.body[16:20]), message.rest
        near = self._ip.routes.find(gateway, packet.interface)
        if not near or near[0].gateway is not None or not self._ip.may_send_from(packet.interface, source):
            self._ip.counters["icmp.redirects-ignored"] += 1  # RFC 1122 3.2.2.2: not on a connected network
            return
        self._believe(packet, destination, None if gateway == destination else gateway, now)

    def _believe(self, packet: Packet, destination: bytes, gateway: bytes | None, now: float) -> bool:
        ip, interface = self._ip, packet.interface
        used = ip.routes.find(destination, interface)
        if not ip.settings.accept_redirects or not used or used[0].gateway != packet.source or ip.is_local(destination):
            ip.counters["icmp.redirects-ignored"] += 1
            return False
        for key in [key for key in self._known if key[0] == destination]:
            self._forget(key)
        while len(self._known) >= _MOST:
            self._forget(next(iter(self._known)))
        try:
            ip.routes.add(Route(destination, len(destination) * 8, gateway, interface, automatic=True))
        except LimitReached:
            return False
        self._known[destination, gateway] = (interface, now + _LIFETIME)
        ip.counters["icmp.redirects"] += 1
        ip.wake()
        return True

    def unreachable(self, address: bytes) -> None:
        """A neighbour does not answer: nothing goes by it any more because of a redirect."""
        for key in [key for key in self._known if address in key]:
            self._forget(key)

    def forget(self, interface: Interface) -> None:
        """The interface has gone."""
        for key in [key for key, (where, _) in self._known.items() if where is interface]:
            self._forget(key)

    def _forget(self, key: tuple[bytes, bytes | None]) -> None:
        interface, _ = self._known.pop(key)
        self._ip.routes.remove(key[0], len(key[0]) * 8, key[1], interface)

    def poll(self, now: float) -> None:
        """Forget what is old."""
        for key in [key for key, (_, until) in self._known.items() if until <= now]:
            self._forget(key)

    def next_deadline(self) -> float:
        """When `poll` is wanted."""
        return min((until for _, until in self._known.values()), default=inf)
