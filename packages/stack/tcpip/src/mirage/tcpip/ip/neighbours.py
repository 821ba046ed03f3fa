"""Neighbours and whether they can be reached: one machine for ARP and NDP (RFC 4861 7.3).

    (none) --- wanted --> INCOMPLETE --- answer --> REACHABLE --- 30 s --> STALE --- used --> DELAY --- 5 s --> PROBE
                              |                         ^                    ^                                    |
                        3 unanswered                    +--- confirmed, by an answer or by a transport ---        |
                              v                                                                             3 unanswered
                           (none), FAILED for a second                                              (none) <------+

What is to be sent meanwhile waits in a short queue. ARP has no "solicited" answers; every reply to a request of ours
counts as one, and requests made to confirm a neighbour are unicast (RFC 1122 2.3.2.1).
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING
from weakref import WeakSet

from ..counters import Counters
from ..errors import Unreachable

if TYPE_CHECKING:
    from .interface import Interface
    from .path import Path

__all__ = ["Neighbour", "Neighbours", "Reachability"]

_DELAY = 5.0
_PROBES = 3
_QUEUE = 16
"""Packets that wait for one neighbour; RFC 4861 7.2.2 asks for at least one."""
_WAITING = 1 << 20
"""Octets that wait for all neighbours together: there may be many that are not there."""
_FAILED_FOR = 1.0


class Reachability(enum.Enum):
    """What is known of a neighbour."""

    INCOMPLETE = "incomplete"
    REACHABLE = "reachable"
    STALE = "stale"
    DELAY = "delay"
    PROBE = "probe"
    FAILED = "failed"
    PERMANENT = "permanent"


_SENDABLE = {Reachability.STALE, Reachability.DELAY, Reachability.PROBE}


_Waiting = tuple[Callable[[bytes], None], Callable[[], None], int]
"""What sends a packet, what is called when it cannot be sent, and its size."""


class Neighbour:
    """One address on a link."""

    __slots__ = ("_queue", "address", "at", "interface", "mac", "paths", "probes", "router", "state")

    def __init__(self, interface: Interface, address: bytes) -> None:
        self.interface = interface
        self.address = address
        self.mac = b""
        self.state = Reachability.INCOMPLETE
        self.at = inf
        """When the state ends by itself."""
        self.probes = 0
        self.router = False
        self.paths: WeakSet[Path] = WeakSet()
        """Those that go through it, as long as anybody has them: they are told when `mac` changes."""
        self._queue: list[_Waiting] = []


class Neighbours:
    """The cache, bounded: one that nobody sends through gives way, so that a flood takes no router's place."""

    def __init__(
        self,
        limit: int,
        counters: Counters,
        solicit: Callable[[Interface, bytes, bytes | None], None],
    ) -> None:
        """`solicit` asks for an address: at its Ethernet address if that is given, else in the group."""
        self._limit = limit
        self._counters = counters
        self._solicit = solicit
        self._waiting = 0
        self.known: dict[tuple[int, bytes], Neighbour] = {}
        self._timed: set[Neighbour] = set()
        self.due = inf
        """When `poll` is wanted, or a little earlier."""

    def find(self, interface: Interface, address: bytes) -> Neighbour:
        """The entry for an address; made if there is none."""
        key = (interface.index, address)
        found = self.known.get(key)
        if found is None:
            if len(self.known) >= self._limit:
                self._evict()
            found = self.known[key] = Neighbour(interface, address)
        return found

    def _evict(self) -> None:
        """Make room: the oldest that no path goes through, else the oldest that never answered, else the oldest."""
        victim = (
            next((n for n in self.known.values() if not n.paths and not n.router), None)
            or next((n for n in self.known.values() if not n.mac), None)
            or next((n for n in self.known.values() if n.state is not Reachability.PERMANENT), None)
        )
        if victim is not None:
            self._counters["neighbours.evicted"] += 1
            self._drop(victim)

    def _drop(self, neighbour: Neighbour) -> None:
        self.known.pop((neighbour.interface.index, neighbour.address), None)
        self._timed.discard(neighbour)
        neighbour.mac = b""
        # A path may still hold it, and begins anew when it is used.
        neighbour.state, neighbour.probes, neighbour.at = Reachability.INCOMPLETE, 0, inf
        self._take_queue(neighbour)
        self._changed(neighbour)

    def forget(self, interface: Interface) -> None:
        """An interface has gone."""
        for neighbour in [n for n in self.known.values() if n.interface is interface]:
            self._drop(neighbour)

    def use(self, neighbour: Neighbour, now: float) -> float:
        """Something is about to be sent: until when its Ethernet address may be used unasked; 0 while it is unknown.

        Raises `Unreachable` when it did not answer lately.
        """
        state = neighbour.state
        if state is Reachability.REACHABLE:
            if now < neighbour.at:
                return neighbour.at
            neighbour.state = Reachability.STALE
        if state is Reachability.PERMANENT:
            return inf
        if neighbour.state is Reachability.STALE:
            neighbour.state = Reachability.DELAY
            self._at(neighbour, now + _DELAY)
        if neighbour.mac and neighbour.state in _SENDABLE:
            return max(neighbour.at, now)
        if neighbour.state is Reachability.FAILED:
            if now < neighbour.at:
                raise Unreachable("the neighbour does not answer")
            neighbour.state = Reachability.INCOMPLETE
            neighbour.probes = 0
        if neighbour.probes == 0:
            self.known.setdefault((neighbour.interface.index, neighbour.address), neighbour)
            self._probe(neighbour, now)
        return 0.0

    def when_known(
        self, neighbour: Neighbour, send: Callable[[bytes], None], failed: Callable[[], None], size: int
    ) -> None:
        """Call `send` with the Ethernet address once it is known, or `failed`; the oldest of too many gives way.

        `size` octets wait for that; what goes beyond a sum over all neighbours is dropped.
        """
        queue = neighbour._queue
        if len(queue) >= _QUEUE:
            self._waiting -= queue.pop(0)[2]
            self._counters["neighbours.queue-full"] += 1
        if self._waiting + size > _WAITING:
            self._counters["neighbours.queue-full"] += 1
            return
        self._waiting += size
        queue.append((send, failed, size))

    def _take_queue(self, neighbour: Neighbour) -> list[_Waiting]:
        queue, neighbour._queue = neighbour._queue, []
        self._waiting -= sum(size for _, _, size in queue)
        return queue

    def _probe(self, neighbour: Neighbour, now: float) -> None:
        neighbour.probes += 1
        self._at(neighbour, now + neighbour.interface.retransmit)
        mac = neighbour.mac if neighbour.state is Reachability.PROBE else None
        self._solicit(neighbour.interface, neighbour.address, mac)

    def _at(self, neighbour: Neighbour, at: float) -> None:
        neighbour.at = at
        self._timed.add(neighbour)
        self.due = min(self.due, at)

    def confirm(self, neighbour: Neighbour, now: float) -> float:
        """A transport has heard from it (RFC 4861 7.3.1): until when it is reachable."""
        if neighbour.mac and neighbour.state is not Reachability.PERMANENT:
            neighbour.state = Reachability.REACHABLE
            neighbour.at = now + neighbour.interface.reachable_time
            self._timed.discard(neighbour)
        return neighbour.at

    def heard(
        self, interface: Interface, address: bytes, mac: bytes, now: float, *, solicited: bool, create: bool = True
    ) -> None:
        """A message says that `address` is at `mac` (RFC 4861 7.2.3, 7.2.5, RFC 826): `solicited` if we asked."""
        if not create and (interface.index, address) not in self.known:
            return
        neighbour = self.find(interface, address)
        if neighbour.state is Reachability.PERMANENT:
            return
        moved = neighbour.mac != mac
        if moved:
            neighbour.mac = mac
            self._changed(neighbour)
        if solicited:
            neighbour.probes = 0
            neighbour.state = Reachability.REACHABLE
            neighbour.at = now + neighbour.interface.reachable_time
            self._timed.discard(neighbour)
        elif moved or neighbour.state in {Reachability.INCOMPLETE, Reachability.FAILED}:
            neighbour.probes = 0
            neighbour.state = Reachability.STALE
            neighbour.at = now
            self._timed.discard(neighbour)
        for send, _, _ in self._take_queue(neighbour):
            send(mac)

    def doubt(self, neighbour: Neighbour) -> None:
        """Somebody else says that he is that neighbour (RFC 4861 7.2.5 I): ask before believing either for long."""
        if neighbour.state is Reachability.REACHABLE:
            neighbour.state = Reachability.STALE
            for path in neighbour.paths:
                path.invalidate()

    def dead(self, interface: Interface, address: bytes) -> bool:
        """Whether it was asked for lately and did not answer."""
        known = self.known.get((interface.index, address))
        return known is not None and known.state is Reachability.FAILED

    def set_permanent(self, interface: Interface, address: bytes, mac: bytes) -> None:
        """An entry that never changes."""
        neighbour = self.find(interface, address)
        neighbour.mac, neighbour.state, neighbour.at = mac, Reachability.PERMANENT, inf
        self._timed.discard(neighbour)
        self._changed(neighbour)

    def _changed(self, neighbour: Neighbour) -> None:
        for path in neighbour.paths:
            path.invalidate()

    def poll(self, now: float) -> list[Neighbour]:
        """Go on with what is due; returns those that were given up, which no longer have an address."""
        lost: list[Neighbour] = []
        if now < self.due:
            return lost
        for neighbour in [n for n in self._timed if n.at <= now]:
            if neighbour.state is Reachability.DELAY:
                neighbour.state = Reachability.PROBE
                neighbour.probes = 0
            if neighbour.probes < _PROBES:
                self._probe(neighbour, now)
                continue
            self._counters["neighbours.unreachable"] += 1
            self._timed.discard(neighbour)
            neighbour.state = Reachability.FAILED
            neighbour.at = now + _FAILED_FOR
            neighbour.mac = b""
            neighbour.probes = 0
            waiting = self._take_queue(neighbour)
            self._changed(neighbour)
            lost.append(neighbour)
            for _, failed, _ in waiting:
                failed()
        self.due = min((n.at for n in self._timed), default=inf)
        return lost
