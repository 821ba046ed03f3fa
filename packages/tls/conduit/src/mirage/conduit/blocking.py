"""TLS on blocking sockets, for threads and scripts: the same engines, with the part of a socket's methods that matters.

One thread reads and writes; another one may only `shutdown` both directions, which ends what the first is waiting for.
"""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from mirage.types import Buffer

from .engine import Engine, Info
from .errors import TlsFailure, TlsTimeout, Truncated

__all__ = ["TlsSocket"]

_PIECE: Final = 1 << 16


class TlsSocket:
    """A connected socket behind TLS. It owns the socket, and fits where only these methods of one are used."""

    def __init__(
        self,
        sock: socket.socket,
        engine: Engine,
        *,
        handshake_timeout: float = 10.0,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """Does the handshake, within `handshake_timeout` seconds. Raises `TlsFailure` and `OSError`; the socket is then
        closed.
        """
        self._socket = sock
        self._engine = engine
        self._wall_clock = wall_clock
        self._inbox: deque[bytes | bytearray] = deque()
        self._failure: TlsFailure | None = None
        self._peer_closed = False
        self._timeout: float | None = None
        try:
            self._handshake(time.monotonic() + handshake_timeout)
        except BaseException:
            sock.close()
            raise

    def _handshake(self, deadline: float) -> None:
        self._send_below(self._engine.start(self._wall_clock()), deadline)
        done = False
        while not done:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TlsTimeout("the handshake took longer than it may")
            self._socket.settimeout(left)
            try:
                data = self._socket.recv(_PIECE)
            except TimeoutError:
                raise TlsTimeout("the handshake took longer than it may") from None
            if not data:
                raise TlsFailure("the peer closed the connection inside the handshake")
            done = self._take(data, deadline)

    def _send_below(self, data: bytes, deadline: float | None) -> None:
        if data:
            self._socket.settimeout(self._timeout if deadline is None else max(deadline - time.monotonic(), 0.001))
            self._socket.sendall(data)

    def _take(self, data: bytes, deadline: float | None) -> bool:
        try:
            received = self._engine.receive(data, self._wall_clock())
        except TlsFailure as failure:
            self._inbox += failure.data
            self._failure = failure
            self._send_below(failure.output, deadline)
            if not failure.data:
                raise
            return False
        self._inbox += received.data
        self._peer_closed = self._peer_closed or received.closed
        self._send_below(received.output, deadline)
        return received.done

    @property
    def info(self) -> Info:
        """What was agreed on."""
        return self._engine.info

    def settimeout(self, seconds: float | None) -> None:
        """For each wait of `recv` and `sendall`; None waits for ever, 0 not at all."""
        self._timeout = seconds
        self._socket.settimeout(seconds)

    def recv(self, size: int) -> bytes:
        """At most `size` octets, empty after the peer's close_notify. Raises `TlsFailure`, `OSError`."""
        while not self._inbox:
            if self._failure is not None:
                raise self._failure
            if self._peer_closed:
                return b""
            self._socket.settimeout(self._timeout)
            data = self._socket.recv(_PIECE)
            if not data:
                self._engine.eof()
                raise Truncated("the connection ended without the peer's close_notify")
            self._take(data, None)
        item = self._inbox.popleft()
        if len(item) > size:
            self._inbox.appendleft(item[size:])
            item = item[:size]
        return bytes(item)

    def sendall(self, data: Buffer) -> None:
        """Seal and send all of it. Raises `OSError`."""
        view = memoryview(data).cast("B")
        for at in range(0, len(view), _PIECE):
            self._socket.settimeout(self._timeout)
            self._socket.sendall(self._engine.send(view[at : at + _PIECE]))

    def shutdown(self, how: int) -> None:
        """`SHUT_WR` sends close_notify; the other ways end the connection below, from any thread."""
        if how == socket.SHUT_WR:
            self._send_below(self._engine.close(), None)
        else:
            self._socket.shutdown(how)

    def close(self) -> None:
        """Send close_notify, as far as that can be done without waiting, and close the socket."""
        try:
            self._socket.settimeout(0)
            if self._failure is None and (last := self._engine.close()):
                self._socket.send(last)
        except OSError:
            return
        finally:
            self._socket.close()

    def getpeername(self) -> Any:
        """As the socket's."""
        return self._socket.getpeername()
