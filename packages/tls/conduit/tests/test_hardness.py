"""A server under many clients, good and bad at once: the good ones are served, and nothing of the others stays."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import struct
from collections.abc import Callable
from typing import Any

import pytest
from mirage.conduit import ClientTls, ServerTls, Tls, connect, listen
from mirage.conduit._stream import TlsProtocol
from mirage.conduit.testing import Authority

pytestmark = pytest.mark.slow
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: close with a reset."""


class Echo(asyncio.Protocol):
    """Sends back what comes."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def connections() -> int:
    """How many TLS connections there are in this process, dead ones that something holds on to included."""
    gc.collect()
    return sum(isinstance(thing, TlsProtocol) for thing in gc.get_objects())


async def good(where: Tls, side: ClientTls, number: int) -> int:
    """A client that waits for its answer."""
    reader = asyncio.StreamReader()
    transport, _ = await connect(where, lambda: asyncio.StreamReaderProtocol(reader), tls=side, name="site.test")
    content = b"%d" % number * 100
    transport.write(content)
    assert await reader.readexactly(len(content)) == content
    transport.close()
    return number


async def loris(where: Tls, hello: bytes) -> bytes:
    """A client that begins its handshake an octet at a time; what it gets until the server has had enough of it."""
    reader, writer = await asyncio.open_connection(where.host, where.port)
    try:
        for octet in hello:
            writer.write(bytes((octet,)))
            await asyncio.sleep(0.05)
            if writer.is_closing():
                break
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def abrupt(where: Tls, hello: bytes, at: int) -> None:
    """A client that resets the connection inside its handshake."""
    _, writer = await asyncio.open_connection(where.host, where.port)
    writer.write(hello[:at])
    await writer.drain()
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()


async def broken_off(where: Tls, side: ClientTls) -> None:
    """A client that resets the connection in the middle of its data."""
    reader = asyncio.StreamReader()
    transport, _ = await connect(where, lambda: asyncio.StreamReaderProtocol(reader), tls=side, name="site.test")
    transport.write(bytes(100_000))
    await reader.readexactly(1000)
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    transport.abort()


async def until(condition: Callable[[], bool]) -> None:
    """Give the loop turns until it holds; what never does ends the test."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("implementation", ["native", "openssl"])
def test_five_hundred_at_once_with_bad_ones_among_them(authority: Authority, implementation: str) -> None:
    """500 handshakes at the same time, 200 that trickle and 200 that break off: all 500 are served, nothing is left."""
    server = ServerTls(identity=authority.identity("site.test"), implementation=implementation, handshake_timeout=15)
    client = ClientTls(authenticator=authority.authenticator, implementation=implementation, handshake_timeout=25)
    hello = client.engine("site.test").start(0.0)

    async def main() -> None:
        async with await listen("tls://127.0.0.1:0", Echo, tls=server) as listener:
            where = Tls("127.0.0.1", listener.sockets[0].getsockname()[1])
            await good(where, client, 0)
            before = descriptors()
            bad = [asyncio.create_task(loris(where, hello)) for _ in range(200)]
            bad += [asyncio.create_task(abrupt(where, hello, n)) for n in range(200)]  # type: ignore[arg-type]
            served = await asyncio.gather(*(good(where, client, n) for n in range(500)))
            assert served == list(range(500))
            await asyncio.gather(*bad)
            await until(lambda: listener.pending == 0)
            await until(lambda: descriptors() <= before)
        await until(lambda: connections() == 0)

    asyncio.run(main())


@pytest.mark.parametrize("implementation", ["native", "openssl"])
def test_connections_that_break_off_later(authority: Authority, implementation: str) -> None:
    """Resets in the middle of data, on either side, leave nothing behind; and renegotiation is not spoken of."""
    server = ServerTls(identity=authority.identity("site.test"), implementation=implementation)
    client = ClientTls(authenticator=authority.authenticator, implementation=implementation)

    async def main() -> None:
        async with await listen("tls://127.0.0.1:0", Echo, tls=server) as listener:
            where = Tls("127.0.0.1", listener.sockets[0].getsockname()[1])
            await good(where, client, 0)
            before = descriptors()
            for _ in range(50):
                await broken_off(where, client)
            await until(lambda: descriptors() <= before)
            assert await good(where, client, 7) == 7
        await until(lambda: connections() == 0)

    asyncio.run(main())
