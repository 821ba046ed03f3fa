"""The round-trip time of a connection, and the retransmission timeout that follows from it (RFC 6298).

Karn's algorithm is the caller's half of the bargain: a sample is never taken of a segment that was retransmitted,
unless a timestamp says which transmission was acknowledged (RFC 7323 4). What Karn asks of this side is that the
timeout stays backed off until such a sample, or an acknowledgement of new data, comes.
"""

from __future__ import annotations

from typing import Final

__all__ = ["RttEstimator"]

_SYN_LOST_RTO: Final = 3.0
_MIN_WINDOW: Final = 10.0
_MAX_BACKOFF: Final = 16


class RttEstimator:
    """Times in seconds. `rto` is ready to use: smoothed, backed off, and within [`rto_min`, `rto_max`]."""

    __slots__ = (
        "_backoff",
        "_base",
        "_initial",
        "_max",
        "_min",
        "_minima",
        "latest",
        "rto",
        "rttvar",
        "srtt",
    )

    def __init__(self, rto_initial: float = 1.0, rto_min: float = 0.2, rto_max: float = 60.0) -> None:
        self._initial = rto_initial
        self._min = rto_min
        self._max = max(rto_max, rto_min)
        self._base = min(max(rto_initial, rto_min), self._max)
        self._backoff = 0
        self.srtt: float = 0.0
        """The smoothed round trip (SRTT); 0 until the first sample."""
        self.rttvar: float = 0.0
        """Its mean deviation (RTTVAR)."""
        self.latest: float = 0.0
        """The last sample; 0 until there is one."""
        self.rto: float = self._base
        # Kathleen Nichols' windowed minimum: the best sample, and the best after it, and the best after that, as
        # (value, time). Three are enough to know a minimum of the window at any time, in constant memory.
        self._minima: list[tuple[float, float]] = []

    @property
    def backoff(self) -> int:
        """How many times the timeout has been doubled (RFC 6298 5.5)."""
        return self._backoff

    @property
    def has_sample(self) -> bool:
        """Whether a round trip was measured yet."""
        return self.srtt > 0.0

    def sample(self, rtt: float, now: float | None = None) -> None:
        """A round trip of `rtt` seconds was measured; ends backing off. Without `now` the minimum is left as it is."""
        # A clock coarser than the path gives 0, and a clock that was set gives less: neither is a round trip.
        rtt = max(rtt, 1e-6)
        self.latest = rtt
        if self.srtt == 0.0:
            # RFC 6298 2.2
            self.srtt = rtt
            self.rttvar = rtt / 2
        else:
            # RFC 6298 2.3: RTTVAR first, with the old SRTT; alpha = 1/8, beta = 1/4.
            error = rtt - self.srtt
            self.rttvar += (abs(error) - self.rttvar) / 4
            self.srtt += error / 8
        # RFC 6298 2.3 RTO = SRTT + max(G, 4 RTTVAR). The floor is put under the variance, as Linux does, not under
        # the sum: a long path whose round trip hardly varies would otherwise time out at its first hiccup.
        self._base = min(self.srtt + max(self._min, 4 * self.rttvar), self._max)
        self._backoff = 0
        self.rto = self._base
        if now is not None:
            self._keep_minimum(rtt, now)

    def back_off(self) -> None:
        """RFC 6298 5.5: the timer expired, so double it, up to the maximum."""
        self._backoff = min(self._backoff + 1, _MAX_BACKOFF)
        self.rto = min(self._base * (1 << self._backoff), self._max)

    def reset_backoff(self) -> None:
        """New data was acknowledged: the path works, whether or not its round trip could be measured."""
        self._backoff = 0
        self.rto = self._base

    def established(self, syn_retransmitted: bool) -> None:
        """RFC 6298 5.7: when the SYN timed out and gave no sample, data begin with a timeout of 3 seconds."""
        self._backoff = 0
        if syn_retransmitted and self.srtt == 0.0:
            self._base = min(max(_SYN_LOST_RTO, self._min), self._max)
        self.rto = self._base

    def min_rtt(self, now: float) -> float:
        """The least round trip of the last 10 seconds, or the last one if none was measured since; 0 without any."""
        minima = self._minima
        while len(minima) > 1 and now - minima[0][1] > _MIN_WINDOW:
            del minima[0]
        return minima[0][0] if minima else 0.0

    def _keep_minimum(self, rtt: float, now: float) -> None:
        minima = self._minima
        while minima and (minima[-1][0] >= rtt or now - minima[-1][1] > _MIN_WINDOW):
            minima.pop()
        while len(minima) > 1 and now - minima[0][1] > _MIN_WINDOW:
            del minima[0]
        if len(minima) < 3:
            minima.append((rtt, now))
        elif now - minima[2][1] > _MIN_WINDOW / 4:
            # Full, and none of the three is beaten: the last one gives way to a younger one now and then, so that
            # when the older two leave the window something recent is known.
            minima[2] = (rtt, now)
