"""HyStart++ (RFC 9406): leave slow start when the round trip grows, before the queue that makes it grow overflows.

A round is a window's worth of acknowledgements. When its least round trip is clearly above that of the round before,
conservative slow start (CSS) begins: growth at a quarter of the pace for at most five rounds. Should the round trip
fall again it was a burst, and slow start goes on; otherwise congestion avoidance begins.
"""

from __future__ import annotations

import enum
import math
from typing import Final

__all__ = ["HyStart", "Phase"]

# RFC 9406 4.3, the recommended values.
_MIN_RTT_THRESH: Final = 0.004
_MAX_RTT_THRESH: Final = 0.016
_MIN_RTT_DIVISOR: Final = 8
_N_RTT_SAMPLE: Final = 8
_CSS_GROWTH_DIVISOR: Final = 4
_CSS_ROUNDS: Final = 5


class Phase(enum.Enum):
    """Where in slow start a connection is."""

    SLOW_START = enum.auto()
    CONSERVATIVE = enum.auto()
    DONE = enum.auto()
    """Congestion avoidance is due: `ssthresh` becomes `cwnd`."""


class HyStart:
    """The rounds of one slow start. RFC 9406 4.1: it is meant for the first, before any loss."""

    __slots__ = ("_baseline", "_css_rounds", "_last_min", "_round_min", "_samples", "_window_end", "phase")

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Forget every round."""
        self.phase = Phase.SLOW_START
        self._window_end = -1
        self._last_min = math.inf
        self._round_min = math.inf
        self._samples = 0
        self._baseline = math.inf
        self._css_rounds = 0

    def growth(self, acked: int, rtt: float | None, snd_una: int, snd_nxt: int) -> int:
        """By how many octets the window may grow for `acked` octets; look at `phase` afterwards."""
        if self._window_end < 0:
            self._window_end = snd_nxt
        if rtt is not None:
            self._round_min = min(self._round_min, rtt)
            self._samples += 1
            if self._samples >= _N_RTT_SAMPLE:
                self._judge()
        if snd_una >= self._window_end:
            self._next_round(snd_nxt)
        if self.phase is Phase.CONSERVATIVE:
            return max(acked // _CSS_GROWTH_DIVISOR, 1)
        return acked

    def _judge(self) -> None:
        if self.phase is Phase.CONSERVATIVE:
            # RFC 9406 4.2: a round trip below the one that began this: it was no queue of ours.
            if self._round_min < self._baseline:
                self._baseline = math.inf
                self.phase = Phase.SLOW_START
        elif self.phase is Phase.SLOW_START and self._last_min < math.inf:
            thresh = max(_MIN_RTT_THRESH, min(self._last_min / _MIN_RTT_DIVISOR, _MAX_RTT_THRESH))
            if self._round_min >= self._last_min + thresh:
                self._baseline = self._round_min
                self._css_rounds = 0
                self.phase = Phase.CONSERVATIVE

    def _next_round(self, snd_nxt: int) -> None:
        if self.phase is Phase.CONSERVATIVE:
            self._css_rounds += 1
            if self._css_rounds >= _CSS_ROUNDS:
                self.phase = Phase.DONE
        self._window_end = snd_nxt
        if self._samples:
            self._last_min = self._round_min
        self._round_min = math.inf
        self._samples = 0
