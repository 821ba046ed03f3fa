"""What a descriptor stands for: a socket with its options, or an epoll instance that watches some."""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass, field
from typing import Final

from ...settings import Settings
from ...tcp.connection import Connection
from ...tcp.listener import Listener
from ...tcp.state import State
from ...udp import UdpEndpoint
from ._protocol import number_of

__all__ = ["POLLERR", "POLLHUP", "POLLIN", "POLLNVAL", "POLLOUT", "POLLRDHUP", "Epoll", "Socket"]

POLLIN, POLLOUT, POLLERR, POLLHUP, POLLNVAL, POLLRDHUP = 1, 4, 8, 0x10, 0x20, 0x2000
_EPOLLET: Final = 1 << 31
_EPOLLONESHOT: Final = 1 << 30
_TCP_INQ: Final = 36

Edge = tuple[int, bool, bool, State | None, int]


class Socket:
    """A socket."""

    def __init__(self, version: int, blocking: bool, settings: Settings) -> None:
        self.version = version
        self.blocking = blocking
        self.local: tuple[bytes | None, int] = (None, 0)
        self.listener: Listener | None = None
        self.connection: Connection | None = None
        self.udp: UdpEndpoint | None = None
        self.options: dict[tuple[int, int], bytes] = {}
        self.error_taken = False
        self.read_shut = False
        self._settings = settings
        self._lacked_room = False
        """Whether a write was cut short, or refused, since there was room last."""
        self._waiting = 0
        """Connections, or datagrams, that waited when `look` was called last."""
        self._news = 0
        """How often there was room again, or more of those."""

    @property
    def error(self) -> int:
        """The errno of what ended the connection, 0 for nothing."""
        found = self.connection.error if self.connection is not None else None
        if found is None or self.error_taken:
            return 0
        return number_of(found, errno.EHOSTUNREACH)

    def number(self, level: int, option: int) -> int:
        """An option as a number; 0 if it was not set."""
        return int.from_bytes(self.options.get((level, option), b"")[:4], "little")

    @property
    def tells_what_is_left(self) -> bool:
        """Whether `recvmsg` says how much more there is to read (TCP_INQ)."""
        return bool(self.number(socket.IPPROTO_TCP, _TCP_INQ))

    # Room to write

    @property
    def _buffered(self) -> int:
        assert self.connection is not None
        return self.connection.queued + self.connection.unacknowledged

    @property
    def room(self) -> int:
        """Octets that a write may bring now."""
        chosen = self.number(socket.SOL_SOCKET, socket.SO_SNDBUF)
        return (chosen or self._settings.send_buffer) - self._buffered

    def wrote(self, whole: bool) -> None:
        """A write took all, or did not."""
        self._lacked_room = not whole

    def look(self) -> None:
        """After anything may have happened: whether there is room again for who had none (as with Linux a third of the
        buffer has to be free), or more connections or datagrams than before."""
        if self._lacked_room and self.connection is not None and 2 * self.room >= self._buffered:
            self._lacked_room = False
            self._news += 1
        waiting = 0
        if self.listener is not None:
            waiting = self.listener.waiting
        elif self.udp is not None:
            waiting = self.udp.waiting + (self.udp.readable and not self.udp.waiting)
        self._news += waiting > self._waiting
        self._waiting = waiting

    # Readiness

    @property
    def events(self) -> int:
        """What poll and epoll say."""
        if self.udp is not None:
            return POLLOUT | (POLLIN if self.udp.readable else 0)
        if self.listener is not None:
            return POLLIN if self.listener.is_ready else 0
        connection = self.connection
        if connection is None:
            return POLLHUP | POLLOUT
        events = 0
        if connection.readable or connection.eof or self.read_shut:
            events |= POLLIN
        if connection.eof or self.read_shut:
            events |= POLLRDHUP
        if connection.state.synchronized and 2 * self.room >= self._buffered:
            events |= POLLOUT
        if connection.state in {State.CLOSED, State.TIME_WAIT} or (connection.eof and connection.sender.fin_queued):
            events |= POLLHUP | POLLIN | POLLOUT | POLLRDHUP
        if self.error:
            events |= POLLERR
        return events

    @property
    def edge(self) -> Edge:
        """What has another value after each thing that wakes an edge-triggered watcher."""
        connection = self.connection
        if connection is None:
            return 0, False, False, None, self._news
        synchronized = connection.state if connection.state.synchronized else None
        return connection.receiver.nxt, connection.eof, bool(self.error), synchronized, self._news


@dataclass(slots=True)
class _Watch:
    """One descriptor that is watched."""

    events: int
    data: bytes
    """Eight octets of the caller's."""
    seen: Edge | None = None
    """The edge that was told of last; None: everything counts as new."""


@dataclass(slots=True)
class Epoll:
    """An epoll instance: level- and edge-triggered, and one-shot."""

    watched: dict[int, _Watch] = field(default_factory=dict)

    def control(self, what: int, descriptor: int, events: int, data: bytes) -> int:
        """`epoll_ctl`: add (1), delete (2), modify (3). Returns an errno, 0 for none."""
        known = descriptor in self.watched
        if what == 1 and known:
            return errno.EEXIST
        if what != 1 and not known:
            return errno.ENOENT
        if what == 2:
            del self.watched[descriptor]
        elif what in {1, 3}:
            self.watched[descriptor] = _Watch(events, data)
        else:
            return errno.EINVAL
        return 0

    def wait(self, sockets: dict[int, Socket], most: int) -> list[tuple[int, bytes]]:
        """What is ready: events and the caller's octets, at most so many. Those told of go behind the others."""
        told = []
        for descriptor, watch in list(self.watched.items()):
            found = sockets.get(descriptor)
            if found is None:
                del self.watched[descriptor]  # it was closed
                continue
            ready = found.events & (watch.events | POLLERR | POLLHUP) & 0xFFFF
            if not watch.events & 0xFFFF:
                continue  # it was a one-shot, and has been told of
            if watch.events & _EPOLLET:
                edge = found.edge
                if watch.seen == edge:
                    continue
                watch.seen = edge
            if not ready:
                continue
            told.append((ready, watch.data))
            if watch.events & _EPOLLONESHOT:
                watch.events &= ~0xFFFF
            self.watched[descriptor] = self.watched.pop(descriptor)
            if len(told) == most:
                break
        return told
