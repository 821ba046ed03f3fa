"""The asyncio server: `await serve(service)` listens and answers until it is drained or closed.

It asks the running event loop for its listeners (`create_server`), so it runs on any loop: the host's sockets, or a
network stack of our own. What a connection does is in `_protocol`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Final

from mirage.types import WallClock

from ._date import DateCache, SystemClock
from ._events import Limits
from ._protocol import HTTPProtocol
from ._serving import Access
from ._tls import conduit, server_side
from .message import Service

if TYPE_CHECKING:
    from mirage.conduit import Listener, ServerTls

__all__ = ["Access", "Server", "Timeouts", "serve"]

_LIMITS: Final = Limits()


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a client may take, in seconds. They are kept to within a quarter of the shortest, at most a second."""

    head: float = 10.0
    """For the whole head of a request, from its first octet; for the first, from the connection's beginning."""
    keep_alive: float = 15.0
    """Between requests."""
    body: float = 30.0
    """For each 16 KiB of content, while the service waits for it."""
    write: float = 30.0
    """For reading 16 KiB of what the server wants to send, or the rest of it."""
    linger: float = 2.0
    """For closing its side after the server has closed its own."""

    @property
    def resolution(self) -> float:
        """How often deadlines are looked at."""
        return min(1.0, min(self.head, self.keep_alive, self.body, self.write, self.linger) / 4)


_TIMEOUTS: Final = Timeouts()


class Server:
    """A running server; made by `serve`. As an async context manager it is drained at the end."""

    def __init__(
        self,
        service: Service,
        loop: asyncio.AbstractEventLoop,
        *,
        limits: Limits = _LIMITS,
        timeouts: Timeouts = _TIMEOUTS,
        max_connections: int = 10_000,
        wall_clock: WallClock | None = None,
        access_log: Callable[[Access], None] | None = None,
        sendfile: bool = True,
    ) -> None:
        self.service = service
        self.loop = loop
        self.limits = limits
        self.timeouts = timeouts
        self.max_connections = max_connections
        self.access_log = access_log
        self.sendfile = sendfile
        self.date = DateCache(wall_clock or SystemClock())
        self._listener: asyncio.AbstractServer | Listener | None = None
        self._secure: Listener | None = None
        self._addresses: list[tuple[str, int]] = []
        self._connections: set[HTTPProtocol] = set()
        self._sweep: asyncio.TimerHandle | None = None
        self._draining = False
        self._empty = asyncio.Event()
        self._empty.set()

    # Where it is

    @property
    def sockets(self) -> tuple[object, ...]:
        """The listening sockets, as the loop gives them."""
        return tuple(getattr(self._listener, "sockets", ()))

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Host and port of each listener, as they were when it was opened."""
        return list(self._addresses)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the first listener."""
        return self._addresses[0]

    @property
    def url(self) -> str:
        """The server's root, `http://127.0.0.1:8080`; a wildcard address is given as this host's loopback.

        Over TLS it begins with https.
        """
        host, port = self.address
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
        scheme = "http" if self._secure is None else "https"
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

    @property
    def tls(self) -> ServerTls | None:
        """How TLS is spoken, None where it is not. A new value is for new connections; those that are there go on.

        It can be set only where there was one: a server never changes between http and https.
        """
        return None if self._secure is None else self._secure.tls

    @tls.setter
    def tls(self, side: ServerTls) -> None:
        if self._secure is None or side is None:
            raise ValueError("a server of http does not become one of https, nor the other way round: serve anew")
        self._secure.tls = side

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._connections)

    # Stopping

    async def drain(self, timeout: float = 10.0) -> int:
        """Stop listening, close idle connections at once, let requests in progress end within `timeout` seconds.

        Returns how many connections had to be broken off.
        """
        self._stop_listening()
        for connection in list(self._connections):
            connection.drain()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._empty.wait()
        broken = len(self._connections)
        await self._abort()
        return broken

    async def close(self) -> None:
        """Stop listening and break off every connection."""
        self._stop_listening()
        await self._abort()

    async def _abort(self) -> None:
        for connection in list(self._connections):
            connection.abort()
        await self._empty.wait()
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None

    def _stop_listening(self) -> None:
        self._draining = True
        if self._listener is not None:
            self._listener.close()

    async def __aenter__(self) -> Server:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await (self.drain() if kind is None else self.close())

    # For the connections

    def protocol(self) -> HTTPProtocol:
        """A protocol for one more connection: what `create_server` calls, and what any transport can be given."""
        return HTTPProtocol(self)

    def opened(self, connection: HTTPProtocol) -> bool:
        """Count a connection in; False when there are too many."""
        self._connections.add(connection)
        self._empty.clear()
        if self._sweep is None:
            self._sweep = self.loop.call_later(self.timeouts.resolution, self._expire)
        return len(self._connections) <= self.max_connections and not self._draining

    def closed(self, connection: HTTPProtocol) -> None:
        """Count a connection out."""
        self._connections.discard(connection)
        if not self._connections:
            self._empty.set()

    def _expire(self) -> None:
        # The next sweep first: whatever goes wrong with one connection, the others keep their deadlines.
        self._sweep = self.loop.call_later(self.timeouts.resolution, self._expire) if self._connections else None
        now = self.loop.time()
        for connection in [c for c in self._connections if c.deadline <= now]:
            connection.expire()

    def report(self, message: str, error: Exception) -> None:
        """Tell of an error that is the application's, through the loop's exception handler."""
        self.loop.call_exception_handler({"message": f"mirage.cohttp: {message}", "exception": error})


async def serve(
    service: Service,
    host: str | None = "127.0.0.1",
    port: int = 0,
    *,
    limits: Limits = _LIMITS,
    timeouts: Timeouts = _TIMEOUTS,
    max_connections: int = 10_000,
    wall_clock: WallClock | None = None,
    access_log: Callable[[Access], None] | None = None,
    sendfile: bool = True,
    backlog: int = 1024,
    tls: ServerTls | None = None,
) -> Server:
    """Listen on `host` and `port` (0 picks a free one; the host None means all addresses) and serve.

    With `tls` it serves https, and nothing else. Raises `OSError` when the address cannot be had, `TLSUnavailable`
    where `tls` is not what `mirage.conduit` makes.
    """
    if tls is not None:
        server_side(tls)
        sendfile = False  # the kernel does not seal
    loop = asyncio.get_running_loop()
    server = Server(
        service,
        loop,
        limits=limits,
        timeouts=timeouts,
        max_connections=max_connections,
        wall_clock=wall_clock,
        access_log=access_log,
        sendfile=sendfile,
    )
    if tls is None:
        server._listener = await loop.create_server(server.protocol, host, port, backlog=backlog)
    else:
        endpoint = conduit().Tls(host or "", port)
        server._listener = server._secure = await conduit().listen(endpoint, server.protocol, tls=tls, backlog=backlog)
    server._addresses = [tuple(s.getsockname()[:2]) for s in server.sockets]  # type: ignore[attr-defined]
    return server
