"""What a connection sends when it is polled: SYN, retransmissions, new data, acknowledgments, probes, RST."""

from __future__ import annotations

import struct
from math import inf
from typing import TYPE_CHECKING, Final

from ..errors import NetworkFailure
from ..wire.tcp import ACK, CWR, ECE, FIN, PSH, RST, SYN
from . import handshake, lane, pmtu
from .framer import Outgoing
from .sender import Timer
from .sent import Sent
from .state import State

if TYPE_CHECKING:
    from .connection import Connection

__all__ = ["flush", "output", "probe", "reset", "send_record", "timestamp"]

_M: Final = 0xFFFFFFFF
_PROBE: Final = Timer.PROBE
_PERSIST: Final = Timer.PERSIST
_ESTABLISHED: Final = State.ESTABLISHED
_TIMESTAMPS: Final = struct.Struct(">III").pack
_TIMESTAMP_WORD: Final = 0x0101080A
_SACK_WORD: Final = struct.Struct(">BBBB").pack
_BLOCK: Final = struct.Struct(">II").pack
_ECT0: Final = 2
_BLOCKS_WITH_TIMESTAMPS: Final = 3
_BLOCKS: Final = 4


def timestamp(connection: Connection, now: float) -> int:
    """The connection's timestamp clock: milliseconds, from a start of its own (RFC 7323 5.4)."""
    return (int(now * 1000) + connection.timestamp_offset) & _M


def output(connection: Connection, now: float) -> None:
    """Send all that is due and may go."""
    connection._scheduled = False
    state = connection.state
    if state is _ESTABLISHED:
        if lane.answer(connection, now):
            return
    elif not state.synchronized:
        if connection.syn_due:
            _syn(connection, now)
        return
    sender = connection.sender
    path = connection.framer.path
    if path.generation != connection.path_generation:
        connection.path_generation = path.generation
        handshake.update_mss(connection)
    try:
        if sender.lost:
            _retransmit(connection, now)
        if sender.queued or (sender.fin_queued and not sender.fin_sent):
            _new_data(connection, now)
        if connection.ack_due:
            acknowledge(connection, now)
    except NetworkFailure as failure:
        connection.soft_error = failure
        if sender.sent and sender.timer is None:
            sender.arm(now)  # it tries again, or gives up in time
    if connection.waiting_for_room and sender.queued <= connection.low_water:
        connection.waiting_for_room = False
        connection.tell()
    if sender.timer_at < connection.heap_at:
        connection.set_timer()


def _retransmit(connection: Connection, now: float) -> None:
    """Send again what is lost, as far as congestion control lets it."""
    sender = connection.sender
    while sender.lost:
        allowed = sender.allowance()
        if allowed < min(sender.mss, sender.first_lost()) and sender.in_flight > 0:
            break
        record = sender.next_lost(max(allowed, sender.mss), now)
        if record is None:
            break
        connection.tcp.counters["tcp.retransmitted"] += 1
        send_record(connection, record, now)
    if sender.timer is None:
        sender.arm(now)


def _new_data(connection: Connection, now: float) -> None:
    """Send what waits, in pieces as large as the device takes, as far as both windows and Nagle let it."""
    sender = connection.sender
    mss = _piece(sender.mss, connection.max_window)
    first = not sender.sent
    if first:
        idle = now - connection.last_sent
        if idle > sender.rtt.rto:
            sender.congestion.on_idle(idle, sender.rtt.rto)
    # Where segments get lost each is a record of its own, for that is what is lost.
    framer = connection.framer
    largest = max(((framer.largest if sender.retransmissions else framer.together) - 12) // mss, 1) * mss
    while True:
        queued = sender.queued
        allowed = sender.allowance()
        window = sender.edge - sender.nxt
        if connection.search is not None and (payload := pmtu.payload_of_probe(connection, now)):
            _probe_path(connection, payload, now)
            continue
        room = min(allowed, window)
        size = min(queued, room, largest)
        if size < queued:
            if size >= mss:
                size -= size % mss
            elif size <= 0 or (sender.sent and size < connection.max_window >> 1):
                break  # a crumb: wait for more room (RFC 9293 3.8.6.2.1)
        elif size % mss and not sender.fin_queued:
            if connection.corked or connection.more:
                if size < mss:
                    break  # the application says that more comes
                size -= size % mss
            elif size < mss and sender.sent and not connection.nodelay:
                break  # Nagle (RFC 9293 3.7.4)
        fin = sender.fin_queued and size == queued
        if size <= 0:
            if not fin:
                break
            size = 0
        if fin and sender.fin_sent:
            break
        if fin and room <= 0 and sender.sent:
            break
        if fin or not lane.depart(connection, size, now):
            record = sender.take(size, fin, now)
            if fin:
                connection.state = State.LAST_ACK if connection.state is State.CLOSE_WAIT else State.FIN_WAIT_1
            send_record(connection, record, now)
        if not sender.queued:
            break
    connection.more = False
    if sender.sent:
        if first:
            connection.progress_at = now
        if sender.timer is None or sender.timer is _PERSIST or sender.timer is _PROBE:
            sender.arm(now)
            connection.set_timer()
    elif sender.queued and sender.timer is None:
        sender.timer, sender.timer_at = _PERSIST, now + sender.rtt.rto
        connection.set_timer()


def flush(connection: Connection, now: float) -> None:
    """Send what waits, at most one segment, although the application holds it back. Nothing is under way."""
    sender = connection.sender
    try:
        send_record(connection, sender.take(min(sender.queued, sender.mss, sender.edge - sender.nxt), False, now), now)
    except NetworkFailure as failure:
        connection.soft_error = failure
    connection.progress_at = now
    sender.arm(now)


def _piece(mss: int, window: int) -> int:
    """Octets of a full segment: of a small window each takes an equal part, lest a crumb of it be left that avoiding
    silly windows (RFC 9293 3.8.6.2.1) never sends: of 4096 octets an MSS of 1448 would leave 1200."""
    if not 0 < window < mss << 5:
        return mss
    return window // -(-window // mss)


def _probe_path(connection: Connection, payload: int, now: float) -> None:
    """Send a segment larger than the MSS, to see whether the path takes it."""
    sender = connection.sender
    connection.tcp.counters["tcp.mtu-probes"] += 1
    record = sender.probe = sender.take(payload, False, now)
    sender.probe_size = payload
    mss, sender.mss = sender.mss, payload
    send_record(connection, record, now)
    sender.mss = mss


def send_record(connection: Connection, record: Sent, now: float) -> None:
    """Put one record on the wire; every segment carries the latest acknowledgment."""
    sender, receiver = connection.sender, connection.receiver
    size = record.end - record.start
    flags = ACK
    if record.fin:
        flags |= FIN
        size -= 1
    if record.end == sender.nxt and not sender.queued and size:
        flags |= PSH
    ecn = 0
    if connection.ecn:
        if size and record.times == 1:
            ecn = _ECT0
            if connection.cwr_due:
                connection.cwr_due = False
                flags |= CWR
        if connection.ecn_echo:
            flags |= ECE
    window = receiver.advertise(connection.receive_mss)
    options = (
        _TIMESTAMPS(_TIMESTAMP_WORD, timestamp(connection, now), connection.timestamp_recent)
        if (connection.timestamps)
        else b""
    )
    if receiver.ranges or receiver.duplicate is not None:
        options += _sack(connection, sender.mss)
    connection.ack_due = False
    connection.ack_octets = 0
    connection.ack_at = inf
    connection.last_ack_sent = receiver.nxt
    connection.last_sent = now
    connection.framer.emit(
        Outgoing(
            record.start, receiver.nxt, flags, window, options, record.parts, size, _fit(connection, options), ecn
        ),
        now,
    )


def _fit(connection: Connection, options: bytes) -> int:
    """The MSS of a segment with these options: SACK blocks come out of its payload (RFC 6691 2)."""
    mss = connection.sender.mss
    usual = 12 if connection.timestamps else 0
    return mss if len(options) <= usual else mss - (len(options) - usual)


def acknowledge(connection: Connection, now: float) -> None:
    """Send an ACK without data (RFC 9293 3.8.6.3), with SACK blocks where something is missing."""
    if not lane.acknowledge(connection, now):
        _bare(connection, connection.sender.nxt, now)


def probe(connection: Connection, now: float) -> None:
    """Ask for an ACK by a segment that the peer has had: for a closed window and for keep-alive (RFC 9293 3.8.4)."""
    try:
        _bare(connection, connection.sender.una - 1, now)
    except NetworkFailure as failure:
        connection.soft_error = failure  # as good as one that got lost


def _bare(connection: Connection, sequence: int, now: float) -> None:
    receiver = connection.receiver
    flags = ACK | (ECE if connection.ecn and connection.ecn_echo else 0)
    options = (
        _TIMESTAMPS(_TIMESTAMP_WORD, timestamp(connection, now), connection.timestamp_recent)
        if (connection.timestamps)
        else b""
    )
    if receiver.ranges or receiver.duplicate is not None:
        options += _sack(connection, connection.sender.mss)
    window = receiver.advertise(connection.receive_mss)
    connection.ack_due = False
    connection.ack_octets = 0
    connection.ack_at = inf
    connection.last_ack_sent = receiver.nxt
    connection.framer.emit(Outgoing(sequence, receiver.nxt, flags, window, options), now)


def _sack(connection: Connection, mss: int) -> bytes:
    """The SACK option (RFC 2018 3), or nothing where the peer does not want it."""
    receiver = connection.receiver
    blocks = receiver.sack_blocks(_BLOCKS_WITH_TIMESTAMPS if connection.timestamps else _BLOCKS)
    if not connection.sender.sack or not blocks:
        return b""
    return _SACK_WORD(1, 1, 5, 2 + 8 * len(blocks)) + b"".join(_BLOCK(left & _M, right & _M) for left, right in blocks)


def _syn(connection: Connection, now: float) -> None:
    """Send our SYN, or the SYN,ACK that answers the peer's."""
    connection.syn_due = False
    sender, receiver = connection.sender, connection.receiver
    connection.syn_tries += 1
    first = connection.syn_tries == 1
    connection.syn_time = now if first else connection.syn_time
    options = handshake.offer(connection, now)
    window = min(receiver.capacity, 65535)
    flags, acknowledgment = SYN, 0
    if connection.state is State.SYN_RECEIVED:
        flags |= ACK
        acknowledgment = connection.last_ack_sent = receiver.nxt
        receiver.edge = max(receiver.edge, receiver.nxt + window)
        if connection.ecn:
            flags |= ECE
    elif connection.ecn and first:
        flags |= ECE | CWR  # RFC 3168 6.1.1; tried once, in case something on the path drops it
    else:
        connection.ecn = False
    sender.nxt = sender.iss + 1
    sender.arm_for_handshake(now)
    try:
        connection.framer.emit(Outgoing(sender.iss, acknowledgment, flags, window, options), now)
    except NetworkFailure as failure:
        connection.soft_error = failure
    connection.set_timer()


def reset(connection: Connection, now: float) -> None:
    """Tell the peer that it is over: RST with the next sequence number, and ACK (RFC 9293 3.10.5)."""
    connection.tcp.counters["tcp.resets-sent"] += 1
    sender, receiver = connection.sender, connection.receiver
    options = (
        _TIMESTAMPS(_TIMESTAMP_WORD, timestamp(connection, now), connection.timestamp_recent)
        if (connection.timestamps)
        else b""
    )
    try:
        connection.framer.emit(Outgoing(sender.nxt, receiver.nxt, RST | ACK, 0, options), now)
    except NetworkFailure:
        return  # nobody is there to hear it
