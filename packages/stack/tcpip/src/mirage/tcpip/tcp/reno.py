"""Reno's windows (RFC 5681), with octet counting (RFC 3465): one segment more each round trip, half of it on a loss."""

from __future__ import annotations

from typing import ClassVar

from .congestion import CongestionControl

__all__ = ["Reno"]


class Reno(CongestionControl):
    """Additive increase, multiplicative decrease."""

    __slots__ = ("_counted",)

    name: ClassVar[str] = "reno"
    # RFC 8511 3: 0.8 for a mark of a queue that is kept short; RFC 3168 6.1.2 would have it as for a loss.
    _beta_ecn: ClassVar[float] = 0.8

    def __init__(self, mss: int, initial_segments: int = 10, limit: int = 1 << 30) -> None:
        super().__init__(mss, initial_segments, limit)
        self._counted = 0

    def _avoid(self, acked: int, now: float, rtt: float | None, smoothed: float) -> None:
        # RFC 5681 3.1: cwnd += MSS for each cwnd octets acknowledged.
        self._counted += acked
        if self._counted >= self.cwnd:
            segments, self._counted = divmod(self._counted, self.cwnd)
            self.cwnd = min(self.cwnd + segments * self.mss, self._limit)

    def _reduced(self, now: float) -> None:
        self._counted = 0

    def _reset(self) -> None:
        self._counted = 0
