"""Two TCPs joined by a wire in virtual time, with the IP layer left out: what is tested here is TCP alone.

The paths are fixed, frames are Ethernet frames all the same, and the wire may drop, double, delay and reorder them as a
test says. Everything is a function of the seed.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import Any

from mirage.tcpip.counters import Counters
from mirage.tcpip.errors import NoRoute
from mirage.tcpip.ip.packet import Packet
from mirage.tcpip.news import News
from mirage.tcpip.settings import Settings
from mirage.tcpip.tcp.connection import Connection
from mirage.tcpip.tcp.tcp import Listener, Tcp
from mirage.tcpip.wire.checksum import checksum, ones_sum, ones_sum_parts
from mirage.types import Checksum, FrameMeta, Offload


@dataclass
class FakeInterface:
    """What TCP needs to know of an interface."""

    mac: bytes
    mtu: int = 1500
    offload: Offload = Offload.NONE
    max_frame: int = 1514
    output: list[tuple[FrameMeta, list[Any]]] = field(default_factory=list)
    tap: None = None


class FakePath:
    """A path that never changes, unless a test reduces its MTU."""

    def __init__(self, interface: FakeInterface, local: bytes, remote: bytes) -> None:
        self.interface = interface
        self.local, self.remote = local, remote
        self.mtu = interface.mtu
        ethernet = b"\x02\0\0\0\0\x99" + interface.mac
        if len(local) == 4:
            self.header = ethernet + b"\x08\x00" + b"\x45\0\0\0\0\0\x40\0\x40\0\0\0" + local + remote
            self.header_sum = ones_sum(self.header[14:])
        else:
            self.header = ethernet + b"\x86\xdd" + b"\x60\0\0\0\0\0\x06\x40" + local + remote
            self.header_sum = 0
        self.pseudo_sum = ones_sum(local + remote)
        self.generation = 1
        self.fresh_until = inf
        self.alive = True

    def refresh(self, now: float) -> bool:
        """Always fresh."""
        return True

    def confirm(self, now: float) -> None:
        """Nothing to confirm."""

    def reduce(self, mtu: int, now: float) -> None:
        """As the path MTU cache does."""
        self.mtu = min(self.mtu, max(mtu, 576))
        self.generation += 1

    def send(self, protocol: int, payload: Any, now: float, *, checksum_offset: int | None = None, **_: Any) -> None:
        """One packet, with its checksum."""
        parts = [bytearray(payload[0]), *payload[1:]]
        size = sum(map(len, parts))
        if checksum_offset is not None:
            value = 65535 - (self.pseudo_sum + protocol + size + ones_sum_parts(parts)) % 65535
            parts[0][checksum_offset : checksum_offset + 2] = value.to_bytes(2, "big")
        header = bytearray(self.header)
        if len(self.local) == 4:
            header[16:18] = (20 + size).to_bytes(2, "big")
            header[23] = protocol
            header[24:26] = b"\0\0"
            header[24:26] = checksum(header[14:]).to_bytes(2, "big")
        else:
            header[18:20] = size.to_bytes(2, "big")
        self.interface.output.append((FrameMeta(), [header, *parts]))


class FakeIp:
    """What TCP needs of the IP layer."""

    def __init__(self, interface: FakeInterface, address: bytes) -> None:
        self.interface, self.address = interface, address
        self.receivers: dict[int, Any] = {}
        self.error_receivers: dict[int, Any] = {}
        self.paths: dict[bytes, FakePath] = {}
        self.loopback: FakeInterface | None = None

    def path(self, remote: bytes, now: float, local: bytes | None = None, interface: Any = None) -> FakePath:
        """The path to there; none to 203.0.113.0/24."""
        if remote.startswith(bytes([203, 0, 113])):
            raise NoRoute("no route leads there")
        if remote not in self.paths:
            self.paths[remote] = FakePath(self.interface, self.address, remote)
        return self.paths[remote]

    def is_local(self, address: bytes) -> bool:
        """Whether it is the one address."""
        return address == self.address


class Seeded:
    """Random octets that a seed decides."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def generate(self, size: int) -> bytes:
        """Octets."""
        return self._random.randbytes(size)


class Host:
    """One end."""

    def __init__(self, address: bytes, seed: int, settings: Settings, offload: Offload, mtu: int) -> None:
        longest = 14 + (65535 if offload & (Offload.TSO4 | Offload.TSO6) else mtu)
        self.interface = FakeInterface(b"\x02\0\0\0\0" + address[-1:], mtu, offload, longest)
        self.ip = FakeIp(self.interface, address)
        self.news, self.counters = News(), Counters()
        self.tcp = Tcp(self.ip, settings, Seeded(seed), self.news, self.counters, 0.0)  # type: ignore[arg-type]

    def frame(self, meta: FrameMeta, frame: memoryview, now: float) -> None:
        """What the IP layer and the stack's lane do with a good frame."""
        if frame[12] == 8:
            length, start = int.from_bytes(frame[16:18], "big"), 34
            source, destination = bytes(frame[26:30]), bytes(frame[30:34])
            traffic_class, payload = frame[15], frame[34 : 14 + length]
        else:
            start, length = 54, int.from_bytes(frame[18:20], "big")
            source, destination = bytes(frame[22:38]), bytes(frame[38:54])
            traffic_class, payload = (frame[14] << 4 | frame[15] >> 4) & 0xFF, frame[54 : 54 + length]
        if meta.checksum is Checksum.COMPLETE and frame[12] == 8:
            assert ones_sum(frame[14:34]) == 0, "a wrong IP header checksum was sent"
        packet = Packet(
            self.interface,  # type: ignore[arg-type]
            source,
            destination,
            6,
            payload,
            meta.checksum,
            64,
            traffic_class,
            frame[14:],
            False,
        )
        assert start
        self.tcp.packet(packet, now)


class Pair:
    """`left` and `right`, and the time."""

    def __init__(
        self,
        *,
        seed: int = 1,
        delay: float = 0.01,
        version: int = 4,
        left: Settings | None = None,
        right: Settings | None = None,
        offload: Offload = Offload.NONE,
        mtu: int = 1500,
    ) -> None:
        self.random = random.Random(seed)
        self.now = 0.0
        addresses = (bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2]))
        if version == 6:
            addresses = (b"\xfd" + bytes(14) + b"\1", b"\xfd" + bytes(14) + b"\2")
        self.left = Host(addresses[0], seed * 2, left or Settings(), offload, mtu)
        self.right = Host(addresses[1], seed * 2 + 1, right or left or Settings(), offload, mtu)
        self.delay = delay
        self.fate: Callable[[Host, bytes], list[float]] = lambda source, frame: [self.delay]
        """What happens to a frame: the delays of its copies, none for a loss."""
        self._flying: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self.log: list[tuple[float, Host, bytes]] = []

    def connect(self, port: int = 80, **settings: Any) -> tuple[Connection, Connection]:
        """Open a connection from left to right; both ends, established."""
        listener = self.right.tcp.listen(4 if len(self.right.ip.address) == 4 else 6, None, port, 16)
        client = self.start(port)
        server = self.accept(listener)
        assert server is not None
        return client, server

    def start(self, port: int = 80) -> Connection:
        """Begin to open."""
        path = self.left.ip.path(self.right.ip.address, self.now)
        return self.left.tcp.connect(path, port, 0, self.now)  # type: ignore[arg-type]

    def accept(self, listener: Listener, patience: float = 100.0) -> Connection | None:
        """Let time pass until there is a connection."""
        deadline = self.now + patience
        while self.now < deadline:
            if connection := listener.accept():
                return connection
            if not self.step(deadline):
                break
        return listener.accept()

    def step(self, until: float = inf) -> bool:
        """Go on to the next thing that happens. False when nothing will before `until`."""
        self._collect()
        at = self._flying[0][0] if self._flying else inf
        at = min(at, self.left.tcp.next_deadline(), self.right.tcp.next_deadline())
        if at > until or at == inf:
            self.now = until if until < inf else self.now
            return False
        self.now = max(self.now, at)
        while self._flying and self._flying[0][0] <= self.now:
            heapq.heappop(self._flying)[2]()
        self._collect()
        return True

    def _collect(self) -> None:
        """Poll both ends, and put what they send on the wire."""
        for host, other in ((self.left, self.right), (self.right, self.left)):
            host.tcp.poll(self.now)
            output, host.interface.output = host.interface.output, []
            for meta, parts in output:
                frame = b"".join(parts)
                self.log.append((self.now, host, frame))
                for delay in self.fate(host, frame):
                    self.later(delay, partial(self._arrive, other, meta, frame))

    def _arrive(self, host: Host, meta: FrameMeta, frame: bytes) -> None:
        host.frame(meta, memoryview(frame), self.now)

    def later(self, delay: float, what: Callable[[], None]) -> None:
        """Have something happen after `delay` seconds."""
        heapq.heappush(self._flying, (self.now + delay, next(self._order), what))

    def run(self, until: Callable[[], bool], patience: float = 1000.0) -> None:
        """Let things happen until something is so."""
        deadline = self.now + patience
        while not until():
            if not self.step(deadline):
                self._collect()
                assert until(), f"nothing happens any more at {self.now:.3f} s, or it took over {patience} s"
                return

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        deadline = self.now + seconds
        while self.step(deadline):
            pass

    def transfer(self, source: Connection, sink: Connection, data: bytes, patience: float = 1000.0) -> bytes:
        """Send `data` one way while the other end reads all that comes; returns what came."""
        source.write(data)
        received = bytearray()

        def done() -> bool:
            received.extend(sink.read())
            return len(received) >= len(data)

        self.run(done, patience)
        return bytes(received)
