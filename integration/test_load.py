"""Many clients, slow clients, clients that vanish, and a download far larger than memory should hold."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from urllib.parse import urlsplit

import pytest

from . import targets
from .client import Client, connect, unverified
from .targets import Running

MEBIBYTE = 1 << 20
REQUEST = b"GET %b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def origin(url: str) -> tuple[str, int]:
    """Host and port of a URL."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


@pytest.mark.slow
def test_200_clients_at_once(website: Running) -> None:
    """Each of 200 open connections gets each of ten pages whole."""
    with Client(website.url) as client:
        wanted = client.get("/").body

    async def visit() -> None:
        tls = unverified() if website.url.startswith("https") else None
        reader, writer = await asyncio.open_connection(*origin(website.url), ssl=tls)
        for _ in range(10):
            writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 ")
            length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            assert await reader.readexactly(length) == wanted
        writer.close()
        await writer.wait_closed()

    async def crowd() -> None:
        async with asyncio.timeout(60):
            await asyncio.gather(*(visit() for _ in range(200)))

    asyncio.run(crowd())


@pytest.mark.slow
def test_a_gibibyte_with_bounded_memory(load: Running) -> None:
    """A 1 GiB download arrives whole while the server grows by less than 16 MiB."""
    with Client(load.url) as client:
        client.get("/zeros/65536")
    before = peak = load.resident
    total = 0
    buffer = bytearray(MEBIBYTE)
    with connect(load.url, timeout=60) as connection:
        connection.sendall(REQUEST % b"/zeros/1073741824")
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(4096)
        total = len(head.partition(b"\r\n\r\n")[2])
        blocks = 0
        while size := connection.recv_into(buffer):
            total += size
            blocks += 1
            if blocks % 64 == 0:
                peak = max(peak, load.resident)
                assert not any(buffer[:size:4096])
    assert total == 1 << 30
    assert peak - before < 16 * MEBIBYTE, f"grew by {(peak - before) / MEBIBYTE:.1f} MiB"


@pytest.mark.slow
def test_a_client_that_does_not_read_holds_little_memory(load: Running, target: str) -> None:
    """Thirty clients that ask for 1 GiB each and read nothing make the server wait, not swell; others are served.

    On a stack of its own the buffers that otherwise lie in the kernel are the program's, and the gateway has its own.
    """
    allowed = 90 * MEBIBYTE if targets.TARGETS[target].own_stack else 30 * MEBIBYTE
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(Client(load.url))
        client.get("/zeros/65536")
        before = load.resident
        for _ in range(30):
            stack.enter_context(connect(load.url)).sendall(REQUEST % b"/zeros/1073741824")
        for _ in range(50):
            assert len(client.get("/zeros/1000").body) == 1000
        grown = load.resident - before
    assert grown < allowed, f"grew by {grown / MEBIBYTE:.1f} MiB"


@pytest.mark.slow
def test_clients_that_vanish_leave_nothing(load: Running) -> None:
    """A hundred clients that disappear in mid-download, by reset, cost neither memory nor an error for others."""
    with Client(load.url) as client:
        client.get("/zeros/65536")
        before = load.resident
        for _ in range(100):
            with connect(load.url) as connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
                connection.sendall(REQUEST % b"/zeros/1073741824")
                connection.recv(4096)
        assert len(client.get("/zeros/1000").body) == 1000
        assert load.resident - before < 16 * MEBIBYTE
    assert "Traceback" not in load.console


@pytest.mark.slow
def test_an_upload_is_taken_piece_by_piece(load: Running) -> None:
    """A large request is counted as it arrives and never held whole."""
    with Client(load.url, timeout=60) as client:
        client.get("/zeros/65536")
        before = load.resident
        assert client.request("POST", "/count", body=bytes(64 * MEBIBYTE)).body == b"67108864"
        assert load.resident - before < 16 * MEBIBYTE


def test_a_slow_request_does_not_hold_up_others(website: Running) -> None:
    """Fifty clients that stop in the middle of their header keep nobody else from being served."""
    with contextlib.ExitStack() as stack:
        for _ in range(50):
            stack.enter_context(connect(website.url)).sendall(b"GET / HTTP/1.1\r\nHost: loc")
        client = stack.enter_context(Client(website.url, timeout=5))
        started = time.monotonic()
        for _ in range(20):
            assert client.get("/").status == 200
        assert time.monotonic() - started < 5


def test_a_request_byte_by_byte(website: Running) -> None:
    """However a request is cut up, it is the same request."""
    with connect(website.url) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for octet in REQUEST % b"/":
            connection.sendall(bytes([octet]))
        assert connection.recv(64).startswith(b"HTTP/1.1 200 ")
