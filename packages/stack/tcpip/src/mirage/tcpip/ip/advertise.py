"""Router advertisements from this side: for a gateway that gives its guests prefixes, an MTU and name servers.

    advertiser = Advertiser(ip, interface, Advertisement(prefixes=(Prefix(octets, 64, 86400, 14400),), mtu=1500), now)

It sends them now and then and answers solicitations; `stop` says that the router goes (RFC 4861 6.2). The stack polls
it.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from ..errors import WireError
from ..wire import router
from ..wire.router import Advertisement
from . import ndp

if TYPE_CHECKING:
    from .interface import Interface
    from .layer import Ip
    from .packet import Packet

__all__ = ["Advertiser"]

_ALL_NODES = b"\xff\x02" + bytes(13) + b"\x01"
_ALL_NODES_MAC = b"\x33\x33\0\0\0\x01"
_ALL_ROUTERS = b"\xff\x02" + bytes(13) + b"\x02"
_FIRST, _FIRST_APART = 3, 16.0
_LEAST_APART = 3.0
"""RFC 4861 10: MAX_INITIAL_RTR_ADVERTISEMENTS, MAX_INITIAL_RTR_ADVERT_INTERVAL, MIN_DELAY_BETWEEN_RAS."""


class Advertiser:
    """A router on one interface; the interface's link-local address is the router's."""

    def __init__(
        self,
        ip: Ip,
        interface: Interface,
        said: Advertisement,
        now: float,
        *,
        interval: float = 600.0,
        delay: float = 0.5,
    ) -> None:
        """`interval` is the longest time between two, in seconds. `delay` is how long an answer to a solicitation waits
        at most, as other routers may answer too (RFC 4861 6.2.6): 0 where there are none."""
        self.said = said
        """What is told; set another value to tell something else, from the next time on."""
        self._ip = ip
        self._interface = interface
        self._interval, self._delay = interval, delay
        self._sent = 0
        self._last = -inf
        self._at = now
        interface.router = True
        ip.advertisers[interface.index] = self
        ip.join(interface, _ALL_ROUTERS)
        ip.wake()

    def stop(self) -> None:
        """Tell that this is no router any more (RFC 4861 6.2.5)."""
        if self._ip.advertisers.pop(self._interface.index, None) is not None:
            self._interface.router = False
            self._ip.leave(self._interface, _ALL_ROUTERS)
            self._send(Advertisement(lifetime=0))

    def solicited(self, packet: Packet, now: float) -> None:
        """A host asks (RFC 4861 6.2.6). Raises `WireError`."""
        if packet.hop_limit != 255 or packet.payload[1]:
            raise WireError("a router solicitation from beyond the link (RFC 4861 6.1.1)")
        link = ndp.options(packet.payload[8:]).get(1)
        if link is not None and any(packet.source):
            self._ip.neighbours.heard(self._interface, packet.source, link[:6], now, solicited=False)
        self._at = min(self._at, max(now + self._ip.draw() * self._delay, self._last + _LEAST_APART))
        self._ip.wake()

    def poll(self, now: float) -> None:
        """Send what is due."""
        if self._at > now:
            return
        self._send(self.said)
        self._sent += 1
        self._last = now
        longest = min(self._interval, _FIRST_APART) if self._sent < _FIRST else self._interval
        self._at = now + longest * (0.33 + 0.67 * self._ip.draw())

    def _send(self, said: Advertisement) -> None:
        interface = self._interface
        source = next((a for a, o in interface.addresses.items() if a[:2] == b"\xfe\x80" and not o.tentative), None)
        if source is None:
            return
        body = router.build(said) + bytes([1, 1]) + interface.mac
        ndp.send(self._ip, interface, source, _ALL_NODES, _ALL_NODES_MAC, router.ADVERTISEMENT, body)

    def next_deadline(self) -> float:
        """When `poll` is wanted."""
        return self._at
