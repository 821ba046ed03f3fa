"""A hub or switch in memory, in virtual time, as unreliable as a test asks for.

Invariants: equal seeds and equal calls give equal histories; a frame that arrives is a copy of one that was sent, but
for the one bit that `corrupt` flips; nothing happens but when a frame is sent or the clock is advanced.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Callable, Sequence

from mirage.types import Buffer, DeviceClosed, NetworkStats, OutOfRange
from mirage.types.testing import VirtualClock

__all__ = ["Bottleneck", "VirtualNetwork", "VirtualPort"]

_HEADER = 14


class Bottleneck:
    """A slow link with a queue before it, from whose end frames are dropped when it is full.

    It is put before the network by `VirtualPort.bottleneck`, and several ports may share one.
    """

    def __init__(self, rate: int, queue: int | None = None) -> None:
        """`rate` in octets per second; at most `queue` octets wait, the frame that is being sent among them."""
        if rate <= 0:
            raise ValueError(f"a rate of {rate} octets per second never sends anything")
        self.rate = rate
        self.queue = queue
        self.offered = 0
        self.dropped = 0
        self._free_at = 0

    def admit(self, size: int, now_ns: int) -> int | None:
        """A frame of `size` octets comes to the queue: when it will have been sent, or None if it is dropped."""
        self.offered += 1
        start = max(self._free_at, now_ns)
        waiting = (start - now_ns) * self.rate // 1_000_000_000
        if self.queue is not None and waiting + size > self.queue:
            self.dropped += 1
            return None
        self._free_at = start + size * 1_000_000_000 // self.rate
        return self._free_at


class VirtualNetwork:
    """Any number of ports; what one sends, the others receive, or most of it.

    The attributes that make it unreliable may be changed at any time and hold for the frames sent from then on, once
    for each port that a frame goes to.
    """

    def __init__(
        self,
        clock: VirtualClock | None = None,
        *,
        seed: int = 0,
        switch: bool = False,
        loss: float = 0.0,
        duplicate: float = 0.0,
        corrupt: float = 0.0,
        reorder: float = 0.0,
        delay_ns: int = 0,
        jitter_ns: int = 0,
        reorder_ns: int = 10_000_000,
    ) -> None:
        """A hub, or with `switch=True` a switch that learns which address is behind which port.

        Without a clock, frames arrive before `send` returns, and the delays must stay 0.
        """
        self.loss = loss
        """Probability that a frame is lost on the way to a port."""
        self.duplicate = duplicate
        """Probability that it arrives twice."""
        self.corrupt = corrupt
        """Probability that one of its bits, anywhere, is flipped."""
        self.reorder = reorder
        """Probability that it is held back for `reorder_ns`, so that later ones overtake it."""
        self.delay_ns = delay_ns
        """How long every frame travels."""
        self.jitter_ns = jitter_ns
        """The longest time by which chance adds to that. Frames may overtake each other."""
        self.reorder_ns = reorder_ns
        self.largest: int | None = None
        """Octets of the largest frame, header included, that gets through; longer ones vanish, as in a router whose
        ICMP errors do. None: all of them do."""
        self.choose: Callable[[VirtualPort, bytes], bool] | None = None
        """Asked for each frame that a port sends; False loses it, before chance has a say."""
        self.watch: Callable[[VirtualPort, bytes, str], None] | None = None
        """Told of each frame as it is sent and as it arrives or is dropped at a port, with its fate: a tap."""
        self.fates: Counter[str] = Counter()
        """How often each thing happened: sent, lost, duplicated, corrupted, held back, too long, queue full,
        chosen, no room, arrived."""
        self._clock = clock
        self._chance = random.Random(seed)  # noqa: S311 - chance, not secrets
        self._switch = switch
        self._ports: list[VirtualPort] = []
        self._behind: dict[bytes, VirtualPort] = {}
        self._check()

    def port(self, *, mac: bytes | None = None, mtu: int = 1500, capacity: int = 1024) -> VirtualPort:
        """A new port. By default its address ends in its number, from 1 on.

        A frame that is longer than the receiving port's `mtu` allows vanishes there without a word, as into the black
        hole that path MTU discovery has to cope with. A queue holds `capacity` frames.
        """
        address = mac if mac is not None else b"\2\0" + (len(self._ports) + 1).to_bytes(4, "big")
        port = VirtualPort(self, address, mtu, capacity)
        self._ports.append(port)
        return port

    def carry(self, sender: VirtualPort, frame: bytes) -> None:
        """Bring a frame to where it goes; `VirtualPort.send` calls this."""
        self._check()
        self.fates["sent"] += 1
        self._behind[frame[6:12]] = sender
        if self.watch is not None:
            self.watch(sender, frame, "sent")
        if self.choose is not None and not self.choose(sender, frame):
            self.fates["chosen"] += 1
            return
        if self.largest is not None and len(frame) > self.largest:
            self.fates["too long"] += 1
            return
        queueing = 0
        if sender.bottleneck is not None:
            if self._clock is None:
                raise ValueError("a bottleneck needs a clock: pass the test's VirtualClock")
            now = self._clock.elapsed_ns()
            left = sender.bottleneck.admit(len(frame), now)
            if left is None:
                self.fates["queue full"] += 1
                return
            queueing = left - now
        known = self._behind.get(frame[:6]) if self._switch and not frame[0] & 1 else None
        for port in [known] if known is not None else self._ports:
            if port is not sender:
                self._towards(port, frame, queueing)

    def _towards(self, port: VirtualPort, frame: bytes, queueing: int) -> None:
        if self._happens(self.loss, "lost"):
            return
        for _ in range(2 if self._happens(self.duplicate, "duplicated") else 1):
            delay = queueing + self.delay_ns + (self._chance.randint(0, self.jitter_ns) if self.jitter_ns else 0)
            if self._happens(self.reorder, "held back"):
                delay += self.reorder_ns
            copy = frame
            if self._happens(self.corrupt, "corrupted"):
                bit = self._chance.randrange(8 * len(frame))
                damaged = bytearray(frame)
                damaged[bit >> 3] ^= 1 << (bit & 7)
                copy = bytes(damaged)
            self._deliver(port, copy, delay)

    def _deliver(self, port: VirtualPort, frame: bytes, delay: int) -> None:
        def arrive() -> None:
            fate = port.arrive(frame)
            self.fates[fate] += 1
            if self.watch is not None:
                self.watch(port, frame, fate)

        if self._clock is None:
            arrive()
        else:
            self._clock.call_at(self._clock.elapsed_ns() + delay, arrive)

    def _happens(self, probability: float, fate: str) -> bool:
        if not probability or self._chance.random() >= probability:
            return False
        self.fates[fate] += 1
        return True

    def _check(self) -> None:
        for name in ("loss", "duplicate", "corrupt", "reorder"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)} is a probability, from 0 to 1")
        if self._clock is None and (self.delay_ns or self.jitter_ns or self.reorder):
            raise ValueError("delay_ns, jitter_ns and reorder need a clock: pass the test's VirtualClock")


class VirtualPort:
    """One port of a `VirtualNetwork`. Fits `Network`."""

    def __init__(self, network: VirtualNetwork, mac: bytes, mtu: int, capacity: int) -> None:
        self._network = network
        self.bottleneck: Bottleneck | None = None
        """What the frames that this port sends go through first."""
        self._mac = mac
        self._mtu = mtu
        self._capacity = capacity
        self._stats = NetworkStats()
        self._queue: deque[bytes] = deque()
        self._callback: Callable[[], None] | None = None
        self._closed = False

    @property
    def mac(self) -> bytes:
        """The port's 6-octet address. The port receives all frames, whatever their destination."""
        self._check_open()
        return self._mac

    @property
    def mtu(self) -> int:
        """The largest payload of a frame in octets."""
        self._check_open()
        return self._mtu

    @property
    def stats(self) -> NetworkStats:
        """The live counters. What is lost on the way is in `VirtualNetwork.fates`."""
        self._check_open()
        return self._stats

    def send(self, frame: Sequence[Buffer]) -> bool:
        """Put one frame on the network. There is always room: the receiving queue is where frames are dropped."""
        self._check_open()
        octets = b"".join(frame)
        if not _HEADER <= len(octets) <= self._mtu + _HEADER:
            raise OutOfRange(f"a frame of {len(octets)} octets; this port takes {_HEADER} to {self._mtu + _HEADER}")
        self._stats.frames_sent += 1
        self._stats.octets_sent += len(octets)
        self._network.carry(self, octets)
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
        """Unplug the port; frames on their way to it are lost."""
        self._closed = True
        self._queue.clear()
        self._callback = None

    def arrive(self, frame: bytes) -> str:
        """A frame comes out of the network; returns what became of it."""
        if self._closed:
            return "unplugged"
        if len(frame) > self._mtu + _HEADER:
            self._stats.frames_dropped += 1
            return "too long"
        if len(self._queue) >= self._capacity:
            self._stats.frames_dropped += 1
            return "no room"
        self._queue.append(frame)
        if len(self._queue) == 1 and self._callback is not None:
            self._callback()
        return "arrived"

    def _check_open(self) -> None:
        if self._closed:
            raise DeviceClosed("the port was closed")
