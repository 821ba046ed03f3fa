"""A node on asyncio: it is given endpoints that are members of the group, and moves their datagrams."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable
from ipaddress import IPv4Address, IPv6Address
from typing import Any, TypeAlias, cast

from mirage.types import Random

from .node import GROUP4, GROUP6, PORT, Event, Node, Settings
from .service import Service

__all__ = ["Factory", "Mdns"]

Factory: TypeAlias = Callable[
    [Callable[[], asyncio.DatagramProtocol]], Awaitable[tuple[asyncio.BaseTransport, asyncio.BaseProtocol]]
]
"""Makes an endpoint at port 5353 that is a member of a group, on one link, with a hop limit of 255: a call of the
loop's `create_datagram_endpoint`, with whatever the network needs for that."""


class Mdns:
    """A node that runs. Belongs to one event loop; `node` is its state."""

    def __init__(self, settings: Settings, random: Random) -> None:
        self.node = Node(settings, random)
        self._loop = asyncio.get_running_loop()
        self._endpoints: list[tuple[asyncio.DatagramTransport, IPv4Address | IPv6Address]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._events: asyncio.Queue[Event] = asyncio.Queue(4096)

    async def add(self, factory: Factory, version: int = 4) -> None:
        """Speak through an endpoint, of IPv4 or IPv6. Raises `OSError`."""
        group = GROUP4 if version == 4 else GROUP6
        transport, _ = await factory(lambda: _Endpoint(self))
        self._endpoints.append((cast(asyncio.DatagramTransport, transport), group))

    def start(self) -> None:
        """Claim the host's name."""
        self.node.start(self._loop.time())
        self.turn()

    def publish(self, service: Service) -> None:
        """See `Node.publish`."""
        self.node.publish(service, self._loop.time())
        self.turn()

    def withdraw(self, service: Service) -> None:
        """See `Node.withdraw`."""
        self.node.withdraw(service)
        self.turn()

    def browse(self, kind: str) -> None:
        """See `Node.browse`."""
        self.node.browse(kind, self._loop.time())
        self.turn()

    async def events(self) -> AsyncIterator[Event]:
        """What happens, for ever. Of more than 4096 that nobody takes, the oldest are lost."""
        while True:
            yield await self._events.get()

    def turn(self) -> None:
        """Send what is to be sent, tell what happened, and set the timer."""
        for payload, destination in self.node.poll(self._loop.time()):
            for transport, group in self._endpoints:
                if transport.is_closing():
                    continue
                if destination is None:
                    transport.sendto(payload, (str(group), PORT))
                elif destination[0].version == group.version:
                    transport.sendto(payload, (str(destination[0]), destination[1]))
        for event in self.node.take_events():
            if self._events.full():
                self._events.get_nowait()
            self._events.put_nowait(event)
        if self._timer is not None:
            self._timer.cancel()
        deadline = self.node.next_deadline()
        self._timer = None if deadline is None else self._loop.call_at(deadline, self.turn)

    def close(self) -> None:
        """Say goodbye, and end."""
        self.node.stop()
        self.turn()
        if self._timer is not None:
            self._timer.cancel()
        for transport, _ in self._endpoints:
            transport.close()


class _Endpoint(asyncio.DatagramProtocol):
    def __init__(self, shell: Mdns) -> None:
        self._shell = shell

    def datagram_received(self, data: bytes, addr: Any) -> None:
        source = ipaddress.ip_address(addr[0].partition("%")[0])
        self._shell.node.input(data, source, addr[1], self._shell._loop.time())
        self._shell.turn()

    def error_received(self, exc: Exception) -> None:
        del exc
        self._shell.node.counters["errors.udp"] += 1
