"""HTTP on blocking sockets: a client for scripts, and a server with a thread for each connection.

The server runs the same services as the asyncio one, as far as they wait for nothing but the request's content: there
is no event loop in its threads. A service that waits for anything else is answered with 500 and told to use `serve`.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar, cast

from mirage.types import WallClock

from ._connection import Connection
from ._date import DateCache, SystemClock
from ._events import END, Data, EndOfMessage, Event, InformationalHead, Limits, RequestHead, ResponseHead, Signal
from ._protocol import PROGRESS
from ._serving import build_request, close_body, error_response, has_content, response_head, status_of, whole
from ._state import Role, State
from ._tls import client_side, failure_text, server_side, tls_socket
from ._uri import InvalidURI, parse_uri, request_head
from .errors import (
    ConnectionLost,
    ContentTooLarge,
    LocalProtocolError,
    RemoteProtocolError,
    TimedOut,
)
from .message import EmptyBody, Headers, Response, Service
from .server import Timeouts

if TYPE_CHECKING:
    from mirage.conduit import ClientTls, ServerTls
    from mirage.conduit.blocking import TlsSocket

    Socket: TypeAlias = socket.socket | TlsSocket

__all__ = ["ClientResponse", "InvalidURI", "Server", "request", "run_without_loop", "serve"]

_PIECE: Final = 1 << 16
_RETRY: Final = 0.05
_LIMITS: Final = Limits()
_CLIENT_LIMITS: Final = Limits(body=None)
_TIMEOUTS: Final = Timeouts()
_T = TypeVar("_T")


def run_without_loop(awaitable: Awaitable[_T]) -> _T:
    """Run what never really waits. Raises `LocalProtocolError` when it does."""
    steps = awaitable.__await__()
    try:
        next(steps)
    except StopIteration as end:
        return cast(_T, end.value)
    with contextlib.suppress(RuntimeError):
        steps.close()
    raise LocalProtocolError(
        "the service waits for an event loop, and a blocking server has none: use mirage.cohttp.serve"
    )


class _Wire:
    """A socket with a codec: octets move when an event is asked for."""

    def __init__(self, sock: Socket, codec: Connection, timeout: float) -> None:
        self.socket = sock
        self.codec = codec
        self.timeout = timeout

    def next_event(self, deadline: float | None = None) -> Event:
        """The next event, by a time of `time.monotonic` or else with `timeout` for each wait.

        Raises `TimedOut`, `ConnectionLost`, `RemoteProtocolError`.
        """
        while isinstance(event := self.codec.next_event(), Signal):
            timeout = self.timeout if deadline is None else deadline - time.monotonic()
            self.codec.receive_data(self.receive(timeout))
        return event

    def receive(self, timeout: float) -> bytes:
        """The next octets, empty at the end. Raises `TimedOut`, `ConnectionLost`."""
        try:
            self.socket.settimeout(max(timeout, 0))  # 0 does not wait
            return self.socket.recv(_PIECE)
        except (TimeoutError, BlockingIOError):
            raise TimedOut("what was waited for did not arrive in time") from None
        except OSError as error:
            raise ConnectionLost(f"the connection broke: {error.strerror or error}") from None

    def write(self, data: bytes) -> None:
        """Send octets, with `timeout` for each piece of them: `sendall` takes it for all it is given."""
        view = memoryview(data)
        try:
            self.socket.settimeout(self.timeout)
            for start in range(0, len(view), _PIECE):
                self.socket.sendall(view[start : start + _PIECE])
        except TimeoutError:
            raise TimedOut(f"nothing was taken for {self.timeout:g} seconds") from None
        except OSError as error:
            raise ConnectionLost(f"the connection broke: {error.strerror or error}") from None


# Client


class ClientResponse:
    """A response whose content is read as it arrives; a context manager that closes the connection."""

    def __init__(self, wire: _Wire, head: ResponseHead, sent: RequestHead) -> None:
        self.status = head.status
        self.reason = head.reason or ""
        self.version = head.version
        self.headers = Headers.from_raw(head.headers)
        self.sent = sent
        """The head of the request that this answers."""
        self._wire = wire

    def __iter__(self) -> Iterator[bytes]:
        """The content in chunks. Raises `RemoteProtocolError`, `ConnectionLost`, `TimedOut`."""
        while isinstance(event := self._wire.next_event(), Data):
            yield event.data
        self.close()

    def read(self, limit: int | None = None) -> bytes:
        """The whole content. Raises `ContentTooLarge` beyond `limit` octets, and what iterating raises."""
        parts: list[bytes] = []
        size = 0
        for chunk in self:
            size += len(chunk)
            if limit is not None and size > limit:
                self.close()
                raise ContentTooLarge(f"the content is longer than {limit} octets")
            parts.append(chunk)
        return b"".join(parts)

    def close(self) -> None:
        """Close the connection."""
        self._wire.socket.close()

    def __enter__(self) -> ClientResponse:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def request(
    method: str,
    uri: str,
    *,
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
    timeout: float = 30.0,
    limits: Limits = _CLIENT_LIMITS,
    tls: ClientTls | None = None,
) -> ClientResponse:
    """Send one request on a connection of its own. Redirects are not followed.

    `timeout`, in seconds, is for connecting, for the whole head of the response, and for each wait for its content.
    `tls` says how https is spoken, by default to servers that the system's roots vouch for.

    Raises `InvalidURI`, `LocalProtocolError`, `TLSUnavailable`; `ConnectionLost`, `TimedOut`, `RemoteProtocolError`.
    """
    where = parse_uri(uri)
    codec = Connection(Role.CLIENT, limits)
    codec.close_after_cycle()
    head = request_head(method, where, headers, len(body))
    octets = codec.send(head) + codec.send(Data(body)) + codec.send(END)
    side = client_side(tls) if where.secure else None
    try:
        sock: Socket = socket.create_connection((where.host, where.port), timeout)
        if side is not None:
            sock = tls_socket(cast(socket.socket, sock), side.engine(where.host), timeout)
    except TimeoutError:
        raise TimedOut(f"{where.host} port {where.port} did not accept within {timeout:g} seconds") from None
    except OSError as error:
        raise ConnectionLost(f"cannot connect to {where.host} port {where.port}: {failure_text(error)}") from error
    wire = _Wire(sock, codec, timeout)
    try:
        with contextlib.suppress(ConnectionLost):  # the answer may be there all the same: reading tells
            wire.write(octets)
        deadline = time.monotonic() + timeout
        while isinstance(event := wire.next_event(deadline), InformationalHead):
            pass
        return ClientResponse(wire, cast(ResponseHead, event), head)
    except BaseException:
        sock.close()
        raise


# Server


class _Content:
    """The content of a request, read from its socket; awaiting it never waits for a loop."""

    def __init__(self, wire: _Wire, patience: float) -> None:
        self._wire = wire
        self._patience = patience
        self._left = patience
        self._progress = 0
        self.ended = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The chunks as they arrive."""
        while (chunk := self.next()) is not None:
            yield chunk

    def next(self) -> bytes | None:
        """The next chunk, or None at the end."""
        if self.ended:
            return None
        codec = self._wire.codec
        if codec.expects_continue and codec.our_state is State.RESPOND:
            self._wire.write(codec.send(InformationalHead(100)))
        begun = time.monotonic()
        try:
            event = self._wire.next_event(begun + self._left)
        except TimedOut:
            raise RemoteProtocolError("the content did not arrive in time", 408) from None
        # Only so much of it earns more time: octets that trickle in must not hold the thread for ever.
        self._left -= time.monotonic() - begun
        if isinstance(event, Data):
            self._progress += len(event.data)
            if self._progress >= PROGRESS:
                self._progress, self._left = 0, self._patience
            return event.data
        self.ended = isinstance(event, EndOfMessage)
        return None

    async def read(self, limit: int = 1 << 20) -> bytes:
        """The whole content. Raises `ContentTooLarge`."""
        parts: list[bytes] = []
        size = 0
        while (chunk := self.next()) is not None:
            size += len(chunk)
            if size > limit:
                raise ContentTooLarge(f"the content is longer than {limit} octets")
            parts.append(chunk)
        return b"".join(parts)


class Server:
    """A listening socket and a thread for each connection; made by `serve`. As a context manager it is drained."""

    def __init__(
        self,
        service: Service,
        listener: socket.socket,
        *,
        limits: Limits = _LIMITS,
        timeouts: Timeouts = _TIMEOUTS,
        max_connections: int = 256,
        wall_clock: WallClock | None = None,
        report: Callable[[str, Exception], None] | None = None,
        tls: ServerTls | None = None,
    ) -> None:
        self.tls = tls
        """How TLS is spoken, None for http. A new value is for new connections."""
        self._service = service
        self._listener = listener
        self._limits = limits
        self._timeouts = timeouts
        self._room = threading.Semaphore(max_connections)
        self._date = DateCache(wall_clock or SystemClock())
        self._report = report or _report_to_stderr
        self._lock = threading.Lock()
        self._threads: dict[threading.Thread, socket.socket] = {}
        self._idle: set[Socket] = set()
        self._draining = False
        self._acceptor = threading.Thread(target=self._accept, name="cohttp accept", daemon=True)
        self._acceptor.start()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the listener."""
        host, port = self._listener.getsockname()[:2]
        return str(host), int(port)

    @property
    def url(self) -> str:
        """The server's root."""
        host, port = self.address
        scheme = "http" if self.tls is None else "https"
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

    def drain(self, timeout: float = 10.0) -> int:
        """Stop listening, close idle connections, let requests in progress end. Returns how many were broken off."""
        address = self.address
        with self._lock:
            self._draining = True
            for sock in self._idle:
                _shut(sock, socket.SHUT_RD)
        # The acceptor may wait for room, or in accept(), where it does not notice that its socket closes: wake it.
        self._room.release()
        with contextlib.suppress(OSError):
            socket.create_connection(address, 1).close()
        self._acceptor.join()
        self._listener.close()
        deadline = time.monotonic() + timeout
        for thread in list(self._threads):
            thread.join(max(0.0, deadline - time.monotonic()))
        with self._lock:
            left = dict(self._threads)
        for sock in left.values():
            _shut(sock, socket.SHUT_RDWR)
        return len(left)

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.drain()

    def _accept(self) -> None:
        while True:
            self._room.acquire()
            if self._draining:
                return
            try:
                sock, peer = self._listener.accept()
            except OSError:  # no descriptor is left, or the client has gone already: neither ends a server
                self._room.release()
                time.sleep(_RETRY)
                continue
            if self._draining:
                sock.close()
                return
            thread = threading.Thread(target=self._connection, args=(sock, str(peer[0])), daemon=True)
            with self._lock:
                self._threads[thread] = sock
            try:
                thread.start()
            except RuntimeError:  # as many threads as the system allows
                self._ended(thread, sock)

    def _connection(self, sock: socket.socket, client: str) -> None:
        try:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if (tls := self.tls) is None:
                self._exchanges(sock, client)
            else:
                try:
                    secured = tls_socket(sock, tls.engine(), self._timeouts.head)
                except OSError:
                    return  # nothing was agreed on: there is nobody to answer
                try:
                    self._exchanges(secured, client)
                finally:
                    secured.close()
        except (ConnectionLost, TimedOut, RemoteProtocolError):
            pass  # the client broke off or stalled: nothing can be said to it any more
        except Exception as error:
            self._report("a response broke off", error)
        finally:
            self._ended(threading.current_thread(), sock)

    def _exchanges(self, sock: Socket, client: str) -> None:
        wire = _Wire(sock, Connection(Role.SERVER, self._limits), self._timeouts.write)
        first = True
        while self._cycle(wire, client, first):
            first = False

    def _ended(self, thread: threading.Thread, sock: socket.socket) -> None:
        sock.close()
        with self._lock:
            self._threads.pop(thread, None)
        self._room.release()

    def _cycle(self, wire: _Wire, client: str, first: bool) -> bool:
        """One request with its response; False when it was the last."""
        codec = wire.codec
        try:
            head = self._head(wire, first)
        except RemoteProtocolError as error:
            self._send(wire, error_response(error.status, str(error)), "")
            return self._linger(wire)
        if head is None:
            return False
        body = _Content(wire, self._timeouts.body) if codec.has_content else EmptyBody()
        try:
            answer = self._service(build_request(head, body, client))
            response = answer if isinstance(answer, Response) else run_without_loop(answer)
        except (ConnectionLost, TimedOut):
            raise
        except Exception as error:
            response = self._failure(head, error)
        if self._draining:
            codec.close_after_cycle()
        if isinstance(body, _Content) and not body.ended:
            codec.close_after_cycle()
        try:
            self._send(wire, response, head.method)
        except Exception as error:
            if codec.our_state is not State.RESPOND:
                raise
            self._send(wire, self._failure(head, error), head.method)
        if isinstance(body, EmptyBody):
            wire.next_event()
        if codec.our_state is not State.DONE or codec.their_state is not State.DONE:
            return self._linger(wire)
        codec.start_next_cycle()
        return True

    def _head(self, wire: _Wire, first: bool) -> RequestHead | None:
        """The next head, or None when none comes; the time for it runs from its first octet."""
        codec = wire.codec
        waiting = not first and not codec.buffered
        deadline = time.monotonic() + (self._timeouts.keep_alive if waiting else self._timeouts.head)
        with self._lock:
            if self._draining:
                return None
            self._idle.add(wire.socket)
        try:
            while isinstance(event := codec.next_event(), Signal):
                if waiting and codec.buffered:
                    waiting = False
                    deadline = time.monotonic() + self._timeouts.head
                codec.receive_data(wire.receive(deadline - time.monotonic()))
        except TimedOut:
            if codec.buffered:
                raise RemoteProtocolError("the request did not arrive in time", 408) from None
            return None
        finally:
            with self._lock:
                self._idle.discard(wire.socket)
        return event if isinstance(event, RequestHead) else None

    def _failure(self, head: RequestHead, error: Exception) -> Response:
        status, detail = status_of(error)
        if status >= 500:
            self._report(f"the service failed on {head.method} {head.target}", error)
        return error_response(status, detail)

    def _send(self, wire: _Wire, response: Response, method: str) -> None:
        codec = wire.codec
        body = response.body
        try:
            head = codec.send(response_head(response, method, self._date.value()))
            if not has_content(method, response.status):
                wire.write(head)
            elif (data := whole(response, _PIECE)) is not None:
                wire.write(head + codec.send(Data(data)))
            elif hasattr(body, "__aiter__"):
                wire.write(head)
                chunks = body.__aiter__()
                with contextlib.suppress(StopAsyncIteration):
                    while True:
                        wire.write(codec.send(Data(run_without_loop(anext(chunks)))))
            else:
                for chunk in cast("Iterable[bytes]", body):
                    wire.write(head + codec.send(Data(chunk)))
                    head = b""
                wire.write(head)
            wire.write(codec.send(END))
        finally:
            if (aclose := getattr(body, "aclose", None)) is not None:
                run_without_loop(aclose())
            else:
                close_body(body)

    def _linger(self, wire: _Wire) -> bool:
        """RFC 9112 9.6: close our direction, and read on for a moment so that no reset erases the response."""
        _shut(wire.socket, socket.SHUT_WR)
        deadline = time.monotonic() + self._timeouts.linger
        left = 1 << 20
        with contextlib.suppress(OSError):
            while left > 0 and (rest := deadline - time.monotonic()) > 0:
                wire.socket.settimeout(rest)
                if not (data := wire.socket.recv(_PIECE)):
                    break
                left -= len(data)
        return False


def _shut(sock: Socket, how: int) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(how)


def _report_to_stderr(message: str, error: Exception) -> None:
    print(f"mirage.cohttp: {message}", file=sys.stderr)
    traceback.print_exception(error)


def serve(
    service: Service,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    limits: Limits = _LIMITS,
    timeouts: Timeouts = _TIMEOUTS,
    max_connections: int = 256,
    wall_clock: WallClock | None = None,
    report: Callable[[str, Exception], None] | None = None,
    tls: ServerTls | None = None,
) -> Server:
    """Listen on `host` and `port` (0 picks a free one) and serve in threads; beyond `max_connections` clients wait.

    With `tls` it serves https, and nothing else. Raises `OSError` when the address cannot be had, `TLSUnavailable`
    where `tls` is not what `mirage.conduit` makes.
    """
    if tls is not None:
        server_side(tls)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=128)
    return Server(
        service,
        listener,
        limits=limits,
        timeouts=timeouts,
        max_connections=max_connections,
        wall_clock=wall_clock,
        report=report,
        tls=tls,
    )
