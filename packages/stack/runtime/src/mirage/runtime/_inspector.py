"""Where a running program may be asked about its stack: a Unix socket of the host, or a TCP port of the stack itself.

The socket is its owner's only. The port is for a virtual machine, which has no files in common with the host: it
answers the routers of its network, which for the gateway is the gateway, and where there is no router any neighbour.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from mirage.tcpip.stack import Stack, packed

from ._inspect import Capture, Conversation
from .errors import RuntimeMisuse

if TYPE_CHECKING:
    from ._loop import StackEventLoop

__all__ = ["inspected", "port_of"]

_ASKERS = 16
_WAITING = 4 << 20
"""Octets of a capture that may wait for its asker."""


def port_of(where: str) -> int | None:
    """The port that the boot argument names; None where it names a file, or nothing. Raises `RuntimeMisuse`."""
    if not (where.isascii() and where.isdigit()):
        return None
    if not 1 <= int(where) <= 65535:
        raise RuntimeMisuse(f"inspect: {where} is no TCP port, which are 1 to 65535; a file's name is not a number")
    return int(where)


@contextlib.asynccontextmanager
async def inspected(loop: StackEventLoop, where: str) -> AsyncIterator[None]:
    """Answer whoever asks at `where`, the path of a Unix socket or the number of a TCP port; nobody for no text.

    Raises `RuntimeMisuse` where it cannot be had.
    """
    if not where:
        yield
        return
    port = port_of(where)
    askers: set[_Asker] = set()
    stack = loop.stack
    try:
        if port is None:
            server: Any = await loop.create_unix_server(
                lambda: _Asker(loop, stack, askers, None), sock=_private_socket(where)
            )
        else:
            server = await loop.create_server(lambda: _Asker(loop, stack, askers, port), None, port)
    except OSError as error:
        raise RuntimeMisuse(f"inspect: {where} cannot be listened at: {error.strerror}") from None
    try:
        yield
    finally:
        server.close()
        for asker in list(askers):
            asker.part()
        if port is None:
            with contextlib.suppress(OSError):
                os.unlink(where)


def _private_socket(path: str) -> socket.socket:
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(os.lstat(path).st_mode):  # left over from a program that was killed
            os.unlink(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        sock.bind(path)
    except BaseException:
        sock.close()
        raise
    finally:
        os.umask(before)
    return sock


class _Asker(asyncio.Protocol):
    """One connection."""

    def __init__(self, loop: StackEventLoop, stack: Stack, askers: set[_Asker], port: int | None) -> None:
        self._loop = loop
        self._stack = stack
        self._askers = askers
        self._port = port
        self._conversation = Conversation(stack, self._dropped)
        self._capture: Capture | None = None
        self._frames: list[bytes] = []
        self._waiting = 0
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if len(self._askers) >= _ASKERS or (self._port is not None and not self._permitted()):
            transport.abort()
            return
        self._askers.add(self)

    def _permitted(self) -> bool:
        ip = self._stack.ip
        address = packed(self._transport.get_extra_info("peername")[0])
        found = ip.routes.find(address)
        routers = {route.gateway for route in ip.routes.all()} - {None}
        return address in routers or (not routers and bool(found) and found[0].gateway is None)

    def _dropped(self) -> dict[str, int]:
        return {each.interface.name: each.dropped for each in self._loop.turn.drivers if each.stack is self._stack}

    def data_received(self, data: bytes) -> None:
        conversation = self._conversation
        if self._capture is not None or self not in self._askers:
            return  # whoever listens to a capture has nothing to say
        self._transport.write(conversation.receive(data, self._loop.time()))
        if conversation.over:
            self._transport.close()
        elif conversation.capture is not None:
            self._capture = Capture(
                conversation.capture,
                self._queue,
                clock=self._loop.time,
                epoch=time.time() - self._loop.time(),
                room=lambda: self._waiting + self._transport.get_write_buffer_size() < _WAITING,
                without=self._port,
            )

    def _queue(self, octets: bytes) -> None:
        """Frames pass in the middle of the stack's turn; what they make us write goes out after it."""
        if not self._frames:
            self._loop.call_soon(self._flush)
        self._frames.append(octets)
        self._waiting += len(octets)

    def _flush(self) -> None:
        octets, self._waiting = b"".join(self._frames), 0
        self._frames.clear()
        if not self._transport.is_closing():
            self._transport.write(octets)

    def pause_writing(self) -> None:
        """Questions wait until answers are taken, so one asker costs no more than its buffer."""
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        self._askers.discard(self)
        if self._capture is not None:
            self._capture.close()

    def part(self) -> None:
        """The program ends."""
        if self._capture is not None:
            self._capture.close()
        self._transport.close()
