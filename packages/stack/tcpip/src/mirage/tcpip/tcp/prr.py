"""Proportional Rate Reduction (RFC 9937): what may be sent on each acknowledgement of a fast recovery.

The window falls to `ssthresh` over one round trip, in proportion to what arrives, instead of at once with a silence and
a burst. When losses have already taken more out of flight than that, data are sent as they are delivered (conservative
bound, CRB), plus one segment for each acknowledgement that shows progress and no further loss (slow start bound, SSRB).
"""

from __future__ import annotations

__all__ = ["ProportionalRateReduction"]


class ProportionalRateReduction:
    """One fast recovery. Octets throughout."""

    __slots__ = ("_delivered", "_flight", "_out", "_ssthresh", "_started")

    def __init__(self) -> None:
        self._delivered = 0
        self._out = 0
        self._flight = 1
        self._ssthresh = 0
        self._started = False

    def start(self, in_flight: int, ssthresh: int, mss: int) -> None:
        """A recovery begins: RecoverFS is what was in flight, and `ssthresh` where the window is to end.

        RFC 9937 6: RecoverFS counts what left the network by a SACK before the recovery began, so `in_flight` is
        `snd_nxt - snd_una`.
        """
        self._delivered = 0
        self._out = 0
        self._flight = max(in_flight, mss)
        self._ssthresh = ssthresh
        self._started = True

    def on_ack(self, delivered: int, in_flight: int, mss: int, safe_ack: bool) -> int:
        """Octets that may be sent now, of new or lost data.

        `delivered` was acknowledged or SACKed by this acknowledgement for the first time; `in_flight` is the pipe,
        what is thought to be in the network after it. `safe_ack`: `snd_una` advanced, and no further loss showed.
        """
        if delivered <= 0:
            # RFC 9937 6: an acknowledgement that says nothing new sends nothing; it may be the work of a forger.
            return 0
        self._delivered += delivered
        if in_flight > self._ssthresh:
            # Rounded up: sndcnt = CEIL(prr_delivered * ssthresh / RecoverFS) - prr_out
            allowed = -(-self._delivered * self._ssthresh // self._flight) - self._out
        else:
            allowed = max(self._delivered - self._out, delivered)
            if safe_ack:
                allowed += mss
            allowed = min(self._ssthresh - in_flight, allowed)
        # RFC 9937 6: the fast retransmit itself goes out whatever the proportion says.
        if self._out == 0 and allowed < mss:
            allowed = mss
        return max(allowed, 0)

    def on_sent(self, size: int) -> None:
        """`size` octets went out, first or again."""
        self._out += size
