"""The fast lane: what nearly always happens on a connection, in one function for each direction.

`arrive` takes a segment that brings the next data, or the next acknowledgment, of an established connection on which
nothing is wrong. `answer` sends what waits as the one segment that is under way, and sets the timers; `depart` sends
any waiting data as one segment, or as one super-segment, cut by the device or here; `acknowledge` sends none. Each does
exactly what the long way does (`Connection.segment`; `transmit.output`; `transmit.send_record` of `Sender.take`;
`transmit.acknowledge`), with no call that it can do without, and each changes nothing and returns False when the case
is not the usual one.

`Connection.fast = False` closes all, and tests hold both ways to the same outcome, frame by frame.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

from mirage.types.devices import Buffer

from . import pmtu
from .sender import Phase
from .sent import Sent
from .state import State

if TYPE_CHECKING:
    from .connection import Connection

__all__ = ["LEAST_FULL", "PLAIN", "TIMESTAMP_WORD", "acknowledge", "answer", "arrive", "depart"]

_M: Final = 0xFFFFFFFF
_HALF: Final = 0x80000000
LEAST_FULL: Final = 536
"""Octets of a segment that may be full: what every path carries (RFC 9293 3.7.1). Messages are often shorter."""
TIMESTAMP_WORD: Final = 0x0101080A
"""What precedes both timestamps where they are the only option: two NOPs, kind and length (RFC 7323, appendix A)."""
PLAIN: Final = 0x8010
"""Offset and flags of a segment with timestamps and no flag but ACK."""
_PLAIN_BARE: Final = 0x5010
_NOT_PSH: Final = 0xFFF7
_PUSHED: Final = 0x8018
_OPTIONS: Final = 12
_ECT0: Final = 2
_OPEN: Final = Phase.OPEN
_RECOVERY: Final = Phase.RECOVERY
_ESTABLISHED: Final = State.ESTABLISHED
_NEVER: Final = inf
_NOTHING: Final[list[Buffer]] = []
_SMALL: Final = 2048
"""Octets up to which data is copied at once; a view of more is kept until the application or `poll` copies it."""


def arrive(
    connection: Connection,
    sequence: int,
    acknowledgment: int,
    offset: int,
    window: int,
    payload: memoryview,
    word: int,
    value: int,
    now: float,
) -> bool:
    """A segment with a good checksum, of a packet without a mark, has come. False: it has to go the long way.

    `offset` is the header's word of offset and flags. `word` and `value` are the first two words behind the header:
    of a segment with `PLAIN` that is the beginning of its options, and the timestamp.
    """
    sender, receiver = connection.sender, connection.receiver
    start, una = receiver.nxt, sender.una
    acked = (acknowledgment - una) & _M
    size = len(payload)
    if (
        sequence != start & _M
        or connection.state is not _ESTABLISHED
        or acked > sender.nxt - una
        or size > receiver.edge - start
        or receiver.ranges
        or sender.sacked
        or sender.lost
        or sender.phase is not _OPEN
        or sender.probe_end is not None
        or receiver.fin is not None
        or not (acked or size or not sender.sent)
    ):
        return False
    if connection.timestamps:
        if offset & _NOT_PSH != PLAIN or word != TIMESTAMP_WORD or (value - connection.timestamp_recent) & _M >= _HALF:
            return False
        if start <= connection.last_ack_sent:
            connection.timestamp_recent = value
            connection.timestamp_recent_at = now
    elif offset & _NOT_PSH != _PLAIN_BARE:
        return False
    connection.last_heard = now
    if acked:
        una += acked
        sender.acknowledge(una, now)
        if connection.search is not None:
            connection.search.on_progress()
            pmtu.outcome(connection, now)
        path = connection.framer.path
        if now >= path.confirm_at:
            path.confirm(now)
        connection.progress_at = now
    window <<= connection.scale
    if window != connection.window:
        connection.window = window
        if window > connection.max_window:
            connection.max_window = window
    sender.edge = una + window
    if size:
        if size <= _SMALL:
            receiver.chunks.append(bytes(payload))
        else:
            receiver.chunks.append(payload)
            connection.hold()
        receiver.readable += size
        receiver.nxt = start + size
        octets = connection.ack_octets + size
        if octets >= connection.receive_full or size >= LEAST_FULL:
            connection.received(size, now)
        else:
            # What `received` does with less than a full segment
            connection.ack_octets = octets
            if not connection._has_news:
                connection.tell()
            if connection.ack_at == _NEVER:
                connection.ack_at = at = now + connection.delayed_ack
                if at < connection.heap_at:
                    connection.tcp.wake_at(connection, at)
    if sender.queued or sender.fin_queued or connection.waiting_for_room:
        connection.schedule()
    return True


def answer(connection: Connection, now: float) -> bool:
    """Send all that waits as one segment, while nothing is under way and nothing else is to be done or heeded: a
    request, or the answer to one. `connection` is established. False: by the long way, please."""
    sender = connection.sender
    size = sender.queued
    if (
        not size
        or sender.sent
        or size > sender.mss
        or size > sender.edge - sender.nxt
        or sender.mss << 5 > connection.max_window
        or sender.phase is not _OPEN
        or sender.fin_queued
        or connection.corked
        or connection.more
        or connection.waiting_for_room
        or now - connection.last_sent > sender.rtt.rto
        or connection.framer.path.generation != connection.path_generation
        or not depart(connection, size, now)
    ):
        return False
    connection.progress_at = now
    sender.arm(now)
    if sender.timer_at < connection.heap_at:
        connection.set_timer()
    return True


def depart(connection: Connection, size: int, now: float) -> bool:
    """Send the next `size` waiting octets, at least one, which both windows allow. False: by the long way, please."""
    sender, receiver, framer = connection.sender, connection.receiver, connection.framer
    path = framer.path
    if (
        now >= path.fresh_until
        or path.generation != framer.generation
        or not connection.timestamps
        or connection.cwr_due
        or connection.ecn_echo
        or receiver.ranges
        or receiver.duplicate is not None
        or sender.phase is _RECOVERY
        or not connection.fast
    ):
        return False
    mss = sender.mss
    meta = framer.whole
    if size > mss and framer.cuts:
        if size + _OPTIONS > framer.largest:
            return False
        meta = framer.meta(_OPTIONS, mss, False)
    # What `Sender.take` does
    queue = sender.queue
    sequence = sender.nxt
    sender.nxt = end = sequence + size
    if size == sender.queued:
        parts = queue
        sender.queue = []
        sender.queued = 0
        flags = _PUSHED
    else:
        parts = sender.split_queue(size)
        sender.queued -= size
        flags = PLAIN
    sender.sent.append(Sent(sequence, end, parts, False, now))
    # What `transmit.send_record` does
    start = receiver.nxt
    window = receiver.advertise(connection.receive_mss)
    connection.ack_due = False
    connection.ack_octets = 0
    connection.ack_at = _NEVER
    connection.last_ack_sent = start
    connection.last_sent = now
    value = (int(now * 1000) + connection.timestamp_offset) & _M
    echo = connection.timestamp_recent
    ecn = _ECT0 if connection.ecn else 0
    if size <= mss or framer.cuts:
        header = framer.header(sequence & _M, start & _M, flags, window, size, parts, value, echo, ecn)
        path.interface.output.append((meta, [header, *parts]))
    else:
        framer.segments(sequence & _M, start & _M, flags, window, size, mss, parts, value, echo, ecn)
    return True


def acknowledge(connection: Connection, now: float) -> bool:
    """Send an ACK without data where nothing is missing. False: by the long way, please."""
    receiver, framer = connection.receiver, connection.framer
    path = framer.path
    if (
        now >= path.fresh_until
        or path.generation != framer.generation
        or not connection.timestamps
        or connection.ecn_echo
        or receiver.ranges
        or receiver.duplicate is not None
        or not connection.fast
    ):
        return False
    start = receiver.nxt
    window = receiver.advertise(connection.receive_mss)
    connection.ack_due = False
    connection.ack_octets = 0
    connection.ack_at = _NEVER
    connection.last_ack_sent = start
    header = framer.header(
        connection.sender.nxt & _M,
        start & _M,
        PLAIN,
        window,
        0,
        _NOTHING,
        (int(now * 1000) + connection.timestamp_offset) & _M,
        connection.timestamp_recent,
        0,
    )
    path.interface.output.append((framer.whole, [header]))
    return True
