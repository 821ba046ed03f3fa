"""CUBIC (RFC 9438): the window grows with the time since the last loss, not with the round trips since.

Segments and seconds are CUBIC's own units; octets are what the rest of TCP counts in, so both meet here and nowhere
else: `_w_max`, `_k` and `_w_est` are in segments and seconds.
"""

from __future__ import annotations

from typing import ClassVar, Final, cast

from .congestion import UNLIMITED, CongestionControl
from .hystart import HyStart, Phase

__all__ = ["Cubic"]

_C: Final = 0.4
_BETA: Final = 0.7
_ALPHA_RENO: Final = 3 * (1 - _BETA) / (1 + _BETA)
"""RFC 9438 4.3: with this additive increase a Reno with beta 0.7 has the average window of one with 0.5."""

_Memory = tuple[float | None, float, float, float, float, float]


class Cubic(CongestionControl):
    """CUBIC with HyStart++ in slow start."""

    __slots__ = ("_carry", "_cwnd_prior", "_epoch", "_hystart", "_idle_since", "_k", "_w_est", "_w_max")

    name: ClassVar[str] = "cubic"
    _beta: ClassVar[float] = _BETA
    # RFC 8511 3: CUBIC's milder answer to a mark.
    _beta_ecn: ClassVar[float] = 0.85

    def __init__(self, mss: int, initial_segments: int = 10, limit: int = 1 << 30) -> None:
        super().__init__(mss, initial_segments, limit)
        self._hystart = HyStart()
        self._epoch: float | None = None
        """When this congestion avoidance began; None until the first acknowledgement of it."""
        self._w_max = 0.0
        self._cwnd_prior = 0.0
        self._k = 0.0
        self._w_est = 0.0
        self._carry = 0.0
        """Octets that growth has earned and that are less than one."""
        self._idle_since = -1.0

    def _slow_start(self, acked: int, rtt: float | None, snd_una: int, snd_nxt: int) -> int:
        if self.ssthresh < UNLIMITED:
            # RFC 9406 4.1: where a loss has set ssthresh, that is the better guess.
            return super()._slow_start(acked, rtt, snd_una, snd_nxt)
        hystart = self._hystart
        growth = hystart.growth(acked, rtt, snd_una, snd_nxt)
        left = super()._slow_start(growth, rtt, snd_una, snd_nxt)
        if hystart.phase is Phase.DONE:
            self.ssthresh = self.cwnd
            return 0
        return left

    def _avoid(self, acked: int, now: float, rtt: float | None, smoothed: float) -> None:
        mss = self.mss
        window = self.cwnd / mss
        if self._epoch is None:
            self._begin(now, window)
        elif self._idle_since >= 0:
            # RFC 9438 5.8: the time in which the application sent too little does not count.
            self._epoch += now - self._idle_since
        self._idle_since = -1.0
        elapsed = now - cast(float, self._epoch)
        # RFC 9438 4.3: Reno's window by octets acknowledged; once it is what it was before the loss, with Reno's own
        # increase of one segment each round trip.
        alpha = 1.0 if self._w_est >= self._cwnd_prior else _ALPHA_RENO
        self._w_est += alpha * acked / self.cwnd
        if _C * (elapsed - self._k) ** 3 + self._w_max < self._w_est:
            if self._w_est > window:
                self.cwnd = min(int(self._w_est * mss), self._limit)
            return
        # RFC 9438 4.4, 4.5: aim at the window of one round trip from now, at most half as much again as now.
        target = _C * (elapsed + smoothed - self._k) ** 3 + self._w_max
        target = min(max(target, window), 1.5 * window)
        grown = self._carry + (target - window) / window * acked
        whole = int(grown)
        self._carry = grown - whole
        self.cwnd = min(self.cwnd + whole, self._limit)

    def _begin(self, now: float, window: float) -> None:
        self._epoch = now
        self._carry = 0.0
        self._w_est = window
        if window < self._w_max:
            # RFC 9438 4.2: K = cbrt((W_max - cwnd_epoch) / C)
            self._k = ((self._w_max - window) / _C) ** (1 / 3)
        else:
            # RFC 9438 4.10: after slow start without a loss, or back above the old plateau: convex from here.
            self._k = 0.0
            self._w_max = window
        self._cwnd_prior = max(self._cwnd_prior, window)

    def _unused(self, now: float) -> None:
        if self._idle_since < 0 and self._epoch is not None:
            self._idle_since = now

    def _reduced(self, now: float) -> None:
        window = self.cwnd / self.mss
        # RFC 9438 4.7 fast convergence: no better than the last time, so somebody new needs room.
        self._w_max = window * (1 + _BETA) / 2 if window < self._w_max else window
        self._cwnd_prior = window
        self._epoch = None
        self._idle_since = -1.0

    def _reset(self) -> None:
        # RFC 9438 4.8: after a timeout a new epoch begins once slow start is over; W_max is known already.
        self._epoch = None
        self._idle_since = -1.0
        self._hystart.restart()

    def _remember(self) -> object:
        return self._epoch, self._w_max, self._cwnd_prior, self._k, self._w_est, self._idle_since

    def _recall(self, memory: object) -> None:
        self._epoch, self._w_max, self._cwnd_prior, self._k, self._w_est, self._idle_since = cast(_Memory, memory)

    def set_mss(self, mss: int) -> None:
        """As every controller; what CUBIC remembers in segments is converted."""
        if mss == self.mss:
            return
        scale = self.mss / mss
        super().set_mss(mss)
        self._w_max *= scale
        self._w_est *= scale
        self._cwnd_prior *= scale
