"""The transport of UDP: asyncio's calls on one side, `mirage.tcpip`'s endpoint on the other."""

from __future__ import annotations

import asyncio
import contextvars
from asyncio import transports
from typing import TYPE_CHECKING, Any

from mirage.tcpip import TcpipError
from mirage.tcpip.udp import UdpEndpoint

from ._addresses import octets, to_tuple
from .errors import os_error

if TYPE_CHECKING:
    from ._loop import StackEventLoop
    from ._socket import StackSocket

__all__ = ["DatagramTransport"]

_AT_ONCE = 256
"""Datagrams handed over before others get a turn."""


class DatagramTransport(transports.DatagramTransport):
    """An `asyncio.DatagramTransport`. What is sent goes to the interface at once, so there is never a backlog here."""

    def __init__(
        self, loop: StackEventLoop, sock: StackSocket, protocol: Any, extra: dict[str, Any] | None = None
    ) -> None:
        super().__init__(extra)
        self._loop = loop
        self._socket = sock
        self._endpoint: UdpEndpoint = sock.take_datagrams()
        self._protocol = protocol
        self._closing = False
        self._made = False
        self._lost = False
        self.context = contextvars.copy_context()
        self._endpoint.owner = self

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
            return
        if not self._closing:
            self.news()
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def news(self) -> None:
        """Datagrams have come, or an error about one that was sent."""
        endpoint, family = self._endpoint, self._socket.family
        if not self._made:
            return
        for _ in range(_AT_ONCE):
            if self._closing:
                return
            datagram = endpoint.read()
            if datagram is None:
                break
            scope = self._loop.scope_of(datagram.source, datagram.interface)
            address = to_tuple(family, datagram.source, datagram.port, scope)
            try:
                self._protocol.datagram_received(bytes(datagram.data), address)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:
                self._fatal_error(error, "Fatal error: protocol.datagram_received() call failed.")
                return
        else:
            self._loop.call_soon(self.news)
            return
        if (failure := endpoint.take_error()) is not None:
            self._protocol.error_received(os_error(failure))

    def sendto(self, data: Any, addr: Any = None) -> None:
        """Send one datagram, to `addr` or to the peer that was given when the endpoint was made."""
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"data argument must be a bytes-like object, not {type(data).__name__!r}")
        if self._closing:
            return
        remote = self._socket.remote
        if remote is None:
            if addr is None:
                raise ValueError("there is no peer: pass the address")
            address, port = octets(self._socket.family, addr)
            if address is None:
                address = bytes([127, 0, 0, 1]) if len(addr) == 2 else bytes(15) + b"\1"
        else:
            address, port = remote
            if addr is not None and octets(self._socket.family, addr) != remote:
                raise ValueError(f"Invalid address: must be None or {to_tuple(self._socket.family, *remote)}")
        try:
            self._endpoint.send(
                bytes(data), address, port, now=self._loop.time(), interface=self._loop.interface_of(addr or ())
            )
        except TcpipError as failure:
            self._protocol.error_received(os_error(failure))

    def is_closing(self) -> bool:
        """Whether `close` or `abort` was called."""
        return self._closing

    def get_write_buffer_size(self) -> int:
        """Nothing waits here."""
        return 0

    def close(self) -> None:
        """Give the port up; `connection_lost` is called soon."""
        self._close(None)

    def abort(self) -> None:
        """The same."""
        self._close(None)

    def _fatal_error(self, error: BaseException, message: str) -> None:
        if not isinstance(error, OSError):
            self._loop.call_exception_handler(
                {"message": message, "exception": error, "transport": self, "protocol": self._protocol}
            )
        self._close(error)

    def _close(self, error: BaseException | None) -> None:
        if self._closing:
            return
        self._closing = True
        self._endpoint.owner = None
        self._endpoint.close()
        self._loop.call_soon(self._lose, error)

    def _lose(self, error: BaseException | None) -> None:
        self._lost = True
        protocol, self._protocol = self._protocol, None
        self._socket.close()
        if self._made:
            protocol.connection_lost(error)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Call another protocol from now on."""
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The protocol that is called."""
        return self._protocol  # type: ignore[no-any-return]

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """``socket``, ``sockname`` and, with a peer, ``peername``."""
        if name == "socket":
            from asyncio.trsock import TransportSocket

            return TransportSocket(self._socket)  # type: ignore[arg-type]  # like a socket, but none of the kernel's
        if name == "sockname" and not self._socket.closed:
            return self._socket.getsockname()
        if name == "peername" and self._socket.remote is not None:
            return to_tuple(self._socket.family, *self._socket.remote)
        return super().get_extra_info(name, default)
