"""What a connection does when time has passed."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from ..errors import ConnectionTimedOut, NetworkFailure
from . import pmtu, transmit
from .sender import Timer
from .state import State

if TYPE_CHECKING:
    from .connection import Connection

__all__ = ["expired"]


def expired(connection: Connection, now: float) -> None:
    """Do what is due; deadlines that are not due yet are set again."""
    if connection.ack_at <= now:
        connection.ack_at = inf
        connection.ack_due = True
        connection.schedule()
    if connection.sender.timer_at <= now:
        _sender(connection, now)
    if connection.life_at <= now and connection.state is not State.CLOSED:
        connection.tcp.counters["tcp.fin-wait-2-timeouts"] += 1
        connection.finish(None)
    if connection.keeps_alive and connection.keepalive_at <= now:
        _keepalive(connection, now)
    if connection.state is not State.CLOSED:
        connection.set_timer()


def _sender(connection: Connection, now: float) -> None:
    sender = connection.sender
    timer = sender.timer
    sender.timer_at = inf
    if not connection.state.synchronized:
        _handshake(connection, now)
    elif timer is Timer.REORDER:
        sender.on_reorder_timer(now)
        connection.schedule()
    elif timer is Timer.PROBE:
        record = sender.on_probe_timer(now)
        connection.tcp.counters["tcp.tail-probes"] += 1
        if record is None:
            size = min(sender.mss, sender.queued, sender.edge - sender.nxt)
            record = sender.take(size, False, now)
        try:
            transmit.send_record(connection, record, now)
        except NetworkFailure as failure:
            connection.soft_error = failure  # the timeout that is set by now tries again, or gives up in time
    elif timer is Timer.PERSIST:
        _persist(connection, now)
    elif timer is Timer.RETRANSMIT:
        _retransmit(connection, now)


def _handshake(connection: Connection, now: float) -> None:
    """The SYN, or the SYN,ACK, got no answer (RFC 9293 3.8.3)."""
    retries = connection.tcp.settings.syn_retries
    if connection.syn_tries > retries:
        connection.finish(connection.soft_error or ConnectionTimedOut(f"no answer to {connection.syn_tries} SYNs"))
        return
    connection.sender.rtt.back_off()
    connection.tcp.counters["tcp.retransmitted"] += 1
    connection.syn_due = True
    connection.schedule()


def _retransmit(connection: Connection, now: float) -> None:
    sender = connection.sender
    if not sender.sent:
        sender.timer = None
        return
    if now - connection.progress_at > connection.user_timeout:
        _give_up(connection, now)
        return
    connection.tcp.counters["tcp.timeouts"] += 1
    pmtu.timed_out(connection, now)
    sender.on_retransmit_timer(now)
    connection.schedule()


def _persist(connection: Connection, now: float) -> None:
    """Nothing is under way and something waits: the peer's window is closed, and it is asked whether that has opened
    (RFC 9293 3.8.6.1); or the application has said that more comes, and none did."""
    sender = connection.sender
    sender.timer = None
    if sender.sent or not sender.queued:
        return
    if sender.edge > sender.nxt:
        transmit.flush(connection, now)  # the window is open: the application held it back, and long enough
        return
    heard = connection.progress_at
    if not connection.closed_by_application:
        # RFC 9293 3.8.6.1: as long as the peer answers, the application may wait. What it has closed it does not miss,
        # and a peer must not make us keep it (RFC 6429 2).
        heard = max(heard, connection.last_heard)
    if now - heard > connection.user_timeout:
        _give_up(connection, now)
        return
    connection.tcp.counters["tcp.window-probes"] += 1
    transmit.probe(connection, now)
    sender.rtt.back_off()
    sender.timer, sender.timer_at = Timer.PERSIST, now + sender.rtt.rto


def _keepalive(connection: Connection, now: float) -> None:
    if connection.keepalive_since != connection.last_heard:
        connection.keepalive_since, connection.keepalive_tries = connection.last_heard, 0
    if connection.keepalive_tries >= connection.keepalive_limit:
        _give_up(connection, now)
        return
    connection.keepalive_tries += 1
    connection.tcp.counters["tcp.keepalive-probes"] += 1
    transmit.probe(connection, now)


def _give_up(connection: Connection, now: float) -> None:
    connection.tcp.counters["tcp.given-up"] += 1
    transmit.reset(connection, now)
    reason = f": {connection.soft_error}" if connection.soft_error else ""
    connection.finish(ConnectionTimedOut(f"nothing came from the peer for too long{reason}"))
