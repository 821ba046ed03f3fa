"""TCP through the gateway: out to the host's network where the policy permits, and in to published ports.

Outwards the host's side comes first: a guest's SYN waits until the host's `connect` has come to an end, and then gets
that end, an open connection or a RST. Inwards the kernel has accepted already; what the guest refuses is reset.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from collections import Counter
from typing import TYPE_CHECKING

from mirage.tcpip import TcpipError
from mirage.tcpip.forward import Request, TcpForwarder

from ._bind import AGAIN
from ._splice import Splice, reset
from .policy import Address, Policy

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._inside import Inside

__all__ = ["Outwards", "Published", "Streams"]

_WAITING = 512
_CONNECT = 30.0
"""Seconds that the host's `connect` may take; a guest's own patience is of this kind."""
_ACCEPTED = 64
_BACKLOG = 1024
_PENDING = {errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EALREADY}


class Streams:
    """The connections that there are, their number and their idleness bounded."""

    def __init__(self, inside: Inside, counters: Counter[str], *, limit: int = 4096, idle: float = 7440.0) -> None:
        """`idle`: seconds without an octet after which a connection is reset (RFC 5382 REQ-5: at least 2 h 4 min);
        one of which a direction has ended, or that is being opened, has a thirtieth of that (4 min)."""
        self.inside = inside
        self.counters = counters
        self.limit = limit
        self.idle = idle
        self.splices: set[Splice] = set()
        self.opening = 0
        """How many are on their way outwards, each with a socket already."""
        self._octets = [0, 0]
        self._sweep: asyncio.TimerHandle | None = None

    @property
    def full(self) -> bool:
        """Whether there are as many as there may be."""
        return len(self.splices) + self.opening >= self.limit

    @property
    def octets(self) -> tuple[int, int]:
        """Octets to guests, and from guests."""
        to_guest, from_guest = self._octets
        for splice in self.splices:
            to_guest += splice.to_guest
            from_guest += splice.from_guest
        return to_guest, from_guest

    def join(self, connection: object, sock: socket.socket) -> None:
        """Splice a connection of the stack and a socket."""
        self.splices.add(Splice(self.inside, connection, sock, self._done))  # type: ignore[arg-type]
        if self._sweep is None:
            self._sweep = self.inside.loop.call_later(self.idle / 60, self._look)

    def _done(self, splice: Splice) -> None:
        self.splices.discard(splice)
        self._octets[0] += splice.to_guest
        self._octets[1] += splice.from_guest

    def _look(self) -> None:
        """Reset what has been idle for too long."""
        self._sweep = None
        now = self.inside.loop.time()
        for splice in list(self.splices):
            if now - splice.active_at > (self.idle / 30 if splice.half_closed else self.idle):
                self.counters["tcp.idle"] += 1
                splice.abort()
        if self.splices:
            self._sweep = self.inside.loop.call_later(self.idle / 60, self._look)

    def close(self) -> None:
        """Reset all."""
        if self._sweep is not None:
            self._sweep.cancel()
        for splice in list(self.splices):
            splice.abort()


class Outwards:
    """The guests' connections to the host's network."""

    def __init__(self, streams: Streams, policy: Policy) -> None:
        self._streams = streams
        self._inside = streams.inside
        self._policy = policy
        self._connecting: dict[int, _Attempt] = {}
        self._forwarder = TcpForwarder(self._inside.stack, self._inside.interface, _WAITING)
        self._forwarder.owner = self

    def news(self) -> None:
        """Guests want connections."""
        while (request := self._forwarder.take()) is not None:
            self._consider(request)

    def _consider(self, request: Request) -> None:
        counters = self._streams.counters
        target = self._policy.target(*request.destination)
        if not self._inside.plan.is_guest(request.source[0]):
            counters["tcp.spoofed"] += 1
            request.drop()
        elif target is None:
            counters["tcp.denied"] += 1
            request.refuse(self._inside.loop.time())
        elif self._streams.full or len(self._connecting) >= _WAITING:
            counters["tcp.full"] += 1
            request.drop()
        else:
            self._connect(request, *target)

    def _connect(self, request: Request, address: Address, port: int) -> None:
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        try:
            sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        except OSError:
            self._streams.counters["tcp.no-socket"] += 1
            request.drop()
            return
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        attempt = _Attempt(self, request, sock)
        failure = sock.connect_ex((str(address), port))
        if failure in _PENDING:
            self._connecting[sock.fileno()] = attempt
            self._streams.opening = len(self._connecting)
            attempt.wait()
        else:
            attempt.ended(failure)

    def ended(self, attempt: _Attempt, failure: int) -> None:
        """A `connect` has come to its end: the guest gets it too."""
        counters, now = self._streams.counters, self._inside.loop.time()
        self._connecting.pop(attempt.sock.fileno(), None)
        self._streams.opening = len(self._connecting)
        self._inside.soon()
        if failure:
            counters["tcp.refused" if failure == errno.ECONNREFUSED else "tcp.unreachable"] += 1
            attempt.sock.close()
            attempt.request.refuse(now)
            return
        try:
            connection = attempt.request.accept(now)
        except TcpipError:
            counters["tcp.guest-gone"] += 1
            reset(attempt.sock)
            return
        counters["tcp.out"] += 1
        self._streams.join(connection, attempt.sock)

    def close(self) -> None:
        """Give up what is being connected."""
        for attempt in list(self._connecting.values()):
            attempt.ended(errno.ECONNABORTED)


class _Attempt:
    """A `connect` that is under way."""

    def __init__(self, outwards: Outwards, request: Request, sock: socket.socket) -> None:
        self.request = request
        self.sock = sock
        self._outwards = outwards
        self._loop = outwards._inside.loop
        self._timer: asyncio.TimerHandle | None = None

    def wait(self) -> None:
        self._loop.add_writer(self.sock.fileno(), self._writable)
        self._timer = self._loop.call_later(_CONNECT, self.ended, errno.ETIMEDOUT)

    def _writable(self) -> None:
        self.ended(self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))

    def ended(self, failure: int) -> None:
        if self._timer is not None:
            self._loop.remove_writer(self.sock.fileno())
            self._timer.cancel()
        self._outwards.ended(self, failure)


class Published:
    """A listening socket of the host, whose connections go to a guest."""

    def __init__(self, streams: Streams, sock: socket.socket, guest: Callable[[int], bytes], port: int) -> None:
        """`sock` listens already; `guest` says where a client of this version of IP goes now."""
        self._streams = streams
        self._inside = streams.inside
        self._socket = sock
        self._guest = guest
        self._port = port
        self._version = 6 if sock.family == socket.AF_INET6 else 4
        self._again: asyncio.TimerHandle | None = None
        sock.setblocking(False)
        sock.listen(_BACKLOG)
        self._inside.loop.add_reader(sock.fileno(), self._acceptable)

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens; of a socket file its path, and 0."""
        if self._socket.family == socket.AF_UNIX:
            return self._socket.getsockname(), 0
        host, port, *_ = self._socket.getsockname()
        return host, port

    def _acceptable(self) -> None:
        counters = self._streams.counters
        for _ in range(_ACCEPTED):
            try:
                sock, _address = self._socket.accept()
            except BlockingIOError:
                break
            except OSError:
                counters["tcp.accept-failed"] += 1  # out of descriptors: others will end
                self._wait()
                break
            sock.setblocking(False)
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._streams.full:
                counters["tcp.full"] += 1
                reset(sock)
                continue
            try:
                now = self._inside.loop.time()
                connection = self._inside.stack.connect(self._guest(self._version), self._port, now=now)
            except TcpipError:
                counters["tcp.no-guest"] += 1
                reset(sock)
                continue
            counters["tcp.in"] += 1
            self._streams.join(connection, sock)
        self._inside.soon()

    def _wait(self) -> None:
        """Accept nothing for a while."""
        loop = self._inside.loop
        loop.remove_reader(self._socket.fileno())
        self._again = loop.call_later(AGAIN, loop.add_reader, self._socket.fileno(), self._acceptable)

    def close(self) -> None:
        """Listen no more."""
        if self._again is not None:
            self._again.cancel()
        self._inside.loop.remove_reader(self._socket.fileno())
        if self._socket.family == socket.AF_UNIX:
            with contextlib.suppress(OSError):
                os.unlink(self._socket.getsockname())
        self._socket.close()
