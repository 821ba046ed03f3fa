"""The destination cache (RFC 4861 5.1): how packets go from one local to one remote address.

A transport asks the IP layer for a `Path` once, keeps it, and puts its segments behind `Path.header`. Whatever changes
underneath (a neighbour's Ethernet address, a route, a smaller MTU) changes the path, not the transport.

Two ways to send:

* **fast**: when `now < path.fresh_until`, `header` may be used as it stands, and the finished frame appended to
  `path.interface.output`. Otherwise ask `path.refresh(now)` first: True means that it is so now.
* **any**: `path.send(...)` builds the IP header, fragments what does not fit, and keeps a few packets while the
  neighbour is being resolved.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import inf
from typing import TYPE_CHECKING

from mirage.types import Checksum, FrameMeta, Offload
from mirage.types.devices import Buffer

from ..errors import MessageTooLong, NoRoute
from ..wire import ethernet, ipv4, ipv6
from ..wire.checksum import ones_sum, ones_sum_parts

if TYPE_CHECKING:
    from .interface import Interface
    from .layer import Ip
    from .neighbours import Neighbour

__all__ = ["Path"]

_PLAIN = FrameMeta()
_LEAST4, _LEAST6 = 576, 1280
_CONFIRMED_APART = 1.0
_ETHERNET = ethernet.HEADER


class Path:
    """A way from `local` to `remote`. Its attributes are read by transports and written by the IP layer only."""

    __slots__ = (
        "__weakref__",
        "_ip",
        "_neighbour",
        "_reduced_until",
        "_routes",
        "_stale",
        "alive",
        "confirm_at",
        "direct",
        "fresh_until",
        "generation",
        "header",
        "header_sum",
        "interface",
        "local",
        "mtu",
        "pseudo_sum",
        "remote",
    )

    def __init__(self, ip: Ip, interface: Interface, local: bytes, remote: bytes, direct: bool = False) -> None:
        self._ip = ip
        self._neighbour: Neighbour | None = None
        self._routes = -1
        self._stale = True
        self._reduced_until = inf
        self.confirm_at = 0.0
        self.interface = interface
        self.local = local
        self.remote = remote
        self.direct = direct
        """Whether `remote` is on the link even where no prefix says so, because the interface was asked for."""
        self.mtu = interface.mtu if len(local) == 4 else interface.mtu6
        """Octets of the largest IP packet that is known to fit, header included."""
        self.header = b""
        """Ethernet and IP header, 34 or 54 octets: lengths, identification, protocol, traffic class and the checksum of
        IPv4 are zero; hop limit, addresses, version and DF are filled in. Empty while the neighbour is unknown."""
        self.header_sum = 0
        """Of IPv4: the ones' complement sum of the IP header in `header`, modulo 65535. 0 for IPv6."""
        self.pseudo_sum = ones_sum(local + remote)
        """The ones' complement sum of both addresses, modulo 65535, to which length and protocol are added."""
        self.generation = 0
        """Changes whenever `header` or `mtu` do, so that a transport knows when to renew what it derived from them."""
        self.fresh_until = -inf
        """Until then `header` may be used unasked: the neighbour is reachable (RFC 4861 7.3) and the route is valid."""
        self.alive = True
        """False once the local address or the interface has gone: ask for another path."""

    def refresh(self, now: float) -> bool:
        """Make `header` usable now, or start to: next-hop choice, resolution, unreachability detection.

        False while the neighbour is being resolved. Raises `NoRoute`, `Unreachable` when resolution has failed lately.
        """
        ip = self._ip
        if not self.alive:
            raise NoRoute("the address that this goes out from is this host's no more")
        if now >= self._reduced_until:
            self._limit_mtu(now)
        if self._routes != ip.routes.version:
            self._choose(now)
        neighbour = self._neighbour
        if neighbour is None:  # a group, a broadcast, or this host itself
            until = inf
        else:
            until = ip.neighbours.use(neighbour, now)
            if not neighbour.mac:
                return False
        if self._stale:
            self._build(neighbour.mac if neighbour is not None else ip.group_mac(self.remote, self.interface))
        # Looked at again now and then, for a route that has changed and an MTU that may grow again.
        self.fresh_until = min(until, now + 30.0, self._reduced_until)
        return True

    def _choose(self, now: float) -> None:
        """Find the next hop (RFC 4861 5.2). Raises `NoRoute`."""
        ip = self._ip
        hop = ip.next_hop(self, now)
        old = self._neighbour
        if old is not None:
            old.paths.discard(self)
        self._neighbour = None
        if hop is not None:
            self._neighbour = ip.neighbours.find(self.interface, hop)
            self._neighbour.paths.add(self)
        self._limit_mtu(now)
        self.invalidate()
        self._routes = ip.routes.version

    def _limit_mtu(self, now: float) -> None:
        """What the link carries, or less where something on the way is known to carry less."""
        mtu, until = self.interface.mtu if len(self.local) == 4 else self.interface.mtu6, inf
        known = self._ip.path_mtus.get(self.remote)
        if known is not None and now < known[1] and known[0] < mtu:
            mtu, until = known
        self._reduced_until = until
        if mtu != self.mtu:
            self.mtu = mtu
            self.generation += 1

    def invalidate(self) -> None:
        """Something underneath has changed."""
        self._stale = True
        self.fresh_until = -inf

    def _build(self, mac: bytes) -> None:
        interface = self.interface
        hop_limit = self._ip.hop_limit(interface)
        if len(self.local) == 4:
            start = mac + interface.mac + ethernet.IPV4.to_bytes(2, "big")
            self.header = start + bytes([0x45, 0, 0, 0, 0, 0, 0x40, 0, hop_limit, 0, 0, 0]) + self.local + self.remote
            self.header_sum = ones_sum(self.header[_ETHERNET:])
        else:
            start = mac + interface.mac + ethernet.IPV6.to_bytes(2, "big")
            label = self._ip.flow_label(self.local, self.remote)
            word = (6 << 28 | label).to_bytes(4, "big")
            self.header = start + word + bytes([0, 0, 0, hop_limit]) + self.local + self.remote
        self._stale = False
        self.generation += 1

    def confirm(self, now: float) -> None:
        """The peer has just acknowledged something new, so the neighbour works (RFC 4861 7.3.1)."""
        if now >= self.confirm_at and self._neighbour is not None:
            self.confirm_at = now + _CONFIRMED_APART
            self._ip.neighbours.confirm(self._neighbour, now)

    def reduce(self, mtu: int, now: float) -> None:
        """Packets above `mtu` octets do not get through (ICMP said so, or probing found out); forgotten after
        `Settings.path_mtu_lifetime`. Bounded from below by 576 (RFC 1191 7.2, with sense) and 1280 (RFC 8201 4)."""
        mtu = max(mtu, _LEAST4 if len(self.local) == 4 else _LEAST6)
        if mtu < self.mtu:
            self.mtu = mtu
            self.generation += 1
            self._reduced_until = now + self._ip.settings.path_mtu_lifetime
            self._ip.remember_mtu(self.remote, mtu, self._reduced_until)

    def learn(self, mtu: int, until: float) -> None:
        """Another path to the same destination was reduced."""
        if mtu < self.mtu:
            self.mtu = mtu
            self.generation += 1
            self._reduced_until = until
            self.fresh_until = min(self.fresh_until, until)
            self.fresh_until = min(self.fresh_until, self._reduced_until)

    def release(self) -> None:
        """The cache forgets it."""
        if self._neighbour is not None:
            self._neighbour.paths.discard(self)
            self._neighbour = None
        self._routes = -1
        self.invalidate()

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
        ready = self.refresh(now)
        ip = self._ip
        size = sum(map(len, payload))
        header_size = ipv4.HEADER if len(self.local) == 4 else ipv6.HEADER
        whole = header_size + size <= self.mtu
        if not whole and not fragment:
            raise MessageTooLong(f"a packet of {header_size + size} octets on a path that carries {self.mtu}")
        meta = _PLAIN
        parts = list(payload)
        if checksum_offset is not None:
            pseudo = self.pseudo_sum + protocol + size
            if whole and Offload.CHECKSUM in self.interface.offload and not ip.is_local(self.remote):
                meta = FrameMeta(Checksum.PARTIAL, _ETHERNET + header_size, checksum_offset)
                value = pseudo % 65535
            else:
                value = 65535 - (pseudo + ones_sum_parts(parts)) % 65535
            first = bytearray(parts[0])
            first[checksum_offset : checksum_offset + 2] = value.to_bytes(2, "big")
            parts[0] = bytes(first)
        limit = hop_limit if hop_limit is not None else ip.hop_limit(self.interface)
        if whole:
            packets: list[list[Buffer]] = [[self._header(protocol, size, traffic_class, limit, fragment), *parts]]
        else:
            packets = ip.fragmented(self, protocol, b"".join(parts), traffic_class, limit)
        kind = (ethernet.IPV4 if len(self.local) == 4 else ethernet.IPV6).to_bytes(2, "big")
        if ready:
            self._transmit(meta, kind, packets, self.header[:6])
        else:
            assert self._neighbour is not None
            send = partial(self._transmit, meta, kind, packets)
            failed = partial(ip.undeliverable, self.local, self.remote, protocol, b"".join(parts)[:64])
            ip.neighbours.when_known(self._neighbour, send, failed, size)

    def _transmit(self, meta: FrameMeta, kind: bytes, packets: list[list[Buffer]], mac: bytes) -> None:
        for packet in packets:
            self._ip.transmit(self.interface, meta, [mac + self.interface.mac + kind, *packet])

    def _header(self, protocol: int, size: int, traffic_class: int, hop_limit: int, fragment: bool) -> bytes:
        """The IP header of a packet that fits. One that may be fragmented on its way has an identification."""
        if len(self.local) == 4:
            return ipv4.build(
                size,
                protocol,
                self.local,
                self.remote,
                hop_limit=hop_limit,
                traffic_class=traffic_class,
                identification=self._ip.identification(self.local, self.remote) & 0xFFFF if fragment else 0,
                flags=0 if fragment else ipv4.DONT_FRAGMENT,
            )
        label = self._ip.flow_label(self.local, self.remote)
        return ipv6.build(
            size,
            protocol,
            self.local,
            self.remote,
            hop_limit=hop_limit,
            traffic_class=traffic_class,
            flow_label=label,
        )
