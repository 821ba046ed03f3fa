"""Packetization-layer path MTU discovery for TCP (RFC 4821, with the phases of RFC 8899).

ICMP messages that say "too big" are often lost: this finds the size of the path by sending one larger segment now and
then. It is a search between what is known to get through and what the interface can carry. Its other half is the way
back: when segments that once got through stop to do so ("black hole"), the size falls to one that always works.

Sizes are those of an IP packet, header included: `mss` is what of it is left to a segment's data.
"""

from __future__ import annotations

import enum
from typing import Final

__all__ = ["PathMtuSearch", "SearchPhase"]

_GRANULARITY: Final = 32
"""Octets: a gain smaller than this is not worth a probe (RFC 4821 7.8)."""
_MAX_PROBES: Final = 3
"""RFC 8899 5.1.3 MAX_PROBES: a size is too large once so many probes of it in a row were lost."""
_RAISE_TIMER: Final = 600.0
"""RFC 8899 5.1.1 PMTU_RAISE_TIMER, seconds."""
_BLACK_HOLE_TIMEOUTS: Final = 2
"""Consecutive timeouts with full-sized segments in flight that mean a black hole (RFC 4821 7.7)."""
_DOUBTS: Final = 6
"""The same where such segments got through before: then mere loss is more likely. Where one round trip in two fails,
two timeouts in a row are nothing special, and a smaller segment does not make it better."""
_COMMON: Final = (1500, 1492, 4352, 9000)
"""Sizes that paths are likely to have; the search asks for these, in this order, before it halves intervals
(RFC 8899 5.3.2)."""


class SearchPhase(enum.Enum):
    """RFC 8899 5.2, without BASE: TCP's handshake has proved the path already."""

    SEARCHING = enum.auto()
    COMPLETE = enum.auto()
    """Nothing larger is worth a try before the raise timer expires."""
    DISABLED = enum.auto()


class PathMtuSearch:
    """Of one connection. `overhead` is what of a packet is not data: IP and TCP headers with their usual options."""

    __slots__ = (
        "_base",
        "_ceiling",
        "_failed_at",
        "_high",
        "_losses",
        "_next_search",
        "_probing",
        "_timeouts",
        "overhead",
        "phase",
        "size",
    )

    def __init__(self, size: int, ceiling: int, base: int, overhead: int, enabled: bool = True) -> None:
        """Packets of `size` octets are taken to get through; `ceiling` is the interface's MTU, or what the peer's MSS
        allows, whichever is less; `base` always works: 1280 for IPv6, and 1024 (RFC 4821 7.2) or less for IPv4."""
        self.size = min(size, ceiling)
        """The largest packet that is known to get through."""
        self.overhead = overhead
        self._base = min(base, self.size)
        self._ceiling = ceiling
        self._high = ceiling
        """No larger packet is thought to get through."""
        self._probing: int | None = None
        self._losses = 0
        self._failed_at = 0
        self._timeouts = 0
        self._next_search = 0.0
        self.phase = SearchPhase.SEARCHING if enabled else SearchPhase.DISABLED

    @property
    def mss(self) -> int:
        """Octets of data in a segment of `size`."""
        return self.size - self.overhead

    @property
    def in_progress(self) -> bool:
        """Whether a probe is on its way."""
        return self._probing is not None

    def next_deadline(self) -> float | None:
        """When a larger size may be tried again; None while one may be tried now, or never."""
        if self.phase is SearchPhase.COMPLETE and self.size < self._ceiling:
            return self._next_search
        return None

    def next_probe(self, now: float) -> int | None:
        """The size of a packet that is worth sending now as a probe; None: there is none, or one is under way.

        The caller sends it only when it has that much new data and the window allows for it (RFC 4821 7.5, 7.6), and
        then calls `on_probe_sent`.
        """
        if self.phase is SearchPhase.COMPLETE:
            if self.size >= self._ceiling or now < self._next_search:
                return None
            self.phase = SearchPhase.SEARCHING
            self._high = self._ceiling
            self._losses = 0
        if self.phase is not SearchPhase.SEARCHING or self._probing is not None:
            return None
        if now < self._next_search:
            return None
        size = self._candidate()
        if size is None:
            self._complete(now)
        return size

    def on_probe_sent(self, size: int) -> None:
        """A probe of `size` went out: no other one before its fate is known."""
        self._probing = size

    def on_probe_acked(self, size: int, now: float) -> None:
        """It arrived: `size` gets through, and larger ones may."""
        self._probing = None
        self._losses = 0
        self._timeouts = 0
        if size > self.size:
            self.size = size
            self._high = max(self._high, size)
        if self.phase is SearchPhase.SEARCHING and self._candidate() is None:
            self._complete(now)

    def on_probe_lost(self, size: int, now: float) -> None:
        """It did not arrive though its neighbours did. The loss is no sign of congestion (RFC 4821 7.6.1)."""
        self._probing = None
        if size <= self.size:
            return
        self._losses = self._losses + 1 if size == self._failed_at else 1
        self._failed_at = size
        if self._losses >= _MAX_PROBES:
            self._losses = 0
            self._high = size - 1
            if self._candidate() is None:
                self._complete(now)
        else:
            # RFC 4821 7.6.1: a lost probe and congestion look alike, so do not ask again at once.
            self._next_search = now + 1.0

    def on_timeout(self, largest: int, now: float, proved: bool = False) -> bool:
        """The retransmission timer expired and nothing arrived since the last one; `largest` is the size of the
        largest packet in flight, `proved` says that packets of `size` have got through on this connection. True:
        that was a black hole, `size` has fallen, segment again."""
        if largest <= self._base:
            return False
        self._timeouts += 1
        if self._timeouts < (_DOUBTS if proved else _BLACK_HOLE_TIMEOUTS):
            return False
        return self.on_black_hole(now)

    def on_progress(self) -> None:
        """New data were acknowledged: the timeouts before were something else."""
        self._timeouts = 0

    def on_black_hole(self, now: float) -> bool:
        """Packets of `size` stopped getting through (RFC 8899 4.3): back to the base, and search later. Whether
        that changed anything."""
        self._probing = None
        self._timeouts = 0
        self._losses = 0
        if self.size <= self._base:
            return False
        self._high = max(self.size - 1, self._base)
        self.size = self._base
        if self.phase is not SearchPhase.DISABLED:
            self.phase = SearchPhase.SEARCHING
            self._next_search = now + 5.0
        return True

    def on_too_big(self, mtu: int, now: float) -> None:
        """ICMP said that `mtu` is the largest that gets through, and it was believable (RFC 8899 4.6.2)."""
        self._probing = None
        self._losses = 0
        if mtu < self.size:
            self.size = max(mtu, self._base)
        if mtu < self._high:
            self._high = max(mtu, self.size)
            if self.phase is SearchPhase.SEARCHING and self._candidate() is None:
                self._complete(now)

    def _complete(self, now: float) -> None:
        self.phase = SearchPhase.COMPLETE
        self._next_search = now + _RAISE_TIMER

    def _candidate(self) -> int | None:
        low, high = self.size, self._high
        if self._losses and low < self._failed_at <= high:
            return self._failed_at
        if high == self._ceiling and high - low >= 8:
            # First what the interface was made for, even when little is gained.
            return high
        if high - low < _GRANULARITY:
            return None
        for size in _COMMON:
            if low + _GRANULARITY <= size <= high:
                return size
        return (low + high + 1) // 2
