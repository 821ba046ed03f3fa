"""All connections of a stack: who a segment is for, who listens, whose time has come, and the caps.

A connection is found by one dictionary key, which is what stands in a frame: source address, destination address,
source port, destination port, as octets. The stack's fast lane (`mirage.tcpip.stack`) looks there itself.
"""

from __future__ import annotations

import heapq
import itertools
import struct
from collections.abc import Iterator
from math import inf
from typing import TYPE_CHECKING, Final

from mirage.types import Random

from ..counters import Counters
from ..errors import (
    AddressInUse,
    AddressUnavailable,
    ConnectionRefused,
    LimitReached,
    NetworkFailure,
    Unreachable,
    WireError,
)
from ..ip.layer import Ip
from ..ip.packet import ErrorKind, IcmpError, Packet
from ..ip.path import Path
from ..news import News
from ..settings import Settings
from ..wire.checksum import ones_sum
from ..wire.tcp import ACK, FIN, RST, SYN, Segment, build, parse, parse_options
from . import handshake, timers, transmit
from .congestion import controller
from .connection import Connection
from .cookies import SynCookies
from .framer import Framer
from .isn import InitialNumbers, PortChooser
from .listener import Listener
from .receiver import Receiver
from .rtt import RttEstimator
from .sender import Sender
from .state import State
from .timewait import TimeWait

if TYPE_CHECKING:
    from ..forward import TcpForwarder

__all__ = ["Listener", "Tcp"]

_TCP: Final = 6
_PORTS: Final = struct.Struct(">HH")
_CHECKSUM_AT: Final = 16
_ABOVE: Final = 250_000
"""What the clock of initial sequence numbers goes on by in a second."""
_SPARE_TIMERS: Final = 64
_HARD: Final = {ErrorKind.PROTOCOL_UNREACHABLE, ErrorKind.PORT_UNREACHABLE, ErrorKind.PROHIBITED}
"""What ends a connection that is being opened (RFC 1122 4.2.3.9)."""


class Tcp:
    """TCP of one stack."""

    def __init__(self, ip: Ip, settings: Settings, random: Random, news: News, counters: Counters, now: float) -> None:
        self.ip = ip
        self.settings = settings
        self.news = news
        self.counters = counters
        self.now = now
        self.connections: dict[bytes, Connection | TimeWait] = {}
        self.listeners: dict[tuple[int, bytes | None, int], Listener] = {}
        """By version of IP, local address (None: any), port."""
        self.forwarders: dict[str, TcpForwarder] = {}
        """By the name of an interface: who takes the SYNs there that no listener wants (`mirage.tcpip.forward`)."""
        self.scheduled: list[Connection] = []
        self.holding: list[Connection] = []
        """Connections whose unread data may lie in the frames given to `Stack.input`."""
        self.half_open = 0
        self.open = 0
        """Connections that are neither half-open nor in TIME-WAIT."""
        self._time_waits: dict[bytes, TimeWait] = {}
        self._heap: list[tuple[float, int, Connection]] = []
        self._order = itertools.count()
        self.numbers = InitialNumbers(random.generate)
        self.ports = PortChooser(random.generate)
        self.cookies = SynCookies(random.generate)
        self._congestion = controller(settings.congestion_control)
        ip.receivers[_TCP] = self.packet
        ip.error_receivers[_TCP] = self.icmp_error

    def reseed(self, random: Random) -> None:
        """Draw the secrets anew, as a guest must that goes on from a snapshot like others. Open connections go on."""
        self.numbers = InitialNumbers(random.generate)
        self.ports = PortChooser(random.generate)
        self.cookies = SynCookies(random.generate)

    # What the application asks for

    def listen(self, version: int, address: bytes | None, port: int, backlog: int) -> Listener:
        """Accept connections at a local address, or any of a version of IP. Port 0 chooses a free one.

        Raises `AddressInUse`, `AddressUnavailable`.
        """
        if address is not None and not self.ip.is_local(address):
            raise AddressUnavailable("the address to listen at is none of this stack's")
        if port == 0:
            port = self._port(self.ports.choose(address or b"", b"", 0, lambda p: self._taken(version, address, p)))
        elif self._taken(version, address, port):
            raise AddressInUse(f"somebody listens at port {port} already")
        listener = Listener(self, version, address, port, backlog)
        self.listeners[version, address, port] = listener
        return listener

    def _taken(self, version: int, address: bytes | None, port: int) -> bool:
        return any(
            v == version and p == port and (a is None or address is None or a == address) for v, a, p in self.listeners
        )

    def connect(self, path: Path, remote_port: int, local_port: int, now: float) -> Connection:
        """Open a connection along a path; port 0 chooses a free one (RFC 6056).

        Raises `AddressInUse`, `LimitReached`.
        """
        self.now = max(self.now, now)
        self._admit()
        if local_port == 0:
            local_port = self._choose_port(path, remote_port)
        key = path.remote + path.local + _PORTS.pack(remote_port, local_port)
        known = self.connections.get(key)
        above = None
        if isinstance(known, TimeWait):
            above = known.sent_until
            self._forget_time_wait(known)
        elif known is not None:
            raise AddressInUse(f"there is a connection from port {local_port} to there already")
        connection = self.make(key, path, local_port, remote_port, now, above=above)
        connection.state = State.SYN_SENT
        connection.syn_due = True
        connection.ecn = self.settings.ecn
        connection.schedule()
        return connection

    def make(
        self,
        key: bytes,
        path: Path,
        local_port: int,
        remote_port: int,
        now: float,
        *,
        iss: int | None = None,
        above: int | None = None,
    ) -> Connection:
        """A connection with nothing agreed on yet, in the table. It begins at `iss`, or at a number of its own that is
        `above` the last one of an older connection between the same ports (RFC 9293 3.10.7.4)."""
        settings = self.settings
        framer = Framer(path, local_port, remote_port)
        if iss is None:
            iss = self.numbers.isn(path.local, local_port, path.remote, remote_port, now)
            if above is not None and (iss - above - 1) & 0xFFFFFFFF >= 0x80000000:
                iss = (above + _ABOVE) & 0xFFFFFFFF  # faster than the clock of these numbers, much was sent
        mss = max(path.mtu - framer.overhead, 1)
        estimator = RttEstimator(settings.rto_initial, settings.rto_min, settings.rto_max)
        congestion = self._congestion(mss, settings.initial_window)
        sender = Sender(iss, mss, congestion, estimator)
        sender.sack = settings.sack
        receiver = Receiver(settings.receive_buffer, handshake.scale_for(settings.receive_buffer))
        connection = Connection(self, key, framer, sender, receiver, now)
        connection.receive_mss = mss
        connection.timestamp_offset = self.numbers.timestamp_offset(path.local, path.remote)
        self.connections[key] = connection
        self.open += 1
        return connection

    def _admit(self) -> None:
        if self.open >= self.settings.max_connections:
            self.counters["tcp.too-many-connections"] += 1
            raise LimitReached(f"there are {self.open} connections, as many as Settings.max_connections allows")

    def _choose_port(self, path: Path, remote_port: int) -> int:
        version = 4 if len(path.local) == 4 else 6

        def taken(port: int) -> bool:
            key = path.remote + path.local + _PORTS.pack(remote_port, port)
            return key in self.connections or self._taken(version, path.local, port)

        return self._port(self.ports.choose(path.local, path.remote, remote_port, taken))

    def _port(self, chosen: int | None) -> int:
        if chosen is None:
            self.counters["tcp.no-port"] += 1
            raise LimitReached("all local ports for this destination are taken")
        return chosen

    # What arrives

    def packet(self, packet: Packet, now: float) -> None:
        """A TCP packet that the fast lane did not take."""
        self.now = now
        try:
            segment = parse(packet.payload)
        except WireError:
            self.counters["tcp.malformed"] += 1
            return
        if packet.group or not any(packet.source):
            return  # TCP is between two that have addresses (RFC 9293 MUST-57, MUST-63)
        if not packet.checksum and self._bad_checksum(packet):
            self.counters["tcp.bad-checksum"] += 1
            return
        key = packet.source + packet.destination + _PORTS.pack(segment.source_port, segment.destination_port)
        known = self.connections.get(key)
        above = None
        if isinstance(known, TimeWait):
            if self._revives(known, segment):
                above = known.sent_until
                self._forget_time_wait(known)
                known = None
            else:
                known.segment(
                    segment.sequence,
                    segment.acknowledgment,
                    segment.flags,
                    segment.window,
                    segment.payload,
                    segment.options,
                    False,
                    now,
                )
                return
        if known is not None:
            known.segment(
                segment.sequence,
                segment.acknowledgment,
                segment.flags,
                segment.window,
                segment.payload,
                segment.options,
                packet.traffic_class & 3 == 3,
                now,
            )
            return
        listener = self._listener(packet.destination, segment.destination_port)
        if listener is None and self.forwarders:
            forwarder = self.forwarders.get(packet.interface.name)
            taken = forwarder is not None and forwarder.arrived(key, packet, segment)
        else:
            taken = listener is not None and listener.arrived(key, packet, segment, now, above)
        if not taken:
            self._refuse(packet, segment, now)

    def _bad_checksum(self, packet: Packet) -> bool:
        pseudo = ones_sum(packet.source) + ones_sum(packet.destination) + _TCP + len(packet.payload)
        return (pseudo + ones_sum(packet.payload)) % 65535 != 0

    def _listener(self, address: bytes, port: int) -> Listener | None:
        version = 4 if len(address) == 4 else 6
        return self.listeners.get((version, address, port)) or self.listeners.get((version, None, port))

    def _revives(self, known: TimeWait, segment: Segment) -> bool:
        """Whether a SYN may take over an address pair in TIME-WAIT (RFC 9293 3.10.7.4, RFC 6191)."""
        if segment.flags & (SYN | ACK | RST) != SYN:
            return False
        options = parse_options(segment.options)
        return known.may_be_followed_by(segment.sequence, options.timestamps)

    def _refuse(self, packet: Packet, segment: Segment, now: float) -> None:
        """Nobody is there: RST (RFC 9293 3.10.7.1)."""
        if segment.flags & RST:
            return
        self.counters["tcp.no-listener"] += 1
        self.counters["tcp.resets-sent"] += 1
        if segment.flags & ACK:
            sequence, acknowledgment, flags = segment.acknowledgment, 0, RST
        else:
            length = len(segment.payload) + bool(segment.flags & SYN) + bool(segment.flags & FIN)
            sequence, acknowledgment, flags = 0, segment.sequence + length, RST | ACK
        try:
            path = self.ip.path(packet.source, now, local=packet.destination, interface=packet.interface)
            header = build(segment.destination_port, segment.source_port, sequence, acknowledgment, flags, 0)
            path.send(_TCP, [header], now, checksum_offset=_CHECKSUM_AT)
        except NetworkFailure:
            return

    def reset_for(self, connection: Connection, acknowledgment: int, now: float) -> None:
        """Answer an ACK of what was never sent: RST with just that number (RFC 9293 3.10.7.3, 3.10.7.4)."""
        self.counters["tcp.resets-sent"] += 1
        framer = connection.framer
        header = build(framer.local_port, framer.remote_port, acknowledgment, 0, RST, 0)
        try:
            framer.path.send(_TCP, [header], now, checksum_offset=_CHECKSUM_AT)
        except NetworkFailure:
            return

    def icmp_error(self, error: IcmpError, now: float) -> None:
        """An ICMP error about a segment; it counts only if the segment can be ours and is under way (RFC 5927 4.1)."""
        self.now = now
        known = self.connections.get(error.remote + error.local + bytes(error.quoted[2:4]) + bytes(error.quoted[:2]))
        if not isinstance(known, Connection):
            return
        sender = known.sender
        sequence = int.from_bytes(error.quoted[4:8], "big")
        if (sequence - sender.una) & 0xFFFFFFFF >= max(sender.nxt - sender.una, 1):
            self.counters["tcp.icmp-ignored"] += 1
            return
        if error.kind is ErrorKind.PACKET_TOO_BIG:
            path = known.framer.path
            before = path.mtu
            path.reduce(error.mtu, now)
            if path.mtu < before and known.state.synchronized:
                if known.search is not None:
                    known.search.on_too_big(path.mtu, now)
                handshake.update_mss(known)
                sender.lose_all(now)
                known.schedule()
            return
        text = f"{error.kind.value}, says the network"
        if error.kind in _HARD:
            known.icmp_error(ConnectionRefused(text), True, error, now)
        else:
            known.icmp_error(Unreachable(text), False, error, now)

    # Time

    def wake_at(self, connection: Connection, at: float) -> None:
        """Have a connection's timers looked at; each has at most one place in the heap that counts."""
        connection.heap_at = at
        heap = self._heap
        heapq.heappush(heap, (at, next(self._order), connection))
        if len(heap) > 2 * len(self.connections) + _SPARE_TIMERS:
            # Half of them do not count any more, and would stay for as long as a keep-alive is away: two hours.
            heap[:] = [(c.heap_at, next(self._order), c) for c in self.all() if c.heap_at < inf]
            heapq.heapify(heap)

    def poll(self, now: float) -> None:
        """Do what time asks for, and send all that is due."""
        self.now = now
        for connection in self.holding:
            connection.holding = False
            if connection.receiver.readable:
                connection.receiver.own()
        self.holding.clear()
        heap = self._heap
        while heap and heap[0][0] <= now:
            at, _, connection = heapq.heappop(heap)
            if at == connection.heap_at:
                connection.heap_at = inf
                if connection.state is not State.CLOSED:
                    timers.expired(connection, now)
        while self._time_waits:
            oldest = next(iter(self._time_waits.values()))
            if oldest.until > now:
                break
            self._forget_time_wait(oldest)
        while self.scheduled:
            due, self.scheduled = self.scheduled, []
            for connection in due:
                transmit.output(connection, now)

    def next_deadline(self) -> float:
        """When `poll` is wanted next, or a little earlier."""
        at = self._heap[0][0] if self._heap else inf
        if self._time_waits:
            at = min(at, next(iter(self._time_waits.values())).until)
        return at

    # Ends

    def time_wait(self, connection: Connection, now: float) -> None:
        """A connection has entered TIME-WAIT: a small record takes its place, and its application may let it go."""
        self._leave(connection)
        if len(self._time_waits) >= self.settings.max_time_wait:
            self.counters["tcp.time-wait-overflow"] += 1
            self._forget_time_wait(next(iter(self._time_waits.values())))
        record = TimeWait(self, connection, now)
        self.connections[connection.key] = record
        self._time_waits[connection.key] = record

    def extend(self, record: TimeWait, now: float) -> None:
        """The peer's FIN came again: 2 MSL from now (RFC 9293 3.10.7.4)."""
        record.until = now + self.settings.time_wait
        self._time_waits[record.key] = self._time_waits.pop(record.key)

    def _forget_time_wait(self, record: TimeWait) -> None:
        del self._time_waits[record.key]
        if self.connections.get(record.key) is record:
            del self.connections[record.key]

    def forget(self, connection: Connection) -> None:
        """A connection is over."""
        if self.connections.get(connection.key) is connection:
            del self.connections[connection.key]
            self._leave(connection)

    def _leave(self, connection: Connection) -> None:
        self.open -= 1
        if connection.listener is not None:
            connection.listener.gone(connection)

    def all(self) -> Iterator[Connection]:
        """The connections, TIME-WAIT left out."""
        return (c for c in self.connections.values() if isinstance(c, Connection))
