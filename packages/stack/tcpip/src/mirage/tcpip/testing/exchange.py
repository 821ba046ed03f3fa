"""An application for simulations: at each end of a connection octets go out and come in, and both are hashed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from random import Random as Chance
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..tcp.connection import Connection
    from ..tcp.listener import Listener
    from .simulation import Host, Simulation

__all__ = ["Exchange", "serve"]


class Exchange:
    """One end: sends `size` octets that follow from `seed`, reads all that comes, shuts down, and closes at the end.

    `sent` and `received` are the SHA-256 of either stream so far, to be compared with those of the other end.
    """

    def __init__(
        self,
        simulation: Simulation,
        host: Host,
        connection: Connection,
        size: int,
        *,
        seed: int | None = None,
        chunk: int = 65536,
        ahead: int = 65536,
        patience: float = 0.0,
    ) -> None:
        """Without a `seed` it sends zeros, which is fast. It writes `chunk` octets at a time and keeps up to `ahead`
        waiting; it reads only every `patience` seconds, so that the window closes."""
        self.connection = connection
        self.host = host
        self.received_octets = 0
        self.first_at: float | None = None
        """When the first octets came."""
        self.last_at = 0.0
        self._simulation = simulation
        self._left = size
        self._chance = None if seed is None else Chance(seed)  # noqa: S311 - data, not keys
        self._zeros = memoryview(bytes(chunk))
        self._chunk, self._ahead, self._patience = chunk, ahead, patience
        self._sent, self._received = hashlib.sha256(), hashlib.sha256()
        self._sleeping = False
        self._done = False
        connection.owner = self.news
        simulation.wake(host)
        self.news()

    @property
    def sent(self) -> str:
        """The digest of what was written."""
        return self._sent.hexdigest()

    @property
    def received(self) -> str:
        """The digest of what was read."""
        return self._received.hexdigest()

    @property
    def finished(self) -> bool:
        """Whether both directions have ended, and the connection is as good as gone."""
        return self._done

    def news(self) -> None:
        """Called when the connection has news."""
        connection = self.connection
        if connection.state.may_write:
            self._write()
        if connection.readable or connection.eof:
            if not self._patience:
                self._read()
            elif not self._sleeping:
                self._sleeping = True
                self._simulation.call_at(self._simulation.now + self._patience, self._wake)
        if connection.error is not None:
            self._done = True

    def _wake(self) -> None:
        self._sleeping = False
        self._read()

    def _write(self) -> None:
        connection = self.connection
        while self._left and connection.queued < self._ahead:
            size = min(self._chunk, self._left)
            if self._chance is None:
                data = self._zeros[:size]
            else:
                data = memoryview(self._chance.randbytes(size))
                self._sent.update(data)
            connection.write(data)
            self._left -= size
        if self._left:
            connection.wait_for_room(self._ahead // 2)
        else:
            connection.shutdown()

    def _read(self) -> None:
        connection = self.connection
        while connection.readable:
            data = connection.read()
            self.received_octets += len(data)
            if self._chance is not None:
                self._received.update(data)
            self.last_at = self._simulation.now
            if self.first_at is None:
                self.first_at = self.last_at
        if connection.eof and not self._left and not self._done:
            self._done = True
            connection.close()


def serve(listener: Listener, accepted: Callable[[Connection], None]) -> None:
    """Have `accepted` called with each connection that a listener makes ready, as soon as it is."""

    def news() -> None:
        while (connection := listener.accept()) is not None:
            accepted(connection)

    listener.owner = news
