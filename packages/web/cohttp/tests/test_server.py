"""The asyncio server on real sockets of the loopback interface."""

from __future__ import annotations

import asyncio
import io
import re
import tempfile
from collections.abc import AsyncIterator
from typing import Any

import pytest
from mirage.cohttp import FileBody, Headers, Request, Response, serve


async def later(request: Request) -> Response:
    await asyncio.sleep(0)
    return Response(body=await request.body.read())


async def ticks() -> AsyncIterator[bytes]:
    for n in range(3):
        await asyncio.sleep(0)
        yield b"%d" % n


def service(request: Request) -> Response:
    match request.path:
        case "/":
            return Response(headers=Headers([("content-type", "text/plain")]), body=b"hello\n")
        case "/chunks":
            return Response(body=[b"a" * 10, b"", b"b" * 10])
        case "/async":
            return Response(body=ticks())
        case "/memory":
            return Response(body=FileBody(io.BytesIO(b"x" * 200_000), 10, 100_000))
        case "/file":
            file = tempfile.TemporaryFile()  # noqa: SIM115 - the body closes it
            file.write(bytes(range(256)) * 4096)
            file.flush()
            return Response(body=FileBody(file, 3, 1 << 19))
        case "/boom":
            raise ValueError("boom")
    return Response(404)


async def ask(service: object, raw: bytes, **options: object) -> bytes:
    async with await serve(service, **options) as server:  # type: ignore[arg-type]
        reader, writer = await asyncio.open_connection(*server.address)
        writer.write(raw)
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer


def get(target: str, *, close: bool = True, method: str = "GET") -> bytes:
    last = "Connection: close\r\n" if close else ""
    return f"{method} {target} HTTP/1.1\r\nHost: localhost\r\n{last}\r\n".encode()


def test_hello() -> None:
    """A service that answers at once is answered with Date and Content-Length."""
    answer = asyncio.run(ask(service, get("/")))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\ndate: ")
    assert b"content-length: 6" in head
    assert b"connection: close" in head
    assert body == b"hello\n"


def test_pipelined_in_order() -> None:
    """Requests sent ahead are answered in their order."""
    answer = asyncio.run(ask(service, get("/", close=False) + get("/nothing", close=False) + get("/")))
    assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"200", b"404", b"200"]


@pytest.mark.parametrize("path", ["/chunks", "/async", "/memory", "/file"])
def test_streamed_bodies(path: str) -> None:
    """Every kind of body arrives whole."""
    answer = asyncio.run(ask(service, get(path)))
    head, _, body = answer.partition(b"\r\n\r\n")
    expected = {
        "/chunks": b"14\r\n" + b"a" * 10 + b"b" * 10 + b"\r\n0\r\n\r\n",
        "/async": b"1\r\n0\r\n1\r\n1\r\n1\r\n2\r\n0\r\n\r\n",
        "/memory": b"x" * 100_000,
        "/file": (bytes(range(256)) * 4096)[3 : 3 + (1 << 19)],
    }[path]
    assert body == expected
    assert (b"transfer-encoding: chunked" in head) is (path in ("/chunks", "/async"))


@pytest.mark.parametrize("good", [0, 1])
def test_sendfile_that_cannot_begin(good: int) -> None:
    """A slice that the kernel refuses goes the plain way, and it is no reason to give up sendfile for the others."""

    async def main() -> tuple[bytes, bool]:
        loop = asyncio.get_running_loop()
        sendfile, calls = loop.sendfile, 0

        async def failing(*args: Any, **options: Any) -> int:
            nonlocal calls
            calls += 1
            if calls > good:
                raise asyncio.SendfileNotAvailableError("os.sendfile call failed")
            return await sendfile(*args, **options)

        loop.sendfile = failing  # type: ignore[method-assign]
        async with await serve(service) as server:
            reader, writer = await asyncio.open_connection(*server.address)
            writer.write(get("/file"))
            answer = await reader.read()
            writer.close()
            await writer.wait_closed()
            return answer, server.sendfile

    answer, kept = asyncio.run(main())
    assert answer.endswith((bytes(range(256)) * 4096)[3 : 3 + (1 << 19)])
    assert kept


def test_file_without_sendfile() -> None:
    """The plain twin of sendfile sends the same octets."""
    answer = asyncio.run(ask(service, get("/file"), sendfile=False))
    assert answer.endswith((bytes(range(256)) * 4096)[3 : 3 + (1 << 19)])


def test_content_reaches_an_awaited_service() -> None:
    """Content is streamed to the service, and 100 (Continue) goes out when it asks."""
    raw = b"POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello"
    answer = asyncio.run(ask(later, raw))
    assert b"200 OK" in answer
    assert answer.endswith(b"\r\n\r\nhello")


def test_head_has_no_content() -> None:
    """HEAD answers with the fields of GET and without the content."""
    answer = asyncio.run(ask(service, get("/", method="HEAD")))
    assert b"content-length: 6" in answer
    assert answer.endswith(b"\r\n\r\n")


def test_malformed_is_400() -> None:
    """What is not a request is refused with a text that says why."""
    answer = asyncio.run(ask(service, b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"))
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"connection: close" in answer
    assert b"more than one Host" in answer


def test_failing_service_is_500_and_reported() -> None:
    """An exception is answered with 500, told to the loop's handler, and the connection goes on."""

    async def main() -> tuple[bytes, list[object]]:
        told: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
        return await ask(service, get("/boom", close=False) + get("/")), told

    answer, told = asyncio.run(main())
    assert b"500 Internal Server Error" in answer
    assert b"boom" not in answer
    assert answer.endswith(b"hello\n")
    assert [str(e) for e in told] == ["boom"]


def test_drain_finishes_requests_in_progress() -> None:
    """Draining lets a request end, says Connection: close, and closes idle connections at once."""

    async def main() -> bytes:
        go = asyncio.Event()
        begun = asyncio.Event()

        async def slow(request: Request) -> Response:
            begun.set()
            await go.wait()
            return Response(body=b"done")

        server = await serve(slow)
        idle_reader, idle_writer = await asyncio.open_connection(*server.address)
        reader, writer = await asyncio.open_connection(*server.address)
        writer.write(get("/", close=False))
        await begun.wait()
        draining = asyncio.ensure_future(server.drain(5))
        assert await idle_reader.read() == b""
        go.set()
        answer = await reader.read()
        assert await draining == 0
        for w in (idle_writer, writer):
            w.close()
            await w.wait_closed()
        return answer

    answer = asyncio.run(main())
    assert b"connection: close" in answer
    assert answer.endswith(b"done")


def test_client_that_leaves_cancels_its_service() -> None:
    """The task of a service ends with its client."""

    async def main() -> bool:
        begun = asyncio.Event()
        cancelled = asyncio.Event()

        async def forever(request: Request) -> Response:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()
            return Response()

        async with await serve(forever) as server:
            _, writer = await asyncio.open_connection(*server.address)
            writer.write(get("/"))
            await begun.wait()
            writer.close()
            await writer.wait_closed()
            await asyncio.wait_for(cancelled.wait(), 5)
            return cancelled.is_set()

    assert asyncio.run(main())


def test_file_body_reads_its_part_only() -> None:
    """A FileBody never shows an octet outside of its range."""
    body = FileBody(io.BytesIO(b"0123456789"), 2, 5)
    assert b"".join(body) == b"23456"
    assert body.read(4, 100) == b"6"
    assert body.read(5, 1) == b""
    body.close()
    with pytest.raises(ValueError, match="negative"):
        FileBody(io.BytesIO(), -1, 1)
