"""The gateway's own end of the network: a switch, its ports, and a stack that is driven by an ordinary event loop.

One turn: frames come in at a port; those for the stack go to it, those for other guests to their ports; endpoints with
news are told; the stack is polled and what it puts out goes to the ports. The views of a batch are done with when the
turn ends. `soon` asks for a turn when something happened on the host's side; all that happens in one iteration of the
loop shares one.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from math import inf

from mirage.tcpip import Settings
from mirage.tcpip.stack import Stack
from mirage.types import Buffer, FrameMeta, Offload, Random

from ._port import Frame, SocketPort
from .capture import Capture
from .plan import ROUTER_LINK_LOCAL, Plan
from .switch import AddressTable

__all__ = ["SETTINGS", "Inside"]

_ALL = Offload.CHECKSUM | Offload.TSO4 | Offload.TSO6 | Offload.ECN
_LONGEST = 14 + 65535
_SHORTEST = 14 + 20
"""Octets of a frame with anything in it that `Inside.peek` looks for."""
_TCP = 6
_ROUNDS = 8
"""How often in one turn endpoints may react to each other before the loop's other work gets its turn."""
_MIB = 1 << 20

SETTINGS = Settings(
    duplicate_address_probes=0,  # the plan gives these addresses to nobody else
    autoconfigure=False,  # and a guest that says it is a router is not believed
    max_connections=8192,
    max_half_open=2048,
    max_time_wait=4096,
    time_wait=15.0,  # nothing is reordered, or late, on a socket
    receive_buffer=2 * _MIB,
    send_buffer=2 * _MIB,
    plpmtud=False,
)
"""What the gateway's stack is by default; a guest costs it no more than these allow."""

Peek = Callable[[memoryview, float], None]


class Inside:
    """The stack, its interface, and the switch that joins it with the guests."""

    def __init__(
        self,
        plan: Plan,
        random: Random,
        loop: asyncio.AbstractEventLoop,
        *,
        settings: Settings = SETTINGS,
        capture: Capture | None = None,
    ) -> None:
        self.loop = loop
        self.plan = plan
        self.mac = plan.mac()
        self.stack = Stack(random=random, now=loop.time(), settings=settings)
        self.interface = self.stack.add_interface("inside", self.mac, plan.mtu, offload=_ALL, max_frame=_LONGEST)
        ip = self.stack.ip
        for address, prefix in (
            (plan.gateway4, plan.ipv4.prefixlen),
            (plan.names4, plan.ipv4.prefixlen),
            (plan.gateway6, plan.ipv6.prefixlen),
            (plan.names6, plan.ipv6.prefixlen),
            (ROUTER_LINK_LOCAL, 64),
        ):
            ip.add_address(self.interface, address.packed, prefix)
        self.ports: list[SocketPort] = []
        self.peek: Peek | None = None
        """Sees each frame for the gateway that is not of TCP, or for all: DHCP and NDP are looked for there."""
        self.flooded = 0
        self._capture = capture
        self._table: AddressTable[SocketPort] = AddressTable()
        self._scheduled = False
        self._wake: asyncio.TimerHandle | None = None
        self._wake_at = inf
        self._closed = False

    # Ports

    def plug(self, sock: socket.socket, name: str, number: int) -> SocketPort:
        """A guest joins, at the other end of `sock`."""
        port = SocketPort(self.loop, sock, name, number, self._arrived, self._left)
        self.ports.append(port)
        return port

    def _left(self, port: SocketPort) -> None:
        self.ports.remove(port)
        self._table.forget(port)

    # The switch

    def _arrived(self, port: SocketPort, frames: list[Frame]) -> None:
        """A batch has come in at a port."""
        own, capture, find, learn = self.mac, self._capture, self._table.find, self._table.learn
        ours: list[Frame] = []
        last = b""
        for frame in frames:
            view = frame[1]
            destination = view[:6]
            if capture is not None:
                capture.frame(port.name, (view,), sent=False)
            if view[6:12] != last:
                last = bytes(view[6:12])
                if last != own:
                    learn(last, port)
            if last == own:
                continue  # nobody else is the gateway
            if destination == own:
                ours.append(frame)
            elif view[0] & 1:
                ours.append(frame)
                self._flood(port, frame[0], (view,))
            else:
                other = find(bytes(destination))
                if other is None:
                    self._flood(port, frame[0], (view,))
                elif other is not port:
                    self._out(other, frame[0], (view,))
        if ours:
            now = self.loop.time()
            if self.peek is not None:
                for _, view in ours:
                    if len(view) >= _SHORTEST and (view[23 if view[12] == 8 else 20] != _TCP or view[0] & 1):
                        self.peek(view, now)
            self.stack.input(self.interface, ours, now)
            self._turn()

    def _out(self, port: SocketPort, meta: FrameMeta, parts: tuple[Buffer, ...] | list[Buffer]) -> None:
        if self._capture is not None:
            self._capture.frame(port.name, parts, sent=True)
        port.send(meta, parts)

    def _flood(self, source: SocketPort | None, meta: FrameMeta, parts: tuple[Buffer, ...] | list[Buffer]) -> None:
        """Send to every port but one."""
        for port in self.ports:
            if port is not source:
                self.flooded += 1
                self._out(port, meta, parts)

    def inject(self, frame: bytes) -> None:
        """Send a frame of the gateway that its stack has not made."""
        self._emit(FrameMeta(), [frame])

    def _emit(self, meta: FrameMeta, parts: list[Buffer]) -> None:
        destination = bytes(parts[0][:6])
        port = None if destination[0] & 1 else self._table.find(destination)
        if port is not None:
            self._out(port, meta, parts)
        else:
            self._flood(None, meta, parts)

    # The turn

    def soon(self) -> None:
        """Have a turn before the loop sleeps again."""
        if not self._scheduled:
            self._scheduled = True
            self.loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        if self._closed:
            return
        stack = self.stack
        now = self.loop.time()
        for _ in range(_ROUNDS):
            for endpoint in stack.take_news():
                if endpoint.owner is not None:
                    endpoint.owner.news()
            stack.poll(now)
            if not stack.news.endpoints:
                break
        else:
            self.soon()
        for meta, parts in self.interface.take_output():
            self._emit(meta, parts)
        deadline = stack.next_deadline()
        if deadline < self._wake_at:
            if self._wake is not None:
                self._wake.cancel()
            self._wake_at = deadline
            self._wake = self.loop.call_at(deadline, self._woken)

    def _woken(self) -> None:
        self._wake, self._wake_at = None, inf
        self._turn()

    def close(self) -> None:
        """Reset every connection, say so, and unplug everybody; may be called again."""
        if self._closed:
            return
        for connection in list(self.stack.tcp.all()):
            connection.abort()
        self._turn()
        self._closed = True
        if self._wake is not None:
            self._wake.cancel()
        for port in list(self.ports):
            port.close()
