"""A connection over a blocking socket, for the test server and the test client."""

from __future__ import annotations

import socket
import time

from .. import Connection, Event, Failure

__all__ = ["Session"]


class Session:
    """Moves octets between a socket and a connection. Its methods raise `Failure` and `OSError`."""

    def __init__(self, sock: socket.socket, connection: Connection) -> None:
        self.sock = sock
        self.connection = connection

    def step(self, data: bytes) -> tuple[Event, ...]:
        """Give the connection some octets, and send what it answers, its alert too."""
        try:
            step = self.connection.handle(data, time.time())
        except Failure as failure:
            if failure.output:
                self.sock.sendall(failure.output)
            raise
        if step.output:
            self.sock.sendall(step.output)
        return step.events

    def receive(self) -> tuple[Event, ...] | None:
        """Wait for octets: the events, or None where the peer has closed as it should."""
        data = self.sock.recv(1 << 16)
        if data:
            return self.step(data)
        self.connection.eof()
        return None

    def send(self, data: bytes) -> None:
        """Send data."""
        self.sock.sendall(self.connection.send(data))

    def finish(self) -> None:
        """close_notify, and the end of our direction."""
        try:
            self.sock.sendall(self.connection.close())
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the peer is gone already
