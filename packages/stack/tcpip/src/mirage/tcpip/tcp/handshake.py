"""How a connection is opened: what is offered in a SYN, what is agreed on, and the way to ESTABLISHED."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..errors import ConnectionRefused
from ..wire.tcp import ACK, CWR, ECE, FIN, RST, SYN, Options, build_options
from . import transmit
from .state import State

if TYPE_CHECKING:
    from .connection import Connection

__all__ = ["agree", "answered", "established", "limit", "offer", "update_mss"]

_TIMESTAMP_OCTETS: Final = 12
_MIN_MSS: Final = 48
"""Below this a peer's MSS is an attack on our work per octet."""


def scale_for(buffer: int) -> int:
    """The shift that lets a window tell of `buffer` octets (RFC 7323 2.3)."""
    scale = 0
    while scale < 14 and buffer >> scale > 65535:
        scale += 1
    return scale


def offer(connection: Connection, now: float) -> bytes:
    """The options of our SYN, or of the SYN,ACK that answers one: there only what the peer offered too."""
    passive = connection.state is State.SYN_RECEIVED
    timestamps = None
    if connection.timestamps:
        timestamps = (transmit.timestamp(connection, now), connection.timestamp_recent if passive else 0)
    return build_options(
        Options(
            mss=connection.receive_mss,
            window_scale=connection.receiver.scale if connection.scaled else None,
            sack_permitted=connection.sender.sack,
            timestamps=timestamps,
        )
    )


def agree(connection: Connection, options: Options, window: int, now: float) -> None:
    """The peer's SYN has come: what both sides offered holds from here on."""
    sender, receiver = connection.sender, connection.receiver
    connection.peer_mss = max(options.mss if options.mss is not None else 536, _MIN_MSS)
    if options.window_scale is None:
        connection.scaled = False
        receiver.scale = 0
        receiver.limit = receiver.capacity = min(receiver.limit, 65535)
    else:
        connection.scale = options.window_scale
    sender.sack = sender.sack and options.sack_permitted
    connection.timestamps = connection.timestamps and options.timestamps is not None
    if options.timestamps is not None:
        connection.timestamp_recent = options.timestamps[0]
        connection.timestamp_recent_at = now
    connection.window = connection.max_window = window  # that of a SYN is not scaled (RFC 7323 2.2)
    limit(connection)
    sender.congestion.cwnd = sender.congestion.initial_window


def limit(connection: Connection) -> None:
    """The sizes of full segments in both directions, from what both sides' SYNs said and the application allows."""
    connection.peer_mss = min(connection.peer_mss, connection.segment_limit)
    connection.receive_most = connection.receive_mss - (_TIMESTAMP_OCTETS if connection.timestamps else 0)
    connection.receive_full = connection.receive_most
    update_mss(connection)


def update_mss(connection: Connection) -> None:
    """How much a full segment carries: the path, the peer and the options decide (RFC 9293 3.7.1, RFC 6691)."""
    framer = connection.framer
    mtu = framer.path.mtu
    if connection.search is not None:
        mtu = min(mtu, connection.search.size)
    mss = min(connection.peer_mss, mtu - framer.overhead)
    if connection.timestamps:
        mss -= _TIMESTAMP_OCTETS
    mss = max(mss, _MIN_MSS - _TIMESTAMP_OCTETS)
    connection.sender.mss = mss
    connection.sender.congestion.set_mss(mss)


def answered(
    connection: Connection,
    sequence: int,
    acknowledgment: int,
    flags: int,
    window: int,
    payload: memoryview,
    options: Options,
    now: float,
) -> None:
    """A segment in SYN-SENT (RFC 9293 3.10.7.3)."""
    sender, receiver = connection.sender, connection.receiver
    acknowledged = bool(flags & ACK)
    if acknowledged and acknowledgment != sender.nxt & 0xFFFFFFFF:
        if not flags & RST:
            connection.tcp.reset_for(connection, acknowledgment, now)
        return
    if flags & RST:
        if acknowledged:
            connection.finish(ConnectionRefused("the peer refused the connection: nobody listens there"))
        return
    if not flags & SYN:
        return
    receiver.start(sequence)
    agree(connection, options, window, now)
    if not acknowledged:  # both sides open at once (RFC 9293 3.5, figure 7)
        connection.state = State.SYN_RECEIVED
        connection.ecn = connection.ecn and flags & (ECE | CWR) == ECE | CWR
        connection.syn_due = True
        connection.syn_tries = 0
        connection.schedule()
        return
    connection.ecn = connection.ecn and flags & (ECE | CWR) == ECE
    _measure(connection, options, now)
    sender.una = sender.nxt
    sender.edge = sender.una + window
    _open(connection, now)
    connection._acknowledge_now()
    if payload or flags & FIN:  # text with the SYN,ACK (RFC 9293 3.10.7.3): allowed, and rare
        rest = flags & ~SYN
        connection.segment(
            receiver.nxt & 0xFFFFFFFF,
            acknowledgment,
            rest,
            window >> connection.scale,
            payload,
            payload[:0],
            False,
            now,
        )


def established(connection: Connection, window: int, options: Options, now: float) -> None:
    """The handshake's last ACK has come, in SYN-RECEIVED."""
    sender = connection.sender
    _measure(connection, options, now)
    sender.una = sender.iss + 1
    _open(connection, now)


def _measure(connection: Connection, options: Options, now: float) -> None:
    """The round trip of the handshake; of a SYN that was sent again only a timestamp tells it (RFC 7323 4)."""
    sender = connection.sender
    if connection.syn_tries == 1:
        sender.rtt.sample(now - connection.syn_time, now)
    elif connection.syn_tries > 1:
        sender.congestion.cwnd = sender.mss  # RFC 5681 3.1: the SYN was lost
        if (echo := connection.echo(options, now)) is not None:
            sender.rtt.sample(echo, now)
    sender.rtt.established(connection.syn_tries > 1)


def _open(connection: Connection, now: float) -> None:
    sender = connection.sender
    connection.state = State.ESTABLISHED
    connection.syn_due = False
    connection.progress_at = connection.last_heard = now
    connection.ecn_recover = sender.una
    connection.last_ack_sent = connection.receiver.nxt
    sender.recover = sender.una
    sender.timer, sender.timer_at = None, float("inf")
    if connection.listener is not None:
        connection.listener.ready(connection)
    connection.tell()
    connection.schedule()
