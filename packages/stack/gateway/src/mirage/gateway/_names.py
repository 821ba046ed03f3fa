"""The name server of the network: the ways to it, over UDP and over TCP, bounded in number and in time.

What answers (`_lookup`) is loaded with the first question, so that a network is up before a DNS library is.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from mirage.tcpip import NotConnected
from mirage.tcpip.tcp.connection import Connection
from mirage.tcpip.tcp.listener import Listener
from mirage.tcpip.tcp.state import State
from mirage.types import Random

from .policy import Address

if TYPE_CHECKING:
    from mirage.dns import Settings

    from ._datagrams import Flows
    from ._inside import Inside
    from ._lookup import Lookup

__all__ = ["NameService"]

_PORT = 53
_CONNECTIONS = 64
_IDLE = 10.0
"""RFC 7766 section 6.2.3: a few seconds."""
_UNDER_WAY = 512
_QUEUED = 256 * 1024
Answer = Callable[[Iterable[bytes]], None]


class NameService:
    """Answers at the addresses of the plan."""

    def __init__(
        self, inside: Inside, flows: Flows, counters: Counter[str], settings: Settings | bool, random: Random
    ) -> None:
        """`settings`: how names are looked up; True: as the host does it; False: every question is refused."""
        self.inside = inside
        self.counters = counters
        self._flows = flows
        self._settings = settings
        self._random = random
        self._lookup: Lookup | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.streams: set[_Stream] = set()
        plan = inside.plan
        for address in (plan.names4.packed, plan.names6.packed):
            flows.services[address, _PORT] = self._datagram
            listener = inside.stack.listen(_PORT, address)
            listener.owner = _Acceptor(self, listener)

    def _datagram(self, source: bytes, port: int, destination: bytes, data: bytes, now: float) -> None:
        del now

        def answer(responses: Iterable[bytes]) -> None:
            for response in responses:
                self._flows.send(destination, _PORT, source, port, response, self.inside.loop.time())

        self.ask(data, source, answer, tcp=False)

    def ask(self, octets: bytes, source: bytes, answer: Answer, *, tcp: bool) -> None:
        """Have `answer` called with the responses to a question, soon."""
        if len(self._tasks) >= _UNDER_WAY:
            self.counters["names.busy"] += 1
            return
        self.counters["names.questions"] += 1
        task = self.inside.loop.create_task(self._ask(octets, ipaddress.ip_address(source), answer, tcp=tcp))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ask(self, octets: bytes, source: Address, answer: Answer, *, tcp: bool) -> None:
        if self._lookup is None:
            from ._lookup import Lookup

            self._lookup = Lookup(self._settings, self._random)
        answer(await self._lookup.answer(octets, source, tcp=tcp))
        self.inside.soon()

    async def close(self) -> None:
        """Answer no more."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for stream in list(self.streams):
            stream.close()
        if self._lookup is not None:
            await self._lookup.close()


class _Acceptor:
    def __init__(self, service: NameService, listener: Listener) -> None:
        self._service = service
        self._listener = listener

    def news(self) -> None:
        """Somebody wants to ask over TCP."""
        while (connection := self._listener.accept()) is not None:
            if len(self._service.streams) >= _CONNECTIONS:
                self._service.counters["names.full"] += 1
                connection.abort()
            else:
                self._service.streams.add(_Stream(self._service, connection))


class _Stream:
    """A connection: any number of questions, answered as they come (RFC 7766)."""

    def __init__(self, service: NameService, connection: Connection) -> None:
        self._service = service
        self._connection = connection
        self._buffer = bytearray()
        self._asked = 0
        """Questions whose answers are being made."""
        self._timer = service.inside.loop.call_later(_IDLE, self.close)
        connection.owner = self
        self.news()

    def news(self) -> None:
        """Octets have come, or the end."""
        connection = self._connection
        if connection.queued > _QUEUED:
            connection.wait_for_room(0)  # who does not take the answers is not heard
            return
        self._buffer += connection.read()
        source = connection.framer.path.remote
        for octets in _requests(self._buffer):
            self._timer.cancel()
            self._timer = self._service.inside.loop.call_later(_IDLE, self.close)
            self._asked += 1
            self._service.ask(octets, source, self._answer, tcp=True)
        if connection.state in {State.CLOSED, State.TIME_WAIT}:
            self.close()
        elif connection.eof and not self._asked:
            connection.shutdown()

    def _answer(self, responses: Iterable[bytes]) -> None:
        self._asked -= 1
        for response in responses:
            try:
                self._connection.write(len(response).to_bytes(2, "big") + response)
            except NotConnected:
                return
        if self._connection.eof and not self._asked:
            self._connection.shutdown()

    def close(self) -> None:
        """End the connection."""
        self._timer.cancel()
        self._service.streams.discard(self)
        self._connection.owner = None
        self._connection.abort()
        self._service.inside.soon()


def _requests(buffer: bytearray) -> Iterator[bytes]:
    """Take the whole messages off the front of what came: each behind its length (RFC 1035 section 4.2.2)."""
    while len(buffer) >= 2:
        end = 2 + int.from_bytes(buffer[:2], "big")
        if len(buffer) < end:
            return
        message = bytes(buffer[2:end])
        del buffer[:end]
        yield message
