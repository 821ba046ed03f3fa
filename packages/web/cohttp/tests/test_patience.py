"""How long the asyncio server waits for its clients, and what it does for others meanwhile; in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from mirage.cohttp import Headers, Request, Response, Timeouts
from mirage.cohttp.testing import MemoryClient, memory_server, run_virtual

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("size", [1000, 60_000, 200_000])
def test_last_response_that_nobody_reads(streamed: bool, size: int) -> None:
    """A client that lets the last response lie does not keep its connection, however much of it is left."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(0, size, 1000):
            yield b"x" * 1000

    async def main() -> float:
        async def service(request: Request) -> Response:
            await asyncio.sleep(1)
            return Response(body=chunks() if streamed else b"x" * size)

        client = MemoryClient(memory_server(service))
        client.reading = False
        client.send(LAST)
        async with asyncio.timeout(1000):
            await client.until_closed()
        return asyncio.get_running_loop().time()

    assert 30 <= run_virtual(main()) < 70


@pytest.mark.parametrize("request_", [GET, LAST, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n"])
def test_slow_and_steady_reader_gets_all(request_: bytes) -> None:
    """Who takes 16 KiB within each time for writing gets a response of any length, also the last and an early one."""
    size = 1_000_000

    async def main() -> int:
        client = MemoryClient(memory_server(lambda request: Response(body=b"x" * size)))
        client.reading = False
        client.send(request_)
        got = 0
        while client.arrived:
            await asyncio.sleep(20)
            assert not client.closed
            got += len(client.read_some(20_000))
        return got

    assert run_virtual(main()) > size


def test_trickling_reader_is_given_up() -> None:
    """Taking less than that is no progress."""

    async def main() -> float:
        client = MemoryClient(memory_server(lambda request: Response(body=b"x" * 1_000_000)))
        client.reading = False
        client.send(GET)
        while not client.closed:
            await asyncio.sleep(5)
            client.read_some(1000)
        return asyncio.get_running_loop().time()

    assert 30 <= run_virtual(main()) <= 40


def test_content_has_its_time_after_a_pause() -> None:
    """That the client has caught up with reading does not lift the deadline for what it is to send."""

    async def main() -> float:
        def echo(request: Request) -> Response:
            return Response(body=request.body)

        client = MemoryClient(memory_server(echo))
        client.reading = False
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + bytes(70_000))
        for _ in range(10):
            await asyncio.sleep(0)
        client.read_on()
        async with asyncio.timeout(1000):
            await client.until_closed()
        return asyncio.get_running_loop().time()

    assert 30 <= run_virtual(main()) < 40


def test_body_that_never_waits_leaves_others_their_turn() -> None:
    """An asynchronous body that is always ready, and a client that takes it all, do not stop the server."""

    async def main() -> tuple[int, int]:
        drawn = 0

        async def ready() -> AsyncIterator[bytes]:
            nonlocal drawn
            for drawn in range(10_000):  # noqa: B007 - counts
                yield b"x" * 1000

        def service(request: Request) -> Response:
            return Response(body=ready() if request.path == "/all" else b"hi")

        server = memory_server(service)
        greedy, modest = MemoryClient(server), MemoryClient(server)
        greedy.send(GET.replace(b"/ ", b"/all ", 1))
        await asyncio.sleep(0)
        modest.send(GET)
        await modest.until(b"hi")
        seen = drawn
        await greedy.until(b"\r\n0\r\n\r\n")
        return seen, drawn

    seen, drawn = run_virtual(main())
    assert seen < 1000
    assert drawn == 9999


def test_many_requests_at_once_leave_others_their_turn() -> None:
    """However many requests one client sends ahead, the others are answered meanwhile, and little is kept of them."""
    many = 20_000

    async def main() -> tuple[int, int]:
        greedy_answers = 0

        def service(request: Request) -> Response:
            nonlocal greedy_answers
            greedy_answers += request.path == "/many"
            return Response(204 if request.path == "/many" else 200, body=b"")

        server = memory_server(service)
        greedy, modest = MemoryClient(server), MemoryClient(server)
        greedy.send(GET.replace(b"/ ", b"/many ", 1) * many)
        assert greedy.held_back > 100_000
        modest.send(GET)
        await modest.until(b"\r\n\r\n")
        seen = greedy_answers
        greedy.send(LAST)
        await greedy.until_closed()
        return seen, greedy_answers

    seen, answered = run_virtual(main())
    assert seen < 1000
    assert answered == many


class Closing:
    """A body that is not drawn and is closed."""

    def __init__(self) -> None:
        self.drawn = self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.drawn = True
        yield b"x"

    async def aclose(self) -> None:
        self.closed = True


@pytest.mark.parametrize("status", [200, 304])
def test_body_of_no_content_is_closed(status: int) -> None:
    """A body that is left out, as in answer to HEAD, is closed and never drawn."""
    body = Closing()

    async def main() -> bytes:
        client = MemoryClient(memory_server(lambda request: Response(status, body=body)))
        client.send(GET.replace(b"GET", b"HEAD" if status == 200 else b"GET"))
        answer = await client.until(b"\r\n\r\n")
        client.send(LAST)
        await client.until_closed()
        return answer

    assert b"HTTP/1.1 %d " % status in run_virtual(main())
    assert body.closed
    assert not body.drawn or status == 200  # the second request draws it where there is content


@pytest.mark.parametrize("body", [b"x", iter([b"x"])])
def test_response_that_is_none_is_500(body: bytes) -> None:
    """Whatever error building the response ends in, the client is answered and the application is told."""

    async def main() -> tuple[bytes, list[object]]:
        told: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context["exception"]))
        wrong = Response(headers=Headers.from_raw([("x", "text")]), body=body)  # type: ignore[list-item]
        client = MemoryClient(memory_server(lambda request: wrong))
        client.send(GET)
        return await client.until(b"Error\n"), told

    answer, told = run_virtual(main())
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert isinstance(told[0], TypeError)


def test_connections_beyond_twice_the_limit_are_dropped() -> None:
    """Those over the limit are told so while that is affordable, and then no more: their number has an end."""

    async def main() -> list[bytes]:
        server = memory_server(lambda request: Response(), max_connections=2, timeouts=Timeouts(linger=5))
        clients = [MemoryClient(server) for _ in range(6)]
        await asyncio.sleep(0.1)
        assert server.connections == 4
        return [bytes(client.arrived[:12]) for client in clients]

    assert run_virtual(main()) == [b"", b"", b"HTTP/1.1 503", b"HTTP/1.1 503", b"", b""]


def test_draining_twice() -> None:
    """Two that drain at once both come to an end, after the shorter of their times."""

    async def main() -> tuple[list[int], float]:
        async def never(request: Request) -> Response:
            await asyncio.Event().wait()
            return Response()

        server = memory_server(never)
        client = MemoryClient(server)
        client.send(GET)
        await asyncio.sleep(0)
        async with asyncio.timeout(100):
            broken = await asyncio.gather(server.drain(5), server.drain(7))
        return list(broken), asyncio.get_running_loop().time()

    broken, took = run_virtual(main())
    assert broken == [1, 0]
    assert 5 <= took < 6


def test_deadlines_outlive_a_failure() -> None:
    """A socket that cannot be shut down any more, as after a reset, takes no deadline from the other connections."""

    async def main() -> list[bool]:
        server = memory_server(lambda request: Response())
        reset, silent = MemoryClient(server), MemoryClient(server)

        def write_eof() -> None:
            raise OSError(107, "Transport endpoint is not connected")

        reset.transport.write_eof = write_eof  # type: ignore[method-assign]
        reset.send(b"GET")
        await asyncio.sleep(5)
        late = MemoryClient(server)
        await asyncio.sleep(30)
        return [client.closed for client in (reset, silent, late)]

    assert run_virtual(main()) == [True, True, True]


@pytest.mark.parametrize("streamed", [True, False])
def test_answer_that_is_never_begun_is_closed(streamed: bool) -> None:
    """A client that vanishes before the task for its answer has begun leaves no coroutine and no body behind."""
    body = Closed()

    async def main() -> None:
        async def later(request: Request) -> Response:
            return Response()

        client = MemoryClient(memory_server((lambda request: Response(body=body)) if streamed else later))
        client.send(GET)
        client.vanish()
        await asyncio.sleep(1)

    run_virtual(main())
    assert body.closed is streamed


class Closed:
    """A body that never has anything."""

    closed = False

    def __iter__(self) -> Iterator[bytes]:
        return iter(())

    def close(self) -> None:
        self.closed = True
