"""What waits at a listening socket for `asyncio.Server`: it makes a transport of every connection."""

from __future__ import annotations

import asyncio
import contextvars
from asyncio import constants, sslproto
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mirage.tcpip.tcp.listener import Listener

from . import _options
from ._stream import StreamTransport

if TYPE_CHECKING:
    from mirage.tcpip.tcp.connection import Connection

    from ._loop import StackEventLoop
    from ._socket import StackSocket

__all__ = ["Acceptor", "is_side"]

_AT_ONCE = 128
"""Connections accepted before others get a turn."""


class Acceptor:
    """The owner of a listener. Protocols are made, and told of their transport, as soon as a connection is there."""

    def __init__(
        self,
        loop: StackEventLoop,
        sock: StackSocket,
        factory: Callable[[], asyncio.BaseProtocol],
        sslcontext: Any,
        server: Any,
        timeouts: tuple[Any, ...],
    ) -> None:
        assert isinstance(sock.endpoint, Listener)
        self.context = contextvars.copy_context()
        self._loop = loop
        self._socket = sock
        self._listener = sock.endpoint
        self._factory = factory
        self._sslcontext = sslcontext
        self._server = server
        self._timeouts = timeouts
        self._listener.owner = self
        loop.call_soon(self.news)  # for those that came before

    @staticmethod
    def stop(sock: StackSocket) -> None:
        """Accept no more at this socket, and close it."""
        if isinstance(sock.endpoint, Listener) and isinstance(sock.endpoint.owner, Acceptor):
            sock.endpoint.owner = sock
        sock.close()

    def news(self) -> None:
        """Connections are ready."""
        for _ in range(_AT_ONCE):
            if self._listener.closed or self._listener.owner is not self:
                return
            connection = self._listener.accept()
            if connection is None:
                return
            try:
                self._serve(connection)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:
                connection.abort()
                self._loop.call_exception_handler(
                    {"message": "Error on transport creation for incoming connection", "exception": error}
                )
        self._loop.call_soon(self.news)

    def _serve(self, connection: Connection) -> None:
        protocol = self._factory()
        if self._sslcontext is not None:
            handshake, shutdown = (*self._timeouts, None, None)[:2]
            if is_side(self._sslcontext):
                protocol = self._sslcontext.wrap(
                    protocol, loop=self._loop, handshake_timeout=handshake, shutdown_timeout=shutdown
                )
            else:
                waiter = self._loop.create_future()
                waiter.add_done_callback(_seen)
                protocol = sslproto.SSLProtocol(
                    self._loop,
                    protocol,
                    self._sslcontext,
                    waiter,
                    True,
                    None,
                    ssl_handshake_timeout=handshake or constants.SSL_HANDSHAKE_TIMEOUT,  # type: ignore[arg-type]
                    ssl_shutdown_timeout=shutdown or constants.SSL_SHUTDOWN_TIMEOUT,
                )
        transport = StreamTransport(self._loop, connection, protocol, server=self._server)
        if self._socket.options:
            _options.apply(self._socket, connection)
        transport.start()


def is_side(context: object) -> bool:
    """Whether what was given as `ssl` is no `ssl.SSLContext`, but speaks TLS itself: it puts protocols behind it.

    `mirage.conduit.Side` says how; this package knows no TLS, so it asks for the method.
    """
    return callable(getattr(context, "wrap", None))


def _seen(waiter: asyncio.Future[None]) -> None:
    """A failed handshake is the peer's affair: the transport is closed, and nobody waits."""
    if not waiter.cancelled():
        waiter.exception()
