"""One connection of two: octets go from a socket of the host to a connection of the stack, and back.

Invariants:

* What waits is bounded: octets for the guest stay in the host's kernel while `_HIGH` of them wait in the connection;
  octets for the host stay in the connection, whose window closes, while the host's kernel takes no more.
* Octets are copied by the kernel only: a `recv` makes the object that the stack sends from, and `sendmsg` takes the
  views that the stack received.
* The end of one direction is carried over as such (half-close), a reset as a reset, and nothing is closed before what
  came before it is through.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

from mirage.tcpip import NotConnected
from mirage.tcpip.tcp.connection import Connection
from mirage.tcpip.tcp.state import State

if TYPE_CHECKING:
    from ._inside import Inside

__all__ = ["Splice", "reset"]

_READ = 262144
_HIGH = 1 << 20
_LOW = 256 * 1024
_PIECES = 512
"""Views that one `sendmsg` takes; the kernel's limit is 1024 (IOV_MAX)."""
_NO_LINGER = struct.pack("ii", 1, 0)
_ESTABLISHED = State.ESTABLISHED


class Splice:
    """A connection inside and a socket outside. Begins when the connection is established."""

    __slots__ = (
        "_connection",
        "_done",
        "_ended_in",
        "_ended_out",
        "_fd",
        "_inside",
        "_reading",
        "_socket",
        "_started",
        "_writing",
        "active_at",
        "from_guest",
        "to_guest",
    )

    def __init__(
        self, inside: Inside, connection: Connection, sock: socket.socket, done: Callable[[Splice], None]
    ) -> None:
        """Join them. The socket is connected already, or was accepted; `done` is called once, at the end."""
        self._inside = inside
        self._connection = connection
        self._socket = sock
        self._fd = sock.fileno()
        self._done = done
        self._started = False
        self._reading = False
        self._writing = False
        self._ended_in = False
        """The host has said its last, and the guest was told."""
        self._ended_out = False
        """The guest has, and the host was told."""
        self.to_guest = self.from_guest = 0
        """Octets."""
        self.active_at = inside.loop.time()
        connection.owner = self
        connection.nodelay = True  # what comes from a peer is not ours to hold back

    @property
    def half_closed(self) -> bool:
        """Whether one direction has ended, or none has begun."""
        return self._ended_in or self._ended_out or not self._started

    # The guest's side

    def news(self) -> None:
        """The connection has news."""
        connection = self._connection
        if not self._started:
            if connection.state is _ESTABLISHED or connection.state.may_receive or connection.eof:
                self._started = True
                self._read_on()
            elif connection.error is not None or connection.state is State.CLOSED:
                self.abort()
                return
        if connection.receiver.readable and not self._writing:
            self._to_host()
        if connection.state is not _ESTABLISHED:
            self._changed()
        elif self._started and not self._reading and not self._ended_in and connection.queued <= _LOW:
            self._read_on()

    def _changed(self) -> None:
        connection = self._connection
        if self._fd < 0:
            return
        if connection.error is not None:
            self.abort()
        elif connection.eof and not connection.receiver.readable and not self._ended_out:
            self._ended_out = True
            with contextlib.suppress(OSError):  # it is gone: reading says so
                self._socket.shutdown(socket.SHUT_WR)
        if self._fd >= 0:
            if self._ended_in and self._ended_out:
                self._end()
            elif self._started and not self._reading and not self._ended_in and connection.queued <= _LOW:
                self._read_on()

    def _to_host(self) -> None:
        """Give the host what has come, as far as its kernel takes it."""
        connection = self._connection
        receiver = connection.receiver
        try:
            while receiver.readable:
                sent = self._socket.sendmsg(connection.peek()[:_PIECES])
                connection.skip(sent)
                self.from_guest += sent
        except BlockingIOError:
            self._writing = True
            self._inside.loop.add_writer(self._fd, self._writable)
        except OSError:
            self.abort()
            return
        self.active_at = self._inside.loop.time()

    def _writable(self) -> None:
        self._writing = False
        self._inside.loop.remove_writer(self._fd)
        self._to_host()
        if not self._writing and self._fd >= 0:
            self._changed()
        self._inside.soon()

    # The host's side

    def _read_on(self) -> None:
        if self._fd >= 0:
            self._reading = True
            self._inside.loop.add_reader(self._fd, self._readable)

    def _pause(self) -> None:
        self._reading = False
        self._inside.loop.remove_reader(self._fd)

    def _readable(self) -> None:
        connection = self._connection
        try:
            data = self._socket.recv(_READ)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.abort()
            return
        self._inside.soon()
        if not data:
            self._ended_in = True
            self._pause()
            connection.shutdown()
            if self._ended_out:
                self._end()
            return
        try:
            connection.write(data)
        except NotConnected:
            self.abort()
            return
        self.to_guest += len(data)
        self.active_at = self._inside.loop.time()
        if connection.queued > _HIGH:
            self._pause()
            connection.wait_for_room(_LOW)

    # The end

    def _end(self) -> None:
        """Both sides have said their last; what is still under way, the kernel and the stack deliver."""
        self._release()
        self._socket.close()
        self._connection.owner = None
        self._connection.close()
        self._inside.soon()
        self._done(self)

    def abort(self) -> None:
        """Reset both sides."""
        if self._fd < 0:
            return
        self._release()
        reset(self._socket)
        self._connection.owner = None
        self._connection.abort()
        self._inside.soon()
        self._done(self)

    def _release(self) -> None:
        self._inside.loop.remove_reader(self._fd)
        self._inside.loop.remove_writer(self._fd)
        self._fd = -1


def reset(sock: socket.socket) -> None:
    """Close a socket so that its peer sees a reset."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    sock.close()
