"""The sending half of a connection: what waits, what is under way, what was lost, and how much may go.

Sequence numbers are unwrapped. `una` and `nxt` are SND.UNA and SND.NXT, `edge` is the right edge of the peer's window.
Data waits in `queue`, moves into a `Sent` record when it goes out, and is dropped when it is acknowledged.

Loss is found by RACK-TLP (RFC 8985) where the peer sends SACK, by three duplicates (RFC 5681, NewReno after RFC 6582)
where it does not, and by the retransmission timer (RFC 6298) where nothing comes back. What is sent during recovery is
proportional to what is delivered (PRR, RFC 9937); how fast it goes otherwise is the congestion control's.

    OPEN ---- loss found ----> RECOVERY ---- all acknowledged that was out ----> OPEN
      \\------ timer ------------> LOSS  ----- the same ----------------------------/
"""

from __future__ import annotations

import enum
from math import inf
from typing import Final

from mirage.types.devices import Buffer

from .congestion import CongestionControl
from .prr import ProportionalRateReduction
from .rtt import RttEstimator
from .sent import Sent, cut

__all__ = ["Phase", "Sender", "Timer"]

_DUPLICATES: Final = 3
"""RFC 5681 3.2, and RACK's threshold for giving up on reordering (RFC 8985 6.2)."""

_MAX_STEP: Final = 20
"""RACK's largest multiple of a quarter of the round trip (RFC 8985 6.2)."""

_SAMPLES_APART: Final = 0.005
"""Seconds between round-trip samples while all is well: one in a round trip is enough (RFC 6298 3), and on a fast
network round trips are short."""

_SPARE_RECORDS: Final = 64

_TICK: Final = 0.001
"""Seconds of a tick of the timestamp clock."""

_DELAYED_ACK: Final = 0.2
"""The longest that a peer's delayed acknowledgment is waited for before a tail probe (RFC 8985 7.2)."""


class Phase(enum.Enum):
    """What the sender is doing about loss."""

    OPEN = "open"
    RECOVERY = "recovery"
    """Loss was found by acknowledgments."""
    LOSS = "loss"
    """The retransmission timer expired."""


class Timer(enum.Enum):
    """What the one timer of the sender is for."""

    RETRANSMIT = "retransmission"
    PROBE = "tail loss probe"
    REORDER = "reordering"
    PERSIST = "persist"


_REORDER: Final = Timer.REORDER
_PROBE: Final = Timer.PROBE
_RETRANSMIT: Final = Timer.RETRANSMIT
_PERSIST: Final = Timer.PERSIST
_OPEN: Final = Phase.OPEN
_RECOVERY: Final = Phase.RECOVERY
_LOSS: Final = Phase.LOSS


class Sender:
    """Send sequence space, loss recovery and congestion state of one connection."""

    __slots__ = (
        "_dsack_rounds",
        "_fack",
        "_full_at",
        "_probe_again",
        "_rack_end",
        "_rack_rtt",
        "_rack_time",
        "_reordered",
        "_reordering_step",
        "_sample_at",
        "_step_persist",
        "congestion",
        "duplicates",
        "edge",
        "fin_queued",
        "fin_sent",
        "iss",
        "lost",
        "marked",
        "mss",
        "nxt",
        "phase",
        "probe",
        "probe_end",
        "probe_size",
        "prr",
        "queue",
        "queued",
        "recover",
        "retransmissions",
        "room",
        "rtt",
        "sack",
        "sacked",
        "sent",
        "timer",
        "timer_at",
        "una",
        "undo_before",
    )

    def __init__(self, iss: int, mss: int, congestion: CongestionControl, rtt: RttEstimator) -> None:
        self.iss = iss
        self.una = iss
        self.nxt = iss
        self.edge = iss
        self.mss = mss
        """Octets of payload in a full segment, options already taken off."""
        self.queue: list[Buffer] = []
        self.queued = 0
        """Octets in `queue`."""
        self.fin_queued = False
        self.fin_sent = False
        self.sent: list[Sent] = []
        self.sacked = 0
        """Octets that the peer has beyond a gap."""
        self.lost = 0
        """Octets that are lost and were not sent again."""
        self.sack = False
        self.phase = _OPEN
        self.marked = False
        """Whether an ECN echo, and no loss, began the recovery."""
        self.recover = iss
        """SND.NXT when recovery began: it ends when all before it is acknowledged."""
        self.room = 0
        """During RECOVERY, octets that may be sent now (RFC 9937 6)."""
        self.prr = ProportionalRateReduction()
        self.congestion = congestion
        self.rtt = rtt
        self.duplicates = 0
        self.retransmissions = 0
        self.probe: Sent | None = None
        """The record that probes for a larger path MTU (RFC 4821), of `probe_size` octets."""
        self.probe_size = 0
        self.timer: Timer | None = None
        self.timer_at = inf
        self._rack_time = -inf
        self._rack_end = iss
        self._rack_rtt = 0.0
        self._fack = iss
        self._reordered = False
        self._reordering_step = 1
        self._step_persist = 0
        self._dsack_rounds = iss
        self.probe_end: int | None = None
        """SND.NXT when a tail loss probe went out that is not settled yet (RFC 8985 7.3, TLP.end_seq)."""
        self._probe_again = False
        """Whether that probe was a retransmission (TLP.is_retrans)."""
        self._sample_at = -inf
        self._full_at = iss - 1
        """SND.NXT when the congestion window was last seen full."""
        self.undo_before: float | None = None

    # What may go out

    @property
    def in_flight(self) -> int:
        """Octets that are on their way, as far as is known (RFC 6675's pipe)."""
        return self.nxt - self.una - self.sacked - self.lost

    @property
    def unacknowledged(self) -> int:
        """Octets of sequence space that were sent and not acknowledged."""
        return self.nxt - self.una

    def allowance(self) -> int:
        """Octets that congestion control lets go out now; may be negative."""
        if self.phase is _RECOVERY:
            return self.room
        return int(self.congestion.cwnd) - (self.nxt - self.una - self.sacked - self.lost)

    def _limited(self, before: int) -> bool:
        """Whether the congestion window held sending back (RFC 7661 4.3), with `before` octets in flight before this
        acknowledgment.

        It did when they fill it. It did too if they filled it at an earlier acknowledgment and nothing new was sent
        since: many may come in one turn, and what the first of them makes room for goes out at its end.
        """
        if before + self.mss > self.congestion.cwnd:
            self._full_at = self.nxt
            return True
        return self._full_at == self.nxt

    def put(self, data: Buffer) -> None:
        """Queue octets of the application."""
        self.queue.append(data)
        self.queued += len(data)

    def take(self, size: int, fin: bool, now: float) -> Sent:
        """Move `size` octets from the queue into a record, with the FIN behind them if `fin`; they count as sent."""
        if size == self.queued:
            parts, self.queue = self.queue, []
        else:
            parts = self.split_queue(size)
        self.queued -= size
        start = self.nxt
        self.nxt = end = start + size + fin
        if fin:
            self.fin_sent = True
        if self.phase is _RECOVERY:
            self.room -= size
            self.prr.on_sent(size)
        record = Sent(start, end, parts, fin, now)
        self.sent.append(record)
        return record

    def split_queue(self, size: int) -> list[Buffer]:
        """Take the first `size` octets, fewer than there are, off `queue`; `queued` is the caller's to change."""
        queue = self.queue
        first = queue[0]
        if size < len(first):
            view = memoryview(first)
            queue[0] = view[size:]
            return [view[:size]]
        parts, self.queue = cut(queue, size)
        return parts

    def first_lost(self) -> int:
        """Octets of the first lost record; there is one."""
        return next(record.end - record.start for record in self.sent if record.lost)

    def next_lost(self, allowed: int, now: float) -> Sent | None:
        """The first lost record that may be sent again, cut to what is allowed; counted as sent."""
        if not self.lost:
            return None
        index = next(index for index, record in enumerate(self.sent) if record.lost)
        record = self.sent[index]
        size = record.end - record.start
        if size > allowed:
            whole = max(allowed // self.mss, 1) * self.mss
            if whole < size - record.fin:
                self.sent.insert(index + 1, record.split(record.start + whole))
                size = whole
        self.lost -= size
        record.lost = False
        record.time = now
        record.times += 1
        self.retransmissions += 1
        if self.phase is _RECOVERY:
            self.room -= size
            self.prr.on_sent(size)
        return record

    # Acknowledgments

    def acknowledge(self, ack: int, now: float) -> int:
        """The fast way, for an ACK that moves `una` while all is well: OPEN, nothing sacked or lost, no SACK
        blocks, no tail loss probe.

        Returns the octets that it covers.
        """
        sent = self.sent
        acked = ack - self.una
        before = self.nxt - self.una
        newest: Sent | None = None
        if acked == before:  # all that is out, which is usual
            for record in sent:
                if record.times == 1:
                    newest = record
            sent.clear()
        else:
            count = 0
            for record in sent:
                if record.end > ack:
                    if record.start < ack:
                        self._trim(record, ack)
                        if record.times == 1:
                            newest = record
                    break
                count += 1
                if record.times == 1:
                    newest = record
            del sent[:count]
        self.una = self._fack = ack
        self.duplicates = 0
        rtt: float | None = None
        if newest is not None:
            self._rack_time = newest.time
            self._rack_rtt = rtt = now - newest.time
            self._rack_end = min(newest.end, ack)
            if now >= self._sample_at:
                self.rtt.sample(rtt, now)
                self._sample_at = now + _SAMPLES_APART
        congestion = self.congestion
        limited = self._limited(before)
        if limited or congestion.cwnd >= congestion.ssthresh:
            congestion.on_ack(acked, now, rtt, self.rtt.srtt, before, limited, ack, self.nxt)
        if sent:
            self.arm(now)
        else:
            self.timer, self.timer_at = None, inf
        return acked

    def _trim(self, record: Sent, ack: int) -> None:
        """Forget the octets of a record before `ack`."""
        _, record.parts = cut(record.parts, ack - record.start)
        record.start = ack

    def on_ack(
        self,
        ack: int,
        blocks: list[tuple[int, int]],
        duplicate: bool,
        echo: float | None,
        echo_before: bool,
        congested: bool,
        now: float,
    ) -> int:
        """The general way (RFC 9293 3.10.7.4, RFC 6675, RFC 8985). Returns the octets newly acknowledged.

        `blocks` are SACK blocks, unwrapped. `duplicate`: the segment counts as a duplicate ACK (RFC 5681 2).
        `echo`: the round trip that its timestamp tells of, which knows a retransmission from the original.
        `echo_before`: its timestamp echoes one that is older than the first retransmission (RFC 3522). `congested`: it
        carries an ECN echo that is to be heeded (RFC 3168 6.1.2).
        """
        before = self.in_flight
        outstanding = self.nxt - self.una
        calm = self.phase is _OPEN and before == outstanding
        cwnd_limited = self._limited(before)
        delivered, rtt, again = 0, None, False
        acked = ack - self.una
        for record in self.sent:
            if record.start >= ack:
                break
            end = min(record.end, ack)
            size = end - record.start
            if record.sacked:
                self.sacked -= size
            else:
                delivered += size
                if record.lost:
                    self.lost -= size
                if record.times == 1 and not record.lost:
                    rtt = now - record.time
                else:
                    again = True
                self._rack(record, end, now)
            if end < record.end:
                self._trim(record, ack)
                break
        if again:
            # Karn: what was sent once may have waited at the peer for what was sent again; and what was taken for lost
            # and arrived all the same waited for another acknowledgment than its own.
            rtt = None
        if acked > 0:
            self.sent = [record for record in self.sent if record.end > ack]
            self.una = ack
            self.duplicates = 0
        sack_delivered, sack_rtt = self._sack(blocks, now)
        delivered += sack_delivered
        if rtt is None or (sack_rtt is not None and sack_rtt < rtt):
            rtt = sack_rtt  # the first acknowledgment of what lies before the gap was lost
        if echo is not None and acked > 0:
            # What came long ago behind a gap may be acknowledged only now: then the echo is the round trip.
            rtt = echo if rtt is None else min(rtt, echo + _TICK)
        if rtt is not None and (now >= self._sample_at or not calm):
            self.rtt.sample(rtt, now)
            self._sample_at = now + _SAMPLES_APART
        if acked > 0:
            self.rtt.reset_backoff()
        if duplicate and not self.sack:
            self.duplicates += 1
        if self.undo_before is not None and acked > 0:
            if echo_before:
                self._undo()
                cwnd_limited = False  # by a window that was none
            self.undo_before = None
        self._after_probe(ack, blocks, acked > 0, outstanding, now)
        newly_lost = self._detect(now) if self.sack else self._duplicates_lost(acked, now)
        recovering = self.phase is _RECOVERY
        self._change_phase(newly_lost, congested, outstanding, now)
        if recovering and self.phase is _OPEN:
            self.congestion.on_delivered(delivered, now, self.rtt.srtt)  # growth begins with the next one
        else:
            self._count(acked, delivered, newly_lost, rtt, before, cwnd_limited, now)
        if acked > 0 or sack_delivered or newly_lost:
            self.arm(now)
        return acked

    def _sack(self, blocks: list[tuple[int, int]], now: float) -> tuple[int, float | None]:
        """Mark what the blocks cover. Returns the octets newly covered and a round-trip time: the least, for what came
        earlier may have been told in an acknowledgment that was lost.

        Peers report whole segments, so there are never many more records than these; one that reports crumbs shall not
        have us look through a list of a million for each acknowledgment (CVE-2019-11478).
        """
        delivered, rtt = 0, None
        limit = 2 * (self.nxt - self.una) // self.mss + _SPARE_RECORDS
        for left, right in blocks:
            left = max(left, self.una)
            if right <= left or right > self.nxt:
                continue
            index, sent = 0, self.sent
            while index < len(sent):
                record = sent[index]
                if record.start >= right:
                    break
                if record.end > left and not record.sacked:
                    if (record.start < left or record.end > right) and len(sent) >= limit:
                        pass
                    elif record.start < left:
                        sent.insert(index + 1, record.split(left))
                    else:
                        if record.end > right:
                            sent.insert(index + 1, record.split(right))
                        size = record.end - record.start
                        record.sacked = True
                        self.sacked += size
                        delivered += size
                        if record.lost:
                            record.lost = False
                            self.lost -= size
                        elif record.times == 1 and (rtt is None or now - record.time < rtt):
                            rtt = now - record.time
                        self._rack(record, record.end, now)
                index += 1
        return delivered, rtt

    # RACK-TLP, RFC 8985

    def _rack(self, record: Sent, end: int, now: float) -> None:
        """A record was delivered up to `end` (RFC 8985 6.2, steps 1 to 3)."""
        rtt = now - record.time
        if record.times > 1 and rtt < 0.99 * self.rtt.min_rtt(now):
            return  # the acknowledgment is for the original, not for the retransmission
        if (record.time, end) > (self._rack_time, self._rack_end):
            self._rack_time, self._rack_end, self._rack_rtt = record.time, end, rtt
        if end > self._fack:
            self._fack = end
        elif record.times == 1 and end < self._fack:
            self._reordered = True

    def on_dsack(self) -> None:
        """The peer had something twice: the reordering window was too small (RFC 8985 6.2, step 4)."""
        if self.una > self._dsack_rounds:
            self._dsack_rounds = self.nxt
            self._reordering_step = min(self._reordering_step + 1, _MAX_STEP)
            self._step_persist = 16

    def _reordering_window(self, now: float) -> float:
        """RACK.reo_wnd in seconds (RFC 8985 6.2, step 4)."""
        if not self._reordered and (self.phase is not _OPEN or self.sacked >= _DUPLICATES * self.mss):
            return 0.0
        return min(self._reordering_step * self.rtt.min_rtt(now) / 4, self.rtt.srtt)

    def _detect(self, now: float) -> int:
        """Mark what RACK takes for lost (RFC 8985 6.2, step 5). Returns the octets newly marked."""
        if not self.sacked and self.phase is _OPEN:
            return 0
        window = self._rack_rtt + self._reordering_window(now)
        wait, found = 0.0, 0
        rack = (self._rack_time, self._rack_end)
        for record in self.sent:
            if record.sacked or record.lost or (record.time, record.end) >= rack:
                continue
            remaining = record.time + window - now
            if remaining <= 0:
                record.lost = True
                found += record.end - record.start
            elif remaining > wait:
                wait = remaining
        self.lost += found
        if wait:
            self.timer, self.timer_at = _REORDER, now + wait
        elif self.timer is _REORDER:
            self.timer = None
        return found

    def _duplicates_lost(self, acked: int, now: float) -> int:
        """Without SACK: the first segment is lost at the third duplicate, and at each partial ACK (RFC 6582 3.2)."""
        third = (self.phase is _OPEN or self.marked) and self.duplicates == _DUPLICATES
        partial = self.phase is _RECOVERY and not self.marked and acked > 0 and self.una < self.recover
        if not (third or partial) or not self.sent or self.sent[0].lost:
            return 0
        record = self.sent[0]
        if record.end - record.fin - record.start > self.mss:
            self.sent.insert(1, record.split(record.start + self.mss))
        record.lost = True
        self.lost += record.end - record.start
        return record.end - record.start

    def _after_probe(
        self, ack: int, blocks: list[tuple[int, int]], advanced: bool, outstanding: int, now: float
    ) -> None:
        """Whether a tail loss probe mended a loss that would not be seen otherwise (RFC 8985 7.4.2)."""
        end = self.probe_end
        if end is None or ack < end:
            return
        if not self._probe_again or any(right <= ack for _, right in blocks):
            self.probe_end = None  # it was new data; or a DSACK says that original and probe both arrived
        elif ack > end:
            self.probe_end = None
            self.congestion.on_congestion(now, outstanding)
            self.congestion.commit()
        elif not advanced and not blocks:
            self.probe_end = None  # a duplicate of the acknowledgment: the probe was one

    # Phases

    def _change_phase(self, newly_lost: int, congested: bool, outstanding: int, now: float) -> None:
        if self.phase is not _OPEN and self.una >= self.recover:
            if self.phase is _RECOVERY:
                self.congestion.cwnd = max(self.congestion.ssthresh, self.mss)
            self.phase = _OPEN
            self.congestion.commit()
            self.undo_before = None
            self.duplicates = 0
            if self._step_persist:
                self._step_persist -= 1
                if not self._step_persist:
                    self._reordering_step = 1
        if newly_lost and self.probe is not None and self.probe.lost and newly_lost == self.probe_size:
            newly_lost = 0  # it was too large; that is no congestion (RFC 4821 7.6.1)
        elif newly_lost:
            self.marked = False
        if self.phase is _OPEN and (newly_lost or congested):
            # FlightSize (RFC 5681 2): what was out, whether the peer has it beyond a gap or not.
            self.congestion.on_congestion(now, outstanding, ecn=congested and not newly_lost)
            self.recover = self.nxt
            self.phase = _RECOVERY
            self.marked = not newly_lost
            self.undo_before = now if newly_lost else None
            self.prr.start(self.nxt - self.una, self.congestion.ssthresh, self.mss)

    def _count(
        self, acked: int, delivered: int, newly_lost: int, rtt: float | None, before: int, limited: bool, now: float
    ) -> None:
        """Give the congestion control, or the rate reduction, what was delivered."""
        if self.phase is _RECOVERY:
            if not self.sack and self.duplicates >= _DUPLICATES:
                # Each duplicate says that a segment has left (RFC 6582 3.2), the third for those before it too.
                delivered = delivered or (self.mss * (3 if self.duplicates == _DUPLICATES else 1))
            safe = acked > 0 and not newly_lost
            self.congestion.on_delivered(delivered, now, self.rtt.srtt)
            self.room = self.prr.on_ack(delivered, self.in_flight, self.mss, safe)
        elif delivered:
            self.congestion.on_ack(delivered, now, rtt, self.rtt.srtt, before, limited, self.una, self.nxt)

    def _undo(self) -> None:
        """Nothing was lost: the acknowledgment is older than the retransmission (RFC 4015)."""
        self.congestion.undo()
        self.phase = _OPEN
        for record in self.sent:
            record.lost = False
        self.lost = 0
        self.rtt.reset_backoff()

    # The timer

    def arm(self, now: float) -> None:
        """Set the timer for what is under way: a tail probe where one may help, else the retransmission timer."""
        if not self.sent:
            if self.timer is not _PERSIST:
                self.timer, self.timer_at = None, inf
            return
        if self.timer is _REORDER and self.timer_at > now:
            return
        rtt = self.rtt
        wait = rtt.rto
        if self.sack and self.phase is _OPEN and not self.sacked and self.probe_end is None and rtt.srtt:
            # RFC 8985 7.2: never later than the timeout, in whose place it then goes out: a probe that is acknowledged
            # says that one segment was lost, where a timeout would take all of them, and the window, for lost.
            probe = 2 * rtt.srtt
            if self.nxt - self.una <= self.mss:
                probe += _DELAYED_ACK
            if probe < wait:
                wait = probe
            self.timer = _PROBE
        else:
            self.timer = _RETRANSMIT
        self.timer_at = now + wait

    def arm_for_handshake(self, now: float) -> None:
        """A SYN has gone out."""
        self.timer, self.timer_at = _RETRANSMIT, now + self.rtt.rto

    def on_reorder_timer(self, now: float) -> None:
        """Time has run out for what might have been reordered (RFC 8985 6.3)."""
        self.timer, self.timer_at = None, inf
        newly_lost = self._detect(now)
        self._change_phase(newly_lost, False, self.nxt - self.una, now)
        if self.phase is _RECOVERY and newly_lost:
            self.room = max(self.room, self.mss)
        self.arm(now)

    def on_probe_timer(self, now: float) -> Sent | None:
        """A tail loss probe is due (RFC 8985 7.3): the last segment again. None where new data can go instead."""
        self.probe_end = self.nxt
        self.timer, self.timer_at = _RETRANSMIT, now + self.rtt.rto
        self._probe_again = not self.queued or self.nxt + 1 > self.edge
        if not self._probe_again:
            return None
        record = self.sent[-1]
        if record.end - record.fin - record.start > self.mss:
            rest = record.split(record.end - record.fin - self.mss)
            self.sent.append(rest)
            record = rest
        record.time = now
        record.times += 1
        self.retransmissions += 1
        return record

    def on_retransmit_timer(self, now: float) -> None:
        """Nothing came back (RFC 6298 5.4 to 5.6): all that is out counts as lost, and slow start begins."""
        first = self.phase is not _LOSS
        self.congestion.on_timeout(now, self.nxt - self.una, first)
        if first:
            self.recover = self.nxt
            self.undo_before = now
        self.phase = _LOSS
        self.probe_end = None
        self.duplicates = 0
        if self.sent[0].sacked:
            # The peer had this and does not acknowledge it: it has thrown away what it said it had (RFC 2018 8).
            for record in self.sent:
                record.sacked = False
            self.sacked = 0
        self.lost = 0
        for record in self.sent:
            if not record.sacked:
                record.lost = True
                self.lost += record.end - record.start
        self.rtt.back_off()
        self.timer, self.timer_at = _RETRANSMIT, now + self.rtt.rto

    def lose_all(self, now: float) -> None:
        """Everything that is out has to go again, and no congestion is to blame: the packets were too big."""
        self.probe_end = None
        self.timer, self.timer_at = _RETRANSMIT, now + self.rtt.rto
        for record in self.sent:
            if not record.sacked and not record.lost:
                record.lost = True
                self.lost += record.end - record.start
