"""`StackSocket`: what looks like a `socket.socket`, but is an endpoint of our own stack.

It is for libraries that make their sockets themselves. It serves with `loop.sock_*`, with `sock=` of the loop's
methods, and by itself: non-blocking, or blocking, when it drives the stack until it has what it waits for, while the
event loop stands still as it does for any blocking call.

A socket is in one of these states: new, bound (a local address was chosen), listening, connecting or connected, and
closed. A datagram socket has its endpoint from `bind`, `connect` or the first `sendto` on.
"""

from __future__ import annotations

import asyncio
import contextvars
import errno
import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from mirage.tcpip import TcpipError
from mirage.tcpip.tcp.connection import Connection
from mirage.tcpip.tcp.listener import Listener
from mirage.tcpip.tcp.state import State
from mirage.tcpip.udp import UdpEndpoint

from . import _ip_options, _options
from ._addresses import SocketAddress, family_of, octets, to_tuple
from .errors import os_error, plain

if TYPE_CHECKING:
    from mirage.tcpip.ip.interface import Interface
    from mirage.tcpip.stack import Stack

    from ._loop import StackEventLoop

__all__ = ["StackSocket"]

_T = TypeVar("_T")
_BUFFER = 256 * 1024
"""Octets that a connection takes before `send` says that it would block."""

_makefile: Any = socket.socket.makefile
_KINDS = {socket.SOCK_STREAM: socket.IPPROTO_TCP, socket.SOCK_DGRAM: socket.IPPROTO_UDP}


class StackSocket:
    """A TCP or UDP socket of a stack. Methods raise `OSError`s as those of `socket.socket` do."""

    __slots__ = (
        "__weakref__",
        "_descriptor",
        "_endpoint",
        "_given_up",
        "_io_refs",
        "_local",
        "_loop",
        "_remote",
        "_shut",
        "_stack",
        "_timeout",
        "_waiters",
        "closed",
        "context",
        "family",
        "joined",
        "options",
        "proto",
        "type",
    )

    def __init__(
        self,
        loop: StackEventLoop,
        family: int = socket.AF_INET,
        type: int = socket.SOCK_STREAM,  # noqa: A002 - as in `socket`
        proto: int = 0,
    ) -> None:
        """A new socket; `AF_INET` or `AF_INET6`, `SOCK_STREAM` or `SOCK_DGRAM`."""
        kind = type & ~(socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        if family not in (socket.AF_INET, socket.AF_INET6):
            raise plain(errno.EAFNOSUPPORT)
        if kind not in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            raise plain(errno.ESOCKTNOSUPPORT)
        self.family = socket.AddressFamily(family)
        self.type = socket.SocketKind(kind)
        self.proto = proto or _KINDS[self.type]
        self.options: dict[tuple[int, int], int] = {}
        self.joined: list[tuple[bytes, Interface | None]] = []
        """Multicast groups, and on which interface; None for the first."""
        self.closed = False
        self.context = contextvars.copy_context()
        self._loop = loop
        self._stack: Stack = loop.stack
        self._timeout: float | None = 0.0 if type & socket.SOCK_NONBLOCK else socket.getdefaulttimeout()
        self._endpoint: Connection | Listener | UdpEndpoint | None = None
        self._local: tuple[bytes | None, int] | None = None
        self._remote: tuple[bytes, int] | None = None
        self._shut = False
        self._given_up = False
        self._io_refs = 0
        """Files of `makefile` that are open."""
        self._descriptor = -1
        self._waiters: list[asyncio.Future[None]] = []

    @classmethod
    def of(cls, loop: StackEventLoop, connection: Connection) -> StackSocket:
        """A socket for a connection that there is already; who owns the connection stays as it is."""
        self = cls(loop, family_of(connection.framer.path.remote), socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._endpoint = connection
        return self

    # Names and numbers

    @property
    def endpoint(self) -> Connection | Listener | UdpEndpoint | None:
        """The stack's endpoint, for introspection."""
        return self._endpoint

    @property
    def loop(self) -> StackEventLoop:
        """The loop whose stack this is."""
        return self._loop

    def fileno(self) -> int:
        """A descriptor that stands for this socket in `loop.add_reader` and `loop.add_writer`, and is good for nothing
        else; -1 once the socket is closed."""
        if self._descriptor < 0 and not self.closed:
            self._descriptor = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
            self._loop.know(self._descriptor, self)
        return self._descriptor

    def getsockname(self) -> SocketAddress:
        """The local address."""
        self._check_open()
        endpoint = self._endpoint
        if isinstance(endpoint, Connection):
            framer = endpoint.framer
            return to_tuple(self.family, framer.path.local, framer.local_port, self._scope(framer.path.local))
        if isinstance(endpoint, Listener):
            return to_tuple(self.family, endpoint.address, endpoint.port)
        if endpoint is not None:
            local = endpoint.local
            if local is None and self._remote is not None:  # from where it sends to its peer
                local = self._stack.ip.path(self._remote[0], self._loop.time()).local
            return to_tuple(self.family, local, endpoint.port)
        return to_tuple(self.family, *(self._local or (None, 0)))

    def getpeername(self) -> SocketAddress:
        """The peer's address; `OSError` (ENOTCONN) when there is none."""
        self._check_open()
        endpoint = self._endpoint
        if isinstance(endpoint, Connection) and endpoint.state is not State.SYN_SENT:
            remote = endpoint.framer.path.remote
            return to_tuple(self.family, remote, endpoint.framer.remote_port, self._scope(remote))
        if self._remote is not None and self.type == socket.SOCK_DGRAM:
            return to_tuple(self.family, *self._remote)
        raise plain(errno.ENOTCONN)

    def setblocking(self, flag: bool) -> None:
        """Whether calls wait."""
        self._timeout = None if flag else 0.0

    def getblocking(self) -> bool:
        """Whether calls wait."""
        return self._timeout != 0.0

    def settimeout(self, value: float | None) -> None:
        """How many seconds calls wait: 0 not at all, None for ever."""
        if value is not None and value < 0:
            raise ValueError("Timeout value out of range")
        self._timeout = value

    def gettimeout(self) -> float | None:
        """What `settimeout` was given."""
        return self._timeout

    timeout = property(gettimeout)

    def setsockopt(self, level: int, option: int, value: int | bytes | None, length: int | None = None) -> None:
        """Set an option; see the guide for those that do something. Raises `OSError` (ENOPROTOOPT) for unknown ones."""
        self._check_open()
        _options.put(self, level, option, value)

    def getsockopt(self, level: int, option: int, size: int = 0) -> Any:
        """The value of an option: a number, or `size` octets."""
        self._check_open()
        return _options.get(self, level, option, size)

    def get_inheritable(self) -> bool:
        """A socket of the stack ends with its process."""
        return False

    def set_inheritable(self, inheritable: bool) -> None:
        """Nothing to do: programs that are started have no part in this stack, whatever they inherit."""

    # Opening

    def bind(self, address: SocketAddress) -> None:
        """Choose the local address; port 0 chooses a free one."""
        self._check_open()
        if self._endpoint is not None or self._local is not None:
            raise plain(errno.EINVAL)
        local, port = octets(self.family, address)
        version = 4 if self.family == socket.AF_INET else 6
        try:
            if self.type == socket.SOCK_DGRAM:
                reuse = bool(
                    self.options.get((socket.SOL_SOCKET, socket.SO_REUSEADDR))
                    or self.options.get((socket.SOL_SOCKET, socket.SO_REUSEPORT))
                )
                self._own(self._stack.bind(port, local, version=version, reuse=reuse))
                return
            if local is not None and not self._stack.ip.is_local(local):
                raise plain(errno.EADDRNOTAVAIL)
            trial = self._stack.listen(port, local, version=version)  # whether it is free, and which one is
            port = trial.port
            trial.close()
        except TcpipError as error:
            raise os_error(error) from None
        self._local = local, port

    def listen(self, backlog: int = 128) -> None:
        """Accept connections from now on."""
        self._check_open()
        if self.type != socket.SOCK_STREAM:
            raise plain(errno.EOPNOTSUPP)
        if isinstance(self._endpoint, Listener):
            self._endpoint.backlog = max(backlog, 1)
            return
        if self._endpoint is not None:
            raise plain(errno.EINVAL)
        local, port = self._local or (None, 0)
        version = 4 if self.family == socket.AF_INET else 6
        try:
            listener = self._stack.listen(port, local, version=version, backlog=max(backlog, 1))
            listener.segment_limit = self.options.get((socket.IPPROTO_TCP, socket.TCP_MAXSEG), 0) or 0xFFFF
            self._own(listener)
        except TcpipError as error:
            raise os_error(error) from None

    def accept(self) -> tuple[StackSocket, SocketAddress]:
        """The next connection, as a socket, and where it comes from."""
        connection = self._wait(self.accept_connection)
        accepted = StackSocket.of(self._loop, connection)
        accepted._timeout = socket.getdefaulttimeout()
        connection.owner = accepted
        accepted.options.update(self.options)  # as on Linux
        _options.apply(accepted, connection)
        return accepted, accepted.getpeername()

    def accept_connection(self) -> Connection:
        """The next connection itself; raises `BlockingIOError` when there is none."""
        self._check_open()
        if not isinstance(self._endpoint, Listener):
            raise plain(errno.EINVAL)
        connection = self._endpoint.accept()
        if connection is None:
            raise plain(errno.EAGAIN)
        return connection

    def connect(self, address: SocketAddress) -> None:
        """Connect; without blocking it raises `BlockingIOError` (EINPROGRESS), and goes on by itself."""
        error = self.connect_ex(address)
        if error == errno.EINPROGRESS and self._timeout != 0.0:
            self._wait(self.finish_connect)
        elif error:
            raise plain(error)

    def connect_ex(self, address: SocketAddress) -> int:
        """The same, without waiting; returns the number of the error, 0 for success."""
        self._check_open()
        endpoint = self._endpoint
        if isinstance(endpoint, Connection):
            if endpoint.state is State.SYN_SENT:
                return errno.EALREADY
            return errno.EISCONN
        if isinstance(endpoint, Listener):
            return errno.EINVAL
        remote, port = octets(self.family, address)
        if remote is None:
            remote = bytes([127, 0, 0, 1]) if self.family == socket.AF_INET else bytes(15) + b"\1"
        interface = self._loop.interface_of(address)
        try:
            if self.type == socket.SOCK_DGRAM:
                datagrams = self._datagrams()
                datagrams.connect(remote, port)
                self._remote = remote, port
                return 0
            local, local_port = self._local or (None, 0)
            connection = self._stack.connect(
                remote,
                port,
                local_address=local,
                local_port=local_port,
                interface=interface,
                now=self._loop.time(),
            )
        except TcpipError as error:
            return os_error(error).errno or errno.EIO
        self._own(connection)
        _options.apply(self, connection)
        return errno.EINPROGRESS

    def finish_connect(self) -> None:
        """Nothing once connected; raises `BlockingIOError` before, and why it failed."""
        connection = self._connection()
        if connection.state is State.SYN_SENT or connection.state is State.SYN_RECEIVED:
            raise plain(errno.EAGAIN)
        if connection.state is State.CLOSED and connection.error is not None:
            raise os_error(connection.error)

    # Streams and datagrams

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        """At most `bufsize` octets; empty at the peer's end. A connected datagram socket gives one datagram."""
        if self.type == socket.SOCK_DGRAM:
            return self.recvfrom(bufsize, flags)[0]
        return self._wait(lambda: self._recv(bufsize, flags))

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """As `recv`, into a buffer; returns the number of octets."""
        view = memoryview(buffer).cast("B")
        data = self.recv(nbytes or len(view), flags)
        view[: len(data)] = data
        return len(data)

    def _recv(self, bufsize: int, flags: int) -> bytes:
        if bufsize < 0:
            raise ValueError("negative buffersize in recv")
        connection = self._connection()
        readable = connection.receiver.readable
        if readable:
            if flags & socket.MSG_PEEK:
                return b"".join(connection.receiver.chunks)[:bufsize]
            return bytes(connection.read(bufsize)) if bufsize else b""
        if connection.error is not None:
            raise os_error(connection.error)
        if connection.eof or connection.state is State.CLOSED or self._shut:
            return b""
        if connection.state is State.SYN_SENT:
            raise plain(errno.ENOTCONN)
        raise plain(errno.EAGAIN)

    def send(self, data: Any, flags: int = 0) -> int:
        """Send as much as there is room for; returns how much that was."""
        if self.type == socket.SOCK_DGRAM:
            if self._remote is None:
                raise plain(errno.EDESTADDRREQ)
            return self._sendto(bytes(data), *self._remote)
        view = memoryview(data).cast("B")
        return self._wait(lambda: self._send(view, bool(flags & socket.MSG_MORE)))

    def _send(self, view: memoryview, more: bool) -> int:
        connection = self._connection()
        if connection.error is not None:
            raise os_error(connection.error)
        if not connection.state.may_write or connection.sender.fin_queued:
            raise plain(errno.EPIPE)
        if not self._has_room(connection):
            raise plain(errno.EAGAIN)
        size = min(_BUFFER - connection.queued, len(view))
        connection.write(bytes(view[:size]))
        connection.more = more
        return size

    def _has_room(self, connection: Connection) -> bool:
        """Whether a connection takes octets: fewer than TCP_NOTSENT_LOWAT, or than a buffer, have not been sent yet.
        If not, there are news when half of that have gone."""
        limit = min(self.options.get((socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT), 0) or _BUFFER, _BUFFER)
        if connection.queued < limit:
            return True
        connection.wait_for_room(limit // 2)
        return False

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send all of it; it waits for room if the socket may wait."""
        view = memoryview(data).cast("B")
        while view:
            view = view[self.send(view, flags) :]

    def recvfrom(self, bufsize: int, flags: int = 0) -> tuple[bytes, SocketAddress]:
        """A datagram, cut to `bufsize` octets, and where it came from."""
        if self.type == socket.SOCK_STREAM:
            return self.recv(bufsize, flags), self.getpeername()
        return self._wait(lambda: self._recvfrom(bufsize))

    def recvfrom_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> tuple[int, SocketAddress]:
        """As `recvfrom`, into a buffer."""
        view = memoryview(buffer).cast("B")
        data, address = self.recvfrom(nbytes or len(view), flags)
        view[: len(data)] = data
        return len(data), address

    def _recvfrom(self, bufsize: int) -> tuple[bytes, SocketAddress]:
        self._check_open()
        endpoint = self._datagrams()
        datagram = endpoint.read()
        if datagram is None:
            if (error := endpoint.take_error()) is not None:
                raise os_error(error)
            raise plain(errno.EAGAIN)
        scope = self._loop.scope_of(datagram.source, datagram.interface)
        return bytes(datagram.data[:bufsize]), to_tuple(self.family, datagram.source, datagram.port, scope)

    def sendto(self, data: Any, *rest: Any) -> int:
        """``sendto(data, address)`` or ``sendto(data, flags, address)``."""
        address = rest[-1]
        if self.type == socket.SOCK_STREAM:
            return self.send(data)
        remote, port = octets(self.family, address)
        if remote is None:
            remote = bytes([127, 0, 0, 1]) if self.family == socket.AF_INET else bytes(15) + b"\1"
        return self._sendto(bytes(data), remote, port, self._loop.interface_of(address))

    def _sendto(self, data: bytes, remote: bytes, port: int, interface: Any = None) -> int:
        self._check_open()
        endpoint = self._datagrams()
        if (error := endpoint.take_error()) is not None:
            raise os_error(error)
        try:
            endpoint.send(data, remote, port, now=self._loop.time(), interface=interface)
        except TcpipError as failure:
            raise os_error(failure) from None
        return len(data)

    # Ending

    def shutdown(self, how: int) -> None:
        """End one direction or both: `SHUT_RD`, `SHUT_WR`, `SHUT_RDWR`."""
        if self.type == socket.SOCK_DGRAM:
            return
        connection = self._connection()
        if connection.state is State.CLOSED or connection.state is State.SYN_SENT:
            raise plain(errno.ENOTCONN)
        if how != socket.SHUT_RD:
            connection.shutdown()
        if how != socket.SHUT_WR:
            self._shut = True
            self.news()

    def makefile(self, *arguments: Any, **more: Any) -> Any:
        """A file, as `socket.socket.makefile` makes it. The socket ends once it and its files are closed."""
        self._check_open()
        return _makefile(self, *arguments, **more)

    def _decref_socketios(self) -> None:
        """A file has been closed: what `socket.SocketIO` calls."""
        self._io_refs -= 1
        if self._given_up:
            self.close()

    def close(self) -> None:
        """Give it up: what was written is still sent. A connection that a transport has taken over is the transport's
        to end."""
        self._given_up = True
        if self.closed or self._io_refs > 0:
            return
        endpoint = self._endpoint
        if endpoint is not None and endpoint.owner is self:
            endpoint.owner = None
            if isinstance(endpoint, Connection) and self._lingers_not():
                endpoint.abort()
            else:
                endpoint.close()
        self.closed = True
        self._endpoint = None
        if self._descriptor >= 0:
            self._loop.unknow(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1
        self.news()

    def _lingers_not(self) -> bool:
        return self.options.get((socket.SOL_SOCKET, socket.SO_LINGER)) == 0

    def detach(self) -> int:
        """Refused: outside of this object its descriptor means nothing."""
        raise plain(errno.EOPNOTSUPP)

    def __enter__(self) -> StackSocket:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # For the loop

    def take_connection(self) -> Connection:
        """The connection, for a transport that will be its owner."""
        return self._connection()

    def take_datagrams(self) -> UdpEndpoint:
        """The endpoint, for a transport that will be its owner."""
        self._check_open()
        return self._datagrams()

    @property
    def remote(self) -> tuple[bytes, int] | None:
        """Where a connected datagram socket sends."""
        return self._remote

    def news(self) -> None:
        """The endpoint has news, or is closed: whoever waits looks again."""
        if self._waiters:
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    async def changed(self) -> None:
        """Return after the next news."""
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def readable(self) -> bool:
        """Whether reading or accepting would not block."""
        endpoint = self._endpoint
        if isinstance(endpoint, Connection):
            if endpoint.state is State.SYN_SENT or endpoint.state is State.SYN_RECEIVED:
                return False
            return bool(endpoint.receiver.readable or endpoint.eof or endpoint.state is State.CLOSED or self._shut)
        if isinstance(endpoint, Listener):
            return endpoint.waiting > 0
        return endpoint is None or endpoint.readable

    def writable(self) -> bool:
        """Whether writing would not block, or a connection has been made or has failed."""
        endpoint = self._endpoint
        if isinstance(endpoint, Connection):
            if endpoint.state is State.SYN_SENT or endpoint.state is State.SYN_RECEIVED:
                return False
            return self._has_room(endpoint)
        return not isinstance(endpoint, Listener)

    # Within

    def _own(self, endpoint: Connection | Listener | UdpEndpoint) -> None:
        self._endpoint = endpoint
        endpoint.owner = self
        if isinstance(endpoint, UdpEndpoint):
            _ip_options.apply(self, endpoint)

    def _scope(self, address: bytes) -> int:
        """The scope of an address of this socket's connection."""
        interface = self._endpoint.framer.path.interface if isinstance(self._endpoint, Connection) else None
        return self._loop.scope_of(address, interface)

    def _connection(self) -> Connection:
        self._check_open()
        if not isinstance(self._endpoint, Connection):
            raise plain(errno.ENOTCONN)
        return self._endpoint

    def _datagrams(self) -> UdpEndpoint:
        if self.type != socket.SOCK_DGRAM:
            raise plain(errno.EOPNOTSUPP)
        if self._endpoint is None:
            try:
                self._own(self._stack.bind(0, version=4 if self.family == socket.AF_INET else 6))
            except TcpipError as error:
                raise os_error(error) from None
        assert isinstance(self._endpoint, UdpEndpoint)
        return self._endpoint

    def _wait(self, attempt: Callable[[], _T]) -> _T:
        """What `attempt` returns, once it does not raise `BlockingIOError`, if the socket may wait."""
        try:
            return attempt()
        except BlockingIOError:
            if self._timeout == 0.0:
                raise
        return self._loop.block(attempt, self._timeout)

    def _check_open(self) -> None:
        if self.closed:
            raise plain(errno.EBADF)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.family.name} {self.type.name} {self._endpoint or self._local or 'new'!r}>"
