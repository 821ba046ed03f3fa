"""IGMP, all three versions (RFC 1112, RFC 2236, RFC 3376): queries are read, and reports are written.

A report here says of a group that everything or nothing of it is wanted; which sources is not ours to say.
"""

from __future__ import annotations

from typing import NamedTuple

from ..errors import WireError
from .checksum import checksum, ones_sum

__all__ = ["ROUTER_ALERT", "Query", "Record", "build_leave2", "build_report", "build_report3", "parse_query"]

QUERY, REPORT1, REPORT2, LEAVE2, REPORT3 = 0x11, 0x12, 0x16, 0x17, 0x22
ROUTER_ALERT = b"\x94\x04\0\0"
"""The IPv4 option that all but version 1 carries (RFC 2113, RFC 3376 4)."""

_MODE_IS_EXCLUDE, _TO_INCLUDE, _TO_EXCLUDE = 2, 3, 4


class Query(NamedTuple):
    """A router asks who is there."""

    version: int
    """Of IGMP 1 to 3; of MLD, in the same terms, 2 or 3: there MLDv1 is what IGMPv2 is (RFC 3810 1)."""
    group: bytes
    """All zero in a general query."""
    max_delay: float
    """Seconds by which answers may be late."""
    robustness: int
    """How often a report is sent because it may be lost; 0: unsaid (RFC 3376 4.1.6)."""
    sources: bool
    """Whether it asks after sources of the group."""


class Record(NamedTuple):
    """What a report says of one group."""

    group: bytes
    kind: int
    """`MODE_IS_EXCLUDE`: it is joined; `TO_EXCLUDE`: has been joined; `TO_INCLUDE`: has been left."""


MODE_IS_EXCLUDE, TO_INCLUDE, TO_EXCLUDE = _MODE_IS_EXCLUDE, _TO_INCLUDE, _TO_EXCLUDE


def parse_query(data: memoryview) -> Query | None:
    """Read a message; None for one that is no query. Raises `WireError`."""
    if len(data) < 8:
        raise WireError(f"an IGMP message of {len(data)} octets; the shortest has 8 (RFC 2236 2)")
    if ones_sum(data):
        raise WireError("an IGMP message whose checksum is wrong")
    if data[0] != QUERY:
        return None
    group = bytes(data[4:8])
    if len(data) < 12:  # RFC 3376 7.1
        if data[1] == 0:
            return Query(1, group, 10.0, 0, False)
        return Query(2, group, data[1] / 10, 0, False)
    return Query(3, group, _decode(data[1]) / 10, data[8] & 7, bool(data[10] | data[11]))


def build_report(version: int, group: bytes) -> bytes:
    """A report of version 1 or 2, which goes to the group itself."""
    return _summed(bytes([REPORT1 if version == 1 else REPORT2, 0, 0, 0]) + group)


def build_leave2(group: bytes) -> bytes:
    """The message of version 2 that a group has been left, which goes to all routers, 224.0.0.2."""
    return _summed(bytes([LEAVE2, 0, 0, 0]) + group)


def build_report3(records: list[Record]) -> bytes:
    """A report of version 3 (RFC 3376 4.2), which goes to 224.0.0.22."""
    head = bytes([REPORT3, 0, 0, 0, 0, 0]) + len(records).to_bytes(2, "big")
    return _summed(head + b"".join(bytes([r.kind, 0, 0, 0]) + r.group for r in records))


def _decode(code: int) -> int:
    """A time in a floating form (RFC 3376 4.1.1)."""
    if code < 128:
        return code
    return (code & 15 | 16) << ((code >> 4 & 7) + 3)


def _summed(message: bytes) -> bytes:
    return message[:2] + checksum(message).to_bytes(2, "big") + message[4:]
