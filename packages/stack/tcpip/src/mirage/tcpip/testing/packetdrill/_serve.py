"""packetdrill's connections, and its calls one after the other; runs that follow each other have a world each."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Callable
from math import inf
from pathlib import Path

from ._protocol import NRECV, REPLY, REQUEST, USLEEP, Answer
from ._world import World

__all__ = ["serve"]


class _Client:
    """One connection of packetdrill: one of its threads."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.buffer = b""
        self.waiting: tuple[int, int, int, int, int, bytes] | None = None
        self.late: tuple[int, Answer] | None = None
        """When the call that waits is answered at the latest, and what."""
        self.owes = False
        """Whether it was answered after waiting, and has not asked anything since. Time does not go on meanwhile: the
        first thing that it asks is what time it is."""


class _Run:
    """One run of packetdrill: a world, and who is in it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.clients: dict[socket.socket, _Client] = {}
        world.alarm = self._alarm

    def receive(self, client: _Client) -> None:
        """Octets of requests have come."""
        client.owes = False
        self._requests(client)
        self.go_on()

    def go_on(self) -> None:
        """Answer who waits, and do what was held back meanwhile."""
        while True:
            self._answer_waiting()
            held = [one for one in self.clients.values() if one.buffer and one.waiting is None]
            before = sum(len(one.buffer) for one in held)
            for one in held:
                self._requests(one)
            if sum(len(one.buffer) for one in held) == before:
                return

    def _requests(self, client: _Client) -> None:
        while client.waiting is None and len(client.buffer) >= REQUEST.size:
            op, size, a, b, c, d = REQUEST.unpack_from(client.buffer)
            end = REQUEST.size + size
            if len(client.buffer) < end:
                return
            if op in {USLEEP, NRECV} and any(one.owes for one in self.clients.values()):
                return
            request = (op, a, b, c, d, client.buffer[REQUEST.size : end])
            client.buffer = client.buffer[end:]
            answer = self.world.call(*request)
            if answer is None:
                client.waiting = request
                late = self.world.late(op, b, c, request[5])
                client.late = (self.world.us + late[0], late[1]) if late is not None else None
            else:
                _reply(client, answer)

    def _answer_waiting(self) -> None:
        """Answer those who wait and need not any more."""
        for client in self.clients.values():
            if client.waiting is None:
                continue
            answer = self.world.call(*client.waiting)
            if answer is None and client.late is not None and self.world.us >= client.late[0]:
                answer = client.late[1]
            if answer is not None:
                client.waiting = None
                client.owes = True
                _reply(client, answer)

    def _alarm(self) -> float:
        """When somebody has waited long enough. Who waits for what has come is answered, and it is now."""
        self._answer_waiting()
        if any(client.owes for client in self.clients.values()):
            return self.world.us
        waiting = [client.late[0] for client in self.clients.values() if client.waiting and client.late]
        return min(waiting, default=inf)


def serve(
    path: Path,
    runs: int | None = None,
    make: Callable[[], World] = World,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Serve so many runs of packetdrill (None: for ever) on a Unix socket at `path`, one after the other. `ready` is
    called once they may come."""
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener, selectors.DefaultSelector() as selector:
        listener.bind(str(path))
        listener.listen(8)
        ready()
        selector.register(listener, selectors.EVENT_READ)
        run: _Run | None = None
        finished = 0
        while runs is None or finished < runs:
            for key, _ in selector.select():
                if key.fileobj is listener:
                    accepted = listener.accept()[0]
                    run = run or _Run(make())
                    run.clients[accepted] = _Client(accepted)
                    selector.register(accepted, selectors.EVENT_READ)
                    continue
                assert isinstance(key.fileobj, socket.socket)
                assert run is not None
                client = run.clients[key.fileobj]
                received = client.socket.recv(1 << 17)
                if received:
                    client.buffer += received
                    run.receive(client)
                    continue
                selector.unregister(client.socket)
                client.socket.close()
                del run.clients[client.socket]
                run.go_on()
                if not run.clients:
                    run, finished = None, finished + 1
        for client in (run.clients if run is not None else {}).values():
            client.socket.close()


def _reply(client: _Client, answer: Answer) -> None:
    result, number, data, x = answer
    client.socket.sendall(REPLY.pack(result, number, len(data), x) + data)
