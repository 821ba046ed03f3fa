"""Libraries that know nothing of this stack, unmodified, on two hosts in virtual time or one behind the other's back.

Those that make their sockets themselves get ours by `install`.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from mirage.runtime import installed
from mirage.runtime.testing import SimHost, SimLoop

pytestmark = pytest.mark.slow

Program = Callable[[], Coroutine[Any, Any, Any]]


class Pair:
    """A server's host and a client's."""

    def __init__(self, loop: SimLoop) -> None:
        network = loop.network(delay=0.002)
        self.loop = loop
        self.server: SimHost = loop.host("server", network, "10.0.0.1/24", "fd00::1/64")
        self.client: SimHost = loop.host("client", network, "10.0.0.2/24", "fd00::2/64")

    def run(self, serve: Program, ask: Program) -> Any:
        """Start a server, which goes on, and return what the client returns."""
        ready = asyncio.Event()

        async def served() -> Any:
            return await serve()

        async def asked() -> Any:
            await ready.wait()
            try:
                return await ask()
            finally:
                await asyncio.sleep(1)  # of virtual time: what was closed has said goodbye

        serving = self.server.spawn(served())
        self.loop.call_later(0.5, ready.set)
        answer = self.loop.run_until_complete(self.client.spawn(asked()))
        if serving.done():
            serving.result()
        return answer


@pytest.fixture
def pair() -> Iterator[Pair]:
    with SimLoop(seed=3) as loop, installed(loop):
        yield Pair(loop)


@pytest.fixture(scope="module")
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    trustme = pytest.importorskip("trustme")
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("server").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


async def application(scope: Any, receive: Any, send: Any) -> None:
    """An ASGI application that sends back what it is sent."""
    if scope["type"] != "http":
        return
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


BODY = bytes(range(256)) * 1000


def aiohttp_server(context: ssl.SSLContext | None = None) -> Program:
    from aiohttp import web

    async def handle(request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    async def serve() -> None:
        app = web.Application(client_max_size=1 << 20)
        app.router.add_post("/", handle)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, None, 8000, ssl_context=context).start()

    return serve


def uvicorn_server() -> Program:
    import uvicorn

    async def serve() -> None:
        config = uvicorn.Config(
            application, host="0.0.0.0", port=8000, log_config=None, access_log=False, lifespan="off"
        )
        server = uvicorn.Server(config)
        await server._serve()  # without its signal handlers, which need the main thread to themselves

    return serve


def hypercorn_server() -> Program:
    from hypercorn.asyncio import serve as hypercorn
    from hypercorn.config import Config

    async def serve() -> None:
        config = Config()
        config.bind = ["0.0.0.0:8000"]
        config.errorlog = None
        await hypercorn(application, config, shutdown_trigger=asyncio.Event().wait)  # type: ignore[arg-type]

    return serve


def aiohttp_client(url: str, context: ssl.SSLContext | None = None) -> Program:
    import aiohttp

    async def ask() -> bytes:
        async with aiohttp.ClientSession() as session:
            for _ in range(3):
                async with session.post(url, data=BODY, ssl=context if context is not None else True) as response:
                    body = await response.read()
        return body

    return ask


def httpx_client(url: str, context: ssl.SSLContext | None = None) -> Program:
    import httpx

    async def ask() -> bytes:
        async with httpx.AsyncClient(verify=context if context is not None else False, trust_env=False) as client:
            for _ in range(3):
                response = await client.post(url, content=BODY)
        return response.content

    return ask


@pytest.mark.parametrize("server", [aiohttp_server, uvicorn_server, hypercorn_server])
@pytest.mark.parametrize("client", [aiohttp_client, httpx_client])
@pytest.mark.parametrize("host", ["10.0.0.1", "server"])
def test_http(pair: Pair, server: Callable[[], Program], client: Callable[[str], Program], host: str) -> None:
    """A quarter of a megabyte goes there and back, three times over one connection."""
    assert pair.run(server(), client(f"http://{host}:8000/")) == BODY


@pytest.mark.parametrize("client", [aiohttp_client, httpx_client])
def test_https(pair: Pair, contexts: tuple[ssl.SSLContext, ssl.SSLContext], client: Any) -> None:
    """The same over TLS."""
    assert pair.run(aiohttp_server(contexts[0]), client("https://server:8000/", contexts[1])) == BODY


def test_websockets(pair: Pair) -> None:
    """Messages go there and back."""
    from websockets.asyncio.client import connect
    from websockets.asyncio.server import serve as websockets

    async def echo(socket: Any) -> None:
        async for message in socket:
            await socket.send(message)

    async def serve() -> None:
        await websockets(echo, "10.0.0.1", 8000)

    async def ask() -> list[Any]:
        async with connect("ws://server:8000/") as socket:
            answers = []
            for message in ("hello", BODY):
                await socket.send(message)
                answers.append(await socket.recv())
            return answers

    assert pair.run(serve, ask) == ["hello", BODY]


def test_anyio(pair: Pair) -> None:
    """Its listeners and streams, and datagrams, which it makes of sockets of its own."""
    import anyio

    async def echo(stream: Any) -> None:
        async with stream:
            async for data in stream:
                await stream.send(data)

    async def serve() -> None:
        listener = await anyio.create_tcp_listener(local_port=8000)
        await listener.serve(echo)

    async def ask() -> bytes:
        async with await anyio.connect_tcp("server", 8000) as stream:
            await stream.send(BODY)
            await stream.send_eof()
            received = b""
            async for data in stream:
                received += data
            return received

    assert pair.run(serve, ask) == BODY


def test_redis(pair: Pair) -> None:
    """redis-py's asyncio client, against as much of a server as it asks for."""
    from redis.asyncio import Redis

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        store: dict[bytes, bytes] = {}
        while line := await reader.readline():
            words = []
            for _ in range(int(line[1:])):
                size = int((await reader.readline())[1:])
                words.append((await reader.readexactly(size + 2))[:-2])
            command = words[0].upper()
            if command == b"SET":
                store[words[1]] = words[2]
                writer.write(b"+OK\r\n")
            elif command == b"GET":
                value = store[words[1]]
                writer.write(b"$%d\r\n%s\r\n" % (len(value), value))
            elif command == b"HELLO":
                writer.write(b"-ERR unknown command 'HELLO'\r\n")
            else:
                writer.write(b"+OK\r\n")
        writer.close()

    async def serve() -> None:
        await asyncio.start_server(speak, "10.0.0.1", 6379)

    async def ask() -> bytes | None:
        client = Redis(host="server", protocol=2)
        await client.set("key", BODY)
        value: bytes | None = await client.get("key")
        await client.aclose()
        return value

    assert pair.run(serve, ask) == BODY


def test_start_tls(pair: Pair, contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    """A connection goes over to TLS after it was used without."""

    async def upgrade(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readline() == b"STARTTLS\n"
        writer.write(b"go\n")
        await writer.drain()
        await writer.start_tls(contexts[0])
        writer.write(await reader.readline())
        await writer.drain()
        writer.close()

    async def serve() -> None:
        await asyncio.start_server(upgrade, "10.0.0.1", 8000)

    async def ask() -> bytes:
        reader, writer = await asyncio.open_connection("server", 8000)
        writer.write(b"STARTTLS\n")
        assert await reader.readline() == b"go\n"
        await writer.start_tls(contexts[1], server_hostname="server")
        writer.write(b"secret\n")
        answer = await reader.readline()
        writer.close()
        return answer

    assert pair.run(serve, ask) == b"secret\n"
