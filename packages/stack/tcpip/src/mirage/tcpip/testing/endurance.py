"""Runs in which the numbers matter: a million connections, a flood of SYNs, ten thousand connections that are idle.

Two stacks back to back in virtual time, without a link between them that could lose anything, so that all the time goes
into the stacks. Each function returns what it saw; tests judge it, and

    python -m mirage.tcpip.testing.endurance [--all]

prints it, for the numbers that tests take or, in some ten minutes, for the whole ones.
"""

from __future__ import annotations

import argparse
import gc
import ipaddress
import resource
import time
import tracemalloc
from dataclasses import dataclass
from pathlib import Path

from mirage.types import FrameMeta
from mirage.types.testing import SeededRandom

from ..settings import Settings
from ..stack import Stack
from ..tcp.connection import Connection
from ..tcp.state import State
from ..wire.checksum import checksum
from ..wire.tcp import SYN, build

__all__ = ["Flood", "Growth", "Pair", "flood", "idle", "open_and_close", "resident"]

_PLAIN = FrameMeta()
_CLIENT, _SERVER = bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2])


class Pair:
    """A client and a server, joined by a cable on which frames take no time."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.now = 0.0
        self.client = self._host(1, _CLIENT, settings)
        self.server = self._host(2, _SERVER, settings)
        self.listener = self.server.listen(80, backlog=1024)
        self.strangers = 0
        """Frames of the server's for addresses that are not the client's."""
        self.settle()

    def _host(self, number: int, address: bytes, settings: Settings | None) -> Stack:
        stack = Stack(random=SeededRandom(number, predictable=True), settings=settings)
        interface = stack.add_interface("eth0", bytes([2, 0, 0, 0, 0, number]), 1500)
        stack.ip.add_address(interface, address, 24)
        return stack

    def settle(self) -> None:
        """Let the two exchange frames until there are none."""
        while self._turn(self.client, self.server) | self._turn(self.server, self.client):
            pass

    def _turn(self, stack: Stack, peer: Stack) -> bool:
        stack.poll(self.now)
        frames = []
        for _, parts in stack.interfaces["eth0"].take_output():
            frame = memoryview(b"".join(parts))
            if peer is self.client and bytes(frame[12:14]) == b"\x08\x00" and bytes(frame[30:34]) != _CLIENT:
                self.strangers += 1
            else:
                frames.append((_PLAIN, frame))
        if frames:
            peer.input(peer.interfaces["eth0"], frames, self.now)
        return bool(frames)

    def wait(self, seconds: float) -> None:
        """Let time pass, from deadline to deadline."""
        end = self.now + seconds
        self.settle()
        while (at := min(self.client.next_deadline(), self.server.next_deadline())) <= end:
            self.now = max(at, self.now + 1e-6)
            self.settle()
        self.now = end
        self.settle()

    def connect(self) -> tuple[Connection, Connection]:
        """A connection, as either end has it."""
        here = self.client.connect(_SERVER, 80, now=self.now)
        self.settle()
        there = self.listener.accept()
        assert here.state is State.ESTABLISHED
        assert there is not None
        return here, there

    def exchange(self) -> None:
        """A connection with a question, an answer, and an end."""
        here, there = self.connect()
        here.write(b"question")
        self.settle()
        assert bytes(there.read()) == b"question"
        there.write(b"answer")
        there.close()
        self.settle()
        assert bytes(here.read()) == b"answer"
        here.close()
        self.settle()

    def forget_news(self) -> None:
        """Nobody asks for them here."""
        self.client.take_news()
        self.server.take_news()


@dataclass(frozen=True, slots=True)
class Growth:
    """What was left when all was over, of both stacks together."""

    connections: int
    objects: int
    """Python's objects that its garbage collector knows, more than before."""
    resident: tuple[int, int]
    """Octets of memory that the process held before, when as many connections as `warm` says had come and gone twice,
    and after. Freed memory of Python's goes back to the system by whole arenas only, so a few hundred KiB mean nothing,
    and the same for ten times as many connections mean that nothing leaks."""
    seconds: float
    """That it took, of this machine's."""


def resident() -> int:
    """Octets of memory that this process holds now (Linux)."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()


def open_and_close(count: int, *, warm: int = 500) -> Growth:
    """Open `count` connections one after the other, every 5 ms, exchange a little and close them; then wait for
    TIME-WAIT to end. `warm` connections before that fill what is filled once."""
    pair = Pair()

    def several(number: int) -> None:
        for _ in range(number):
            pair.exchange()
            pair.forget_news()
            pair.now += 0.005
        pair.wait(200.0)
        pair.forget_news()
        gc.collect()

    several(warm)
    several(warm)  # once more, when everything has had its first time
    before, held, started = len(gc.get_objects()), resident(), time.perf_counter()
    several(count)
    ended = resident()
    tcp = (pair.client.tcp, pair.server.tcp)
    left = sum(len(one.connections) + one.open + one.half_open + len(one._heap) for one in tcp)
    return Growth(left, len(gc.get_objects()) - before, (held, ended), time.perf_counter() - started)


@dataclass(frozen=True, slots=True)
class Flood:
    """What a flood did."""

    syns: int
    served: int
    """Clients that got their answer meanwhile."""
    half_open: int
    """The most at any time."""
    cookies: int
    """SYNs that were answered without keeping anything."""
    objects: int
    """More when all is over than after the first tenth of a second."""
    seconds: float


def flood(seconds: float, *, rate: int = 100_000, clients: int = 50) -> Flood:
    """`rate` SYNs in each of `seconds` virtual seconds, from addresses and ports that are made up, while `clients`
    real ones in each second connect, ask and are answered."""
    pair = Pair()
    server = pair.server
    server.ip.add_route(ipaddress.ip_network("0.0.0.0/0"), _CLIENT, server.interfaces["eth0"])
    pair.exchange()
    started = time.perf_counter()
    batch, served, worst, sent, early = rate // 1000, 0, 0, 0, 0
    chance = SeededRandom(9, predictable=True)
    interface = server.interfaces["eth0"]
    for tick in range(round(seconds * 1000)):
        frames = [(_PLAIN, memoryview(_syn(chance.generate(10), interface.mac))) for _ in range(batch)]
        server.input(interface, frames, pair.now)
        sent += batch
        pair.settle()
        worst = max(worst, server.tcp.half_open)
        if tick % (1000 // clients) == 0:
            pair.exchange()
            served += 1
        pair.forget_news()
        pair.now += 0.001
        if tick == 100:
            gc.collect()
            early = len(gc.get_objects())
    pair.wait(200.0)  # the real clients' TIME-WAITs end
    pair.forget_news()
    gc.collect()
    grown = len(gc.get_objects()) - early
    cookies = server.counters["tcp.cookies-sent"]
    return Flood(sent, served, worst, cookies, grown, time.perf_counter() - started)


def _syn(chance: bytes, mac: bytes) -> bytes:
    """A SYN from an address of 11.0.0.0/8 and a port above 1024, with a right checksum."""
    source = bytes([11]) + chance[:3]
    port = 1025 + int.from_bytes(chance[3:5], "big") % 64000
    segment = bytearray(build(port, 80, int.from_bytes(chance[5:9], "big"), 0, SYN, 65535))
    pseudo = source + _SERVER + b"\x00\x06" + len(segment).to_bytes(2, "big")
    segment[16:18] = checksum(pseudo + segment).to_bytes(2, "big")
    header = bytearray(
        b"\x45\0" + (20 + len(segment)).to_bytes(2, "big") + b"\0\0\x40\0\x40\x06\0\0" + source + _SERVER
    )
    header[10:12] = checksum(header).to_bytes(2, "big")
    return mac + b"\2\0\0\0\0\1" + b"\x08\x00" + header + segment


def idle(count: int) -> float:
    """Octets of memory of one end of a connection on which nothing happens: of `count` that spoke before."""
    pair = Pair()
    held = [pair.connect() for _ in range(100)]
    tracing = tracemalloc.is_tracing()
    if not tracing:
        tracemalloc.start()
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(count):
        here, there = pair.connect()
        here.write(b"question")
        pair.settle()
        there.read()
        there.write(b"answer")
        pair.settle()
        here.read()
        held.append((here, there))
        pair.forget_news()
        pair.now += 0.001
    pair.wait(100.0)
    gc.collect()
    size = tracemalloc.get_traced_memory()[0] - before
    if not tracing:
        tracemalloc.stop()
    assert all(here.state is there.state is State.ESTABLISHED for here, there in held)
    return size / count / 2


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="a million connections, ten seconds of flood, 10,000 idle")
    parser.add_argument("--only", choices=("connections", "flood", "idle"), help="one of the three")
    options = parser.parse_args()
    whole, only = options.all, options.only
    if only in {None, "connections"}:  # first, while the process is small and its memory says most
        print(open_and_close(1_000_000 if whole else 20_000), flush=True)
    if only in {None, "flood"}:
        print(flood(10.0 if whole else 1.0), flush=True)
    if only in {None, "idle"}:
        print("idle, octets each:", round(idle(10_000 if whole else 2000)), flush=True)


if __name__ == "__main__":
    main()
