"""One connection of the asyncio server: an `asyncio.Protocol` around a `Connection`.

Invariants:

* Requests are answered one at a time, in order. Those that the client sent ahead stay as octets in the codec's buffer;
  when it holds more than `HIGH` the transport stops reading.
* The service is called as soon as the head is there. A response that it returns at once is written in the same call,
  with no task; anything to be awaited or streamed runs as the connection's one task, which ends with the connection.
* Nothing is produced while the transport's buffer is full (`pause_writing`), nothing is taken from the client while a
  service leaves the content unread.
* Each wait for the client has a deadline: a number in `deadline`, which the server's one sweep compares with the time.
  A deadline moves only with progress that counts: the whole head, or `PROGRESS` octets of content, either way.
"""

from __future__ import annotations

import asyncio
import enum
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Iterable
from math import inf
from typing import TYPE_CHECKING, Final, cast

from ._connection import Connection
from ._events import END, Data, EndOfMessage, InformationalHead, RequestHead
from ._serving import Access, build_request, close_body, error_response, has_content, response_head, status_of, whole
from ._state import Role, State
from .errors import ConnectionLost, ContentTooLarge, LocalProtocolError, RemoteProtocolError
from .message import Body, EmptyBody, FileBody, Request, Response

if TYPE_CHECKING:
    from .server import Server

__all__ = ["HTTPProtocol"]

HIGH: Final = 1 << 16
PROGRESS: Final = 1 << 14
_ONE_WRITE: Final = 1 << 16
_LINGER_MOST: Final = 1 << 20
_SLICE_FIRST: Final = 1 << 18
_SLICE_MOST: Final = 1 << 24
_TURN: Final = 1 << 18
_AT_ONCE: Final = 64
_CHUNK_COST: Final = 1 << 12
_NO_BODY: Final = EmptyBody()


class Phase(enum.Enum):
    """What a connection waits for."""

    HEAD = "the head of a request"
    IDLE = "the next request"
    BODY = "the content of a request"
    SERVICE = "the service, or the client's reading"
    LINGER = "the client to take the rest and to close"


class StreamBody:
    """The content of the request in progress."""

    __slots__ = ("_chunks", "_ended", "_error", "_protocol", "_waiter", "size")

    def __init__(self, protocol: HTTPProtocol) -> None:
        self._protocol = protocol
        self._chunks: deque[bytes] = deque()
        self._ended = False
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self.size = 0

    def feed(self, data: bytes) -> None:
        """Take a chunk from the connection."""
        self._chunks.append(data)
        self.size += len(data)
        self._wake()

    def end(self, error: Exception | None = None) -> None:
        """No more chunks; with an error, the reader gets it after those that are there."""
        if not self._ended:
            self._ended = True
            self._error = error
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The chunks as they arrive."""
        while (chunk := await self._next()) is not None:
            yield chunk

    async def _next(self) -> bytes | None:
        while not self._chunks:
            if self._error is not None:
                raise self._error
            if self._ended:
                return None
            self._protocol.body_wanted()
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        chunk = self._chunks.popleft()
        self.size -= len(chunk)
        self._protocol.body_taken()
        return chunk

    async def read(self, limit: int = 1 << 20) -> bytes:
        """The whole content. Raises `ContentTooLarge`."""
        parts: list[bytes] = []
        size = 0
        while (chunk := await self._next()) is not None:
            size += len(chunk)
            if size > limit:
                raise ContentTooLarge(f"the content is longer than {limit} octets")
            parts.append(chunk)
        return b"".join(parts)


class HTTPProtocol(asyncio.Protocol):
    """See the module."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._loop = server.loop
        self._service = server.service
        self._connection = Connection(Role.SERVER, server.limits)
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._client: str | None = None
        self._request: Request | None = None
        self._body: StreamBody | None = None
        self._received = False
        self._task: asyncio.Task[None] | None = None
        self._unbegun: Response | Awaitable[Response] | None = None
        self._resume: asyncio.Future[None] | None = None
        self._write_paused = False
        self._read_paused = False
        self._pumping = False
        self._yielded = False
        self._closing = False
        self._in_sendfile = False
        self._discarded = 0
        self._progress = 0
        self._started = 0.0
        self._octets = 0
        self._unyielded = 0
        self._unsent = inf
        self._phase = Phase.HEAD
        self.deadline = inf
        """The time of the loop at which `expire` is due."""

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self._client = str(peer[0]) if isinstance(peer, tuple) and peer else None
        self.deadline = self._loop.time() + self._server.timeouts.head
        if self._server.opened(self):
            return
        if self._server.connections > 2 * self._server.max_connections:
            self.abort()
        else:
            response = error_response(503, "The server has as many connections as it accepts. Try again soon.")
            response.headers.raw.append((b"retry-after", b"1"))
            self._refuse(response)

    def data_received(self, data: bytes) -> None:
        """Octets from the client."""
        if self._closing:
            self._discarded += len(data)
            if self._discarded > _LINGER_MOST:
                self._transport.abort()
            return
        self._connection.receive_data(data)
        self._pump()

    def eof_received(self) -> bool:
        """The client has closed its direction: it is taken to be gone, whatever it was owed."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over: so is its task."""
        self._closing = True
        self.deadline = inf
        if self._body is not None:
            self._body.end(ConnectionLost("the client closed the connection inside its request"))
        if self._task is not None and not self._in_sendfile:
            self._task.cancel()
        if (answer := self._unbegun) is not None:
            # A task that is cancelled before its first step never sees what it was given.
            close_body(answer.body if isinstance(answer, Response) else cast(Body, answer))
        self._server.closed(self)

    def pause_writing(self) -> None:
        """The client reads more slowly than we write."""
        self._write_paused = True
        self._unsent = self._transport.get_write_buffer_size()
        self.deadline = self._loop.time() + self._server.timeouts.write

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._write_paused = False
        self._unsent = inf
        t = self._server.timeouts
        waits = {Phase.HEAD: t.head, Phase.IDLE: t.keep_alive, Phase.BODY: t.body, Phase.LINGER: t.linger}
        self.deadline = self._loop.time() + waits.get(self._phase, inf)
        if self._resume is not None and not self._resume.done():
            self._resume.set_result(None)
        elif not self._closing:
            self._pump()

    # Requests

    def _pump(self) -> None:
        """Go through what has been received until more is needed or a request is being answered."""
        if self._pumping:
            return
        self._pumping = True
        connection = self._connection
        answered = 0
        try:
            while not self._closing and not (self._write_paused and self._request is None):
                event = connection.next_event()
                kind = type(event)
                if kind is RequestHead:
                    self._start(cast(RequestHead, event))
                elif kind is EndOfMessage:
                    self._received = True
                    if self._body is not None:
                        self._body.end()
                    if self._request is None:
                        self._next_cycle()
                        if not connection.buffered or self._transport.is_closing():
                            break
                        answered += 1
                        if answered >= _AT_ONCE:
                            self._yield_turn()
                            break
                elif kind is Data:
                    self._take(cast(Data, event).data)
                else:
                    break
        except RemoteProtocolError as error:
            self._misbehaved(error)
        finally:
            self._pumping = False
        if not self._closing and (
            self._request is not None or self._read_paused or self._write_paused or connection.buffered
        ):
            self._set_flow()

    def _yield_turn(self) -> None:
        """Many requests came at once: leave the other connections their turn before the rest."""
        if not self._yielded:
            self._yielded = True
            self._loop.call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self._yielded = False
        if not self._closing:
            self._pump()

    def _start(self, head: RequestHead) -> None:
        self._received = False
        if self._server.access_log is not None:
            self._started = self._loop.time()
        self._octets = 0
        self._unsent = inf
        if self._connection.has_content:
            self._body = StreamBody(self)
            self._progress = 0
            self._phase = Phase.BODY
            self.deadline = self._loop.time() + self._server.timeouts.body
            self._request = request = build_request(head, self._body, self._client)
        else:
            self._request = request = build_request(head, _NO_BODY, self._client)
        try:
            answer = self._service(request)
        except Exception as error:
            answer = self._failure(error)
        if not isinstance(answer, Response) or not self._respond_at_once(answer):
            self._unbegun = answer
            self._task = self._loop.create_task(self._run(answer))

    def _take(self, data: bytes) -> None:
        if self._body is not None and self._request is not None:
            self._body.feed(data)
        self._progress += len(data)
        if self._progress >= PROGRESS and self._phase is Phase.BODY:
            self._progress = 0
            self.deadline = self._loop.time() + self._server.timeouts.body

    def _misbehaved(self, error: RemoteProtocolError) -> None:
        if self._request is not None and self._body is not None:
            # The service learns of it where it reads, and answers; the codec allows no request after this one.
            self._received = True
            self._body.end(error)
        elif self._request is None and self._connection.our_state in (State.IDLE, State.RESPOND):
            self._refuse(error_response(error.status, str(error)))
        else:
            self._close_lingering()

    def _next_cycle(self) -> None:
        """Both messages are complete."""
        self._body = None
        if self._connection.our_state is State.DONE:
            self._connection.start_next_cycle()
            self._phase = Phase.IDLE
            if not self._write_paused:
                self.deadline = self._loop.time() + self._server.timeouts.keep_alive
        else:
            self._close_lingering()

    # Flow control and deadlines

    def _set_flow(self) -> None:
        """Read or not, and until when: decided in this one place after each step."""
        connection = self._connection
        pause = self._write_paused
        if self._yielded:
            pause = pause or connection.buffered > HIGH
        if self._request is not None:
            unread = connection.buffered + (self._body.size if self._body is not None else 0)
            pause = pause or unread > HIGH
            if self._phase is not Phase.SERVICE and (self._phase is not Phase.BODY or self._received or pause):
                self._phase = Phase.SERVICE
                if not self._write_paused:
                    self.deadline = inf
        elif self._phase is Phase.IDLE and connection.buffered:
            self._phase = Phase.HEAD
            self.deadline = self._loop.time() + self._server.timeouts.head
        if pause is not self._read_paused:
            self._read_paused = pause
            if pause:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def body_wanted(self) -> None:
        """The service waits for content: invite it, and give the client a time to send it."""
        if self._connection.expects_continue and self._connection.our_state is State.RESPOND:
            self._transport.write(self._connection.send(InformationalHead(100)))
        if self._phase is not Phase.BODY and not self._received:
            self._phase = Phase.BODY
            self.deadline = self._loop.time() + self._server.timeouts.body
        self.body_taken()

    def body_taken(self) -> None:
        """The service took content: there may be room again."""
        if self._read_paused and not self._closing:
            self._pump()

    def expire(self) -> None:
        """The deadline has passed."""
        self.deadline = inf
        left = self._transport.get_write_buffer_size()
        if left and left <= self._unsent - PROGRESS:
            # The client takes what was written, if slowly: it has not been waited for yet.
            self._unsent = left
            self.deadline = self._loop.time() + self._server.timeouts.write
        elif left:
            self.abort()
        elif self._phase is Phase.HEAD and self._connection.buffered:
            # RFC 9110 15.5.9: 408, "did not receive a complete request message within the time"
            self._refuse(error_response(408, "The request did not arrive in time."))
        elif self._phase is Phase.BODY and self._body is not None and self._request is not None:
            self._connection.close_after_cycle()
            self._body.end(RemoteProtocolError("the content did not arrive in time", 408))
        else:
            self.abort()

    # Responses

    def _failure(self, error: Exception) -> Response:
        """The response for an exception of a service, which is reported unless it is the client's own fault."""
        status, detail = status_of(error)
        if status >= 500:
            request = self._request
            what = f"{request.method} {request.target}" if request is not None else "a request"
            self._server.report(f"the service failed on {what}", error)
        return error_response(status, detail)

    def _respond_at_once(self, response: Response) -> bool:
        """Write a response that needs no waiting; False when it must be streamed."""
        try:
            body = whole(response, _ONE_WRITE)
            if body is None and (self._has_content(response) or hasattr(response.body, "aclose")):
                return False
            if body is None:
                close_body(response.body)
                body = b""
            self._write_whole(response, body)
        except Exception as error:
            # The service's response cannot be sent, and nothing of it was.
            self._write_whole(failure := self._failure(error), cast(bytes, failure.body))
        self._answered(response.status)
        return True

    def _has_content(self, response: Response) -> bool:
        assert self._request is not None
        return has_content(self._request.method, response.status)

    def _write_whole(self, response: Response, body: bytes) -> None:
        assert self._request is not None
        if not self._received and self._body is not None:
            self._skip_content()
        head = response_head(response, self._request.method, self._server.date.value())
        octets, content = self._connection.send_message(head, body)
        self._octets = len(body) if content else 0
        if len(content) <= _ONE_WRITE:
            self._transport.write(octets + content)
        else:
            self._transport.writelines((octets, content))

    def _skip_content(self) -> None:
        """The answer is ready and the content is not all here: pass over what is, and give up the rest."""
        try:
            while type(event := self._connection.next_event()) is Data:
                pass
        except RemoteProtocolError:
            self._received = True
            return
        if type(event) is EndOfMessage:
            self._received = True
        else:
            self._connection.close_after_cycle()

    def _answered(self, status: int) -> None:
        """The response is written: say so, and make ready for what comes next."""
        request = self._request
        self._request = None
        self._task = None
        if self._body is not None:
            self._body.end(ConnectionLost("the request was answered before its content was read"))
        if (log := self._server.access_log) is not None and request is not None:
            seconds = self._loop.time() - self._started
            access = Access(self._client, request.method, request.target, status, self._octets, seconds)
            try:
                log(access)
            except Exception as error:
                self._server.report("the access log failed", error)
        if self._received:
            self._next_cycle()
        elif self._body is not None:
            self._close_lingering()

    async def _run(self, answer: Response | Awaitable[Response]) -> None:
        """The connection's one task: await the response, then send it."""
        self._unbegun = None
        try:
            if not isinstance(answer, Response):
                try:
                    answer = _checked(await answer)
                except Exception as error:
                    answer = self._failure(error)
            if self._closing:
                await _release(answer.body)
                return
            if not self._respond_at_once(answer):
                await self._stream(answer)
            if not self._closing:
                self._pump()
        except asyncio.CancelledError:
            self._transport.abort()
        except Exception as error:
            if not isinstance(error, RemoteProtocolError | ConnectionLost):  # the client's doing is no news
                self._server.report("a response broke off", error)
            self._close()

    async def _stream(self, response: Response) -> None:
        assert self._request is not None
        body = response.body
        try:
            date = self._server.date.value()
            try:
                head = self._connection.send(response_head(response, self._request.method, date))
            except Exception as error:
                failure = self._failure(error)
                self._write_whole(failure, cast(bytes, failure.body))
                self._answered(failure.status)
                return
            if not self._has_content(response):
                self._transport.write(head)
            elif isinstance(body, FileBody):
                await self._send_file(head, body)
            elif isinstance(body, AsyncIterator) or hasattr(body, "__aiter__"):
                self._transport.write(head)
                async for chunk in body:
                    await self._write_chunk(chunk)
            else:
                await self._send_chunks(head, cast("Iterable[bytes]", body))
            self._transport.write(self._connection.send(END))
        finally:
            await _release(body)
        self._answered(response.status)

    async def _send_chunks(self, head: bytes, chunks: Iterable[bytes]) -> None:
        """Small chunks that are there at once go out together."""
        waiting: list[bytes] = []
        size = 0
        for chunk in chunks:
            waiting.append(chunk)
            size += len(chunk)
            if size >= HIGH:
                await self._write_chunk(b"".join(waiting), head)
                head = b""
                waiting.clear()
                size = 0
        if head or waiting:
            await self._write_chunk(b"".join(waiting), head)

    async def _write_chunk(self, chunk: bytes, head: bytes = b"") -> None:
        if self._transport.is_closing():  # the client is gone, and connection_lost is on its way
            raise asyncio.CancelledError
        self._transport.write(head + self._connection.send(Data(chunk)))
        self._octets += len(chunk)
        self._unyielded += len(chunk) + _CHUNK_COST
        if self._unyielded > _TURN:
            # A fast client never fills the transport, and a body may never wait: leave the others their turn.
            self._unyielded = 0
            await asyncio.sleep(0)
        if self._write_paused:
            self._resume = self._loop.create_future()
            try:
                await self._resume
            finally:
                self._resume = None

    async def _send_file(self, head: bytes, body: FileBody) -> None:
        transport = self._transport
        if body.fileno() is None or transport.get_extra_info("socket") is None or not self._server.sendfile:
            await self._send_chunks(head, body)
            return
        transport.write(head)
        sent = 0
        size = _SLICE_FIRST
        limit = self._server.timeouts.write
        self._in_sendfile = True
        try:
            while sent < body.length:
                size = min(size, body.length - sent)
                begun = self._loop.time()
                async with asyncio.timeout(limit):
                    count = await self._loop.sendfile(transport, body.file, body.offset + sent, size, fallback=False)
                if count < size:
                    raise OSError(f"the file ended {body.length - sent - count} octets early")
                self._connection.delegate(count)
                sent += count
                self._octets = sent
                # Slices as long as the client takes in a fraction of its time: few calls for a fast one.
                if self._loop.time() - begun < limit / 16:
                    size = min(2 * size, _SLICE_MOST)
                else:
                    size = max(size // 2, _SLICE_FIRST)
        except (NotImplementedError, asyncio.SendfileNotAvailableError) as error:
            # The loop has no such thing, or the kernel could not begin a slice: of this file, or as the client is gone.
            self._server.sendfile = not isinstance(error, NotImplementedError)
            self._in_sendfile = False
            await self._send_chunks(b"", FileBody(body.file, body.offset + sent, body.length - sent))
        except TimeoutError:
            self._octets = sent
            transport.abort()
            raise asyncio.CancelledError from None
        except (ConnectionError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and not transport.is_closing():
                raise
            raise asyncio.CancelledError from None
        finally:
            self._in_sendfile = False

    # Closing

    def _refuse(self, response: Response) -> None:
        """Answer what never became a request, and close."""
        body = cast(bytes, response.body)
        try:
            head = response_head(response, "", self._server.date.value())
            self._transport.write(b"".join(self._connection.send_message(head, body)))
        except LocalProtocolError:
            self._transport.abort()
            return
        self._received = False
        if (log := self._server.access_log) is not None:
            log(Access(self._client, "-", "-", response.status, len(body), 0.0))
        self._close_lingering()

    def _close_lingering(self) -> None:
        """Close our direction, and for a moment read on what the client still sends.

        RFC 9112 9.6: after an outright close, octets still on their way are answered with a reset, and that can erase
        the last response before the client has read it.
        """
        if self._closing:
            return
        self._closing = True
        done = self._received and not self._connection.buffered
        if done or not self._transport.can_write_eof():
            self._close()
            return
        self._phase = Phase.LINGER
        timeouts = self._server.timeouts
        waits = timeouts.write if self._transport.get_write_buffer_size() else timeouts.linger
        self.deadline = self._loop.time() + waits
        try:
            self._transport.write_eof()
        except OSError:  # the client is gone already
            self._transport.abort()
            return
        if self._read_paused:
            self._read_paused = False
            self._transport.resume_reading()

    def _close(self) -> None:
        """Close as soon as the client has taken what was written, for which it has the time of any other write."""
        self._closing = True
        self._phase = Phase.LINGER
        self.deadline = self._loop.time() + self._server.timeouts.write
        self._transport.close()

    def drain(self) -> None:
        """Finish the request in progress, if any, and close."""
        if self._request is None:
            # Also when it lingers: its response has been sent, and the client had the time of a round trip at least.
            self._close()
        else:
            self._connection.close_after_cycle()

    def abort(self) -> None:
        """Close at once, whatever is in progress."""
        self._closing = True
        if self._in_sendfile and self._task is not None:
            self._task.cancel()
        else:
            self._transport.abort()


async def _release(body: Body) -> None:
    if (aclose := getattr(body, "aclose", None)) is not None:
        await aclose()
    else:
        close_body(body)


def _checked(answer: object) -> Response:
    if not isinstance(answer, Response):
        raise TypeError(f"the service returned {type(answer).__name__}, not a Response")
    return answer
