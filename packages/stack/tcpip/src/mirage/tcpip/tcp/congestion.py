"""How much may be in flight: what a connection asks of a congestion controller, and what all of them have in common.

A controller decides on `cwnd` and `ssthresh` alone. Finding losses (SACK, RACK), pacing a recovery (PRR) and the
receive window are somebody else's. Octets throughout; sequence numbers are plain integers that never wrap.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Final

__all__ = ["UNLIMITED", "CongestionControl", "controller"]

UNLIMITED: Final = 1 << 62
"""A `ssthresh` that means: no loss yet."""


class CongestionControl:
    """The base of the controllers: slow start, the windows after a timeout, and going back on a false alarm.

    Subclasses say by how much a loss shrinks the window (`_beta`, `_beta_ecn`), how it grows above `ssthresh`
    (`_avoid`), and what they remember of an epoch (`_remember`, `_recall`, `_reset`).
    """

    __slots__ = ("_initial", "_limit", "_saved", "cwnd", "mss", "ssthresh")

    name: ClassVar[str] = ""
    _beta: ClassVar[float] = 0.5
    _beta_ecn: ClassVar[float] = 0.5

    def __init__(self, mss: int, initial_segments: int = 10, limit: int = 1 << 30) -> None:
        """RFC 6928: begin with min(10 MSS, max(2 MSS, 14600)); `limit` bounds `cwnd` for good."""
        self.mss = mss
        self._limit = limit
        self._initial = initial_segments
        self.cwnd: int = self.initial_window
        self.ssthresh: int = UNLIMITED
        self._saved: tuple[int, int, object] | None = None

    @property
    def initial_window(self) -> int:
        """Octets of the window that a connection begins with (RFC 6928 2)."""
        return min(self._initial * self.mss, max(2 * self.mss, self._initial * 1460))

    @property
    def in_slow_start(self) -> bool:
        """Whether the window doubles each round trip (RFC 5681 3.1)."""
        return self.cwnd < self.ssthresh

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
        """`acked` octets were acknowledged for the first time, and no recovery is under way.

        `rtt` is the sample that came with it, `smoothed` the smoothed round trip; `in_flight` counts what was in
        flight before. `limited` says that this window, and not the application or the receiver, held sending back:
        otherwise the window does not grow (RFC 9438 5.8, RFC 7661 4.3), for nothing has proved it.
        """
        if not limited:
            self._unused(now)
            return
        if self.cwnd < self.ssthresh:
            left = self._slow_start(acked, rtt, snd_una, snd_nxt)
            if left <= 0:
                return
            acked = left
        self._avoid(acked, now, rtt, smoothed)

    def on_delivered(self, delivered: int, now: float, smoothed: float) -> None:
        """During a fast recovery, in place of `on_ack`: so many octets have arrived. For those who measure a rate."""

    def on_congestion(self, now: float, in_flight: int, ecn: bool = False) -> None:
        """Once for each loss event or ECN echo (RFC 5681 3.2, RFC 3168 6.1.2; RFC 8511 for the milder `ecn`).

        `in_flight` is FlightSize here: what was sent and not acknowledged, with what is now thought lost.
        """
        self._save()
        self._reduced(now)
        self._shrink(in_flight, self._beta_ecn if ecn else self._beta)
        self.cwnd = self.ssthresh

    def on_timeout(self, now: float, in_flight: int, first: bool) -> None:
        """The retransmission timer expired; `first` is False for a segment that timed out before (RFC 5681 3.1)."""
        if first:
            self._save()
            self._reduced(now)
            self._shrink(in_flight, self._beta)
        # RFC 5681 3.1: the loss window is one segment, whatever the initial window was.
        self.cwnd = self.mss
        self._reset()

    def undo(self) -> None:
        """The loss was none (RFC 3522, RFC 5682, RFC 2883 as used by RFC 8985 7.4): be as before, once."""
        if self._saved is None:
            return
        cwnd, ssthresh, memory = self._saved
        self.cwnd = max(self.cwnd, cwnd)
        self.ssthresh = max(self.ssthresh, ssthresh)
        self._recall(memory)
        self._saved = None

    def commit(self) -> None:
        """The loss was real, or is too long ago to go back on: `undo` does nothing any more."""
        self._saved = None

    def on_idle(self, idle: float, rto: float) -> None:
        """Nothing was sent for `idle` seconds; at least one `rto`, or this does nothing.

        RFC 5681 4.1 restarts from the initial window. This halves for each timeout that passed, as RFC 2861 and
        Linux do, down to the same restart window, and keeps three quarters of what was known in `ssthresh`.
        """
        if idle < rto or rto <= 0:
            return
        restart = min(self.initial_window, self.cwnd)
        self.ssthresh = max(self.ssthresh, 3 * self.cwnd // 4)
        periods = min(int(idle / rto), 32)
        self.cwnd = max(self.cwnd >> periods, restart)
        self._reset()

    def set_mss(self, mss: int) -> None:
        """The segment size changed (RFC 4821 7.2, RFC 8201 5.4): the window stays the same number of segments when
        they become smaller, and the same number of octets, at least two segments, when they become larger."""
        if mss == self.mss:
            return
        if mss < self.mss:
            self.cwnd = max(self.cwnd * mss // self.mss, 2 * mss)
        else:
            self.cwnd = max(self.cwnd, 2 * mss)
        self.mss = mss

    # For the subclasses.

    def _slow_start(self, acked: int, rtt: float | None, snd_una: int, snd_nxt: int) -> int:
        """Grow by what was acknowledged, and return what of it lies above `ssthresh` (RFC 5681 3.1, RFC 3465 with
        no limit: a receiver that acknowledges each 64 KiB says as much as one that does so each segment)."""
        grown = min(self.cwnd + acked, self.ssthresh, self._limit)
        left = acked - (grown - self.cwnd)
        self.cwnd = grown
        return left

    def _avoid(self, acked: int, now: float, rtt: float | None, smoothed: float) -> None:
        """Congestion avoidance."""
        raise NotImplementedError

    def _shrink(self, in_flight: int, beta: float) -> None:
        """Set `ssthresh`. RFC 9438 4.6 and RFC 5681 3.1: of what is in flight, so that a window which the
        application never filled is not the measure; at least two segments.

        What of a full window is less than a segment is never in flight, and is part of it all the same: were it left
        out at each loss, a window of four segments would shrink by one in eight more than `beta` says.
        """
        window = self.cwnd if self.cwnd - in_flight < self.mss else in_flight
        self.ssthresh = max(int(window * beta), 2 * self.mss)

    def _unused(self, now: float) -> None:
        """The window was not what held sending back."""

    def _reduced(self, now: float) -> None:
        """A reduction is about to happen; `cwnd` is still the window before it."""

    def _reset(self) -> None:
        """Growth begins anew."""

    def _remember(self) -> object:
        return None

    def _recall(self, memory: object) -> None:
        """Take back what `_remember` gave."""

    def _save(self) -> None:
        # Of two reductions in one recovery the state before the first counts.
        if self._saved is None:
            self._saved = (self.cwnd, self.ssthresh, self._remember())


def controller(name: str) -> Callable[..., CongestionControl]:
    """The class of that name, ``cubic``, ``reno`` or ``westwood``. Raises `ValueError` for any other."""
    from .cubic import Cubic
    from .reno import Reno
    from .westwood import Westwood

    for kind in (Cubic, Reno, Westwood):
        if kind.name == name:
            return kind
    raise ValueError(f"congestion control {name!r} is not known; take 'cubic', 'reno' or 'westwood'")
