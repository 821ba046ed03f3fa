"""Westwood (Mascolo et al., 2001): after a loss, the window that the path has shown to carry.

Reno and CUBIC take every loss for congestion, and on a radio link that loses one packet in twenty they send next to
nothing. Here the rate at which octets are delivered is measured, and a loss sets `ssthresh` to that rate times the
least round trip: what was in flight less what stood in queues. Where a full queue was the cause that is a reduction as
deep as the queue was long; where chance was, it is hardly any. Growth is Reno's.

The rate is the most that was delivered in one of the last ten round trips, which is BBR's filter (Cardwell et al.,
2016) in the place of Westwood's average: an average sinks with each timeout, and so would the window, to nothing.
"""

from __future__ import annotations

import math
from collections import deque
from typing import ClassVar, Final

from .reno import Reno

__all__ = ["Westwood"]

_SHORTEST: Final = 0.05
"""Seconds over which a rate is measured at least, so that acknowledgements in bunches do not look like a wide path."""
_SAMPLES: Final = 10
"""Of which the largest is taken; at most one each round trip."""


class Westwood(Reno):
    """Bandwidth estimate, least round trip, and what follows from them at a loss."""

    __slots__ = ("_delivered", "_min_rtt", "_samples", "_since")

    name: ClassVar[str] = "westwood"

    def __init__(self, mss: int, initial_segments: int = 10, limit: int = 1 << 30) -> None:
        super().__init__(mss, initial_segments, limit)
        self._samples: deque[float] = deque(maxlen=_SAMPLES)
        self._min_rtt = math.inf
        self._delivered = 0
        self._since = -1.0

    @property
    def rate(self) -> float:
        """Octets per second that are delivered, as far as is known."""
        return max(self._samples, default=0.0)

    def on_ack(
        self,
        acked: int,
        now: float,
        rtt: float | None,
        smoothed: float,
        in_flight: int,
        limited: bool,
        snd_una: int,
        snd_nxt: int,
    ) -> None:
        """As every controller; and a sample of the rate."""
        if rtt is not None and rtt < self._min_rtt:
            self._min_rtt = rtt
        self.on_delivered(acked, now, smoothed)
        super().on_ack(acked, now, rtt, smoothed, in_flight, limited, snd_una, snd_nxt)

    def on_delivered(self, delivered: int, now: float, smoothed: float) -> None:
        """`delivered` octets have arrived, in whatever order."""
        if self._since < 0:
            self._since = now
            return  # what came before the clock ran
        self._delivered += delivered
        elapsed = now - self._since
        if elapsed < max(smoothed, _SHORTEST):
            return
        self._samples.append(self._delivered / elapsed)
        self._delivered = 0
        self._since = now

    def _shrink(self, in_flight: int, beta: float) -> None:
        if self._min_rtt == math.inf or not self._samples:
            super()._shrink(in_flight, beta)
            return
        # Never above what there was: an estimate that runs ahead must not turn a loss into growth.
        carried = min(int(self.rate * self._min_rtt), self.cwnd)
        self.ssthresh = max(carried, 2 * self.mss)
