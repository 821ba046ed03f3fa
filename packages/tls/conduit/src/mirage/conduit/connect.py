"""`connect` and `listen`: from an endpoint to asyncio's transports and servers.

They ask the running event loop for its connections and listeners, so they work on any loop: the host's sockets, or a
network stack of our own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

from ._stream import TlsProtocol
from .endpoints import Endpoint, Tcp, Tls, Unix, parse_endpoint
from .errors import ConfigurationError
from .sides import ClientTls, ServerTls

__all__ = ["MAX_HANDSHAKES", "Listener", "connect", "listen"]

MAX_HANDSHAKES: Final = 1000
"""Connections of one listener whose handshake is not done: those beyond are closed at once."""

_P = TypeVar("_P", bound=asyncio.BaseProtocol)


async def connect(
    endpoint: Endpoint | str,
    factory: Callable[[], _P],
    *,
    tls: ClientTls | None = None,
    name: str | None = None,
) -> tuple[asyncio.Transport, _P]:
    """Connect, and give the transport with the protocol that `factory` made, as asyncio's `create_connection` does.

    `tls` is for endpoints of TLS, by default one that trusts the system's roots; `name` is what the certificate must be
    for where that is not the endpoint's host. Raises `InvalidEndpoint`, `ConfigurationError`, `OSError`, and over TLS
    `TlsFailure` (which is an `OSError`) with `PeerRefused` and `TlsTimeout`.
    """
    where = parse_endpoint(endpoint) if isinstance(endpoint, str) else endpoint
    loop = asyncio.get_running_loop()
    if not isinstance(where, Tls):
        if tls is not None:
            raise ConfigurationError(f"tls was given for {where}, which would not use it; write tls://HOST:PORT")
        if isinstance(where, Unix):
            below, plain = await loop.create_unix_connection(factory, where.path)
        else:
            below, plain = await loop.create_connection(factory, where.host, where.port)
        return below, plain
    side = tls or ClientTls()
    protocol = factory()
    waiter: asyncio.Future[None] = loop.create_future()
    transport, wrapped = await loop.create_connection(
        lambda: side.wrap(protocol, loop=loop, waiter=waiter, server_hostname=name or where.host),
        where.host,
        where.port,
    )
    try:
        await waiter
    except BaseException:
        transport.abort()
        raise
    return wrapped.transport, protocol


class Listener:
    """A listening endpoint; made by `listen`. `tls` may be replaced: new connections see the new one."""

    def __init__(self, factory: Callable[[], asyncio.BaseProtocol], tls: ServerTls | None, most: int) -> None:
        self.tls = tls
        self._factory = factory
        self._most = most
        self._pending: set[TlsProtocol] = set()
        self._server: asyncio.AbstractServer = cast(asyncio.AbstractServer, None)

    @property
    def sockets(self) -> tuple[Any, ...]:
        """The listening sockets, as the loop gives them."""
        return tuple(getattr(self._server, "sockets", ()))

    @property
    def pending(self) -> int:
        """Connections whose handshake is not done."""
        return len(self._pending)

    def protocol(self) -> asyncio.BaseProtocol:
        """A protocol for one more connection, behind TLS if there is any."""
        if self.tls is None:
            return self._factory()
        if len(self._pending) >= self._most:
            return _Full()
        # The application's protocol is made now, as asyncio does, and hears of its connection after the handshake.
        wrapped = self.tls.wrap(self._factory(), loop=asyncio.get_running_loop(), settled=self._pending.discard)
        self._pending.add(wrapped)
        return wrapped

    def close(self) -> None:
        """Listen no more, and break off the handshakes in progress; connections that are there stay."""
        self._server.close()
        for wrapped in list(self._pending):
            wrapped.abort()

    async def wait_closed(self) -> None:
        """See `asyncio.Server`."""
        await self._server.wait_closed()

    async def __aenter__(self) -> Listener:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()


class _Full(asyncio.Protocol):
    """For a connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Close it."""
        cast(asyncio.Transport, transport).abort()


async def listen(
    endpoint: Endpoint | str,
    factory: Callable[[], asyncio.BaseProtocol],
    *,
    tls: ServerTls | None = None,
    backlog: int = 1024,
    max_handshakes: int = MAX_HANDSHAKES,
) -> Listener:
    """Listen; `factory` makes a protocol for each connection.

    An endpoint of TLS wants `tls`, and no other takes it: what should be private never becomes plain by accident.
    Raises `InvalidEndpoint`, `ConfigurationError`, `OSError`.
    """
    where = parse_endpoint(endpoint) if isinstance(endpoint, str) else endpoint
    if isinstance(where, Tls) and tls is None:
        raise ConfigurationError(f"{where} needs tls=ServerTls(identity=...): a server of TLS shows a certificate")
    if not isinstance(where, Tls) and tls is not None:
        raise ConfigurationError(f"tls was given for {where}, which would not use it; write tls://HOST:PORT")
    loop = asyncio.get_running_loop()
    listener = Listener(factory, tls, max_handshakes)
    if isinstance(where, Unix):
        listener._server = await loop.create_unix_server(listener.protocol, where.path, backlog=backlog)
    else:
        assert isinstance(where, Tcp | Tls)
        listener._server = await loop.create_server(listener.protocol, where.host or None, where.port, backlog=backlog)
    return listener
