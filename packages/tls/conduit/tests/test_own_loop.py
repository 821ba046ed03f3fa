"""TLS on our own stack: two hosts in virtual time, a lossy network between them, and `ssl=` on their event loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from typing import Any

import pytest
from mirage import tls
from mirage.conduit import ClientTls, PeerRefused, ServerTls, connect, listen
from mirage.conduit.native import NativeClient
from mirage.conduit.testing import Authority
from mirage.runtime.testing import SimLoop


def configurations(authority: Authority) -> tuple[tls.ServerConfig, tls.ClientConfig]:
    """Of `mirage.tls` itself."""
    identity = authority.identity("server.test")
    return (
        tls.ServerConfig(identities=(tls.Identity(identity.chain, identity.key),), tickets=tls.TicketKeys(bytes(32))),
        tls.ClientConfig(authenticator=authority.authenticator),
    )


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Sends back all that comes, then closes."""
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.close()


@pytest.mark.parametrize("loss", [0.0, 0.05])
def test_a_configuration_is_what_ssl_takes(authority: Authority, loss: float) -> None:
    """`create_server` and `create_connection` with `ssl=` our configurations: octets go both ways, and the end too."""
    server_config, client_config = configurations(authority)
    content = bytes(range(256)) * 1024

    async def serve() -> None:
        server = await asyncio.start_server(echo, "10.0.0.1", 443, ssl=server_config)  # type: ignore[arg-type]
        async with server:
            await asyncio.sleep(600)

    async def ask() -> list[bool]:
        await asyncio.sleep(1)
        client = NativeClient(client_config)
        resumed = []
        for side in (client_config, client, client):
            reader, writer = await asyncio.open_connection(
                "10.0.0.1",
                443,
                ssl=side,  # type: ignore[arg-type]
                server_hostname="server.test",
            )
            writer.write(content)
            writer.write_eof()
            assert await reader.read() == content
            resumed.append(writer.get_extra_info("tls").resumed)
            writer.close()
            await writer.wait_closed()
        return resumed

    with SimLoop(seed=5) as loop:
        network = loop.network(delay=0.02, loss=loss)
        server = loop.host("server", network, "10.0.0.1/24")
        client = loop.host("client", network, "10.0.0.2/24")
        server.spawn(serve())
        assert loop.run_until_complete(client.spawn(ask())) == [False, False, True]


def test_a_failed_handshake_on_our_loop(authority: Authority, stranger: Authority) -> None:
    """A client that does not trust the server is told why; the server serves the next one."""
    server_config, client_config = configurations(authority)
    strange = tls.ClientConfig(authenticator=stranger.authenticator)

    async def serve() -> None:
        server = await asyncio.start_server(echo, "10.0.0.1", 443, ssl=server_config)  # type: ignore[arg-type]
        async with server:
            await asyncio.sleep(600)

    async def ask(side: Any) -> bytes:
        reader, writer = await asyncio.open_connection("10.0.0.1", 443, ssl=side, server_hostname="server.test")
        writer.write(b"hello")
        try:
            return await reader.readexactly(5)
        finally:
            writer.close()
            await writer.wait_closed()

    async def both() -> None:
        await asyncio.sleep(1)
        with pytest.raises(PeerRefused):
            await ask(strange)
        assert await ask(client_config) == b"hello"

    with SimLoop(seed=6) as loop:
        network = loop.network(delay=0.02)
        server = loop.host("server", network, "10.0.0.1/24")
        client = loop.host("client", network, "10.0.0.2/24")
        server.spawn(serve())
        loop.run_until_complete(client.spawn(both()))


def test_tls_on_a_connection_that_began_without(authority: Authority, stranger: Authority) -> None:
    """`start_tls` with our configurations on both ends: STARTTLS, as mail does; and a server that is refused."""
    server_config, client_config = configurations(authority)
    strange = tls.ClientConfig(authenticator=stranger.authenticator)

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readline() == b"STARTTLS\n"
        writer.write(b"go ahead\n")
        try:
            await writer.start_tls(server_config)  # type: ignore[arg-type]
        except OSError:
            writer.close()
        else:
            await echo(reader, writer)

    async def serve() -> None:
        async with await asyncio.start_server(greet, "10.0.0.1", 25):
            await asyncio.sleep(600)

    async def ask(side: Any) -> tuple[bytes, Any]:
        reader, writer = await asyncio.open_connection("10.0.0.1", 25)
        try:
            writer.write(b"STARTTLS\n")
            assert await reader.readline() == b"go ahead\n"
            await writer.start_tls(side, server_hostname="server.test")
            writer.write(b"in private")
            return await reader.readexactly(10), writer.get_extra_info("tls")
        finally:
            writer.close()
            await asyncio.sleep(1)  # for both sides to have closed

    async def both() -> None:
        await asyncio.sleep(1)
        with pytest.raises(PeerRefused):
            await ask(strange)
        for side in (client_config, ClientTls(authenticator=authority.authenticator, implementation="openssl")):
            found, info = await ask(side)
            assert found == b"in private"
            assert info.version == "TLSv1.3"

    with SimLoop(seed=8) as loop:
        network = loop.network(delay=0.02)
        server = loop.host("server", network, "10.0.0.1/24")
        client = loop.host("client", network, "10.0.0.2/24")
        server.spawn(serve())
        loop.run_until_complete(client.spawn(both()))


def test_conduit_itself_on_our_loop(authority: Authority) -> None:
    """`connect` and `listen` ask the running loop, so they are on the stack there."""
    tls_server = ServerTls(identity=authority.identity("server.test"), implementation="native")
    tls_client = ClientTls(authenticator=authority.authenticator, implementation="native")

    class Greeter(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            transport.write(b"welcome")
            transport.close()

    async def serve() -> None:
        async with await listen("tls://10.0.0.1:443", Greeter, tls=tls_server):
            await asyncio.sleep(60)

    async def ask() -> bytes:
        await asyncio.sleep(1)
        reader = asyncio.StreamReader()
        transport, _ = await connect(
            "tls://10.0.0.1:443", lambda: asyncio.StreamReaderProtocol(reader), tls=tls_client, name="server.test"
        )
        try:
            return await reader.read()
        finally:
            transport.close()

    with SimLoop(seed=7) as loop:
        network = loop.network(delay=0.02)
        server = loop.host("server", network, "10.0.0.1/24")
        client = loop.host("client", network, "10.0.0.2/24")
        server.spawn(serve())
        assert loop.run_until_complete(client.spawn(ask())) == b"welcome"


def two_hosts(loop: SimLoop) -> tuple[Any, Any]:
    """A server and a client, 20 ms from each other."""
    network = loop.network(delay=0.02)
    return loop.host("server", network, "10.0.0.1/24"), loop.host("client", network, "10.0.0.2/24")


@pytest.mark.slow
def test_a_slow_reader_holds_the_sender_back_on_our_loop(authority: Authority) -> None:
    """In either direction: what waits in the sender stays bounded while nobody reads, and then all of it arrives."""
    server_config, client_config = configurations(authority)
    content = bytes(range(256)) * (16 * 1024)  # 4 MiB
    most = {"server": 0, "client": 0}
    finished: dict[str, float] = {}

    async def send(writer: asyncio.StreamWriter, who: str) -> None:
        for at in range(0, len(content), 65_536):
            writer.write(content[at : at + 65_536])
            transport: Any = writer.transport
            most[who] = max(most[who], transport.get_write_buffer_size())
            await writer.drain()
        finished[who] = asyncio.get_running_loop().time()
        writer.write_eof()

    async def receive(reader: asyncio.StreamReader) -> bytes:
        await asyncio.sleep(60)
        return await reader.read()

    async def both(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, who: str) -> None:
        _, got = await asyncio.gather(send(writer, who), receive(reader))
        assert got == content
        writer.close()

    async def serve() -> None:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await both(reader, writer, "server")

        async with await asyncio.start_server(connected, "10.0.0.1", 443, ssl=server_config):  # type: ignore[arg-type]
            await asyncio.sleep(600)

    async def ask() -> float:
        await asyncio.sleep(1)
        reader, writer = await asyncio.open_connection(
            "10.0.0.1",
            443,
            ssl=client_config,  # type: ignore[arg-type]
            server_hostname="server.test",
        )
        began = asyncio.get_running_loop().time()
        await both(reader, writer, "client")
        await writer.wait_closed()
        await asyncio.sleep(10)  # the server closes its end too
        return began

    with SimLoop(seed=8) as loop:
        server, client = two_hosts(loop)
        server.spawn(serve())
        began = loop.run_until_complete(client.spawn(ask()))
    assert all(0 < waiting < 1 << 20 for waiting in most.values()), most
    assert all(end >= began + 60 for end in finished.values()), finished


def test_limits_of_time_on_our_loop(authority: Authority) -> None:
    """A client that says nothing, or never ends, is let go of after the seconds that `create_server` was given."""
    server_config, client_config = configurations(authority)
    lost: list[tuple[float, BaseException | None]] = []

    class Closing(asyncio.Protocol):
        """Says one word and closes; the peer may never answer that."""

        def connection_made(self, transport: Any) -> None:
            transport.write(b"bye")
            transport.close()

        def connection_lost(self, exc: BaseException | None) -> None:
            lost.append((asyncio.get_running_loop().time(), exc))

    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(
            Closing,
            "10.0.0.1",
            443,
            ssl=server_config,  # type: ignore[arg-type]
            ssl_handshake_timeout=3,
            ssl_shutdown_timeout=2,
        )
        async with server:
            await asyncio.sleep(600)

    async def silent() -> float:
        """How long a connection without a word lasts."""
        began = asyncio.get_running_loop().time()
        reader, writer = await asyncio.open_connection("10.0.0.1", 443)
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()
        return asyncio.get_running_loop().time() - began

    async def never_closing() -> float:
        """A client that does not answer close_notify; when it heard that the server closes."""
        reader, writer = await asyncio.open_connection("10.0.0.1", 443)
        connection = tls.client(client_config, "server.test", time.time(), os.urandom)
        writer.write(connection.handle(b"", time.time()).output)
        while not connection.peer_closed:
            writer.write(connection.handle(await reader.read(1 << 16), time.time()).output)
        heard = asyncio.get_running_loop().time()
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.transport.abort()
        return heard

    async def ask() -> tuple[float, float]:
        await asyncio.sleep(1)
        return await silent(), await never_closing()

    with SimLoop(seed=9) as loop:
        server, client = two_hosts(loop)
        server.spawn(serve())
        lasted, heard = loop.run_until_complete(client.spawn(ask()))
    assert 3 <= lasted < 3.5
    [(gone, _)] = lost
    assert 1.9 <= gone - heard < 2.5
