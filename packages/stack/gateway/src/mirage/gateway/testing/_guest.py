"""A guest in the same program: its own stack, driven by the event loop that the gateway runs on."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from math import inf
from typing import Any

from mirage.net import NetworkUnavailable, SocketNetwork
from mirage.tcpip import Settings
from mirage.tcpip.stack import Stack, packed
from mirage.tcpip.tcp.connection import Connection
from mirage.tcpip.tcp.listener import Listener
from mirage.tcpip.tcp.state import State
from mirage.tcpip.udp import UdpEndpoint
from mirage.types import Offload
from mirage.types.testing import SeededRandom

from ..plan import ROUTER_LINK_LOCAL, Plan

__all__ = ["Guest", "GuestStream"]

_ALL = Offload.CHECKSUM | Offload.TSO4 | Offload.TSO6


class Guest:
    """A host inside, with addresses from the plan and both default routes."""

    def __init__(
        self, sock: socket.socket, mac: bytes, *, plan: Plan | None = None, number: int = 0, offload: bool = True
    ) -> None:
        """Take over what `Gateway.socket_pair` gave."""
        plan = plan or Plan()
        self.loop = asyncio.get_running_loop()
        self.device = SocketNetwork(sock, mac=mac, mtu=plan.mtu, offload=offload)
        self.agreed = self.device.enable_offload(_ALL)
        self.stack = Stack(
            random=SeededRandom(number + 1, predictable=True),
            now=self.loop.time(),
            settings=Settings(duplicate_address_probes=0, autoconfigure=False),
        )
        self.interface = self.stack.add_interface(
            "eth0", mac, plan.mtu, offload=self.agreed, max_frame=self.device.max_frame
        )
        self.ipv4 = plan.guest4(number)
        self.ipv6 = plan.ipv6[0x1000 + number]
        ip = self.stack.ip
        ip.add_address(self.interface, self.ipv4.packed, plan.ipv4.prefixlen)
        ip.add_address(self.interface, self.ipv6.packed, plan.ipv6.prefixlen)
        ip.add_route(ipaddress.IPv4Network("0.0.0.0/0"), plan.gateway4, self.interface)
        ip.add_route(ipaddress.IPv6Network("::/0"), ROUTER_LINK_LOCAL, self.interface)
        self._scheduled = False
        self._closed = False
        self._wake: asyncio.TimerHandle | None = None
        self._wake_at = inf
        self._tasks: set[asyncio.Task[None]] = set()
        self.device.on_readable(self._readable)
        self.soon()

    def _readable(self) -> None:
        try:
            frames = self.device.receive_many()
        except NetworkUnavailable:
            self.device.on_readable(None)
            return
        self.stack.input(self.interface, frames, self.loop.time())
        self._turn()

    def soon(self) -> None:
        """Have what was written sent."""
        if not self._scheduled:
            self._scheduled = True
            self.loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        if self._closed:
            return
        now = self.loop.time()
        for _ in range(8):
            for endpoint in self.stack.take_news():
                if endpoint.owner is not None:
                    endpoint.owner.news()
            self.stack.poll(now)
            if not self.stack.news.endpoints:
                break
        else:
            self.soon()
        frames = self.interface.take_output()
        try:
            taken = self.device.send_many(frames)
        except NetworkUnavailable:
            return
        if taken < len(frames):
            self.interface.output[:0] = [(meta, [bytes(part) for part in parts]) for meta, parts in frames[taken:]]
            self.loop.add_writer(self.device.fileno(), self._writable)
        deadline = self.stack.next_deadline()
        if deadline < self._wake_at:
            if self._wake is not None:
                self._wake.cancel()
            self._wake_at, self._wake = deadline, self.loop.call_at(deadline, self._woken)

    def _writable(self) -> None:
        self.loop.remove_writer(self.device.fileno())
        self._turn()

    def _woken(self) -> None:
        self._wake_at, self._wake = inf, None
        self._turn()

    async def connect(self, address: str, port: int) -> GuestStream:
        """Open a connection. Raises what ended it."""
        connection = self.stack.connect(address, port, now=self.loop.time())
        self.soon()
        stream = GuestStream(self, connection)
        await stream.until(lambda: connection.state is not State.SYN_SENT)
        if connection.error is not None:
            raise connection.error
        return stream

    def serve(self, port: int, handler: Callable[[GuestStream], Awaitable[None]], version: int = 4) -> Listener:
        """Accept connections, each handled in a task."""
        listener = self.stack.listen(port, version=version)
        listener.owner = _Acceptor(self, listener, handler)
        return listener

    def start(self, handling: Awaitable[None]) -> None:
        """Have it run until the guest is closed."""

        async def run() -> None:
            await handling

        task = self.loop.create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def ask(self, endpoint: UdpEndpoint, data: bytes, address: str, port: int, timeout: float = 5.0) -> Any:
        """Send a datagram, and wait for the next one that comes. Raises `TimeoutError`."""
        waiter = _Waiter()
        endpoint.owner = waiter
        endpoint.send(data, packed(address), port, now=self.loop.time())
        self.soon()
        async with asyncio.timeout(timeout):
            while (datagram := endpoint.read()) is None:
                await waiter.wait()
        return datagram

    def close(self) -> None:
        """Pull the plug."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        if self._wake is not None:
            self._wake.cancel()
        self.loop.remove_writer(self.device.fileno())
        self.device.close()


class _Waiter:
    def __init__(self) -> None:
        self._event = asyncio.Event()

    def news(self) -> None:
        self._event.set()

    async def wait(self) -> None:
        await self._event.wait()
        self._event.clear()


class _Acceptor:
    def __init__(self, guest: Guest, listener: Listener, handler: Callable[[GuestStream], Awaitable[None]]) -> None:
        self._guest = guest
        self._listener = listener
        self._handler = handler

    def news(self) -> None:
        while (connection := self._listener.accept()) is not None:
            self._guest.start(self._handler(GuestStream(self._guest, connection)))


class GuestStream(_Waiter):
    """A connection, read and written by coroutines."""

    def __init__(self, guest: Guest, connection: Connection) -> None:
        super().__init__()
        self.connection = connection
        self._guest = guest
        self._read: list[bytes] = []
        self.paused = False
        """While True nothing is read, so that the window closes."""
        connection.owner = self
        self.news()

    def news(self) -> None:
        """The stack's views are copied at once."""
        if self.connection.readable and not self.paused:
            self._read.append(bytes(self.connection.read()))
            self._guest.soon()
        super().news()

    async def until(self, done: Callable[[], bool]) -> None:
        """Wait until something is so, which only news can bring."""
        while not done():
            await self.wait()

    async def read(self) -> bytes:
        """What has come; empty at the end. Raises what ended the connection."""
        connection = self.connection
        await self.until(lambda: bool(self._read or connection.eof or connection.error))
        self.news()
        data = b"".join(self._read)
        self._read.clear()
        if not data and connection.error is not None:
            raise connection.error
        return data

    async def read_all(self) -> bytes:
        """Everything up to the end."""
        parts = []
        while data := await self.read():
            parts.append(data)
        return b"".join(parts)

    async def write(self, data: bytes) -> None:
        """Send, and wait while much waits already."""
        self.connection.write(data)
        self._guest.soon()
        if self.connection.queued > 1 << 20:
            self.connection.wait_for_room(1 << 18)
            await self.until(lambda: self.connection.queued <= 1 << 18 or self.connection.error is not None)

    def shutdown(self) -> None:
        """Send no more."""
        self.connection.shutdown()
        self._guest.soon()

    def close(self) -> None:
        """Be done."""
        self.connection.close()
        self._guest.soon()

    def abort(self) -> None:
        """Reset."""
        self.connection.abort()
        self._guest.soon()
