"""UDP through the gateway: flows between a guest's address and port and one socket of the host each.

A flow is made by the first datagram and ends when it has been silent for a while (RFC 4787 section 4.3), or makes room
for newer ones. Outwards a flow has a connected socket, so that only who was asked may answer. Inwards the flows of a
published port share its socket, and the guest sees each client as a port of the gateway.
"""

from __future__ import annotations

import contextlib
import socket
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mirage.tcpip import NoRoute
from mirage.tcpip.forward import Datagrams

from .policy import Address, Policy

if TYPE_CHECKING:
    import asyncio

    from ._inside import Inside

__all__ = ["Flows", "PublishedDatagrams"]

_Key = tuple[bytes, int, bytes, int]
"""Address and port of the guest, then of the other as the guest sees it."""
Service = Callable[[bytes, int, bytes, bytes, float], None]
"""Called with source, its port, destination, the data, and the time."""

_LONGEST = 65535
_AT_ONCE = 64
_IDLE = 120.0
"""RFC 4787 REQ-5: two minutes at least."""
_IDLE_NAMES = 10.0
_NAMES = 53
_FIRST_PORT, _LAST_PORT = 49152, 65535


class Flows:
    """All of UDP."""

    def __init__(self, inside: Inside, policy: Policy, counters: Counter[str], *, limit: int = 1024) -> None:
        self.inside = inside
        self.counters = counters
        self.services: dict[tuple[bytes, int], Service] = {}
        """The gateway's own, by address and port."""
        self.octets = [0, 0]
        """To guests, and from guests."""
        self._policy = policy
        self._limit = limit
        self._flows: OrderedDict[_Key, _Flow] = OrderedDict()
        self._datagrams = Datagrams(inside.stack, inside.interface, self._from_guest)
        self._sweep: asyncio.TimerHandle | None = None
        self._next_port = _FIRST_PORT

    def _from_guest(
        self, source: bytes, source_port: int, destination: bytes, port: int, data: memoryview, now: float
    ) -> None:
        service = self.services.get((destination, port))
        if service is not None:
            if self.inside.plan.is_guest(source):
                service(source, source_port, destination, bytes(data), now)
            else:
                self.counters["udp.spoofed"] += 1
            return
        key = source, source_port, destination, port
        flow = self._flows.get(key)
        if flow is None:
            if not self.inside.plan.is_guest(source):
                self.counters["udp.spoofed"] += 1
                return
            target = self._policy.target(destination, port)
            if target is None:
                self.counters["udp.denied"] += 1
                return
            flow = self._open(key, *target)
            if flow is None:
                return
        self._flows.move_to_end(key)
        flow.active_at = now
        self.octets[1] += len(data)
        flow.to_host(data)

    def _open(self, key: _Key, address: Address, port: int) -> _Flow | None:
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        try:
            sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        except OSError:
            self.counters["udp.no-socket"] += 1
            return None
        try:
            sock.connect((str(address), port))
        except OSError:
            self.counters["udp.unreachable"] += 1
            sock.close()
            return None
        self.counters["udp.out"] += 1
        flow = _Outward(self, key, sock)
        self.add(flow)
        return flow

    def add(self, flow: _Flow) -> None:
        """A new flow; the one that was used least recently makes room where there is none."""
        while len(self._flows) >= self._limit:
            self.counters["udp.full"] += 1
            self._flows.popitem(last=False)[1].close()
        self._flows[flow.key] = flow
        if self._sweep is None:
            self._sweep = self.inside.loop.call_later(_IDLE_NAMES, self._look)

    def remove(self, flow: _Flow) -> None:
        """A flow has ended."""
        if self._flows.pop(flow.key, None) is not None:
            flow.close()

    def free_port(self, guest: bytes, guest_port: int, gateway: bytes) -> int | None:
        """A port of the gateway from which the guest hears of no other client."""
        for _ in range(_LAST_PORT - _FIRST_PORT + 1):
            port = self._next_port
            self._next_port = _FIRST_PORT if port == _LAST_PORT else port + 1
            if (guest, guest_port, gateway, port) not in self._flows:
                return port
        return None

    def to_guest(self, flow: _Flow, data: bytes) -> None:
        """The host's side has sent something."""
        guest, guest_port, other, other_port = flow.key
        flow.active_at = now = self.inside.loop.time()
        self._flows.move_to_end(flow.key)
        self.octets[0] += len(data)
        self.send(other, other_port, guest, guest_port, data, now)

    def send(self, source: bytes, source_port: int, guest: bytes, guest_port: int, data: bytes, now: float) -> None:
        """Send a datagram to a guest, in anybody's name."""
        self._datagrams.send(source, source_port, guest, guest_port, data, now)
        self.inside.soon()

    def _look(self) -> None:
        self._sweep = None
        now = self.inside.loop.time()
        for flow in list(self._flows.values()):
            if now - flow.active_at > flow.patience:
                self.remove(flow)
        if self._flows:
            self._sweep = self.inside.loop.call_later(_IDLE_NAMES, self._look)

    def close(self) -> None:
        """End all flows."""
        if self._sweep is not None:
            self._sweep.cancel()
        for flow in list(self._flows.values()):
            self.remove(flow)


class _Flow:
    """One flow; made by a datagram."""

    def __init__(self, flows: Flows, key: _Key) -> None:
        self.flows = flows
        self.key = key
        self.active_at = flows.inside.loop.time()
        self.patience = _IDLE_NAMES if key[3] == _NAMES else _IDLE

    def to_host(self, data: memoryview) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


class _Outward(_Flow):
    """A guest asks somebody."""

    def __init__(self, flows: Flows, key: _Key, sock: socket.socket) -> None:
        super().__init__(flows, key)
        self._socket = sock
        flows.inside.loop.add_reader(sock.fileno(), self._readable)

    def to_host(self, data: memoryview) -> None:
        try:
            self._socket.send(data)
        except OSError:
            self.flows.counters["udp.dropped"] += 1  # no room, or an ICMP error about an earlier one

    def _readable(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                data = self._socket.recv(_LONGEST)
            except BlockingIOError:
                return
            except OSError:
                self.flows.counters["udp.errors"] += 1
                return
            self.flows.to_guest(self, data)

    def close(self) -> None:
        self.flows.inside.loop.remove_reader(self._socket.fileno())
        self._socket.close()


class _Inward(_Flow):
    """A client of a published port."""

    def __init__(self, published: PublishedDatagrams, key: _Key, client: Any) -> None:
        super().__init__(published.flows, key)
        self._published = published
        self._client = client

    def to_host(self, data: memoryview) -> None:
        self._published.answer(self._client, data)

    def close(self) -> None:
        self._published.forget(self._client)


class PublishedDatagrams:
    """A UDP socket of the host whose datagrams go to a guest."""

    def __init__(self, flows: Flows, sock: socket.socket, guest: Callable[[int], bytes], port: int) -> None:
        """`sock` is bound already; `guest` says where a client of this version of IP goes now."""
        self.flows = flows
        self._socket = sock
        self._guest = guest
        self._port = port
        self._version = 6 if sock.family == socket.AF_INET6 else 4
        self._clients: dict[Any, _Inward] = {}
        sock.setblocking(False)
        flows.inside.loop.add_reader(sock.fileno(), self._readable)

    @property
    def address(self) -> tuple[str, int]:
        """Where it is bound."""
        host, port, *_ = self._socket.getsockname()
        return host, port

    def _readable(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                data, client = self._socket.recvfrom(_LONGEST)
            except BlockingIOError:
                return
            except OSError:
                self.flows.counters["udp.errors"] += 1
                return
            flow = self._clients.get(client) or self._open(client)
            if flow is not None:
                self.flows.to_guest(flow, data)

    def _open(self, client: Any) -> _Inward | None:
        plan = self.flows.inside.plan
        try:
            guest = self._guest(self._version)
        except NoRoute:
            self.flows.counters["udp.no-guest"] += 1
            return None
        gateway = (plan.gateway4 if len(guest) == 4 else plan.gateway6).packed
        port = self.flows.free_port(guest, self._port, gateway)
        if port is None:
            self.flows.counters["udp.full"] += 1
            return None
        flow = self._clients[client] = _Inward(self, (guest, self._port, gateway, port), client)
        self.flows.counters["udp.in"] += 1
        self.flows.add(flow)
        return flow

    def answer(self, client: Any, data: memoryview) -> None:
        """The guest has sent something to a client."""
        try:
            self._socket.sendto(data, client)
        except OSError:
            self.flows.counters["udp.dropped"] += 1

    def forget(self, client: Any) -> None:
        """The flow of a client has ended."""
        self._clients.pop(client, None)

    def close(self) -> None:
        """Give the port up."""
        for flow in list(self._clients.values()):
            self.flows.remove(flow)
        with contextlib.suppress(ValueError):
            self.flows.inside.loop.remove_reader(self._socket.fileno())
        self._socket.close()
