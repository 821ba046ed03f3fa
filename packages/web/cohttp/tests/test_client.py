"""The asyncio client, against our server and against hostile ones."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from mirage.cohttp import ConnectionLost, RemoteProtocolError, Request, Response, TimedOut, serve
from mirage.cohttp.client import Client, InvalidURI


async def echo(request: Request) -> Response:
    body = await request.body.read()
    return Response(200 if body else 404, body=f"{request.method} {request.target} ".encode() + body)


def test_requests_share_a_connection() -> None:
    """A connection whose response was read is used again."""

    async def main() -> list[bytes]:
        async with await serve(echo) as server, Client() as client:
            answers = []
            for n in range(3):
                response = await client.request("POST", f"{server.url}/{n}?q#f", body=b"x")
                answers.append(await response.read())
                assert server.connections == 1
            return answers

    assert asyncio.run(main()) == [b"POST /0?q x", b"POST /1?q x", b"POST /2?q x"]


def test_streams() -> None:
    """Content is sent and received in pieces."""

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"0123456789" * 100

    async def main() -> int:
        def back(request: Request) -> Response:
            return Response(body=request.body)

        async with await serve(back) as server, Client() as client:
            response = await client.request("PUT", server.url, body=pieces())
            async with response:
                return len(await response.read())

    assert asyncio.run(main()) == 100_000


async def scripted(*answers: bytes) -> tuple[asyncio.Server, str]:
    """A server that gives each connection the next of some answers and closes."""
    left = list(answers)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(left.pop(0))
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    return server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


def test_closed_connection_is_tried_again() -> None:
    """RFC 9110 9.2.2: an idempotent request on a kept connection that ended is sent once more."""

    async def main() -> list[bytes]:
        ok = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
        server, url = await scripted(ok + b"1!", ok + b"2!")
        async with server, Client() as client:
            return [await (await client.get(url)).read() for _ in range(2)]

    assert asyncio.run(main()) == [b"1!", b"2!"]


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200 OK\r\n", b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"]
)
def test_bad_answers(answer: bytes) -> None:
    """What is not a whole response is an error of the other side."""

    async def main() -> None:
        server, url = await scripted(answer)
        async with server, Client() as client:
            await client.get(url)

    with pytest.raises(RemoteProtocolError):
        asyncio.run(main())


def test_truncated_content() -> None:
    """Content that ends early is an error, not a short answer."""

    async def main() -> None:
        server, url = await scripted(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi")
        async with server, Client() as client:
            await (await client.get(url)).read()

    with pytest.raises(RemoteProtocolError, match="7 octets"):
        asyncio.run(main())


def test_timeout() -> None:
    """A server that is silent is given up."""

    async def main() -> None:
        async def never(request: Request) -> Response:
            await asyncio.Event().wait()
            return Response()

        server = await serve(never)
        try:
            async with Client(timeout=0.02) as client:
                await client.get(server.url)
        finally:
            await server.close()

    with pytest.raises(TimedOut):
        asyncio.run(main())


@pytest.mark.parametrize(
    ("uri", "error"),
    [
        ("https:///x", InvalidURI),
        ("localhost/", InvalidURI),
        ("ftp://localhost/", InvalidURI),
        ("http:///x", InvalidURI),
        ("http://user@localhost/", InvalidURI),
        ("http://localhost:0/", InvalidURI),
        ("http://localhost:99999/", InvalidURI),
        ("http://localhost/a b", InvalidURI),
        ("http://localhost/\r\nX: y", InvalidURI),
        ("http://localhost/\u20ac", InvalidURI),
        ("NOBODY", ConnectionLost),
    ],
)
def test_where_no_request_goes(uri: str, error: type[Exception], nobody: str) -> None:
    """Each URI that cannot be asked has its error."""

    async def main() -> None:
        async with Client() as client:
            await client.get(uri.replace("NOBODY", nobody))

    with pytest.raises(error):
        asyncio.run(main())


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def hostile(talk: Talk) -> AsyncIterator[str]:
    """A server that does what `talk` says with each connection, and then closes it; its URL."""
    talks: set[asyncio.Task[None] | None] = set()

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.add(asyncio.current_task())
        with contextlib.suppress(OSError):
            await talk(reader, writer)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    async with await asyncio.start_server(run, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        await asyncio.gather(*(task for task in talks if task is not None))


@pytest.mark.parametrize("together", [True, False])
def test_unasked_response_is_not_taken(together: bool) -> None:
    """RFC 9112 9.2: what a server sends while no request is open answers none that comes later."""

    async def main() -> list[bytes]:
        talks = 0

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal talks
            talks += 1
            await reader.readuntil(b"\r\n\r\n")
            ok = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"
            writer.write(ok + b"good" + (ok + b"evil" if together else b""))
            if not together:
                await read.wait()
                writer.write(ok + b"evil")
            sent.set()
            await reader.read()

        read, sent = asyncio.Event(), asyncio.Event()
        async with hostile(talk) as url, Client() as client:
            answers = [await (await client.get(url)).read()]
            read.set()
            await sent.wait()
            for _ in range(10):  # turns of the loop in which the octets reach the client
                await asyncio.sleep(0)
            answers.append(await (await client.get(url)).read())
            await client.close()
        assert talks == 2
        return answers

    assert asyncio.run(main()) == [b"good", b"good"]


def test_endless_upload_ends_with_the_connection() -> None:
    """A server that answers early and leaves does not keep the client sending for ever."""

    async def main() -> int:
        async def endless() -> AsyncIterator[bytes]:
            while True:
                yield bytes(1 << 16)

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")

        async with hostile(talk) as url, Client() as client:
            try:
                async with await client.request("PUT", url, body=endless()) as response:
                    return response.status
            except ConnectionLost:  # the reset that the unread content causes can overtake the answer
                return 0

    assert asyncio.run(main()) in (413, 0)


def test_interim_responses_have_an_end() -> None:
    """A server that only ever says "wait" is given up."""

    async def main() -> None:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 102 Processing\r\n\r\n" * 101)
            await reader.read()

        async with hostile(talk) as url, Client() as client:
            with pytest.raises(RemoteProtocolError, match="interim"):
                await client.get(url)

    asyncio.run(main())


def test_head_that_trickles_times_out() -> None:
    """An octet now and then is no progress: the whole head has one time."""

    async def main() -> None:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while not reader.at_eof():
                writer.write(b"H")
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(reader.read(1000), 0.02)

        async with hostile(talk) as url, Client(timeout=0.1) as client:
            with pytest.raises(TimedOut):
                await client.get(url)

    asyncio.run(main())
