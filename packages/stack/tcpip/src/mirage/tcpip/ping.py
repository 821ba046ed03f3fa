"""Echo requests for applications (RFC 792, RFC 4443 4.1): an endpoint that asks and reads answers with their times."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from mirage.types.devices import Buffer

from .errors import AddressUnavailable, LimitReached, NotConnected
from .ip.interface import Interface
from .ip.layer import Ip
from .ip.packet import ErrorKind, IcmpError, Packet
from .news import Endpoint, News
from .wire import icmp

__all__ = ["Echo", "Ping", "Pings"]

_ICMP4, _ICMP6 = 1, 58
_WAITING = 1024
"""Requests whose answers are waited for, and answers that wait to be read: the oldest give way."""
_MAX_ENDPOINTS = 1024


class Echo(NamedTuple):
    """An answer, or an ICMP error about a request."""

    sequence: int
    source: bytes
    """Who answered: a router on the way, if it is an error."""
    seconds: float
    """Since the request was sent."""
    hop_limit: int
    """Of the answer; 0 of an error."""
    data: bytes
    error: ErrorKind | None = None


class Ping(Endpoint):
    """Sends echo requests. There are news when an answer has come."""

    __slots__ = ("_pings", "_queue", "_sent", "_sequence", "closed", "identifier", "version")

    def __init__(self, pings: Pings, version: int, identifier: int) -> None:
        super().__init__(pings.news)
        self.version = version
        self.identifier = identifier
        self.closed = False
        self._pings = pings
        self._sequence = 0
        self._sent: dict[int, float] = {}
        self._queue: deque[Echo] = deque(maxlen=_WAITING)

    def send(
        self,
        remote: bytes,
        data: Buffer = b"",
        *,
        now: float,
        hop_limit: int | None = None,
        interface: Interface | None = None,
    ) -> int:
        """Ask a host to send `data` back; what is too large for the path is fragmented. Returns the sequence number.

        Raises `NoRoute`, `Unreachable`, `MessageTooLong`, `AddressUnavailable`.
        """
        if self.closed:
            raise NotConnected("the endpoint was closed")
        if len(remote) != (4 if self.version == 4 else 16):
            raise AddressUnavailable("the address is of the other version of IP")
        path = self._pings.ip.path(remote, now, interface=interface)
        sequence = self._sequence
        rest = self.identifier.to_bytes(2, "big") + sequence.to_bytes(2, "big")
        if self.version == 4:
            message = icmp.build4(icmp.ECHO_REQUEST4, 0, rest, bytes(data))
        else:
            message = icmp.build6(icmp.ECHO_REQUEST6, 0, rest, bytes(data), path.pseudo_sum)
        path.send(_ICMP4 if self.version == 4 else _ICMP6, [message], now, hop_limit=hop_limit, fragment=True)
        self._sequence = sequence + 1 & 0xFFFF
        self._sent[sequence] = now
        if len(self._sent) > _WAITING:
            del self._sent[next(iter(self._sent))]
        return sequence

    def read(self) -> Echo | None:
        """The next answer or error; None when none waits."""
        return self._queue.popleft() if self._queue else None

    def close(self) -> None:
        """Hear no more. Repeating it does nothing."""
        self.closed = True
        self._queue.clear()
        self._pings.forget(self)

    def heard(self, echo: Echo, now: float) -> None:
        """The layer hands over an answer; one that nobody asked for, or that repeats another, is dropped."""
        at = self._sent.pop(echo.sequence, None) if echo.error is None else self._sent.get(echo.sequence)
        if at is None:
            return
        self._queue.append(echo._replace(seconds=now - at))
        self.tell()


class Pings:
    """The echo endpoints of one stack."""

    def __init__(self, ip: Ip, news: News) -> None:
        self.ip = ip
        self.news = news
        self._open: dict[tuple[int, int], Ping] = {}
        for protocol in (_ICMP4, _ICMP6):
            ip.receivers[protocol] = self._packet
            ip.error_receivers[protocol] = self._error

    def open(self, version: int) -> Ping:
        """An endpoint for a version of IP, 4 or 6. Raises `LimitReached`."""
        if len(self._open) >= _MAX_ENDPOINTS:
            raise LimitReached(f"there are {len(self._open)} echo endpoints; close some")
        while True:
            identifier = int.from_bytes(self.ip.draw_octets(2), "big")
            if (version, identifier) not in self._open:
                break
        ping = self._open[version, identifier] = Ping(self, version, identifier)
        return ping

    def forget(self, ping: Ping) -> None:
        """An endpoint was closed."""
        self._open.pop((ping.version, ping.identifier), None)

    def _packet(self, packet: Packet, now: float) -> None:
        message = icmp.parse(packet.payload)
        version = 4 if len(packet.source) == 4 else 6
        if message.kind != (icmp.ECHO_REPLY4 if version == 4 else icmp.ECHO_REPLY6):
            return
        ping = self._open.get((version, int.from_bytes(message.rest[:2], "big")))
        if ping is None:
            self.ip.counters["icmp.unasked-replies"] += 1
            return
        sequence = int.from_bytes(message.rest[2:], "big")
        ping.heard(Echo(sequence, packet.source, 0.0, packet.hop_limit, bytes(message.body)), now)

    def _error(self, error: IcmpError, now: float) -> None:
        version = 4 if len(error.remote) == 4 else 6
        quoted = error.quoted
        if quoted[0] == (icmp.ECHO_REQUEST4 if version == 4 else icmp.ECHO_REQUEST6):
            ping = self._open.get((version, int.from_bytes(quoted[4:6], "big")))
            if ping is not None:
                sequence = int.from_bytes(quoted[6:8], "big")
                ping.heard(Echo(sequence, error.reporter, 0.0, 0, b"", error.kind), now)
