"""Hosts and networks in virtual time: stacks driven as a shell drives them, with no asyncio and no waiting.

Invariants: equal seeds and equal calls give equal histories; time moves only to the next moment at which a frame
arrives, a stack has a deadline or a callback is due; a stack that asks to be polled again and again without time
passing is an error, not a hang.

    with Simulation(seed=7) as simulation:
        network = simulation.network(delay=0.05, loss=0.01)
        client = simulation.host("client", network, "10.0.0.1/24", "fd00::1/64")
        server = simulation.host("server", network, "10.0.0.2/24", "fd00::2/64")
        listener = server.stack.listen(80)
        connection = client.stack.connect("10.0.0.2", 80, now=simulation.now)
        simulation.run(lambda: listener.accept() is not None)

What leaves the `with` block as an exception gets a note with the seed, and the last frames of all networks lie in a
pcapng file that the note names.
"""

from __future__ import annotations

import ipaddress
import math
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random as Chance
from types import TracebackType
from typing import TYPE_CHECKING

from mirage.net.testing import VirtualNetwork, VirtualPort
from mirage.types import FrameMeta, Offload
from mirage.types.testing import Deadlock, SeededRandom, VirtualClock

from ..pcapng import Direction, Tap
from ..settings import Settings
from ..stack import Stack

if TYPE_CHECKING:
    from ..ip.interface import Interface

__all__ = ["CAPTURES", "Host", "Simulation"]

CAPTURES = "MIRAGE_CAPTURES"
"""The variable of the environment that names the folder for captures of failures; else it is the temporary one."""

_PLAIN = FrameMeta()
_MAX_TURNS = 10_000
"""Turns of one host at one moment: more are a stack that never comes to rest."""
_SUPER = 65535 + 14
"""Octets of the longest super-frame, its Ethernet header included."""
_TRAILER = 4
"""Octets behind a frame that name what accompanies it."""
_TICK_NS = 1000
"""A deadline that has passed already is due after this long."""


class Host:
    """A stack with its ports. Made by `Simulation.host`."""

    def __init__(self, simulation: Simulation, name: str, stack: Stack) -> None:
        self.name = name
        self.stack = stack
        self._simulation = simulation
        self._ports: list[tuple[Interface, VirtualPort]] = []
        self._turns = 0
        self._turned_at = -1

    def attach(
        self, network: VirtualNetwork, *addresses: str, mtu: int = 1500, offload: Offload = Offload.NONE
    ) -> Interface:
        """Plug into a network, with addresses like ``10.0.0.1/24``.

        With `offload`, which all ports of the network must have alike, super-frames and partial checksums cross it as
        they do a TAP or the gateway's socket: a frame is lost, doubled or held back as a whole. What is damaged there
        nobody would notice, so `corrupt` is not for such a network.
        """
        longest = mtu if offload is Offload.NONE else _SUPER + _TRAILER
        port = network.port(mac=self._simulation.next_mac(), mtu=longest, capacity=1 << 20)
        interface = self.stack.add_interface(
            f"eth{len(self._ports)}", port.mac, mtu, offload=offload, max_frame=None if not offload else _SUPER
        )
        for address in addresses:
            parsed = ipaddress.ip_interface(address)
            self.stack.ip.add_address(interface, parsed.ip.packed, parsed.network.prefixlen)
        self._ports.append((interface, port))
        self._simulation.name_port(port, f"{self.name}.{interface.name}")
        port.on_readable(lambda: self._simulation.wake(self))
        return interface

    def port(self, number: int = 0) -> VirtualPort:
        """The port of the interface that was attached as the first, second, ...: to put a bottleneck before it."""
        return self._ports[number][1]

    def turn(self) -> None:
        """One turn of the stack, as `mirage.tcpip.stack` describes it. `Simulation` calls this when it is due."""
        now_ns = self._simulation.clock.elapsed_ns()
        self._turns = self._turns + 1 if now_ns == self._turned_at else 0
        self._turned_at = now_ns
        if self._turns > _MAX_TURNS:
            raise Deadlock(f"{self.name} does not come to rest at {now_ns / 1e9} s")
        now = now_ns / 1e9
        stack = self.stack
        for interface, port in self._ports:
            frames = []
            while (frame := port.receive()) is not None:
                frames.append(self._simulation.unwrap(frame) if interface.offload else (_PLAIN, frame))
            if frames:
                stack.input(interface, frames, now)
        for endpoint in stack.take_news():
            if endpoint.owner is not None:
                endpoint.owner()
        stack.poll(now)
        for interface, port in self._ports:
            for meta, parts in interface.take_output():
                port.send([*parts, self._simulation.wrap(meta)] if interface.offload else parts)


class Simulation:
    """Virtual time, networks, and the hosts on them."""

    def __init__(self, seed: int = 0, *, capture: int | None = 4 << 20) -> None:
        """`capture`: how many octets of the last frames are kept for a failure; None keeps none, and is faster."""
        self.seed = seed
        self.clock = VirtualClock()
        self.chance = Chance(seed)  # noqa: S311 - it decides on luck, not on keys
        self.hosts: list[Host] = []
        self.tap = Tap(capture, comment=f"seed {seed}") if capture is not None else None
        self._taps: dict[VirtualPort, int] = {}
        self._awake: dict[Host, None] = {}
        self._networks: list[VirtualNetwork] = []
        self._macs = 0
        self._metas: dict[FrameMeta, bytes] = {}
        self._wrapped: list[FrameMeta] = []

    @property
    def now(self) -> float:
        """Virtual seconds."""
        return self.clock.elapsed_ns() / 1e9

    # What there is

    def network(
        self,
        *,
        delay: float = 0.0,
        jitter: float = 0.0,
        loss: float = 0.0,
        duplicate: float = 0.0,
        corrupt: float = 0.0,
        reorder: float = 0.0,
        reorder_delay: float = 0.01,
        largest: int | None = None,
    ) -> VirtualNetwork:
        """A switch whose every way takes `delay` seconds and up to `jitter` more, with mishaps of its own seed.

        `largest` is the longest frame that gets through, header included. The rest may be set on what this returns:
        `choose`, and bottlenecks of the ports.
        """
        network = VirtualNetwork(
            self.clock,
            seed=self.chance.getrandbits(32),
            switch=True,
            loss=loss,
            duplicate=duplicate,
            corrupt=corrupt,
            reorder=reorder,
            delay_ns=round(delay * 1e9),
            jitter_ns=round(jitter * 1e9),
            reorder_ns=round(reorder_delay * 1e9),
        )
        network.largest = largest
        if self.tap is not None:
            network.watch = self._watch
        self._networks.append(network)
        return network

    def host(
        self, name: str, network: VirtualNetwork | None = None, *addresses: str, settings: Settings | None = None,
        mtu: int = 1500, offload: Offload = Offload.NONE,
    ) -> Host:  # fmt: skip
        """A host, attached to `network` if there is one. Its stack's randomness follows from the seed."""
        stack = Stack(
            random=SeededRandom(self.chance.getrandbits(32), predictable=True), now=self.now, settings=settings
        )
        host = Host(self, name, stack)
        self.hosts.append(host)
        self._awake[host] = None
        if network is not None:
            host.attach(network, *addresses, mtu=mtu, offload=offload)
        return host

    def next_mac(self) -> bytes:
        """An address that no other port has."""
        self._macs += 1
        return b"\2\0" + self._macs.to_bytes(4, "big")

    def name_port(self, port: VirtualPort, name: str) -> None:
        """How the capture calls it."""
        if self.tap is not None:
            self._taps[port] = self.tap.interface(name, port.mac)

    def wrap(self, meta: FrameMeta) -> bytes:
        """What stands behind a frame on a network with offloads, for what accompanies it."""
        trailer = self._metas.get(meta)
        if trailer is None:
            trailer = self._metas[meta] = len(self._wrapped).to_bytes(_TRAILER, "big")
            self._wrapped.append(meta)
        return trailer

    def unwrap(self, frame: memoryview) -> tuple[FrameMeta, memoryview]:
        """The frame, and what accompanies it."""
        return self._wrapped[int.from_bytes(frame[-_TRAILER:], "big")], frame[:-_TRAILER]

    def wake(self, host: Host) -> None:
        """Something has come for a host, or its application has done something: it gets a turn."""
        self._awake[host] = None

    def call_at(self, when: float, callback: Callable[[], None]) -> None:
        """Have `callback` called at that time; what it does to endpoints is sent at once."""

        def call() -> None:
            callback()
            for host in self.hosts:
                self._awake[host] = None

        self.clock.call_at(round(when * 1e9), call)

    # Time

    def step(self, until: float = math.inf) -> bool:
        """Give every host that is awake its turn, then go on to the next moment at which something happens.

        False when that lies after `until`, or never comes; the time is then `until`, if that is finite.
        """
        self._settle()
        due = min((host.stack.next_deadline() for host in self.hosts), default=math.inf)
        timer = self.clock.next_timer()
        now = self.clock.elapsed_ns()
        limit = math.inf if until == math.inf else math.ceil(until * 1e9)
        at = math.inf if due == math.inf else max(math.ceil(due * 1e9), now + _TICK_NS)
        if timer is not None:
            at = min(at, max(timer, now))
        if at > limit or at == math.inf:
            if limit < math.inf and limit > now:
                self.clock.advance_ns(int(limit) - now)
                self._settle()
            return False
        self.clock.advance_ns(int(at) - now)
        reached = self.clock.elapsed_ns() / 1e9
        for host in self.hosts:
            if host.stack.next_deadline() <= reached:
                self._awake[host] = None
        return True

    def run(self, done: Callable[[], bool], patience: float = 1000.0) -> None:
        """Let things happen until `done`. Raises `Deadlock` when it is not so within `patience` seconds."""
        deadline = self.now + patience
        for host in self.hosts:
            self._awake[host] = None
        while True:
            self._settle()
            if done():
                return
            if not self.step(deadline):
                if done():
                    return
                raise Deadlock(f"it did not come to that by {self.now:.3f} s, {patience:g} s later")

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        deadline = self.now + seconds
        for host in self.hosts:
            self._awake[host] = None
        while self.step(deadline):
            pass

    def _settle(self) -> None:
        while self._awake:
            host = next(iter(self._awake))
            del self._awake[host]
            host.turn()

    # Failures

    def __enter__(self) -> Simulation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            error.add_note(self.explain())

    def explain(self) -> str:
        """What a failure should tell: the seed, the time, what became of the frames, and where the capture is."""
        told = [f"seed {self.seed}, at {self.now:.6f} s of virtual time"]
        for number, network in enumerate(self._networks):
            fates = ", ".join(f"{count} {fate}" for fate, count in sorted(network.fates.items()))
            told.append(f"network {number}: {fates or 'no frames'}")
        if self.tap is not None:
            folder = Path(os.environ.get(CAPTURES, tempfile.gettempdir()))
            handle, path = tempfile.mkstemp(".pcapng", f"mirage-seed-{self.seed}-", folder)
            with os.fdopen(handle, "wb") as file:
                file.write(self.tap.capture())
            told.append(f"the last frames are in {path}")
        return "\n".join(told)

    def _watch(self, port: VirtualPort, frame: bytes, fate: str) -> None:
        assert self.tap is not None
        number = self._taps.get(port)
        if number is None:
            return
        if fate == "sent":
            self.tap.frame(number, frame, self.now, Direction.SENT)
        else:
            comment = "" if fate == "arrived" else fate
            self.tap.frame(number, frame, self.now, Direction.RECEIVED, comment)
