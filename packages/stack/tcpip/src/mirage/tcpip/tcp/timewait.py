"""TIME-WAIT: what is left of a connection while old segments of it may still arrive (RFC 9293 3.4.2, RFC 1337)."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from ..errors import NetworkFailure
from ..wire.tcp import ACK, FIN, RST, SYN, Options, build, build_options, parse_options

if TYPE_CHECKING:
    from .connection import Connection
    from .tcp import Tcp

__all__ = ["TimeWait"]

_TCP = 6
_CHECKSUM_AT = 16
_M = 0xFFFFFFFF
_HALF = 0x80000000
_ANSWERS_APART = 0.5
"""Seconds, as for a connection (RFC 5961 7)."""


class TimeWait:
    """A small record in the place of the connection: it answers, and lets a newer connection take over."""

    __slots__ = (
        "_answered_at",
        "_framer",
        "_nxt",
        "_offset",
        "_rcv_nxt",
        "_recent",
        "_tcp",
        "_timestamps",
        "_window",
        "key",
        "loopback",
        "until",
    )

    def __init__(self, tcp: Tcp, connection: Connection, now: float) -> None:
        self._tcp = tcp
        self.key = connection.key
        self.until = now + tcp.settings.time_wait
        self.loopback = connection.loopback
        self._answered_at = -inf
        self._framer = connection.framer
        self._nxt = connection.sender.nxt
        self._rcv_nxt = connection.receiver.nxt
        self._window = min(connection.receiver.capacity >> connection.receiver.scale, 65535)
        self._timestamps = connection.timestamps
        self._recent = connection.timestamp_recent
        self._offset = connection.timestamp_offset

    def segment(
        self,
        sequence: int,
        acknowledgment: int,
        flags: int,
        window: int,
        payload: memoryview,
        options: memoryview,
        marked: bool,
        now: float,
    ) -> None:
        """Something has come for the old connection: it is told what was received, except by a RST (RFC 1337 3)."""
        if flags & RST:
            return
        if self._timestamps:
            stamps = parse_options(options).timestamps
            if stamps is not None and (stamps[0] - self._recent) & _M < _HALF:
                self._recent = stamps[0]
        if flags & FIN:
            self._tcp.extend(self, now)
        if flags & FIN or payload:
            self._answer(now)
        elif flags & SYN or sequence != self._rcv_nxt & _M:
            # Nothing that has to be heard: two ends that have lost each other must not answer each other for ever.
            if now - self._answered_at >= _ANSWERS_APART:
                self._answered_at = now
                self._answer(now)
            else:
                self._tcp.counters["tcp.answers-withheld"] += 1

    def _answer(self, now: float) -> None:
        framer = self._framer
        stamps = ((int(now * 1000) + self._offset) & _M, self._recent) if self._timestamps else None
        header = build(
            framer.local_port,
            framer.remote_port,
            self._nxt,
            self._rcv_nxt,
            ACK,
            self._window,
            build_options(Options(timestamps=stamps)),
        )
        try:
            framer.path.send(_TCP, [header], now, checksum_offset=_CHECKSUM_AT)
        except NetworkFailure:
            return

    @property
    def sent_until(self) -> int:
        """SND.NXT (32 bits): a connection that takes its place begins above it."""
        return self._nxt & _M

    def may_be_followed_by(self, sequence: int, timestamps: tuple[int, int] | None) -> bool:
        """Whether a SYN with this sequence number and timestamp is newer than the old connection (RFC 6191 2)."""
        if self._timestamps and timestamps is not None and timestamps[0] != self._recent:
            return (timestamps[0] - self._recent) & _M < _HALF
        return 0 < (sequence - self._rcv_nxt) & _M < _HALF
