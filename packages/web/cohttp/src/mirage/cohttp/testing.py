"""For tests: a server in memory, in virtual time.

    assert exchange(service, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").startswith(b"HTTP/1.1 200 OK\r\n")

`exchange` runs a service against octets and returns all that the server sends until it closes; waiting costs nothing,
as `VirtualLoop` jumps to the next thing that is due. `MemoryClient` is one client of a server, for tests that send in
pieces, stop reading or vanish. The server is the real one: only its transport and its time are not.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

from ._protocol import HTTPProtocol
from .message import Service
from .server import Server

__all__ = ["MemoryClient", "VirtualLoop", "exchange", "memory_server", "run_virtual"]

_T = TypeVar("_T")
_HIGH = 1 << 16


class _VirtualSelector(selectors.SelectSelector):
    """Never waits: where a loop would sleep, its clock moves."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready now; the time that could have been waited has passed."""
        if timeout is None:
            raise RuntimeError("every task waits and nothing is scheduled: this would never end")
        self.now += max(0.0, timeout)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only when there is nothing else to do."""

    def __init__(self) -> None:
        self._virtual = _VirtualSelector()
        super().__init__(self._virtual)

    def time(self) -> float:
        """Seconds since the loop was made, in its own time."""
        return self._virtual.now


def run_virtual(main: Coroutine[Any, Any, _T]) -> _T:
    """`asyncio.run` on a `VirtualLoop`."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


def memory_server(service: Service, **options: Any) -> Server:
    """A server on the running loop that listens nowhere; the options are those of `serve`."""
    return Server(service, asyncio.get_running_loop(), **options)


class _MemoryTransport(asyncio.Transport):
    def __init__(self, client: MemoryClient) -> None:
        super().__init__({"peername": ("memory", 0)})
        self.client = client
        self.paused = False
        self.closing = False
        self.writing_paused = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self.closing and data:
            self.client.arrived += data
            if len(self.client.arrived) > _HIGH and not self.client.reading and not self.writing_paused:
                self.writing_paused = True
                self.client.protocol.pause_writing()
            self.client.changed()

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.client.eof = True
        self.client.changed()

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False
        asyncio.get_running_loop().call_soon(self.client.push)

    def is_closing(self) -> bool:
        return self.closing

    def get_write_buffer_size(self) -> int:
        return 0 if self.client.reading else len(self.client.arrived)

    def close(self) -> None:
        self.closing = True
        if not self.get_write_buffer_size():
            self.abort()

    def abort(self) -> None:
        self.closing = True
        asyncio.get_running_loop().call_soon(self.client.lost, None)


class MemoryClient:
    """One client of a server, octet by octet."""

    def __init__(self, server: Server) -> None:
        self.reading = True
        """Whether what arrives is taken; a client that does not read fills the server's buffer."""
        self.arrived = bytearray()
        """What the server has sent."""
        self.eof = False
        """Whether the server has closed its direction."""
        self.closed = False
        """Whether the connection is over."""
        self._unsent = bytearray()
        self._waiters: list[asyncio.Future[None]] = []
        self.protocol: HTTPProtocol = server.protocol()
        self.transport = _MemoryTransport(self)
        self.protocol.connection_made(self.transport)

    @property
    def held_back(self) -> int:
        """Octets that the client wants to send and the server does not take."""
        return len(self._unsent)

    def send(self, data: bytes) -> None:
        """Send octets; they wait while the server does not read."""
        self._unsent += data
        self.push()

    def push(self) -> None:
        """Hand over what waits, in pieces as a socket would."""
        while self._unsent and not self.transport.paused and not self.closed:
            piece = bytes(self._unsent[:_HIGH])
            del self._unsent[:_HIGH]
            self.protocol.data_received(piece)

    def read_on(self) -> None:
        """Begin to read again."""
        self.reading = True
        self._taken()

    def read_some(self, count: int) -> bytes:
        """Take so many octets of what has arrived, while not reading."""
        data = bytes(self.arrived[:count])
        del self.arrived[:count]
        self._taken()
        return data

    def _taken(self) -> None:
        left = self.transport.get_write_buffer_size()
        if self.transport.writing_paused and left <= _HIGH // 4:
            self.transport.writing_paused = False
            self.protocol.resume_writing()
        if self.transport.closing and not left:
            self.transport.abort()

    def vanish(self) -> None:
        """Be gone."""
        self.protocol.eof_received()
        self.transport.closing = True
        self.lost(ConnectionResetError("the client vanished"))

    def lost(self, error: Exception | None) -> None:
        """The connection is over."""
        if not self.closed:
            self.closed = True
            self.protocol.connection_lost(error)
            self.changed()

    def changed(self) -> None:
        """Wake those who wait in `until`."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    async def until(self, ending: bytes) -> bytes:
        """Wait until what arrived ends so, and take it."""
        while not self.arrived.endswith(ending):
            if self.closed:
                raise AssertionError(f"the connection closed after {bytes(self.arrived[-200:])!r}")
            await self._change()
        data = bytes(self.arrived)
        self.arrived.clear()
        return data

    async def until_closed(self) -> bytes:
        """Wait until the connection is over, and take all that arrived."""
        while not self.closed:
            await self._change()
        return bytes(self.arrived)

    async def _change(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter


def exchange(service: Service, raw: bytes, *, pieces: int = 0, **options: Any) -> bytes:
    """All that a server answers to `raw` until it closes, in virtual time; `pieces` cuts what is sent so long."""

    async def main() -> bytes:
        client = MemoryClient(memory_server(service, **options))
        step = pieces or len(raw) or 1
        for start in range(0, len(raw), step):
            client.send(raw[start : start + step])
        return await client.until_closed()

    return run_virtual(main())
