"""UDP (RFC 768) over both versions of IP: endpoints that send and receive datagrams."""

from __future__ import annotations

import ipaddress
from collections import deque
from typing import NamedTuple

from mirage.types import Checksum, Random
from mirage.types.devices import Buffer

from .counters import Counters
from .errors import (
    AddressInUse,
    AddressUnavailable,
    ConnectionRefused,
    LimitReached,
    MessageTooLong,
    NetworkFailure,
    NotConnected,
    Unreachable,
    WireError,
)
from .ip.interface import Interface
from .ip.layer import Ip
from .ip.packet import ErrorKind, IcmpError, Packet
from .news import Endpoint, News
from .settings import Settings
from .tcp.isn import PortChooser
from .wire import udp
from .wire.checksum import ones_sum

__all__ = ["Datagram", "Udp", "UdpEndpoint"]

_UDP = 17
_LARGEST = 65535 - udp.HEADER
_COST = 256
"""Octets that a waiting datagram counts for beside its own, so that empty ones cannot fill memory."""


class Datagram(NamedTuple):
    """What was received."""

    data: bytes
    source: bytes
    """4 or 16 octets."""
    port: int
    """The sender's."""
    local: bytes
    """The address that it was sent to, which may be a group."""
    interface: Interface
    hop_limit: int


class UdpEndpoint(Endpoint):
    """A bound port. There are news when a datagram has come, or an ICMP error about one that was sent."""

    __slots__ = (
        "_error",
        "_groups",
        "_octets",
        "_queue",
        "_udp",
        "broadcast",
        "closed",
        "dont_fragment",
        "hop_limit",
        "interface",
        "local",
        "multicast_hop_limit",
        "multicast_interface",
        "multicast_loop",
        "port",
        "remote",
        "reuse",
        "traffic_class",
        "version",
    )

    def __init__(
        self, udp_: Udp, version: int, local: bytes | None, port: int, interface: Interface | None, reuse: bool
    ) -> None:
        super().__init__(udp_.news)
        self._udp = udp_
        self.version = version
        self.local = local
        """4 or 16 octets; None for any address of the version."""
        self.port = port
        self.interface = interface
        """Only what comes through it is received, and everything goes out of it; None for any."""
        self.reuse = reuse
        self.remote: tuple[bytes, int] | None = None
        self.broadcast = False
        """Whether `send` may go to a broadcast address (RFC 1122 3.3.6)."""
        self.hop_limit: int | None = None
        self.multicast_hop_limit = 1
        """RFC 1112 6.1: groups reach no further than the link unless asked."""
        self.multicast_interface: Interface | None = None
        """What goes to groups goes out of it; None: where the routes lead, or the first."""
        self.multicast_loop = True
        """Whether what is sent to a group comes to the members on this host too (RFC 1112 6.1)."""
        self.dont_fragment = False
        """Whether a datagram that does not fit the path is refused, `MessageTooLong`, instead of cut up."""
        self.traffic_class = 0
        self.closed = False
        self._queue: deque[Datagram] = deque()
        self._octets = 0
        self._error: NetworkFailure | None = None
        self._groups: list[tuple[Interface, bytes]] = []

    @property
    def waiting(self) -> int:
        """How many datagrams `read` has."""
        return len(self._queue)

    @property
    def readable(self) -> bool:
        """Whether `read` or `take_error` has something."""
        return bool(self._queue) or self._error is not None

    def connect(self, remote: bytes, port: int) -> None:
        """Send to one peer, and receive only from it."""
        if len(remote) != (4 if self.version == 4 else 16):
            raise AddressUnavailable("the peer's address is of the other version of IP")
        self.remote = (remote, port)

    def send(
        self,
        data: Buffer,
        remote: bytes | None = None,
        port: int = 0,
        *,
        now: float | None = None,
        interface: Interface | None = None,
    ) -> None:
        """Send a datagram, to `remote` or to the connected peer; one that is too large for the path is fragmented.

        Raises `NotConnected`, `NoRoute`, `Unreachable`, `MessageTooLong`, `AddressUnavailable`.
        """
        if self.closed:
            raise NotConnected("the endpoint was closed")
        if remote is None:
            if self.remote is None:
                raise NotConnected("a datagram needs an address, because the endpoint is connected to none")
            remote, port = self.remote
        if len(remote) != (4 if self.version == 4 else 16):
            raise AddressUnavailable("the address is of the other version of IP")
        self._udp.send(self, data, remote, port, now, interface or self.interface)

    def read(self) -> Datagram | None:
        """The next datagram; None when none waits."""
        if not self._queue:
            return None
        datagram = self._queue.popleft()
        self._octets -= len(datagram.data) + _COST
        return datagram

    def take_error(self) -> NetworkFailure | None:
        """What ICMP said about a datagram that was sent, once (RFC 1122 4.1.3.3)."""
        error, self._error = self._error, None
        return error

    def join(self, group: bytes, interface: Interface | None = None) -> None:
        """Receive what is sent to a multicast group on an interface; the first one, if none is given."""
        if not self._udp.ip.is_group(group) or len(group) != (4 if self.version == 4 else 16):
            raise AddressUnavailable(f"{ipaddress.ip_address(group)} is no multicast group of IPv{self.version}")
        interface = interface or self.interface or next(iter(self._udp.ip.interfaces.values()), None)
        if interface is None:
            raise AddressUnavailable("there is no interface on which to join a group")
        if (interface, group) not in self._groups:
            self._groups.append((interface, group))
            self._udp.ip.join(interface, group)

    def leave(self, group: bytes, interface: Interface | None = None) -> None:
        """Undo `join`."""
        for joined in self._groups:
            if joined[1] == group and (interface is None or joined[0] is interface):
                self._groups.remove(joined)
                self._udp.ip.leave(*joined)
                return

    def close(self) -> None:
        """Receive no more; what waits is lost. Repeating it does nothing."""
        if self.closed:
            return
        self.closed = True
        for joined in self._groups:
            self._udp.ip.leave(*joined)
        self._groups.clear()
        self._queue.clear()
        self._octets = 0
        self._udp.forget(self)

    def _deliver(self, datagram: Datagram) -> None:
        cost = len(datagram.data) + _COST
        if self._octets + cost > self._udp.settings.udp_receive_buffer:
            self._udp.counters["udp.buffer-full"] += 1
            return
        self._octets += cost
        self._queue.append(datagram)
        self.tell()

    def _failed(self, error: NetworkFailure) -> None:
        self._error = error
        self.tell()

    def _accepts(self, datagram: Datagram) -> bool:
        """Whether an endpoint that is connected, or bound to an interface, wants it."""
        if self.interface is not None and datagram.interface is not self.interface:
            return False
        return self.remote is None or self.remote == (datagram.source, datagram.port)

    def _takes(self, packet: Packet, source_port: int) -> bool:
        """Whether a datagram is for this endpoint."""
        if self.interface is not None and packet.interface is not self.interface:
            return False
        if self.remote is not None and (packet.source, source_port) != self.remote:
            return False
        if self._udp.ip.is_group(packet.destination):
            return (packet.interface, packet.destination) in self._groups
        return self.local is None or self.local == packet.destination


class Udp:
    """UDP of one stack."""

    def __init__(self, ip: Ip, settings: Settings, random: Random, news: News, counters: Counters) -> None:
        self.ip = ip
        self.settings = settings
        self.news = news
        self.counters = counters
        self._ports = PortChooser(random.generate)
        self._bound: dict[tuple[int, int], list[UdpEndpoint]] = {}
        self._count = 0
        ip.receivers[_UDP] = self.packet
        ip.error_receivers[_UDP] = self.icmp_error

    def bind(
        self,
        local: bytes | None = None,
        port: int = 0,
        *,
        interface: Interface | None = None,
        reuse: bool = False,
        version: int | None = None,
    ) -> UdpEndpoint:
        """An endpoint at an address, or at any of a version of IP (4 unless told). Port 0 chooses one (RFC 6056).

        `reuse`: others that say so too may have the same port; a group's datagrams go to all of them, others to the
        newest. Raises `AddressInUse`, `AddressUnavailable`, `LimitReached`.
        """
        if local is not None:
            version = 4 if len(local) == 4 else 6
            if not any(local):
                local = None
            elif not self.ip.is_local(local) and not self.ip.is_group(local):
                raise AddressUnavailable(f"{ipaddress.ip_address(local)} is no address of this host")
        version = version or 4
        if self._count >= self.settings.max_udp_endpoints:
            self.counters["udp.too-many-endpoints"] += 1
            raise LimitReached(f"there are {self._count} UDP endpoints, as many as Settings.max_udp_endpoints allows")
        if port == 0:
            chosen = self._ports.any(lambda p: (version, p) in self._bound)
            if chosen is None:
                raise LimitReached("all local UDP ports are taken")
            port = chosen
        others = self._bound.setdefault((version, port), [])
        for other in others:
            apart = other.local is not None and local is not None and other.local != local
            if not apart and other.interface is interface and not (reuse and other.reuse):
                raise AddressInUse(f"somebody is bound to UDP port {port} already")
        endpoint = UdpEndpoint(self, version, local, port, interface, reuse)
        others.append(endpoint)
        self._count += 1
        return endpoint

    @property
    def endpoints(self) -> list[UdpEndpoint]:
        """All that are bound."""
        return [endpoint for same in self._bound.values() for endpoint in same]

    def forget(self, endpoint: UdpEndpoint) -> None:
        """An endpoint was closed."""
        others = self._bound[endpoint.version, endpoint.port]
        others.remove(endpoint)
        self._count -= 1
        if not others:
            del self._bound[endpoint.version, endpoint.port]

    def send(
        self,
        endpoint: UdpEndpoint,
        data: Buffer,
        remote: bytes,
        port: int,
        now: float | None,
        interface: Interface | None,
    ) -> None:
        """What `UdpEndpoint.send` does."""
        size = len(data)
        if size > _LARGEST - (0 if len(remote) == 16 else 20):
            raise MessageTooLong(f"a datagram of {size} octets; UDP carries at most {_LARGEST} (RFC 768)")
        now = self.ip.now if now is None else now
        group = self.ip.is_group(remote)
        source = None if group or (endpoint.local and self.ip.is_group(endpoint.local)) else endpoint.local
        if group and interface is None:
            interface = endpoint.multicast_interface
        path = self.ip.path(remote, now, local=source, interface=interface)
        if not endpoint.broadcast and self.ip.is_broadcast(path.interface, remote):
            raise AddressUnavailable("a broadcast address: set `broadcast` on the endpoint if that is meant")
        path.send(
            _UDP,
            [udp.build(endpoint.port, port, size), bytes(data)],
            now,
            fragment=not endpoint.dont_fragment,
            traffic_class=endpoint.traffic_class,
            hop_limit=endpoint.multicast_hop_limit if group else endpoint.hop_limit,
            checksum_offset=udp.CHECKSUM_AT,
        )
        if group and endpoint.multicast_loop and remote in path.interface.groups:
            limit = endpoint.multicast_hop_limit
            self._to_members(Datagram(bytes(data), path.local, endpoint.port, remote, path.interface, limit), port)

    def packet(self, packet: Packet, now: float) -> None:
        """A UDP packet for this host has come."""
        try:
            message = udp.parse(packet.payload)
        except WireError:
            self.counters["udp.malformed"] += 1
            return
        version = 4 if len(packet.source) == 4 else 6
        if message.checksum == 0 and version == 6:
            self.counters["udp.no-checksum"] += 1  # RFC 8200 8.1
            return
        if packet.checksum is Checksum.COMPLETE and message.checksum:
            pseudo = ones_sum(packet.source) + ones_sum(packet.destination) + _UDP + message.length
            if (pseudo + ones_sum(packet.payload[: message.length])) % 65535:
                self.counters["udp.bad-checksum"] += 1
                return
        bound = self._bound.get((version, message.destination_port), ())
        takers = [endpoint for endpoint in bound if endpoint._takes(packet, message.source_port)]
        if not takers:
            self.counters["udp.no-port"] += 1
            self.ip.port_unreachable(packet, now)
            return
        if not packet.group:
            takers = [max(takers, key=lambda e: (e.remote is not None, e.local is not None))]
        datagram = Datagram(
            bytes(message.payload),
            packet.source,
            message.source_port,
            packet.destination,
            packet.interface,
            packet.hop_limit,
        )
        for endpoint in takers:
            endpoint._deliver(datagram)

    def _to_members(self, datagram: Datagram, port: int) -> None:
        """Give a group's datagram to the members on this host."""
        key = (4 if len(datagram.local) == 4 else 6, port)
        for endpoint in self._bound.get(key, ()):
            if (datagram.interface, datagram.local) in endpoint._groups and endpoint._accepts(datagram):
                endpoint._deliver(datagram)

    def icmp_error(self, error: IcmpError, now: float) -> None:
        """ICMP says something about a datagram that was sent (RFC 1122 4.1.3.3)."""
        port = int.from_bytes(error.quoted[:2], "big")
        remote_port = int.from_bytes(error.quoted[2:4], "big")
        version = 4 if len(error.remote) == 4 else 6
        about = [
            endpoint
            for endpoint in self._bound.get((version, port), ())
            if endpoint.remote is None or endpoint.remote == (error.remote, remote_port)
        ]
        if not about:
            self.counters["udp.errors-refused"] += 1  # nothing was sent from that port (RFC 5927 4)
            return
        if error.kind is ErrorKind.PACKET_TOO_BIG:
            self.ip.path(error.remote, now, local=error.local).reduce(error.mtu, now)
            return
        text = f"{error.kind.value}, says {ipaddress.ip_address(error.reporter)}"
        refused = error.kind is ErrorKind.PORT_UNREACHABLE
        failure: NetworkFailure = ConnectionRefused(text) if refused else Unreachable(text)
        for endpoint in about:
            endpoint._failed(failure)
