"""TLS between a transport and a protocol: `TlsProtocol` sits on any `asyncio.Transport`, `TlsTransport` is its top.

Invariants:

* The application's protocol hears nothing before the handshake is done and the peer is accepted: first its
  `connection_made`, then the data. Of a connection that fails before, it never learns.
* Nothing is buffered for sending here: `write` gives records to the transport below, whose buffer and whose
  `pause_writing` are the application's. Towards the application, what one read brought waits in `_inbox` while it has
  paused reading, and nothing more is read.
* The handshake has a time limit, and so has the end: `close` sends close_notify and waits for the peer's, or for the
  end of the connection below, as long as octets of ours are still being taken, and `shutdown_timeout` at most when not.
* An end without close_notify is `Truncated`, and reaches `connection_lost`; it is never taken for the end of the data.
"""

from __future__ import annotations

import asyncio
import enum
import time
from asyncio import constants, protocols, transports
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, cast

from mirage.types import Buffer

from .engine import Engine, Received
from .errors import TlsFailure, TlsTimeout

__all__ = ["HANDSHAKE_TIMEOUT", "SHUTDOWN_TIMEOUT", "TlsProtocol", "TlsTransport"]

HANDSHAKE_TIMEOUT: Final = 10.0
SHUTDOWN_TIMEOUT: Final = 5.0
_PIECE: Final = 1 << 18
"""A longer write is sealed in such pieces, so that it is not in memory twice."""


class _State(enum.Enum):
    HANDSHAKE = "handshake"
    OPEN = "open"
    CLOSING = "we have closed, and wait for the peer"
    CLOSED = "closed"


class TlsTransport(transports._FlowControlMixin, transports.Transport):
    """The transport that the application's protocol is given."""

    if TYPE_CHECKING:  # asyncio's mix-in has these, and typeshed does not
        _protocol_paused: bool

    __slots__ = ("__weakref__", "_tls")

    _sendfile_compatible = constants._SendfileMode.FALLBACK

    def __init__(self, tls: TlsProtocol, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(None, loop)
        self._tls = tls

    @property
    def _below(self) -> asyncio.Transport:
        return self._tls.below

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """``tls`` is the `Info`; all else comes from the transport below."""
        if name == "tls":
            return self._tls.engine.info
        return self._below.get_extra_info(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """See `asyncio`."""
        self._tls.set_application(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """See `asyncio`."""
        return cast(asyncio.BaseProtocol, self._tls.application)

    def is_closing(self) -> bool:
        """Whether it is closed, or about to be."""
        return self._tls.is_closing()

    def close(self) -> None:
        """Send what was written, then close_notify; wait for the peer's, but not for ever."""
        self._tls.close()

    def abort(self) -> None:
        """Close at once, without a word."""
        self._tls.abort()

    def is_reading(self) -> bool:
        """See `asyncio`."""
        return not self._tls.reading_paused and not self.is_closing()

    def pause_reading(self) -> None:
        """See `asyncio`."""
        self._tls.pause_reading()

    def resume_reading(self) -> None:
        """See `asyncio`."""
        self._tls.resume_reading()

    def write(self, data: Buffer) -> None:
        """See `asyncio`."""
        self._tls.write(data)

    def writelines(self, list_of_data: Iterable[Buffer]) -> None:
        """One write of all of them."""
        self._tls.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        """Whether the direction of ours can be closed alone: so it is with the native implementation."""
        return self._tls.engine.half_close

    def write_eof(self) -> None:
        """Send close_notify, and go on reading."""
        self._tls.write_eof()

    def get_write_buffer_size(self) -> int:
        """Octets of records that wait to be sent."""
        return self._below.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """See `asyncio`."""
        return self._below.get_write_buffer_limits()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """See `asyncio`."""
        self._below.set_write_buffer_limits(high, low)


class TlsProtocol(asyncio.Protocol):
    """See the module. Made by the `wrap` of a side; connect it to a transport."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        application: asyncio.BaseProtocol,
        make_engine: Callable[[], Engine],
        *,
        waiter: asyncio.Future[None] | None = None,
        handshake_timeout: float | None = None,
        shutdown_timeout: float | None = None,
        wall_clock: Callable[[], float] = time.time,
        settled: Callable[[TlsProtocol], None] | None = None,
    ) -> None:
        """`waiter` gets the handshake's outcome; `settled` is called when the handshake is over, either way."""
        self._loop = loop
        self._make_engine = make_engine
        self._waiter = waiter
        self._handshake_timeout = HANDSHAKE_TIMEOUT if handshake_timeout is None else handshake_timeout
        self._shutdown_timeout = SHUTDOWN_TIMEOUT if shutdown_timeout is None else shutdown_timeout
        self._wall_clock = wall_clock
        self._settled = settled
        self._state = _State.HANDSHAKE
        self.below: asyncio.Transport = cast(asyncio.Transport, None)
        """The transport that carries the records."""
        self.transport = TlsTransport(self, loop)
        """What the application is given, when the handshake is done."""
        self._made = False
        self._inbox: deque[bytes | bytearray | TlsFailure | None] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._unsent = 0
        self._write_paused = False
        self._eof_sent = False
        self._peer_closed = False
        self._ended = False
        self._error: Exception | None = None
        self.reading_paused = False
        self.engine: Engine = cast(Engine, None)
        self.set_application(application)

    def set_application(self, protocol: asyncio.BaseProtocol) -> None:
        """Who gets the data from now on."""
        self.application: Any = protocol
        self._buffered = isinstance(protocol, protocols.BufferedProtocol)

    # From the transport below

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake."""
        self.below = cast(asyncio.Transport, transport)
        self._timer = self._loop.call_later(self._handshake_timeout, self._late)
        try:
            self.engine = self._make_engine()
            first = self.engine.start(self._wall_clock())
        except Exception as error:
            self._fail(error)
            return
        if first:
            self.below.write(first)

    def data_received(self, data: bytes) -> None:
        """Octets from the peer."""
        if self._state is _State.CLOSED or self._ended:
            return
        flowing = self._state is _State.OPEN and not self._inbox and not self.reading_paused
        if flowing and (content := self.engine.take(data)):
            self._hand_over(content)
            return
        try:
            received = self.engine.receive(data, self._wall_clock())
        except TlsFailure as failure:
            if failure.output:
                self.below.write(failure.output)
            self._inbox += failure.data
            self._end(failure)
            return
        if received.output:
            self.below.write(received.output)
        if received.done or received.closed or self._inbox or self.reading_paused or len(received.data) != 1:
            self._take(received)
        elif self._state is _State.OPEN:
            self._hand_over(received.data[0])

    def _take(self, received: Received) -> None:
        if received.done:
            self._open()
        if received.data and self._state is _State.OPEN:
            self._inbox += received.data
        if received.closed:
            self._peer_closed = True
            if self._state is _State.CLOSING:
                self._shut()
                return
            self._inbox.append(None)
        if self._inbox:
            self._deliver()

    def eof_received(self) -> bool:
        """The peer's octets have ended; whether with its close_notify, the engine knows."""
        if self._state is _State.HANDSHAKE:
            self._fail(TlsFailure("the peer closed the connection inside the handshake"))
            return False
        if self._state is not _State.OPEN or self._ended:
            self._shut()
            return False
        try:
            self.engine.eof()
        except TlsFailure as failure:
            self._end(failure)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport below is closed: so is ours."""
        self._cancel_timer()
        state, self._state = self._state, _State.CLOSED
        self._inbox.clear()
        if state is _State.HANDSHAKE:
            self._settle(exc or TlsFailure("the connection ended inside the handshake"))
        elif self._made:
            # While it is open an end that nobody has asked for is the network's, and is told as it came.
            self.application.connection_lost(self._error or exc)
        self.engine = cast(Engine, _Over(self.engine))
        self._make_engine = _no_engine

    def pause_writing(self) -> None:
        """The transport below has enough."""
        self._write_paused = True
        if self._made:
            self.transport._protocol_paused = True
            self.application.pause_writing()

    def resume_writing(self) -> None:
        """The transport below has room again."""
        self._write_paused = False
        if self._made:
            self.transport._protocol_paused = False
            self.application.resume_writing()

    # The handshake's end

    def _open(self) -> None:
        self._cancel_timer()
        self._state = _State.OPEN
        self._made = True
        try:
            self.application.connection_made(self.transport)
            if self._write_paused:
                self.transport._protocol_paused = True
                self.application.pause_writing()
        except Exception as error:
            self._made = False
            self._loop.call_exception_handler(
                {"message": "protocol.connection_made() failed over TLS", "exception": error, "protocol": self}
            )
            self._settle(error)
            self.abort()
            return
        self._settle(None)

    def _late(self) -> None:
        self._fail(TlsTimeout(f"the handshake took longer than {self._handshake_timeout:g} seconds"), at_once=True)

    def _fail(self, error: Exception, *, at_once: bool = False) -> None:
        """The handshake has failed: the application never hears of the connection."""
        self._cancel_timer()
        self._ended = True
        self._settle(error)
        if at_once:
            self.below.abort()
        else:
            self._shut()

    def _settle(self, error: Exception | None) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            if error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(error)
        settled, self._settled = self._settled, None
        if settled is not None:
            settled(self)

    # To the application

    def _deliver(self) -> None:
        """Hand over what has come, as far as the application reads."""
        inbox = self._inbox
        while inbox and not self.reading_paused and self._state is _State.OPEN:
            item = inbox.popleft()
            if isinstance(item, TlsFailure):
                self._error = item
                self._shut()
            else:
                self._hand_over(item)

    def _hand_over(self, item: bytes | bytearray | None) -> None:
        """One piece of data, or the end of it. What the application fails with ends its connection alone."""
        try:
            if item is None:
                if not self.application.eof_received():
                    self.close()
            elif self._buffered:
                protocols._feed_data_to_buffered_proto(self.application, item)  # type: ignore[attr-defined]
            else:
                self.application.data_received(bytes(item) if type(item) is bytearray else item)
        except Exception as error:
            self._loop.call_exception_handler(
                {"message": "a protocol failed over TLS", "exception": error, "protocol": self.application}
            )
            self._error = error
            self.abort()

    def _end(self, failure: TlsFailure) -> None:
        """Nothing more will come from the peer, and not because it said so."""
        self._ended = True
        if self._state is _State.HANDSHAKE:
            self._fail(failure)
        elif self._state is _State.OPEN:
            self._inbox.append(failure)
            self._deliver()
        else:
            self._shut()

    def pause_reading(self) -> None:
        """The application has enough."""
        if not self.reading_paused:
            self.reading_paused = True
            if self._state is _State.OPEN:
                self.below.pause_reading()

    def resume_reading(self) -> None:
        """It has room again; what waits comes first, in a call of its own."""
        if self.reading_paused:
            self.reading_paused = False
            self._loop.call_soon(self._resumed)

    def _resumed(self) -> None:
        self._deliver()
        if not self.reading_paused and self._state is not _State.CLOSED:
            self.below.resume_reading()

    # From the application

    def is_closing(self) -> bool:
        """Whether nothing more can be sent or read."""
        return self._state in (_State.CLOSING, _State.CLOSED) or self.below.is_closing()

    def write(self, data: Buffer) -> None:
        """Seal and send."""
        if self._eof_sent and self._state is _State.OPEN:
            raise RuntimeError("Cannot call write() after write_eof()")
        if self._state is not _State.OPEN or not data:
            return  # as asyncio does: what is written to a closed transport is lost, and connection_lost tells
        send, below = self.engine.send, self.below
        if len(data) <= _PIECE:
            below.write(send(data))
            return
        view = memoryview(data).cast("B")
        for at in range(0, len(view), _PIECE):
            below.write(send(view[at : at + _PIECE]))

    def write_eof(self) -> None:
        """Close our direction."""
        if self._state is _State.OPEN and not self._eof_sent:
            self._eof_sent = True
            self.below.write(self.engine.close())

    def close(self) -> None:
        """Close our direction, and the rest when the peer has closed its own or its time is over."""
        if self._state is not _State.OPEN:
            return
        if not self._eof_sent and not self._ended:
            self._eof_sent = True
            if last := self.engine.close():
                self.below.write(last)
        self._state = _State.CLOSING
        self._inbox.clear()
        if self._peer_closed or self._ended:
            self._shut()
            return
        if self.reading_paused:
            self.below.resume_reading()
        self._wait_for_the_end()

    def _shut(self) -> None:
        """Close the transport below, which sends what it still has."""
        if not self.below.is_closing():
            self.below.close()
        if self._state is _State.OPEN:
            self._state = _State.CLOSING
        self._wait_for_the_end()

    def _wait_for_the_end(self) -> None:
        self._cancel_timer()
        self._unsent = self.below.get_write_buffer_size()
        self._timer = self._loop.call_later(self._shutdown_timeout, self._overdue)

    def _overdue(self) -> None:
        left = self.below.get_write_buffer_size()
        if 0 < left < self._unsent:
            self._wait_for_the_end()  # a slow reader, but one that reads
        else:
            self.below.abort()

    def abort(self) -> None:
        """Close at once."""
        self._cancel_timer()
        if self._state is not _State.CLOSED:
            if self._state is _State.OPEN:
                self._state = _State.CLOSING
            if self.below is not None:
                self.below.abort()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Over:
    """What is left of an engine when its connection is over: no keys, but what was agreed on."""

    __slots__ = ("half_close", "info")

    def __init__(self, engine: Engine | None) -> None:
        self.half_close = False
        try:
            self.info = engine.info if engine is not None else None
        except Exception:  # it never got so far
            self.info = None


def _no_engine() -> Engine:
    raise RuntimeError("a TlsProtocol serves one connection only")
