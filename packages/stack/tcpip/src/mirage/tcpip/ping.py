"""Echo requests and their replies (RFC 792, RFC 4443 4): whether a host is there, and how long the way is.

    ping = stack.ping("192.0.2.1")
    ping.send(now)                  # news when a reply, or an ICMP error about a request, has come
    reply = ping.read()

Replies are told apart by an identifier that nobody can guess and that is the endpoint's own.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict, deque
from typing import NamedTuple

from mirage.types.devices import Buffer

from .counters import Counters
from .errors import LimitReached, NetworkFailure, NotConnected, Unreachable, WireError
from .ip.interface import Interface
from .ip.layer import Ip
from .ip.packet import ErrorKind, IcmpError, Packet
from .news import Endpoint, News
from .wire import icmp

__all__ = ["Ping", "Pings", "Reply"]

_ICMP4, _ICMP6 = 1, 58
_MAX_WAITING = 64
_MAX_ASKED = 1024
_MAX_PINGS = 1024


class Reply(NamedTuple):
    """A reply has come."""

    sequence: int
    source: bytes
    data: bytes
    hop_limit: int
    delay: float | None
    """Seconds since the request; None for a reply to what was not asked lately."""


class Ping(Endpoint):
    """Asks one host. Made by `Stack.ping`."""

    __slots__ = ("_asked", "_error", "_pings", "_replies", "closed", "identifier", "interface", "remote")

    def __init__(self, pings: Pings, news: News, remote: bytes, identifier: int, interface: Interface | None) -> None:
        super().__init__(news)
        self._pings = pings
        self.remote = remote
        """4 or 16 octets; a group may answer with many voices."""
        self.identifier = identifier
        self.interface = interface
        self.closed = False
        self._asked: OrderedDict[int, float] = OrderedDict()
        self._replies: deque[Reply] = deque()
        self._error: NetworkFailure | None = None

    @property
    def readable(self) -> bool:
        """Whether `read` or `take_error` has something."""
        return bool(self._replies) or self._error is not None

    def send(
        self,
        now: float,
        sequence: int | None = None,
        data: Buffer = bytes(56),
        *,
        hop_limit: int | None = None,
        fragment: bool = True,
    ) -> int:
        """Send a request, and say its sequence number: by default the one after the last.

        Raises `NoRoute`, `Unreachable`; `MessageTooLong` where it may not be fragmented; `NotConnected` when closed.
        """
        if self.closed:
            raise NotConnected("the ping was closed")
        if sequence is None:
            sequence = (next(reversed(self._asked), -1) + 1) & 0xFFFF
        path = self._pings.ip.path(self.remote, now, interface=self.interface)
        rest = self.identifier.to_bytes(2, "big") + sequence.to_bytes(2, "big")
        if len(self.remote) == 16:
            message = icmp.build6(icmp.ECHO_REQUEST6, 0, rest, bytes(data), path.pseudo_sum)
        else:
            message = icmp.build4(icmp.ECHO_REQUEST4, 0, rest, bytes(data))
        protocol = _ICMP6 if len(self.remote) == 16 else _ICMP4
        path.send(protocol, [message], now, hop_limit=hop_limit, fragment=fragment)
        self._asked.pop(sequence, None)
        self._asked[sequence] = now
        if len(self._asked) > _MAX_ASKED:
            self._asked.popitem(last=False)
        return sequence

    def read(self) -> Reply | None:
        """The next reply; None when none waits."""
        return self._replies.popleft() if self._replies else None

    def take_error(self) -> NetworkFailure | None:
        """What ICMP said about a request, once."""
        error, self._error = self._error, None
        return error

    def close(self) -> None:
        """Hear no more replies. Repeating it does nothing."""
        if not self.closed:
            self.closed = True
            self._pings.forget(self)

    def _replied(self, packet: Packet, message: icmp.Icmp, now: float) -> None:
        sequence = int.from_bytes(message.rest[2:], "big")
        asked = self._asked.get(sequence)
        if len(self._replies) >= _MAX_WAITING:
            self._pings.counters["ping.buffer-full"] += 1
            return
        delay = None if asked is None else now - asked
        self._replies.append(Reply(sequence, packet.source, bytes(message.body), packet.hop_limit, delay))
        self.tell()

    def _failed(self, error: IcmpError, now: float) -> None:
        if error.kind is ErrorKind.PACKET_TOO_BIG:
            self._pings.ip.path(self.remote, now, interface=self.interface).reduce(error.mtu, now)
        self._error = Unreachable(f"{error.kind.value}, says {ipaddress.ip_address(error.reporter)}")
        self.tell()


class Pings:
    """The pings of one stack."""

    def __init__(self, ip: Ip, news: News, counters: Counters) -> None:
        self.ip = ip
        self.counters = counters
        self._news = news
        self._open: dict[tuple[int, int], Ping] = {}
        for protocol in (_ICMP4, _ICMP6):
            ip.receivers[protocol] = self._packet
            ip.error_receivers[protocol] = self._icmp_error

    def open(self, remote: bytes, interface: Interface | None = None) -> Ping:
        """A ping with an identifier of its own. Raises `LimitReached`."""
        if len(self._open) >= _MAX_PINGS:
            self.counters["ping.too-many"] += 1
            raise LimitReached(f"there are {_MAX_PINGS} pings; close some")
        while True:
            identifier = int.from_bytes(self.ip.secret_octets(2), "big")
            if (len(remote), identifier) not in self._open:
                break
        ping = self._open[len(remote), identifier] = Ping(self, self._news, remote, identifier, interface)
        return ping

    def forget(self, ping: Ping) -> None:
        """A ping was closed."""
        self._open.pop((len(ping.remote), ping.identifier), None)

    def _packet(self, packet: Packet, now: float) -> None:
        try:
            message = icmp.parse(packet.payload)
        except WireError:
            return
        if message.kind not in {icmp.ECHO_REPLY4, icmp.ECHO_REPLY6}:
            return
        ping = self._open.get((len(packet.source), int.from_bytes(message.rest[:2], "big")))
        if ping is None or (packet.source != ping.remote and not self.ip.is_group(ping.remote)):
            self.counters["ping.unasked"] += 1
            return
        ping._replied(packet, message, now)

    def _icmp_error(self, error: IcmpError, now: float) -> None:
        quoted = error.quoted
        if quoted[0] != (icmp.ECHO_REQUEST6 if len(error.remote) == 16 else icmp.ECHO_REQUEST4):
            return
        ping = self._open.get((len(error.remote), quoted[4] << 8 | quoted[5]))
        # RFC 5927 4: only what can be about a request of ours is believed
        if ping is not None and error.remote == ping.remote and (quoted[6] << 8 | quoted[7]) in ping._asked:
            ping._failed(error, now)
