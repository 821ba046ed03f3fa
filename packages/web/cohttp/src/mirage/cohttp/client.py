"""An asyncio client that keeps idle connections for the next request to the same host.

    async with Client() as client:
        response = await client.request("GET", "http://127.0.0.1:8080/")
        print(response.status, await response.read())

It asks the running loop for its connections. Redirects are not followed. A response whose content is left unread holds
its connection: read it, or use the response as an async context manager.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Final

from ._connection import Connection
from ._events import END, Data, EndOfMessage, InformationalHead, Limits, RequestHead, ResponseHead, Signal
from ._state import Role, State
from ._tls import client_side, conduit, failure_text
from ._uri import IDEMPOTENT, URI, InvalidURI, parse_uri, request_head
from .errors import ConnectionLost, ContentTooLarge, RemoteProtocolError, TimedOut
from .message import Headers

if TYPE_CHECKING:
    from mirage.conduit import ClientTls

__all__ = ["Client", "ClientResponse", "InvalidURI"]

_LIMITS: Final = Limits(body=None)
_PIECE: Final = 1 << 16


class _Link:
    """One connection to a host."""

    def __init__(self, uri: URI, client: Client, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.key = (uri.host, uri.port, uri.secure)
        self.client = client
        self.reader = reader
        self.writer = writer
        self.codec = Connection(Role.CLIENT, client.limits)
        self.used = False
        self.heard = False
        self.since = 0.0
        self._watch: asyncio.Task[bytes] | None = None

    async def next_event(self) -> object:
        """The next event. Raises `RemoteProtocolError`, `ConnectionLost`, `TimedOut`."""
        while isinstance(event := self.codec.next_event(), Signal):
            try:
                async with asyncio.timeout(self.client.timeout):
                    data = await self.reader.read(_PIECE)
            except TimeoutError:
                raise TimedOut(f"{self.key[0]} sent nothing for {self.client.timeout:g} seconds") from None
            except OSError as error:
                raise ConnectionLost(f"the connection to {self.key[0]} broke: {error}") from None
            self.heard = self.heard or bool(data)
            self.codec.receive_data(data)
        return event

    async def response(self) -> ResponseHead:
        """The head of the response, all of it within the client's timeout. Raises as `next_event` does."""
        try:
            async with asyncio.timeout(self.client.timeout):
                while isinstance(event := await self.next_event(), InformationalHead):
                    pass
        except TimeoutError:
            raise TimedOut(f"{self.key[0]} sent no response within {self.client.timeout:g} seconds") from None
        if not isinstance(event, ResponseHead):
            raise RemoteProtocolError("the connection closed without a response", 502)
        return event

    async def write(self, data: bytes) -> bool:
        """Send octets, as fast as they are taken; False when the connection does not take any."""
        self.writer.write(data)
        try:
            async with asyncio.timeout(self.client.timeout):
                await self.writer.drain()
        except TimeoutError:
            raise TimedOut(f"{self.key[0]} took nothing for {self.client.timeout:g} seconds") from None
        except OSError:
            return False  # the answer may be there all the same: reading tells
        return not self.writer.is_closing()

    def rest(self) -> None:
        """Begin to be idle.

        RFC 9112 9.2: a client that receives data while no request is outstanding "MUST NOT consider that data to be a
        valid response": anything that comes now, the end included, closes the connection.
        """
        self.since = asyncio.get_running_loop().time()
        self._watch = asyncio.create_task(self.reader.read(1))
        self._watch.add_done_callback(self._disturbed)

    def _disturbed(self, watch: asyncio.Task[bytes]) -> None:
        if not watch.cancelled():
            watch.exception()
            self.close()

    async def wake(self) -> bool:
        """End being idle; False when it cannot be used any more."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait((self._watch,))
            if not self._watch.cancelled():
                self.close()
        return not self.writer.is_closing()

    def close(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
        self.writer.close()


class ClientResponse:
    """A response whose content is read as it arrives."""

    def __init__(self, link: _Link, head: ResponseHead) -> None:
        self.status = head.status
        self.reason = head.reason or ""
        self.headers = Headers.from_raw(head.headers)
        self.trailers = Headers()
        """Known at the end of the content."""
        self._link: _Link | None = link

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The content in chunks. Raises `RemoteProtocolError`, `ConnectionLost`, `TimedOut`."""
        while (link := self._link) is not None:
            try:
                event = await link.next_event()
            except BaseException:
                self.close()
                raise
            if isinstance(event, Data):
                yield event.data
            elif isinstance(event, EndOfMessage):
                self.trailers = Headers.from_raw(event.trailers)
                self._link = None
                link.client._put_back(link)

    async def read(self, limit: int | None = None) -> bytes:
        """The whole content. Raises `ContentTooLarge` beyond `limit` octets, and what iterating raises."""
        parts: list[bytes] = []
        size = 0
        async for chunk in self:
            size += len(chunk)
            if limit is not None and size > limit:
                self.close()
                raise ContentTooLarge(f"the content is longer than {limit} octets")
            parts.append(chunk)
        return b"".join(parts)

    def close(self) -> None:
        """Give up the rest of the content, and the connection with it."""
        if self._link is not None:
            self._link.close()
            self._link = None

    async def __aenter__(self) -> ClientResponse:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


async def _open(uri: URI) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(uri.host, uri.port)


class Client:
    """See the module. `timeout`, in seconds, is for connecting, for each piece that is sent, for the whole head of the
    response, and for each wait for its content. `tls` says how https is spoken: by default with the implementation that
    `mirage.conduit` chooses, and to servers that the system's roots vouch for.
    """

    def __init__(
        self,
        *,
        timeout: float = 30.0,
        limits: Limits = _LIMITS,
        idle_per_host: int = 4,
        idle_seconds: float = 10.0,
        tls: ClientTls | None = None,
    ) -> None:
        self.timeout = timeout
        self.limits = limits
        self._idle_per_host = idle_per_host
        self._idle_seconds = idle_seconds
        self._tls = tls
        self._idle: dict[tuple[str, int, bool], list[_Link]] = {}
        self._closed = False

    async def request(
        self,
        method: str,
        uri: str,
        *,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes | AsyncIterable[bytes] = b"",
    ) -> ClientResponse:
        """Send a request and return its response as soon as the head is there.

        Raises `InvalidURI`, `LocalProtocolError`, `TLSUnavailable`; `ConnectionLost`, `TimedOut`,
        `RemoteProtocolError`. On a kept connection that turns out to be closed an idempotent request is sent again.
        """
        where = parse_uri(uri)
        head = request_head(method, where, headers, len(body) if isinstance(body, bytes) else None)
        link = await self._take(where) or await self._connect(where)
        while True:
            try:
                return await self._exchange(link, head, body)
            except (RemoteProtocolError, ConnectionLost):
                again = link.used and not link.heard and method in IDEMPOTENT and isinstance(body, bytes)
                link.close()
                if not again:
                    raise
                link = await self._connect(where)
            except BaseException:
                link.close()
                raise

    async def get(self, uri: str, *, headers: Iterable[tuple[str, str]] = ()) -> ClientResponse:
        """`request` with the method GET."""
        return await self.request("GET", uri, headers=headers)

    async def _connect(self, uri: URI) -> _Link:
        try:
            async with asyncio.timeout(self.timeout):
                reader, writer = await (self._open_tls(uri) if uri.secure else _open(uri))
        except TimeoutError:
            raise TimedOut(f"{uri.host} port {uri.port} did not accept within {self.timeout:g} seconds") from None
        except OSError as error:
            raise ConnectionLost(f"cannot connect to {uri.host} port {uri.port}: {failure_text(error)}") from error
        return _Link(uri, self, reader, writer)

    async def _open_tls(self, uri: URI) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        side = self._tls = client_side(self._tls)
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(loop=loop)
        transport, protocol = await conduit().connect(
            conduit().Tls(uri.host, uri.port), lambda: asyncio.StreamReaderProtocol(reader, loop=loop), tls=side
        )
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)

    async def _exchange(self, link: _Link, head: RequestHead, body: bytes | AsyncIterable[bytes]) -> ClientResponse:
        codec = link.codec
        octets = codec.send(head)
        if isinstance(body, bytes):
            await link.write(octets + codec.send(Data(body)) + codec.send(END))
        else:
            async for chunk in body:
                if not await link.write(octets + codec.send(Data(chunk))):
                    break  # nobody takes the rest, which may have no end
                octets = b""
            else:
                await link.write(octets + codec.send(END))
        return ClientResponse(link, await link.response())

    # Kept connections

    async def _take(self, uri: URI) -> _Link | None:
        links = self._idle.get((uri.host, uri.port, uri.secure), [])
        now = asyncio.get_running_loop().time()
        while links:
            link = links.pop()
            if now - link.since < self._idle_seconds and await link.wake():
                return link
            link.close()
        return None

    def _put_back(self, link: _Link) -> None:
        links = self._idle.setdefault(link.key, [])
        codec = link.codec
        if self._closed or codec.our_state is not State.DONE or codec.buffered or len(links) >= self._idle_per_host:
            link.close()
            return
        codec.start_next_cycle()
        link.used, link.heard = True, False
        link.rest()
        links.append(link)

    async def close(self) -> None:
        """Close the kept connections."""
        self._closed = True
        links = [link for links in self._idle.values() for link in links]
        self._idle.clear()
        for link in links:
            link.close()
            try:
                await link.writer.wait_closed()
            except OSError:
                continue

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
