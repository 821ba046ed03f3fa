"""Who waits for connections: half-open ones, SYN cookies under pressure, and those ready to be accepted."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from ..errors import NetworkFailure
from ..news import Endpoint
from ..wire.tcp import ACK, FIN, RST, SYN, Segment
from . import passive
from .state import State

if TYPE_CHECKING:
    from ..ip.packet import Packet
    from .connection import Connection
    from .tcp import Tcp

__all__ = ["Listener"]


class Listener(Endpoint):
    """Accepts connections at a port. There are news when one is ready."""

    __slots__ = ("_half_open", "_ready", "_tcp", "address", "backlog", "closed", "port", "segment_limit", "version")

    def __init__(self, tcp: Tcp, version: int, address: bytes | None, port: int, backlog: int) -> None:
        super().__init__(tcp.news)
        self._tcp = tcp
        self.version = version
        self.address = address
        self.port = port
        self.backlog = backlog
        """How many connections may be half-open, and how many may wait to be accepted."""
        self.closed = False
        self.segment_limit = 0xFFFF
        """What `Connection.limit_segments` gets for those who come: the MSS that their SYN is answered with."""
        self._half_open: set[Connection] = set()
        self._ready: deque[Connection] = deque()

    @property
    def is_ready(self) -> bool:
        """Whether `accept` has a connection to give."""
        return any(connection.state is not State.CLOSED for connection in self._ready)

    @property
    def half_open(self) -> int:
        """How many connections are being opened."""
        return len(self._half_open)

    @property
    def waiting(self) -> int:
        """How many connections wait to be accepted."""
        return len(self._ready)

    def accept(self) -> Connection | None:
        """The next connection that is established, or None."""
        while self._ready:
            connection = self._ready.popleft()
            if connection.state is not State.CLOSED:
                connection.listener = None
                return connection
        return None

    def close(self) -> None:
        """Accept no more; connections that were not accepted are reset (RFC 9293 3.10.4)."""
        if self.closed:
            return
        self.closed = True
        del self._tcp.listeners[self.version, self.address, self.port]
        for connection in [*self._half_open, *self._ready]:
            connection.abort()
        self._ready.clear()

    def arrived(self, key: bytes, packet: Packet, segment: Segment, now: float, above: int | None = None) -> bool:
        """A segment for no connection has come to this port (RFC 9293 3.10.7.2). False: it deserves a RST. `above` is
        the last number of a connection in TIME-WAIT that a SYN takes the place of."""
        flags = segment.flags
        if flags & RST:
            return True
        if flags & ACK:
            return self._completed(key, packet, segment, now)
        if not flags & SYN:
            return True
        tcp = self._tcp
        if flags & FIN:
            # T/TCP opened and closed at once (RFC 6247 made it history); what does so now looks for a hole.
            tcp.counters["tcp.syn-with-fin"] += 1
            return True
        if len(self._ready) >= self.backlog:
            tcp.counters["tcp.backlog-full"] += 1
            return True  # silently: the peer tries again
        if tcp.open >= tcp.settings.max_connections:
            tcp.counters["tcp.too-many-connections"] += 1
        elif len(self._half_open) >= self.backlog or tcp.half_open >= tcp.settings.max_half_open:
            tcp.counters["tcp.cookies-sent"] += 1
            passive.send_cookie(tcp, packet, segment, self.segment_limit, now)
        else:
            try:
                self._adopt(passive.from_syn(tcp, key, packet, segment, now, above))
            except NetworkFailure:
                tcp.counters["tcp.syn-without-route"] += 1
        return True

    def _adopt(self, connection: Connection) -> None:
        connection.listener = self
        connection.limit_segments(self.segment_limit)
        self._half_open.add(connection)
        self._tcp.half_open += 1

    def _completed(self, key: bytes, packet: Packet, segment: Segment, now: float) -> bool:
        """An ACK for no connection: it may bring a SYN cookie back."""
        tcp = self._tcp
        if len(self._ready) >= self.backlog or tcp.open >= tcp.settings.max_connections:
            return True
        connection = passive.from_cookie(tcp, key, packet, segment, now)
        if connection is None:
            return False
        tcp.counters["tcp.cookies-accepted"] += 1
        self._adopt(connection)
        connection.segment(
            segment.sequence,
            segment.acknowledgment,
            segment.flags,
            segment.window,
            segment.payload,
            segment.options,
            False,
            now,
        )
        return True

    def ready(self, connection: Connection) -> None:
        """A half-open connection has been established."""
        if connection in self._half_open:
            self._half_open.discard(connection)
            self._tcp.half_open -= 1
            if len(self._ready) >= self.backlog:
                self._tcp.counters["tcp.backlog-full"] += 1
                connection.abort()
                return
            self._ready.append(connection)
            self.tell()

    def gone(self, connection: Connection) -> None:
        """A connection that was not accepted yet is over."""
        if connection in self._half_open:
            self._half_open.discard(connection)
            self._tcp.half_open -= 1
