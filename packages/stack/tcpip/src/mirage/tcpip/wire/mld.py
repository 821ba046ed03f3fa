"""Multicast Listener Discovery, both versions (RFC 2710, RFC 3810): queries are read, and reports are written.

The terms are those of `mirage.tcpip.wire.igmp`, which says the same for IPv4. What is built here is the message from
octet 4 on: the ICMPv6 header and its checksum are put before it by who sends it.
"""

from __future__ import annotations

from ..errors import WireError
from .igmp import Query, Record

__all__ = [
    "QUERY",
    "REPORT1",
    "REPORT2",
    "ROUTER_ALERT",
    "build_done1",
    "build_report1",
    "build_report2",
    "parse_query",
]

QUERY, REPORT1, DONE1, REPORT2 = 130, 131, 132, 143
ROUTER_ALERT = b"\x3a\0\x05\x02\0\0\x01\0"
"""The hop-by-hop header that every message carries (RFC 2711; RFC 3810 5), with ICMPv6 behind it."""


def parse_query(rest: bytes, body: memoryview) -> Query:
    """Read a query: `rest` are the message's octets 4 to 7, `body` what follows. Raises `WireError`."""
    if len(body) < 16:
        raise WireError("an MLD query that is cut off (RFC 2710 3)")
    group, code = bytes(body[:16]), int.from_bytes(rest[:2], "big")
    if any(group) and group[0] != 0xFF:
        raise WireError("an MLD query for what is no group (RFC 3810 5.1.5)")
    if len(body) == 16:
        return Query(2, group, code / 1000, 0, False)
    if len(body) < 20:
        raise WireError("an MLD query that is neither of version 1 nor of version 2 (RFC 3810 8.1)")
    # RFC 3810 5.1.3: above 32767 it is a floating form
    delay = code if code < 0x8000 else (code & 0x0FFF | 0x1000) << ((code >> 12 & 7) + 3)
    return Query(3, group, delay / 1000, body[16] & 7, bool(body[18] | body[19]))


def build_report1(group: bytes) -> bytes:
    """A report of version 1, which goes to the group itself."""
    return bytes(4) + group


def build_done1(group: bytes) -> bytes:
    """The message of version 1 that a group has been left, which goes to all routers, ff02::2."""
    return bytes(4) + group


def build_report2(records: list[Record]) -> bytes:
    """A report of version 2 (RFC 3810 5.2), which goes to ff02::16."""
    return bytes(2) + len(records).to_bytes(2, "big") + b"".join(bytes([r.kind, 0, 0, 0]) + r.group for r in records)
