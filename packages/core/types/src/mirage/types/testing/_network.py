"""Two Ethernet devices joined by a cable in memory, as unreliable as a test asks for."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mirage.types.devices import Buffer, NetworkStats
from mirage.types.errors import DeviceClosed, OutOfRange

from ._time import VirtualClock

__all__ = ["MemoryNetwork", "memory_link"]

_HEADER = 14  # IEEE 802.3 clause 3: two addresses and a type


@dataclass(slots=True)
class _Cable:
    """What both ends share: how the cable misbehaves, and the one source of its chance."""

    clock: VirtualClock | None
    loss: float
    duplicate: float
    delay_ns: int
    jitter_ns: int
    chance: random.Random = field(repr=False)

    def carry(self, deliver: Callable[[], None]) -> None:
        if self.loss and self.chance.random() < self.loss:
            return
        copies = 2 if self.duplicate and self.chance.random() < self.duplicate else 1
        for _ in range(copies):
            if self.clock is None:
                deliver()
            else:
                jitter = self.chance.randint(0, self.jitter_ns) if self.jitter_ns else 0
                self.clock.call_at(self.clock.elapsed_ns() + self.delay_ns + jitter, deliver)


class MemoryNetwork:
    """One end of `memory_link`. Fits `Network`."""

    def __init__(self, mac: bytes, mtu: int, capacity: int, cable: _Cable) -> None:
        self._mac = mac
        self._mtu = mtu
        self._stats = NetworkStats()
        self._queue: deque[bytes] = deque()
        self._capacity = capacity
        self._callback: Callable[[], None] | None = None
        self._closed = False
        self._cable = cable
        self.peer: MemoryNetwork = self
        """The other end."""

    @property
    def mac(self) -> bytes:
        """The device's 6-octet address."""
        self._check_open()
        return self._mac

    @property
    def mtu(self) -> int:
        """The largest payload of a frame in octets."""
        self._check_open()
        return self._mtu

    @property
    def stats(self) -> NetworkStats:
        """The live counters. What the cable loses is counted nowhere: neither end could know."""
        self._check_open()
        return self._stats

    def send(self, frame: Sequence[Buffer]) -> bool:
        """Put one frame on the cable. Always has room: the far end's queue is where frames are dropped."""
        self._check_open()
        octets = b"".join(frame)
        if not _HEADER <= len(octets) <= self._mtu + _HEADER:
            raise OutOfRange(f"a frame of {len(octets)} octets; this device takes {_HEADER} to {self._mtu + _HEADER}")
        self._stats.frames_sent += 1
        self._stats.octets_sent += len(octets)
        peer = self.peer
        self._cable.carry(lambda: peer._arrive(octets))
        return True

    def receive(self) -> memoryview | None:
        """The next frame, or None if none waits."""
        self._check_open()
        if not self._queue:
            return None
        frame = self._queue.popleft()
        self._stats.frames_received += 1
        self._stats.octets_received += len(frame)
        return memoryview(frame)

    def on_readable(self, callback: Callable[[], None] | None) -> None:
        """Have `callback` called when a frame arrives at an empty queue; None stops it."""
        self._check_open()
        self._callback = callback

    def close(self) -> None:
        """Unplug this end; frames still on the cable towards it are lost."""
        self._closed = True
        self._queue.clear()
        self._callback = None

    def _arrive(self, frame: bytes) -> None:
        if self._closed:
            return
        if len(self._queue) >= self._capacity:
            self._stats.frames_dropped += 1
            return
        self._queue.append(frame)
        if len(self._queue) == 1 and self._callback is not None:
            self._callback()

    def _check_open(self) -> None:
        if self._closed:
            raise DeviceClosed("the memory network device was closed")


def memory_link(
    clock: VirtualClock | None = None,
    *,
    mtu: int = 1500,
    loss: float = 0.0,
    duplicate: float = 0.0,
    delay_ns: int = 0,
    jitter_ns: int = 0,
    capacity: int = 1024,
    seed: int = 0,
) -> tuple[MemoryNetwork, MemoryNetwork]:
    """The two ends of a cable.

    Without a `clock`, a frame arrives before `send` returns. With one, it arrives `delay_ns` later, plus a random part
    of `jitter_ns`, which lets frames overtake each other: run the test in `run_virtual(..., clock)` or call
    `clock.advance`. `loss` and `duplicate` are probabilities from 0 to 1; equal seeds give equal histories. The queue
    of an end holds `capacity` frames and drops what arrives beyond.

    Raises `ValueError` for a delay without a clock, or a probability outside 0 to 1.
    """
    if clock is None and (delay_ns or jitter_ns):
        raise ValueError("a cable with a delay needs a clock: pass the test's VirtualClock")
    if not (0 <= loss <= 1 and 0 <= duplicate <= 1):
        raise ValueError(f"loss={loss} and duplicate={duplicate} are probabilities, from 0 to 1")
    cable = _Cable(clock, loss, duplicate, delay_ns, jitter_ns, random.Random(seed))  # noqa: S311 - chance, not secrets
    # Locally administered unicast addresses (IEEE 802 clause 8.4).
    left = MemoryNetwork(bytes.fromhex("020000000001"), mtu, capacity, cable)
    right = MemoryNetwork(bytes.fromhex("020000000002"), mtu, capacity, cable)
    left.peer, right.peer = right, left
    return left, right
