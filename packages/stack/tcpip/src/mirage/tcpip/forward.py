"""Being a gateway: connections and datagrams that go through this stack to somebody else.

An interface that is `transparent` takes packets for any destination. `TcpForwarder` collects the SYNs among them that
no listener wants: each is a `Request`, not answered yet, so that whoever forwards can connect on the other side first
and then `accept`, or `refuse` as the other side did. `Datagrams` is UDP without endpoints: everything that comes in on
an interface, from whom and for whom, and a way to send from any address.

Both are bounded: a request costs a dictionary entry and a hundred octets or so until it is decided, and no more than
`limit` wait; a datagram is handed on at once or not at all.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from mirage.types.devices import Buffer

from .errors import NetworkFailure
from .ip.packet import Packet
from .news import Endpoint
from .tcp import passive
from .tcp.connection import Connection
from .tcp.timewait import TimeWait
from .wire.checksum import ones_sum
from .wire.tcp import ACK, FIN, RST, SYN, Segment

if TYPE_CHECKING:
    from .ip.interface import Interface
    from .stack import Stack

__all__ = ["Datagrams", "Request", "TcpForwarder"]

_UDP = 17
_UDP_HEADER = struct.Struct(">HHHH")
_UDP_CHECKSUM_AT = 6


class Request:
    """Somebody wants a connection to somebody else. To be decided once, by `accept`, `refuse` or `drop`."""

    __slots__ = ("_forwarder", "_key", "_packet", "_segment")

    def __init__(self, forwarder: TcpForwarder, key: bytes, packet: Packet, segment: Segment) -> None:
        self._forwarder = forwarder
        self._key = key
        # What the views look into is used again when the stack has been polled.
        self._packet = packet._replace(payload=memoryview(b""), packet=memoryview(b""))
        self._segment = segment._replace(options=memoryview(bytes(segment.options)), payload=memoryview(b""))

    @property
    def source(self) -> tuple[bytes, int]:
        """Address and port of who asks."""
        return self._packet.source, self._segment.source_port

    @property
    def destination(self) -> tuple[bytes, int]:
        """Address and port of who is wanted."""
        return self._packet.destination, self._segment.destination_port

    def accept(self, now: float) -> Connection:
        """Answer in the destination's name: a connection whose handshake has begun.

        Raises `NoRoute`, `Unreachable`, `LimitReached`.
        """
        self._forwarder._decided(self._key)
        tcp = self._forwarder._tcp
        tcp._admit()
        return passive.from_syn(tcp, self._key, self._packet, self._segment, now)

    def refuse(self, now: float) -> None:
        """Answer with RST, as a host does on which nobody listens (RFC 9293 3.10.7.1)."""
        self._forwarder._decided(self._key)
        self._forwarder._tcp._refuse(self._packet, self._segment, now)

    def drop(self) -> None:
        """Do not answer: who asks will ask again, or give up."""
        self._forwarder._decided(self._key)


class TcpForwarder(Endpoint):
    """The connections that come in on an interface for others. There are news when a request waits."""

    __slots__ = ("_requests", "_tcp", "_waiting", "interface", "limit")

    def __init__(self, stack: Stack, interface: Interface, limit: int = 1024) -> None:
        """Take the SYNs of `interface` that no listener wants; at most `limit` wait for a decision, more are dropped,
        and come again (RFC 9293 3.8.1)."""
        super().__init__(stack.news)
        self.interface = interface
        self.limit = limit
        self._tcp = stack.tcp
        self._requests: deque[Request] = deque()
        self._waiting: set[bytes] = set()
        interface.transparent = True
        stack.tcp.forwarders[interface.name] = self

    def take(self) -> Request | None:
        """The next request."""
        return self._requests.popleft() if self._requests else None

    def arrived(self, key: bytes, packet: Packet, segment: Segment) -> bool:
        """A segment for no connection and no listener has come. False: it deserves a RST."""
        flags = segment.flags
        if flags & (SYN | ACK | RST | FIN) != SYN:
            return False
        if key in self._waiting:
            return True  # it asks again, and waits already
        if len(self._waiting) >= self.limit:
            self._tcp.counters["tcp.forward-full"] += 1
            return True
        self._waiting.add(key)
        self._requests.append(Request(self, key, packet, segment))
        self.tell()
        return True

    def _decided(self, key: bytes) -> None:
        self._waiting.discard(key)
        known = self._tcp.connections.get(key)
        if known is not None and not isinstance(known, TimeWait):
            known.abort()  # both sides opened meanwhile; there is one connection for a pair of addresses


Receiver = Callable[[bytes, int, bytes, int, memoryview, float], None]
"""Called with source and its port, destination and its port, the data, which is valid only meanwhile, and the time."""


class Datagrams:
    """All of UDP on one interface but what is sent to groups; endpoints that are bound there hear nothing any more."""

    def __init__(self, stack: Stack, interface: Interface, receive: Receiver) -> None:
        """`receive` is called for each whole datagram with a checksum that is right."""
        self.interface = interface
        self._ip = stack.ip
        self._counters = stack.counters
        self._receive = receive
        self._others = stack.ip.receivers.get(_UDP)
        interface.transparent = True
        stack.ip.receivers[_UDP] = self._packet

    def send(
        self, source: bytes, source_port: int, destination: bytes, destination_port: int, data: Buffer, now: float
    ) -> bool:
        """Send a datagram in anybody's name, fragmented if it is long. False when it cannot be sent."""
        header = _UDP_HEADER.pack(source_port, destination_port, _UDP_HEADER.size + len(data), 0)
        try:
            path = self._ip.path(destination, now, local=source, interface=self.interface)
            path.send(_UDP, [header, data], now, fragment=True, checksum_offset=_UDP_CHECKSUM_AT)
        except NetworkFailure:
            self._counters["udp.forward-failed"] += 1
            return False
        return True

    def _packet(self, packet: Packet, now: float) -> None:
        if packet.interface is not self.interface:
            if self._others is not None:
                self._others(packet, now)
            return
        if packet.group:
            return  # a group's datagrams are for those who have joined it, and nobody's to forward
        payload = packet.payload
        if len(payload) < _UDP_HEADER.size:
            self._counters["udp.malformed"] += 1
            return
        source_port, destination_port, length, checksum = _UDP_HEADER.unpack_from(payload)
        if not _UDP_HEADER.size <= length <= len(payload):
            self._counters["udp.malformed"] += 1
            return
        if not packet.checksum and not _right(packet, payload[:length], checksum):
            self._counters["udp.bad-checksum"] += 1
            return
        self._receive(
            packet.source, source_port, packet.destination, destination_port, payload[_UDP_HEADER.size : length], now
        )


def _right(packet: Packet, datagram: memoryview, checksum: int) -> bool:
    """Whether a checksum is right; IPv4 lets it be left out (RFC 768), IPv6 does not (RFC 8200 8.1)."""
    if checksum == 0:
        return len(packet.source) == 4
    pseudo = ones_sum(packet.source) + ones_sum(packet.destination) + _UDP + len(datagram)
    return (pseudo + ones_sum(datagram)) % 65535 == 0
