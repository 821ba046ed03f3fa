"""Sockets of the stack, as tests of its options and its loop want them, between the two hosts of `conftest`."""

from __future__ import annotations

import socket

from mirage.runtime import StackSocket
from mirage.runtime.testing import SimLoop


def listening(loop: SimLoop, mss: int = 0) -> StackSocket:
    """A socket that waits for connections at port 80."""
    sock = StackSocket(loop, socket.AF_INET, socket.SOCK_STREAM)
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, mss)
    sock.bind(("10.0.0.1", 80))
    sock.listen()
    return sock


async def connected(loop: SimLoop) -> StackSocket:
    """One that is connected to there."""
    sock = StackSocket(loop, socket.AF_INET, socket.SOCK_STREAM)
    sock.setblocking(False)
    await loop.sock_connect(sock, ("10.0.0.1", 80))
    return sock
