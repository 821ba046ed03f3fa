"""The asyncio shell: what the application hears, and when; limits of time; back-pressure; ends of every kind.

The loop here is in virtual time, the transport in memory, and TLS is one of records of one letter.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mirage.conduit._stream import TlsProtocol
from mirage.conduit.engine import Info, Received
from mirage.conduit.errors import TlsFailure, Truncated
from mirage.types import Buffer

INFO = Info("toy", "TLSv1.3", "TOY", None, None, (), False)


class Toy:
    """H begins, D with a length is data, C is close_notify, X is a breach of the protocol."""

    def __init__(self, *, client: bool = False, half_close: bool = True) -> None:
        self.client = client
        self.half_close = half_close
        self.info = INFO
        self._buffer = b""
        self._done = False
        self._ended = False
        self._closed = False

    def start(self, now: float) -> bytes:
        return b"H" if self.client else b""

    def receive(self, data: Buffer, now: float) -> Received:
        self._buffer += bytes(data)
        received, pieces = Received(), []
        while self._buffer:
            kind = self._buffer[:1]
            size = 1
            if kind == b"H" and not self._done:
                self._done = received.done = True
                received.output = b"" if self.client else b"H"
            elif kind == b"D" and self._done:
                if len(self._buffer) < 2 or len(self._buffer) < 2 + self._buffer[1]:
                    break
                size = 2 + self._buffer[1]
                pieces.append(self._buffer[2:size])
            elif kind == b"C" and self._done:
                self._ended = received.closed = True
            else:
                raise TlsFailure(f"{kind!r} is not to come here", b"A", tuple(pieces))
            self._buffer = self._buffer[size:]
        received.data = pieces
        return received

    def take(self, data: Buffer) -> bytes:
        octets = bytes(data)
        alone = not self._buffer and len(octets) > 2 and octets[0] == ord("D") and len(octets) == 2 + octets[1]
        return octets[2:] if alone and self._done and not self._ended else b""

    def eof(self) -> None:
        if not self._ended:
            raise Truncated("no C has come")

    def send(self, data: Buffer) -> bytes:
        octets = bytes(data)
        pieces = (octets[at : at + 255] for at in range(0, len(octets), 255))
        return b"".join(b"D" + bytes((len(piece),)) + piece for piece in pieces)

    def close(self) -> bytes:
        if self._closed:
            return b""
        self._closed = True
        return b"C"


class Timer:
    """A call that is due."""

    def __init__(self, when: float, call: Callable[[], object]) -> None:
        self.when, self.call, self.cancelled = when, call, False

    def cancel(self) -> None:
        self.cancelled = True


class Loop:
    """As much of an event loop as the shell uses, in virtual time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[Timer] = []
        self.errors: list[dict[str, Any]] = []

    def call_later(self, delay: float, call: Callable[[], object]) -> Timer:
        self.timers.append(Timer(self.now + delay, call))
        return self.timers[-1]

    def call_soon(self, call: Callable[[], object]) -> Timer:
        return self.call_later(0, call)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.errors.append(context)

    @property
    def due(self) -> list[Timer]:
        """What has not been cancelled."""
        self.timers = [timer for timer in self.timers if not timer.cancelled]
        return self.timers

    def run(self, seconds: float = 0.0) -> None:
        """Let so much time pass."""
        until = self.now + seconds
        while ready := sorted((t for t in self.due if t.when <= until), key=lambda t: t.when):
            self.now = max(self.now, ready[0].when)
            self.timers.remove(ready[0])
            ready[0].call()
        self.now = until


class Below:
    """A transport that keeps what is written; `lose` is the loop's telling the protocol of its end."""

    def __init__(self) -> None:
        self.written = b""
        self.reading = True
        self.closing = self.aborted = False
        self.unsent = 0

    def write(self, data: Buffer) -> None:
        assert not self.aborted
        self.written += bytes(data)

    def take(self) -> bytes:
        taken, self.written = self.written, b""
        return taken

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("203.0.113.1", 7) if name == "peername" else default

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = self.aborted = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class Application(asyncio.Protocol):
    """Keeps what it is told."""

    def __init__(self, *, half_open: bool = False) -> None:
        self.heard: list[object] = []
        self.half_open = half_open
        self.transport: Any = None
        self.pause_after: int | None = None

    @property
    def data(self) -> bytes:
        return b"".join(item for item in self.heard if isinstance(item, bytes))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.heard.append("made")

    def data_received(self, data: bytes) -> None:
        assert type(data) is bytes
        self.heard.append(data)
        if self.pause_after is not None and len(self.heard) > self.pause_after:
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        self.heard.append("eof")
        return self.half_open

    def pause_writing(self) -> None:
        self.heard.append("pause")

    def resume_writing(self) -> None:
        self.heard.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.heard.append(("lost", type(exc)))


class Bench:
    """A shell with all of that around it."""

    def __init__(self, application: asyncio.BaseProtocol | None = None, **engine: Any) -> None:
        self.loop, self.below = Loop(), Below()
        self.application: Any = application or Application()
        self.settled: list[TlsProtocol] = []
        self.tls = TlsProtocol(
            cast(asyncio.AbstractEventLoop, self.loop),
            self.application,
            lambda: Toy(**engine),
            handshake_timeout=10,
            shutdown_timeout=5,
            wall_clock=lambda: 0.0,
            settled=self.settled.append,
        )
        self.tls.connection_made(cast(asyncio.Transport, self.below))

    def open(self) -> Bench:
        """With the handshake done."""
        self.tls.data_received(b"H")
        self.below.take()
        return self


def test_the_application_hears_nothing_before_the_handshake() -> None:
    """Then its transport first, and what came with the end of the handshake after it."""
    bench = Bench()
    assert bench.application.heard == []
    bench.tls.data_received(b"HD\x02hi")
    assert bench.application.heard == ["made", b"hi"]
    assert bench.below.take() == b"H"
    assert bench.settled == [bench.tls]
    assert bench.loop.due == []
    assert bench.application.transport.get_extra_info("tls") is INFO
    assert bench.application.transport.get_extra_info("peername") == ("203.0.113.1", 7)


def test_a_client_begins() -> None:
    """Its first flight goes out as soon as there is a connection."""
    assert Bench(client=True).below.take() == b"H"


@given(st.lists(st.binary(max_size=255), max_size=8), st.data())
def test_octets_may_come_in_any_pieces(messages: list[bytes], data: st.DataObject) -> None:
    """The application hears the same."""
    wire = b"H" + b"".join(b"D" + bytes((len(m),)) + m for m in messages) + b"C"
    bench = Bench(Application(half_open=True))
    while wire:
        size = data.draw(st.integers(1, len(wire)))
        bench.tls.data_received(wire[:size])
        wire = wire[size:]
    assert bench.application.data == b"".join(messages)
    assert bench.application.heard[0] == "made"
    assert bench.application.heard[-1] == "eof"


def test_a_handshake_has_its_time() -> None:
    """A peer that says nothing, or too little, is gone after it; the application never heard of it."""
    bench = Bench()
    bench.loop.run(9.9)
    assert not bench.below.aborted
    bench.loop.run(0.2)
    assert bench.below.aborted
    assert bench.settled == [bench.tls]
    bench.tls.connection_lost(None)
    assert bench.application.heard == []
    assert bench.loop.due == []


@pytest.mark.parametrize("end", ["X", "eof", "lost"])
def test_a_failed_handshake_is_settled_once(end: str) -> None:
    """A breach is answered with the alert; the transport is closed; nothing is left that waits."""
    bench = Bench()
    if end == "X":
        bench.tls.data_received(b"X")
        assert bench.below.take() == b"A"
        bench.tls.data_received(b"H")
    elif end == "eof":
        bench.tls.eof_received()
    if end != "lost":
        assert bench.below.closing
    bench.tls.connection_lost(None)
    assert bench.settled == [bench.tls]
    assert bench.application.heard == []
    assert bench.loop.due == []


def test_the_waiter_gets_the_outcome() -> None:
    """Success or the error, for `connect`."""
    loop = asyncio.new_event_loop()
    try:
        for octets, expected in ((b"H", None), (b"X", TlsFailure)):
            bench, waiter = Bench(), loop.create_future()
            bench.tls._waiter = waiter
            bench.tls.data_received(octets)
            assert waiter.done()
            assert waiter.exception() is None if expected is None else isinstance(waiter.exception(), expected)
    finally:
        loop.close()


def test_what_is_written_goes_out_at_once() -> None:
    """In records, also what is longer than a piece; nothing is held back here."""
    bench = Bench().open()
    bench.application.transport.write(b"hello")
    assert bench.below.take() == b"D\x05hello"
    bench.application.transport.writelines([b"a", memoryview(b"b")])
    assert bench.below.take() == b"D\x02ab"
    long = bytes(range(256)) * 4096
    bench.application.transport.write(long)
    reader = Bench(client=True)
    reader.tls.data_received(b"H" + bench.below.take())
    assert reader.application.data == long


def test_the_application_is_paused_with_the_transport() -> None:
    """Also when that was paused before the application was there."""
    bench = Bench()
    bench.tls.pause_writing()
    bench.open()
    assert bench.application.heard == ["made", "pause"]
    bench.tls.resume_writing()
    bench.below.unsent = 77
    assert bench.application.heard[-1] == "resume"
    assert bench.application.transport.get_write_buffer_size() == 77


def test_reading_stops_at_once_and_goes_on_in_order() -> None:
    """What one read brought waits, the end too, while the application has paused; nothing more is read meanwhile."""
    bench = Bench()
    bench.application.pause_after = 1
    bench.tls.data_received(b"HD\x01aD\x01bD\x01cC")
    assert bench.application.heard == ["made", b"a"]
    assert not bench.below.reading
    bench.application.transport.resume_reading()
    assert bench.application.heard == ["made", b"a"]  # not from within the call
    bench.loop.run()
    assert bench.application.heard == ["made", b"a", b"b"]
    assert not bench.below.reading
    bench.application.pause_after = None
    bench.application.transport.resume_reading()
    bench.loop.run()
    assert bench.application.heard == ["made", b"a", b"b", b"c", "eof"]


def test_closing_waits_for_the_peer() -> None:
    """close_notify goes out, what still comes is dropped, and the peer's own ends it."""
    bench = Bench().open()
    bench.application.transport.close()
    assert bench.below.take() == b"C"
    assert bench.application.transport.is_closing()
    assert not bench.below.closing
    bench.tls.data_received(b"D\x01x")
    bench.tls.data_received(b"C")
    assert bench.below.closing
    bench.tls.connection_lost(None)
    assert bench.application.heard == ["made", ("lost", type(None))]
    assert bench.loop.due == []
    assert bench.application.transport.get_extra_info("tls") is INFO


def test_the_end_of_the_transport_ends_closing_too() -> None:
    """Many peers just close their connection when they are told."""
    bench = Bench().open()
    bench.application.transport.close()
    bench.tls.eof_received()
    assert bench.below.closing


def test_closing_has_its_time_when_nothing_moves() -> None:
    """A peer that takes octets, if slowly, is waited for; one that takes none is not."""
    bench = Bench().open()
    bench.below.unsent = 1000
    bench.application.transport.close()
    for left in (900, 500):
        bench.below.unsent = left
        bench.loop.run(5.1)
        assert not bench.below.aborted
    bench.loop.run(5.1)
    assert bench.below.aborted


def test_a_peer_that_never_closes_is_left() -> None:
    """After the time for the end."""
    bench = Bench().open()
    bench.application.transport.close()
    bench.loop.run(5.1)
    assert bench.below.aborted


def test_the_peers_close_is_answered() -> None:
    """The application hears the end of the data; our close_notify goes out, and the transport is closed."""
    bench = Bench().open()
    bench.tls.data_received(b"D\x01xC")
    assert bench.application.heard == ["made", b"x", "eof"]
    assert bench.below.take() == b"C"
    assert bench.below.closing


def test_directions_close_alone() -> None:
    """RFC 8446 6.1: who has got close_notify may go on sending; who has sent it may go on reading."""
    theirs = Bench(Application(half_open=True)).open()
    theirs.tls.data_received(b"C")
    theirs.tls.eof_received()
    theirs.application.transport.write(b"still")
    theirs.application.transport.close()
    assert theirs.below.take() == b"D\x05stillC"
    assert theirs.below.closing
    ours = Bench().open()
    assert ours.application.transport.can_write_eof()
    ours.application.transport.write_eof()
    ours.tls.data_received(b"D\x01x")
    assert ours.application.heard == ["made", b"x"]
    with pytest.raises(RuntimeError, match="write_eof"):
        ours.application.transport.write(b"y")
    ours.application.transport.close()
    assert ours.below.take() == b"C"


def test_an_end_without_close_notify_is_no_end_of_the_data() -> None:
    """`connection_lost` tells of `Truncated`, after what had come, and `eof_received` is not called."""
    bench = Bench().open()
    bench.tls.data_received(b"D\x01x")
    bench.tls.eof_received()
    assert bench.below.closing
    bench.tls.connection_lost(None)
    assert bench.application.heard == ["made", b"x", ("lost", Truncated)]


def test_a_breach_is_told_after_what_came_before_it() -> None:
    """The alert goes out, and the error comes with `connection_lost`; later octets are not looked at."""
    bench = Bench().open()
    bench.tls.data_received(b"D\x01aX")
    assert bench.below.take() == b"A"
    bench.tls.data_received(b"D\x01b")
    bench.tls.connection_lost(None)
    assert bench.application.heard == ["made", b"a", ("lost", TlsFailure)]


def test_an_abrupt_end_is_told_as_it_came() -> None:
    """A reset by the peer reaches the application."""
    bench = Bench().open()
    bench.tls.connection_lost(ConnectionResetError())
    assert bench.application.heard == ["made", ("lost", ConnectionResetError)]
    bench.application.transport.write(b"too late")
    bench.application.transport.close()
    bench.application.transport.abort()


def test_aborting_says_nothing() -> None:
    """No close_notify: the peer is to know that this was no end."""
    bench = Bench().open()
    bench.application.transport.abort()
    assert bench.below.aborted
    assert bench.below.take() == b""


def test_a_failing_application_ends_its_connection_alone() -> None:
    """The loop is told, and the error does not reach the transport below."""

    class Failing(Application):
        def data_received(self, data: bytes) -> None:
            raise ZeroDivisionError

    bench = Bench(Failing()).open()
    bench.tls.data_received(b"D\x01x")
    assert bench.below.aborted
    assert isinstance(bench.loop.errors[0]["exception"], ZeroDivisionError)


def test_buffered_protocols_get_their_octets() -> None:
    """As asyncio feeds them: in pieces that fit their buffer."""

    class Buffered(asyncio.BufferedProtocol):
        def __init__(self) -> None:
            self.got = b""
            self.buffer = bytearray(3)

        def get_buffer(self, sizehint: int) -> bytearray:
            return self.buffer

        def buffer_updated(self, nbytes: int) -> None:
            self.got += bytes(self.buffer[:nbytes])

    application = Buffered()
    Bench(application).tls.data_received(b"HD\x08abcdefgh")
    assert application.got == b"abcdefgh"
