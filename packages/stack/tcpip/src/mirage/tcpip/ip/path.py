"""The destination cache (RFC 4861 5.1): how packets go from one local to one remote address.

A transport asks the IP layer for a `Path` once, keeps it, and puts its segments behind `Path.header`. Whatever changes
underneath (a neighbour's Ethernet address, a router that died, a smaller MTU) changes the path, not the transport.

Two ways to send:

* **fast**: when `now < path.fresh_until`, `header` may be used as it stands, and the finished frame appended to
  `path.interface.output`. Otherwise ask `path.refresh(now)` first: True means that it is so now.
* **any**: `path.send(...)` builds the IP header, fragments what does not fit, and keeps a few packets while the
  neighbour is being resolved.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from mirage.types.devices import Buffer

if TYPE_CHECKING:
    from .interface import Interface

__all__ = ["Path"]


class Path(Protocol):
    """A way from `local` to `remote`. Its attributes are read by transports and written by the IP layer only."""

    interface: Interface
    local: bytes
    remote: bytes
    mtu: int
    """Octets of the largest IP packet that is known to fit, header included."""
    header: bytes
    """Ethernet and IP header, 34 or 54 octets: lengths, identification, protocol, traffic class and the checksum of
    IPv4 are zero; hop limit, addresses, version and DF are filled in. Empty while the neighbour is unknown."""
    header_sum: int
    """Of IPv4: the ones' complement sum of the IP header in `header`, modulo 65535. 0 for IPv6."""
    pseudo_sum: int
    """The ones' complement sum of both addresses, modulo 65535: to which length and protocol are added."""
    generation: int
    """Changes whenever `header` or `mtu` do, so that a transport knows when to renew what it derived from them."""
    fresh_until: float
    """Until then `header` may be used unasked: the neighbour is reachable (RFC 4861 7.3) and the route is valid."""
    alive: bool
    """False once the local address or the interface has gone: ask for another path."""

    def refresh(self, now: float) -> bool:
        """Make `header` usable now, or start to: next-hop choice, resolution, unreachability detection.

        False while the neighbour is being resolved. Raises `NoRoute`, `Unreachable` when resolution has failed lately.
        """
        ...

    def confirm(self, now: float) -> None:
        """The peer has just acknowledged something new, so the neighbour works (RFC 4861 7.3.1)."""
        ...

    def send(
        self,
        protocol: int,
        payload: Sequence[Buffer],
        now: float,
        *,
        traffic_class: int = 0,
        hop_limit: int | None = None,
        fragment: bool = False,
        checksum_offset: int | None = None,
    ) -> None:
        """Send one packet; `payload` begins with the transport's header.

        `checksum_offset` says where the transport's checksum belongs: the IP layer then computes it, or leaves it to
        the device (only the field's place must be zero in `payload`). None: it is complete, or there is none. A packet
        that does not fit the path is fragmented when `fragment`, else `MessageTooLong` is raised. While the neighbour
        is unknown, a few packets wait and the oldest are dropped. Raises `NoRoute`, `Unreachable`, `MessageTooLong`.
        """
        ...

    def reduce(self, mtu: int, now: float) -> None:
        """Packets above `mtu` octets do not get through (ICMP said so, or probing found out); forgotten after
        `Settings.path_mtu_lifetime`. Bounded from below by 576 (IPv4) and 1280 (IPv6)."""
        ...
