"""`loop.start_tls` for a side of `mirage.conduit`: TLS from now on, on a connection that began without (STARTTLS)."""

from __future__ import annotations

import asyncio
from typing import Any, cast

__all__ = ["start_tls"]


class _Placeholder(asyncio.Protocol):
    """Stands for a protocol that had its `connection_made` long ago: hears of the handshake, and gives it its place."""

    def __init__(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The handshake is done; what comes now is the protocol's."""
        transport.set_protocol(self._protocol)


async def start_tls(
    loop: asyncio.AbstractEventLoop,
    transport: asyncio.Transport,
    protocol: asyncio.BaseProtocol,
    side: Any,
    server_hostname: str | None,
    handshake_timeout: float | None,
    shutdown_timeout: float | None,
) -> asyncio.Transport:
    """The transport that speaks TLS, when the handshake is done.

    Octets that were read already are the protocol's still, and not TLS: both ends must have stopped to read (RFC 3207
    4.2), or somebody in between could put words of his own before the first that is private. What `transport` hands
    over from this call on is TLS. Raises what the handshake fails with; then the transport is closed.
    """
    waiter: asyncio.Future[None] = loop.create_future()
    secure = side.wrap(
        _Placeholder(protocol),
        loop=loop,
        waiter=waiter,
        server_hostname=server_hostname,
        handshake_timeout=handshake_timeout,
        shutdown_timeout=shutdown_timeout,
    )
    transport.pause_reading()
    transport.set_protocol(secure)
    begin = loop.call_soon(secure.connection_made, transport)
    read = loop.call_soon(transport.resume_reading)
    try:
        await waiter
    except BaseException:
        transport.close()
        begin.cancel()
        read.cancel()
        raise
    return cast(asyncio.Transport, secure.transport)
