"""The transport of a TCP connection: asyncio's calls on one side, `mirage.tcpip`'s connection on the other.

Invariants:

* The protocol is called from the turn of the loop in which the stack has news, without a detour through the loop's
  queue, and in the context (`contextvars`) in which the transport was made.
* What is written is queued in the connection at once, and sent when the iteration of the loop ends, together with
  whatever else was written in it and with the acknowledgments of what came in it.
* `BUFFER` octets of the queue are the transport's counterpart of a socket's send buffer: only what waits beyond them
  counts as buffered, and makes the protocol pause.
* While reading is paused, what comes stays in the connection, whose window closes; nothing is buffered here.
* `connection_lost` is called exactly once; when it is, all was sent, or will be by the stack, or there was an error.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from asyncio import base_events, constants, protocols, transports
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from mirage.tcpip import NotConnected
from mirage.tcpip.tcp.connection import Connection
from mirage.tcpip.tcp.state import State

from ._addresses import family_of, to_tuple
from .errors import os_error

if TYPE_CHECKING:
    from asyncio.trsock import TransportSocket

    from ._loop import StackEventLoop
    from ._socket import StackSocket

__all__ = ["BUFFER", "StreamTransport"]

BUFFER = 256 * 1024
"""Octets that wait in a connection before they count as the transport's buffer."""

_ESTABLISHED, _CLOSED = State.ESTABLISHED, State.CLOSED
_LOUD = constants.LOG_THRESHOLD_FOR_CONNLOST_WRITES
_SERVER_COUNTS_TRANSPORTS = len(inspect.signature(base_events.Server._attach).parameters) > 1  # type: ignore[attr-defined]
"""From Python 3.13 on a server keeps its transports, so as to close them; before, it counts them."""


_NOTHING: dict[str, Any] = {}
"""What transports without extra information share: asyncio would make each a dictionary of its own."""


class StreamTransport(transports._FlowControlMixin, transports.Transport):
    """An `asyncio.Transport` over an established connection of the stack."""

    if TYPE_CHECKING:  # asyncio's mix-in has these, and typeshed does not
        _loop: StackEventLoop
        _protocol_paused: bool
        _high_water: int
        _low_water: int

        def _maybe_pause_protocol(self) -> None: ...
        def _maybe_resume_protocol(self) -> None: ...

    __slots__ = (
        "__weakref__",
        "_buffered",
        "_closing",
        "_connection",
        "_eof_told",
        "_lost",
        "_made",
        "_protocol",
        "_reading",
        "_server",
        "_socket",
        "_writes_after",
        "context",
    )

    _start_tls_compatible = True
    _sendfile_compatible = constants._SendfileMode.FALLBACK

    def __init__(
        self,
        loop: StackEventLoop,
        connection: Connection,
        protocol: asyncio.BaseProtocol,
        *,
        sock: StackSocket | None = None,
        server: Any = None,
        extra: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(_NOTHING if extra is None else extra, loop)
        self._connection = connection
        self._protocol: Any = protocol
        self._buffered = isinstance(protocol, protocols.BufferedProtocol)
        self._socket = sock
        self._server = server
        self._made = False
        self._reading = False
        self._closing = False
        self._eof_told = False
        self._lost = False
        self._writes_after = 0
        self.context = contextvars.copy_context()
        connection.nodelay = True
        connection.owner = self
        if server is not None:
            server._attach(self) if _SERVER_COUNTS_TRANSPORTS else server._attach()

    def start(self, waiter: asyncio.Future[None] | None = None) -> None:
        """Call `connection_made`, and hand over what has come meanwhile."""
        if self._lost:
            return
        self._made = True
        try:
            self._protocol.connection_made(self)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            if waiter is None or waiter.done():
                self._fatal_error(error, "Fatal error: protocol.connection_made() call failed.")
            else:
                waiter.set_exception(error)
                self.abort()
            return
        if not self._closing:
            self._reading = True
            connection = self._connection
            if connection.receiver.readable or connection.state is not _ESTABLISHED:
                self.news()
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # What the stack says

    def news(self) -> None:
        """The connection has news."""
        connection = self._connection
        if connection.receiver.readable and self._reading:
            if self._buffered:
                self._feed()
            else:
                data = connection.read()
                try:
                    self._protocol.data_received(data if type(data) is bytes else bytes(data))
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as error:
                    self._fatal_error(error, "Fatal error: protocol.data_received() call failed.")
                    return
        if connection.state is not _ESTABLISHED or self._protocol_paused or self._closing:
            self._changed()

    def _feed(self) -> None:
        """Copy what has come into the protocol's own buffer."""
        connection = self._connection
        while (readable := connection.receiver.readable) and self._reading:
            try:
                buffer = self._protocol.get_buffer(-1)
                room = len(buffer)
                if not room:
                    raise RuntimeError("get_buffer() returned an empty buffer")  # noqa: TRY301 - one place for errors
                data = connection.read(room) if room < readable else connection.read()
                size = len(data)
                buffer[:size] = data
                self._protocol.buffer_updated(size)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:
                self._fatal_error(error, "Fatal error: the protocol's buffer was not filled.")
                return

    def _changed(self) -> None:
        """Something other than plain data: room to write, the peer's end, or the end of all."""
        connection = self._connection
        if self._closing:
            if connection.state is _CLOSED or not connection.queued:
                # Later, as asyncio does: tasks that the protocol has just made run first.
                connection.owner = None
                self._loop.call_soon(self._lose, os_error(connection.error) if connection.error is not None else None)
            return
        if connection.error is not None:
            self._force_close(os_error(connection.error))
            return
        if self._protocol_paused:
            self._maybe_resume_protocol()
            self._wait_for_room()
        if connection.eof and self._reading and not self._eof_told and not connection.receiver.readable:
            self._eof_told = True
            try:
                keep_open = self._protocol.eof_received()
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:
                self._fatal_error(error, "Fatal error: protocol.eof_received() call failed.")
                return
            if not keep_open:
                self.close()

    def _wait_for_room(self) -> None:
        if self._protocol_paused:
            self._connection.wait_for_room(BUFFER + self._low_water)

    # Writing

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send `data` after what was written before; it is copied unless it is `bytes`."""
        if type(data) is not bytes:
            if not isinstance(data, (bytes, bytearray, memoryview)):
                raise TypeError(f"data argument must be a bytes-like object, not {type(data).__name__!r}")
            data = bytes(data)
        if not data or self._closing:
            self._cannot_write(data)
            return
        connection = self._connection
        try:
            connection.write(data)
        except NotConnected:
            self._cannot_write(data)
            return
        if connection.sender.queued > BUFFER + self._high_water:
            self._maybe_pause_protocol()
            self._wait_for_room()

    def _cannot_write(self, data: bytes) -> None:
        if self._connection.sender.fin_queued and not self._closing:
            raise RuntimeError("Cannot call write() after write_eof()")
        if data:
            self._writes_after += 1
            if self._writes_after == _LOUD:
                self._loop.call_exception_handler(
                    {"message": "the transport was written to again and again after its end", "transport": self}
                )

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Send several pieces."""
        self.write(b"".join(list_of_data))

    def write_eof(self) -> None:
        """Send no more: a FIN follows what was written. Reading goes on."""
        if not self._closing:
            self._connection.shutdown()

    def can_write_eof(self) -> bool:
        """TCP can."""
        return True

    def get_write_buffer_size(self) -> int:
        """Octets that wait beyond `BUFFER`."""
        return max(self._connection.queued - BUFFER, 0)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """See `asyncio.WriteTransport`."""
        super().set_write_buffer_limits(high, low)
        self._wait_for_room()

    # Reading

    def is_reading(self) -> bool:
        """Whether the protocol is given what comes."""
        return self._reading

    def pause_reading(self) -> None:
        """Leave what comes in the connection, whose window then closes."""
        if not self._closing:
            self._reading = False

    def resume_reading(self) -> None:
        """Give the protocol what comes, and, soon, what has come."""
        if self._closing or self._reading:
            return
        self._reading = True
        if self._made:
            self._loop.call_soon(self._resumed)

    def _resumed(self) -> None:
        if self._reading and not self._lost:
            self.news()

    # The end

    def is_closing(self) -> bool:
        """Whether `close` or `abort` was called, or the connection is over."""
        return self._closing

    def close(self) -> None:
        """Send what was written, then end the connection; `connection_lost` is called when all is sent."""
        if self._closing:
            return
        self._closing = True
        self._reading = False
        connection = self._connection
        if connection.queued <= BUFFER and not connection.receiver.readable:
            connection.close()  # the FIN rides on the last data
        if connection.queued:
            connection.wait_for_room(0)
        else:
            self._loop.call_soon(self._lose, None)

    def abort(self) -> None:
        """Close at once. What counts as buffered is lost, and the peer told so by a reset; what a socket of the
        kernel's would have taken over already is still sent, as there: some libraries abort after every `close`."""
        self._force_close(None)

    def _force_close(self, error: BaseException | None) -> None:
        if self._lost:
            return
        self._closing = True
        self._reading = False
        connection = self._connection
        connection.owner = None
        if connection.queued > BUFFER:
            connection.abort()
        else:
            connection.close()
        self._loop.call_soon(self._lose, error)

    def _fatal_error(self, error: BaseException, message: str = "Fatal error on transport") -> None:
        if not isinstance(error, OSError):
            self._loop.call_exception_handler(
                {"message": message, "exception": error, "transport": self, "protocol": self._protocol}
            )
        self._force_close(error)

    def _lose(self, error: BaseException | None) -> None:
        if self._lost:
            return
        self._lost = True
        self._closing = True
        self._reading = False
        connection = self._connection
        connection.owner = None
        connection.close()
        try:
            if self._made:
                self._protocol.connection_lost(error)
        finally:
            server, self._server = self._server, None
            self._protocol = None
            if server is not None:
                server._detach(self) if _SERVER_COUNTS_TRANSPORTS else server._detach()

    # What it is

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Call another protocol from now on."""
        self._protocol = protocol
        self._buffered = isinstance(protocol, protocols.BufferedProtocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The protocol that is called."""
        return self._protocol  # type: ignore[no-any-return]

    @property
    def connection(self) -> Connection:
        """The connection of the stack, for introspection."""
        return self._connection

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """``socket``, ``sockname`` and ``peername``, as asyncio has them."""
        framer = self._connection.framer
        if name in {"peername", "sockname"}:
            path, port = framer.path, framer.remote_port if name == "peername" else framer.local_port
            address = path.remote if name == "peername" else path.local
            return to_tuple(family_of(address), address, port, self._loop.scope_of(address, path.interface))
        if name == "socket":
            return self._transport_socket()
        return super().get_extra_info(name, default)

    def _transport_socket(self) -> TransportSocket:
        from asyncio.trsock import TransportSocket

        from ._socket import StackSocket

        if self._socket is None:
            self._socket = StackSocket.of(self._loop, self._connection)
        return TransportSocket(self._socket)  # type: ignore[arg-type]  # like a socket, but none of the kernel's

    def __repr__(self) -> str:
        state = "closed" if self._lost else "closing" if self._closing else "open"
        return f"<{type(self).__name__} {state} {self._connection!r}>"
