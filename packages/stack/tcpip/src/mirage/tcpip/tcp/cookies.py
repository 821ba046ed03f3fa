"""SYN cookies (RFC 4987 3.6): a listener under attack keeps nothing, and finds in the ACK what it said in the SYN-ACK.

The cookie is the initial sequence number: 5 bits of time slot, 3 bits of MSS, 24 bits of a keyed hash over the
connection, the peer's sequence number, slot and MSS. What does not fit is carried by the low bits of the timestamp, and
comes back in TSecr; a peer without timestamps has neither window scaling nor SACK on a connection made by a cookie.
"""

from __future__ import annotations

from math import inf
from typing import Final, NamedTuple

from .secrets import Draw, Secret

__all__ = ["OPTION_BITS", "Cookie", "SynCookies"]

_SLOT: Final = 64.0
"""Seconds. A cookie is good for the slot in which it was made and the one after: 64 to 128 s."""
_SLOT_BITS: Final = 5
_MAC_BITS: Final = 24
_MSS_TABLE: Final = (216, 536, 1220, 1300, 1400, 1440, 1460, 8900)
"""What the peer's MSS is rounded down to: the minimum, the defaults of IPv4 and IPv6 (RFC 9293 3.7.1), tunnels,
Ethernet with IPv6 and IPv4, jumbo frames."""

OPTION_BITS: Final = 6
"""Low bits of the timestamp that are not the clock's: 4 of window scale (15: none), SACK, ECN. 64 ms of error."""


class Cookie(NamedTuple):
    """What a cookie remembers."""

    mss: int
    """The peer's, rounded down."""
    window_scale: int | None
    """The peer's shift count; None: it did not offer any, or had no timestamps to carry it."""
    sack: bool
    ecn: bool


class SynCookies:
    """Makes and checks them, under a key of its own.

    While none that was made can still be good none is looked for: somebody who tries all of a cookie's 24 bits, with
    ACKs from an address that is not his, has the time of an attack only.
    """

    __slots__ = ("_secret", "_until")

    def __init__(self, draw: Draw) -> None:
        self._secret = Secret(draw)
        self._until = -inf

    def make(
        self,
        local: bytes,
        local_port: int,
        remote: bytes,
        remote_port: int,
        irs: int,
        mss: int,
        now: float,
    ) -> tuple[int, int]:
        """The initial sequence number (32 bits) of a SYN-ACK to a SYN with sequence number `irs`, and the MSS that
        will be remembered."""
        self._until = now + 2 * _SLOT
        index = max((n for n, size in enumerate(_MSS_TABLE) if size <= mss), default=0)
        slot = int(now / _SLOT)
        mac = self._mac(local, local_port, remote, remote_port, irs, slot, index)
        return slot % (1 << _SLOT_BITS) << 27 | index << _MAC_BITS | mac, _MSS_TABLE[index]

    @staticmethod
    def timestamp(clock: int, window_scale: int | None, sack: bool, ecn: bool) -> int:
        """TSval (32 bits) of the SYN-ACK: `clock`, the value it would be, with its low bits replaced.

        Never above `clock`, so that the timestamps which follow do not go back (RFC 7323 5.3).
        """
        options = (15 if window_scale is None else min(window_scale, 14)) | sack << 4 | ecn << 5
        stamp = clock & ~((1 << OPTION_BITS) - 1) | options
        if stamp > clock:
            stamp -= 1 << OPTION_BITS
        return stamp & 0xFFFFFFFF

    def check(
        self,
        local: bytes,
        local_port: int,
        remote: bytes,
        remote_port: int,
        irs: int,
        cookie: int,
        now: float,
        tsecr: int | None = None,
    ) -> Cookie | None:
        """What the cookie (SEG.ACK - 1, 32 bits) remembers, or None: it was forged, is too old, or is none.

        `irs` is SEG.SEQ - 1; `tsecr` the timestamp that the ACK echoes, already without this connection's offset if
        it was added after `timestamp`.
        """
        if now > self._until:
            return None
        slot = int(now / _SLOT)
        age = (slot - (cookie >> 27)) % (1 << _SLOT_BITS)
        if age > 1:
            return None
        slot -= age
        index = cookie >> _MAC_BITS & 7
        if cookie & ((1 << _MAC_BITS) - 1) != self._mac(local, local_port, remote, remote_port, irs, slot, index):
            return None
        if tsecr is None:
            return Cookie(_MSS_TABLE[index], None, False, False)
        scale = tsecr & 15
        return Cookie(_MSS_TABLE[index], None if scale == 15 else scale, bool(tsecr & 16), bool(tsecr & 32))

    def _mac(
        self, local: bytes, local_port: int, remote: bytes, remote_port: int, irs: int, slot: int, index: int
    ) -> int:
        # The whole number of the slot, of which a cookie tells five bits: it is not good again half an hour later.
        numbers = local_port << 40 | remote_port << 24 | index
        return self._secret.hash(local, remote, numbers, irs & 0xFFFFFFFF, slot) & ((1 << _MAC_BITS) - 1)
