"""One connection of the asyncio server, in memory and in virtual time."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator

import pytest
from mirage.cohttp import Access, Headers, Limits, Request, Response, Timeouts
from mirage.cohttp.testing import MemoryClient, exchange, memory_server, run_virtual

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


def hello(request: Request) -> Response:
    return Response(body=b"hello")


async def echo(request: Request) -> Response:
    return Response(body=await request.body.read())


class Noon:
    """A wall clock that stands."""

    def now_ns(self) -> int:
        return 784_111_777 * 10**9


def statuses(answer: bytes) -> list[int]:
    return [int(s) for s in re.findall(rb"HTTP/1\.1 (\d+)", answer)]


def test_date_is_of_the_given_clock() -> None:
    """RFC 9110 5.6.7: the very example of the standard."""
    assert b"date: Sun, 06 Nov 1994 08:49:37 GMT\r\n" in exchange(hello, GET, wall_clock=Noon())


@pytest.mark.parametrize("pieces", [0, 1, 7])
def test_pieces_do_not_matter(pieces: int) -> None:
    """Pipelined requests with content are answered in order, however they arrive."""
    raw = b"".join(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n%02d" % n for n in range(20))
    answer = exchange(echo, raw, pieces=pieces)
    assert re.findall(rb"\r\n\r\n(\d\d)", answer) == [b"%02d" % n for n in range(20)]


def test_keep_alive_ends() -> None:
    """An idle connection is closed without a word after its time."""

    async def main() -> float:
        client = MemoryClient(memory_server(hello, timeouts=Timeouts(keep_alive=5)))
        client.send(GET)
        begun = asyncio.get_running_loop().time()
        answer = await client.until_closed()
        assert statuses(answer) == [200]
        return asyncio.get_running_loop().time() - begun

    assert 5 <= run_virtual(main()) <= 6.5


def test_slow_head_is_408() -> None:
    """A head that trickles in gets no more time than one that does not come: slow loris."""

    async def main() -> tuple[bytes, float]:
        client = MemoryClient(memory_server(hello, timeouts=Timeouts(head=10)))
        loop = asyncio.get_running_loop()
        for octet in GET[:-1]:
            if client.eof:
                break
            client.send(bytes([octet]))
            await asyncio.sleep(1)
        return await client.until_closed(), loop.time()

    answer, when = run_virtual(main())
    assert statuses(answer) == [408]
    assert when < 15


def test_silent_client_is_closed_silently() -> None:
    """A connection on which nothing is said is closed, with no answer to a question nobody asked."""
    assert exchange(hello, b"") == b""


def test_slow_content_is_408() -> None:
    """Content that trickles in makes no progress that counts."""

    async def main() -> tuple[bytes, float]:
        client = MemoryClient(memory_server(echo, timeouts=Timeouts(body=10)))
        client.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(100):
            if client.eof or client.closed:
                break
            client.send(b"x")
            await asyncio.sleep(1)
        return await client.until_closed(), asyncio.get_running_loop().time()

    answer, when = run_virtual(main())
    assert statuses(answer) == [408]
    assert when < 20


def test_client_that_does_not_read() -> None:
    """A response is drawn no faster than the client takes it; one that never does is dropped in time."""
    drawn = 0

    def chunks() -> Iterator[bytes]:
        nonlocal drawn
        for _ in range(1000):
            drawn += 1
            yield b"x" * 10_000

    async def main(resume: bool) -> int:
        nonlocal drawn
        drawn = 0
        client = MemoryClient(memory_server(lambda request: Response(body=chunks())))
        client.reading = False
        client.send(GET)
        await asyncio.sleep(5)
        assert drawn < 20
        if resume:
            client.read_on()
            await client.until(b"\r\n0\r\n\r\n")
        else:
            await client.until_closed()
        return drawn

    assert run_virtual(main(True)) == 1000
    assert run_virtual(main(False)) < 20


def test_unread_content_holds_the_client() -> None:
    """A service that does not read makes the client wait, in bounded memory; reading lets it go on."""

    async def main() -> None:
        go = asyncio.Event()
        total = 0

        async def late(request: Request) -> Response:
            nonlocal total
            await go.wait()
            async for chunk in request.body:
                total += len(chunk)
            return Response(body=b"%d" % total)

        client = MemoryClient(memory_server(late))
        size = 5_000_000
        client.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
        await asyncio.sleep(100)
        assert client.held_back > size - 300_000
        go.set()
        await client.until(b"5000000")
        assert client.held_back == 0

    run_virtual(main())


@pytest.mark.slow
def test_pipeline_is_bounded() -> None:
    """Requests sent ahead of a slow one wait outside of the server."""

    async def main() -> None:
        go = asyncio.Event()

        async def slow(request: Request) -> Response:
            await go.wait()
            return Response(body=b"x")

        client = MemoryClient(memory_server(slow))
        client.send(GET * 8_000)
        await asyncio.sleep(1)
        assert client.held_back > len(GET) * 8_000 - 200_000
        go.set()
        await client.until_closed()
        assert client.arrived.count(b"HTTP/1.1 200") == 8_000

    run_virtual(main())


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"nonsense\r\n\r\n", [400]),
        (GET + b"nonsense\r\n\r\n", [200, 400]),
        (b"GET / HTTP/3.0\r\nHost: h\r\n\r\n", [505]),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n", [414]),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 50_000 + b"\r\n\r\n", [431]),
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", [501]),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 101\r\n\r\n", [413]),
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", [400]),
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n", [413]),
        (b"CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n", [500]),
        (b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", [200]),
    ],
)
def test_refusals(raw: bytes, expected: list[int]) -> None:
    """Each refusal has its status, a text, and closes the connection."""

    async def main() -> bytes:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        client = MemoryClient(memory_server(echo, limits=Limits(body=100)))
        client.send(raw)
        return await client.until_closed()

    answer = run_virtual(main())
    assert statuses(answer) == expected
    assert expected[-1] in (200, 500) or b"connection: close" in answer


def test_unread_content_ends_the_connection() -> None:
    """A response before the content has come is the last: what follows could be taken for a request."""
    raw = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nshort"
    answer = exchange(hello, raw)
    assert statuses(answer) == [200]
    assert b"connection: close" in answer


def test_unread_content_that_is_there_is_passed_over() -> None:
    """Content that has come and is not wanted costs the client nothing."""
    raw = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nshort"
    assert statuses(exchange(hello, raw + GET)) == [200, 200]


def test_continue() -> None:
    """100 (Continue) is sent when the service reads, and only then."""
    raw = b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"

    async def main() -> bytes:
        client = MemoryClient(memory_server(echo))
        client.send(raw)
        first = await client.until(b"\r\n\r\n")
        assert first == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(b"hello")
        return await client.until(b"hello")

    assert statuses(run_virtual(main())) == [200]
    assert statuses(exchange(hello, raw)) == [200]


def test_content_too_large_for_the_service() -> None:
    """`read(limit)` that is passed is 413."""

    async def small(request: Request) -> Response:
        return Response(body=await request.body.read(3))

    raw = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
    assert statuses(exchange(small, raw)) == [413]


@pytest.mark.parametrize("moment", ["awaiting", "reading", "streaming"])
def test_vanishing_client(moment: str) -> None:
    """A client that goes cancels what is done for it, and bodies are closed."""

    async def main() -> list[str]:
        ended: list[str] = []

        async def endless() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield b"x"
                    await asyncio.sleep(1)
            finally:
                ended.append("streaming")

        async def service(request: Request) -> Response:
            try:
                if moment == "awaiting":
                    await asyncio.sleep(1000)
                elif moment == "reading":
                    await request.body.read()
            except BaseException:
                ended.append(moment)
                raise
            return Response(body=endless())

        server = memory_server(service)
        client = MemoryClient(server)
        client.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhi" + b"!!!" * (moment != "reading"))
        await asyncio.sleep(5)
        client.vanish()
        await asyncio.sleep(1)
        assert server.connections == 0
        return ended

    assert run_virtual(main()) == [moment]


@pytest.mark.parametrize("bad", [Response(200), "text", None, Response(200, body=iter(["text"]))])  # type: ignore[arg-type]
def test_services_that_return_nonsense(bad: object) -> None:
    """What is not a response is 500, or breaks off; it is reported, and the server goes on."""

    async def main() -> tuple[list[int], int]:
        told: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
        if isinstance(bad, Response) and bad.body == b"":
            bad.headers.raw.append((b"x", b"a\r\nb"))
        client = MemoryClient(memory_server(lambda request: bad))  # type: ignore[arg-type, return-value]
        client.send(GET)
        return statuses(await client.until_closed()), len(told)

    found, told = run_virtual(main())
    assert found == [500] or (found in ([], [200]) and isinstance(bad, Response))
    assert told == 1


@pytest.mark.parametrize("length", ["3", "30", "x"])
def test_wrong_length_is_500(length: str) -> None:
    """A service whose Content-Length is not that of its content is answered for, before anything is sent."""

    async def main() -> bytes:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        response = Response(headers=Headers([("content-length", length)]), body=b"hello")
        client = MemoryClient(memory_server(lambda request: response))
        client.send(GET)
        return await client.until_closed()

    assert statuses(run_virtual(main())) == [500]


def test_access_log() -> None:
    """Each exchange is told once, with what was sent."""
    told: list[Access] = []
    exchange(hello, GET + b"HEAD /x HTTP/1.1\r\nHost: h\r\n\r\nnonsense\r\n\r\n", access_log=told.append)
    assert [(a.method, a.target, a.status, a.octets) for a in told[:2]] == [
        ("GET", "/", 200, 5),
        ("HEAD", "/x", 200, 0),
    ]
    assert told[2].status == 400


def test_too_many_connections() -> None:
    """A client beyond the bound is told to come again."""

    async def main() -> bytes:
        server = memory_server(hello, max_connections=1)
        first = MemoryClient(server)
        second = MemoryClient(server)
        answer = await second.until_closed()
        first.send(GET)
        assert b"200 OK" in await first.until(b"hello")
        return answer

    answer = run_virtual(main())
    assert statuses(answer) == [503]
    assert b"retry-after" in answer


def test_drain_that_takes_too_long() -> None:
    """What does not end in time is broken off and counted."""

    async def main() -> tuple[int, float]:
        async def never(request: Request) -> Response:
            await asyncio.sleep(1000)
            return Response()

        server = memory_server(never)
        client = MemoryClient(server)
        client.send(GET)
        await asyncio.sleep(1)
        begun = asyncio.get_running_loop().time()
        return await server.drain(7), asyncio.get_running_loop().time() - begun

    broken, took = run_virtual(main())
    assert broken == 1
    assert 7 <= took < 8


def test_nothing_is_drawn_for_a_client_that_left() -> None:
    """A body is not drawn, and nothing is written, once the transport closes: also before that is known to us."""

    async def main() -> tuple[int, int]:
        drawn = 0

        def chunks() -> Iterator[bytes]:
            nonlocal drawn
            for drawn in range(1000):
                if drawn == 100:
                    client.transport.close()
                yield b"x" * 1000

        client = MemoryClient(memory_server(lambda request: Response(body=chunks())))
        client.send(GET)
        await client.until_closed()
        return drawn, len(client.arrived)

    drawn, arrived = run_virtual(main())
    assert drawn < 200
    assert arrived < 100_000


def test_drain_does_not_wait_for_the_lingering() -> None:
    """A connection whose last response was sent does not hold up the end."""

    async def main() -> float:
        server = memory_server(hello)
        client = MemoryClient(server)
        client.send(b"nonsense\r\n\r\n")
        await asyncio.sleep(0)
        assert client.eof
        assert not client.closed
        begun = asyncio.get_running_loop().time()
        assert await server.drain(5) == 0
        return asyncio.get_running_loop().time() - begun

    assert run_virtual(main()) < 0.1


def test_content_that_breaks_off_while_echoed() -> None:
    """What the client does wrong in the middle of a response ends it, and is not reported as the service's fault."""

    async def main() -> tuple[bytes, list[object]]:
        told: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
        client = MemoryClient(memory_server(lambda request: Response(body=request.body)))
        client.send(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")
        await client.until(b"ab\r\n")
        client.send(b"zz\r\n")
        return await client.until_closed(), told

    assert run_virtual(main()) == (b"", [])


def test_old_clients() -> None:
    """HTTP/1.0 gets no chunks and no second request."""
    answer = exchange(lambda r: Response(body=iter([b"a", b"b"])), b"GET / HTTP/1.0\r\n\r\n" + GET)
    assert answer.endswith(b"\r\n\r\nab")
    assert statuses(answer) == [200]
