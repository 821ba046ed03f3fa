"""Socket options that change what goes over the wire, or when a program may write."""

from __future__ import annotations

import asyncio
import errno
import os
import socket

import pytest
from mirage.runtime import StackSocket
from mirage.runtime.testing import SimHost, SimLoop
from sockets import connected, listening

_TCP = socket.IPPROTO_TCP
_TIMESTAMPS = 12


@pytest.mark.parametrize("passive", [False, True])
def test_maxseg_before_the_handshake(loop: SimLoop, hosts: tuple[SimHost, SimHost], passive: bool) -> None:
    """It goes into the SYN, or into its answer, so that segments are small in both directions."""
    server, client = hosts
    ready = asyncio.Event()

    async def serve() -> int:
        listener = listening(loop, 700 if passive else 0)
        ready.set()
        connection, _ = await loop.sock_accept(listener)
        return int(connection.getsockopt(_TCP, socket.TCP_MAXSEG))

    async def ask() -> int:
        await ready.wait()
        sock = StackSocket(loop, socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        assert sock.getsockopt(_TCP, socket.TCP_MAXSEG) == 536
        if not passive:
            sock.setsockopt(_TCP, socket.TCP_MAXSEG, 700)
            assert sock.getsockopt(_TCP, socket.TCP_MAXSEG) == 700
        await loop.sock_connect(sock, ("10.0.0.1", 80))
        return int(sock.getsockopt(_TCP, socket.TCP_MAXSEG))

    serving = server.spawn(serve())
    assert loop.run_until_complete(client.spawn(ask())) == 700 - _TIMESTAMPS
    assert loop.run_until_complete(serving) == 700 - _TIMESTAMPS


def test_maxseg_of_a_connection(loop: SimLoop, hosts: tuple[SimHost, SimHost]) -> None:
    """What is sent becomes smaller; what is out of Linux's range is refused."""
    server, client = hosts
    ready = asyncio.Event()

    async def serve() -> bytes:
        listener = listening(loop)
        ready.set()
        connection, _ = await loop.sock_accept(listener)
        return bytes(await loop.sock_recv(connection, 65536))

    async def ask() -> None:
        await ready.wait()
        sock = await connected(loop)
        for wrong in (87, 32768):
            with pytest.raises(OSError, match="nvalid") as caught:
                sock.setsockopt(_TCP, socket.TCP_MAXSEG, wrong)
            assert caught.value.errno == errno.EINVAL
        sock.setsockopt(_TCP, socket.TCP_MAXSEG, 500)
        assert sock.getsockopt(_TCP, socket.TCP_MAXSEG) == 500 - _TIMESTAMPS
        await loop.sock_sendall(sock, b"x" * 488)

    serving = server.spawn(serve())
    loop.run_until_complete(client.spawn(ask()))
    assert loop.run_until_complete(serving) == b"x" * 488


def test_notsent_lowat(loop: SimLoop, hosts: tuple[SimHost, SimHost]) -> None:
    """Once so many octets have not been sent, no more are taken, and the rest arrives whole all the same."""
    server, client = hosts
    ready = asyncio.Event()
    size = 3_000_000

    async def serve() -> int:
        listener = listening(loop)
        ready.set()
        connection, _ = await loop.sock_accept(listener)
        total = 0
        while data := await loop.sock_recv(connection, 1 << 20):
            total += len(data)
        return total

    async def ask() -> None:
        await ready.wait()
        sock = await connected(loop)
        sock.setsockopt(_TCP, socket.TCP_NOTSENT_LOWAT, 16384)
        assert sock.getsockopt(_TCP, socket.TCP_NOTSENT_LOWAT) == 16384
        taken = [sock.send(bytes(10_000)), sock.send(bytes(10_000))]
        assert taken == [10_000, 10_000]
        with pytest.raises(BlockingIOError):
            sock.send(b"more than the mark")
        assert not sock.writable()
        await loop.sock_sendall(sock, bytes(size - 20_000))
        sock.close()

    serving = server.spawn(serve())
    loop.run_until_complete(client.spawn(ask()))
    assert loop.run_until_complete(serving) == size


def test_what_a_listener_was_told_holds_for_who_comes(loop: SimLoop, hosts: tuple[SimHost, SimHost]) -> None:
    """As on Linux, and TCP_INFO as struct tcp_info: its first octet is the state."""
    server, client = hosts
    ready = asyncio.Event()

    async def serve() -> bytes:
        listener = listening(loop)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        listener.setsockopt(_TCP, socket.TCP_KEEPIDLE, 5)
        listener.setsockopt(_TCP, socket.TCP_USER_TIMEOUT, 7000)
        with pytest.raises(OSError, match=os.strerror(errno.ENOTCONN)):
            listener.getsockopt(_TCP, socket.TCP_INFO, 104)
        ready.set()
        sock, _ = await loop.sock_accept(listener)
        assert sock.getsockopt(_TCP, socket.TCP_KEEPIDLE) == 5
        connection = sock.endpoint
        assert connection.keepalive
        assert (connection.keepalive_idle, connection.user_timeout) == (5.0, 7.0)
        info = sock.getsockopt(_TCP, socket.TCP_INFO, 104)
        assert isinstance(info, bytes)
        assert len(info) == 104
        return bytes(info[:1])

    async def ask() -> None:
        await ready.wait()
        _held = await connected(loop)
        await asyncio.sleep(1)

    serving = server.spawn(serve())
    loop.run_until_complete(client.spawn(ask()))
    assert loop.run_until_complete(serving) == b"\1"
