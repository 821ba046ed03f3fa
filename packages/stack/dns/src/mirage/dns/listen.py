"""Name servers on asyncio: UDP and TCP at one address and port, for `Authority`, `Forwarder` or anything like them.

It works on any event loop that has `create_datagram_endpoint` and `create_server`. Limits: so many connections at once,
each so long idle; a connection that does not take its answers is not read from; so many answers being made.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import Counter
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol, cast

from .message import frame
from .server import requests
from .settings import Address

__all__ = ["Handler", "Limits", "Server", "serve"]


class Handler(Protocol):
    """Makes responses."""

    def handle(self, octets: bytes, source: Address, *, tcp: bool) -> Iterable[bytes] | Awaitable[Iterable[bytes]]:
        """The responses to a message from `source`; raises nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds and counts."""

    connections: int = 256
    idle: float = 10.0
    """RFC 7766 section 6.2.3: a few seconds."""
    under_way: int = 1000
    """Answers that are being waited for, as a forwarder's; above, queries are dropped."""


_LIMITS = Limits()


class Server:
    """What listens. `counters` counts datagrams, connections, and what was dropped."""

    def __init__(self, handler: Handler, limits: Limits) -> None:
        self.handler = handler
        self.limits = limits
        self.counters: Counter[str] = Counter()
        self.tasks: set[asyncio.Task[None]] = set()
        self.streams: set[_Stream] = set()
        self.address: tuple[str, int] = ("", 0)
        """Where it listens."""
        self._endpoint: asyncio.BaseTransport | None = None
        self._listener: asyncio.AbstractServer | None = None

    def respond(self, octets: bytes, source: Address, answer: Any, *, tcp: bool) -> None:
        """Have the handler make responses, and give each to `answer`."""
        made = self.handler.handle(octets, source, tcp=tcp)
        if not isinstance(made, Awaitable):
            answer(made)
        elif len(self.tasks) >= self.limits.under_way:
            self.counters["dropped.busy"] += 1
            if asyncio.iscoroutine(made):
                made.close()
        else:
            task = asyncio.get_running_loop().create_task(self._later(made, answer))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def _later(self, made: Awaitable[Iterable[bytes]], answer: Any) -> None:
        answer(await made)

    async def close(self) -> None:
        """Listen no more, and end what is under way."""
        if self._endpoint is not None:
            self._endpoint.close()
        if self._listener is not None:
            self._listener.close()
        for stream in list(self.streams):
            stream.abort()
        tasks = list(self.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def serve(handler: Handler, host: str = "127.0.0.1", port: int = 53, *, limits: Limits = _LIMITS) -> Server:
    """Listen at an address, for UDP and TCP at the same port; 0 picks a free one.

    Raises `OSError` when the address cannot be had.
    """
    loop = asyncio.get_running_loop()
    server = Server(handler, limits)
    for attempts_left in range(8 if port == 0 else 1, 0, -1):
        listener = await loop.create_server(lambda: _Stream(server), host, port)
        actual = listener.sockets[0].getsockname()[:2]
        try:
            server._endpoint, _ = await loop.create_datagram_endpoint(
                lambda: _Endpoint(server), local_addr=(host, actual[1])
            )
        except OSError:
            # A port that is free for TCP may be taken for UDP; with port 0 there are others.
            listener.close()
            if attempts_left == 1:
                raise
        else:
            server._listener = listener
            server.address = (actual[0], actual[1])
            break
    return server


class _Endpoint(asyncio.DatagramProtocol):
    def __init__(self, server: Server) -> None:
        self.server = server
        self.transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # No isinstance: asyncio's own transports for datagrams are of that class from Python 3.12 on only.
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.server.counters["received.udp"] += 1
        self.server.respond(data, _address(addr[0]), lambda responses: self._send(responses, addr), tcp=False)

    def _send(self, responses: Iterable[bytes], addr: Any) -> None:
        transport = self.transport
        if transport is not None and not transport.is_closing():
            for response in responses:
                transport.sendto(response, addr)

    def error_received(self, exc: Exception) -> None:
        del exc
        self.server.counters["errors.udp"] += 1  # an earlier response found nobody


class _Stream(asyncio.Protocol):
    """A connection: any number of queries, answered as they come (RFC 7766)."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._source: Address = ipaddress.IPv4Address(0)
        self._timer: asyncio.TimerHandle | None = None
        self._full = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        stream = cast(asyncio.Transport, transport)
        self.server.counters["accepted"] += 1
        if len(self.server.streams) >= self.server.limits.connections:
            self.server.counters["dropped.connections"] += 1
            stream.abort()
            return
        self._transport = stream
        self._source = _address(transport.get_extra_info("peername")[0])
        self.server.streams.add(self)
        self._wait()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._work()

    def _work(self) -> None:
        for octets in requests(self._buffer):
            self._wait()
            self.server.counters["received.tcp"] += 1
            self.server.respond(octets, self._source, self._send, tcp=True)
            if self._full:
                return

    def _send(self, responses: Iterable[bytes]) -> None:
        if self._transport is not None and not self._transport.is_closing():
            for response in responses:
                self._transport.write(frame(response))

    def pause_writing(self) -> None:
        self._full = True
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._full = False
        self._work()
        if self._transport is not None and not self._full and not self._transport.is_closing():
            self._transport.resume_reading()

    def _wait(self) -> None:
        """Begin to wait for the next query."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(self.server.limits.idle, self.abort)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def eof_received(self) -> bool:
        """The client asks no more; answers that are being made still go out."""
        return bool(self.server.tasks)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self._timer is not None:
            self._timer.cancel()
        self.server.streams.discard(self)


def _address(text: str) -> Address:
    return ipaddress.ip_address(text.partition("%")[0])
