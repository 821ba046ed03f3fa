"""Who is in which multicast group: IGMPv3 (RFC 3376, RFC 9776) and MLDv2 (RFC 3810, RFC 9777), and what is older."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..errors import WireError
from .checksum import checksum, ones_sum

__all__ = [
    "CHANGE_TO_EXCLUDE",
    "CHANGE_TO_INCLUDE",
    "DONE6",
    "IS_EXCLUDE",
    "LEAVE4",
    "QUERY4",
    "QUERY6",
    "REPORT1_6",
    "REPORT2_4",
    "REPORT2_6",
    "Query",
    "build_old4",
    "build_report4",
    "parse_query4",
    "parse_query6",
    "report6",
]

QUERY4, REPORT2_4, LEAVE4, _REPORT3_4 = 0x11, 0x16, 0x17, 0x22
QUERY6, REPORT1_6, DONE6, REPORT2_6 = 130, 131, 132, 143
IS_EXCLUDE, CHANGE_TO_INCLUDE, CHANGE_TO_EXCLUDE = 2, 3, 4
"""Kinds of records (RFC 3376 4.2.12): we are in the group, have left it, have come into it; from any source."""


class Query(NamedTuple):
    """A router asks."""

    group: bytes
    """All zero: for all groups."""
    seconds: float
    """Within which to answer."""
    old: bool
    """Whether it is of IGMPv1, IGMPv2 or MLDv1."""
    robustness: int
    """How often reports are sent, as the querier has it; 0: not told."""


def _exponential(code: int, bits: int) -> int:
    """RFC 3376 4.1.1, RFC 3810 5.1.3: the top bit set means mantissa and exponent."""
    if not code >> bits - 1:
        return code
    mantissa_bits = bits - 4
    exponent = code >> mantissa_bits & 7
    return (1 << mantissa_bits | code & (1 << mantissa_bits) - 1) << exponent + 3


def parse_query4(message: memoryview) -> Query | None:
    """Read an IGMP message; None for one that is no query. Raises `WireError`."""
    if len(message) < 8:
        raise WireError(f"an IGMP message of {len(message)} octets; it has at least 8 (RFC 3376 4)")
    if ones_sum(message):
        raise WireError("an IGMP message with a wrong checksum")
    if message[0] != QUERY4:
        return None
    group = bytes(message[4:8])
    if len(message) < 12:
        return Query(group, (message[1] or 100) / 10, True, 0)
    return Query(group, _exponential(message[1], 8) / 10, False, message[8] & 7)


def parse_query6(message: memoryview) -> Query:
    """Read an MLD query, from its ICMPv6 header on. Raises `WireError`."""
    if len(message) < 24:
        raise WireError(f"an MLD query of {len(message)} octets; it has at least 24 (RFC 3810 5.1)")
    code, group = int.from_bytes(message[4:6], "big"), bytes(message[8:24])
    if len(message) < 28:
        return Query(group, code / 1000, True, 0)
    return Query(group, _exponential(code, 16) / 1000, False, message[24] & 7)


def _records(records: Sequence[tuple[int, bytes]]) -> bytes:
    return b"".join(bytes([kind, 0, 0, 0]) + group for kind, group in records)


def build_report4(records: Sequence[tuple[int, bytes]]) -> bytes:
    """An IGMPv3 report: kinds and groups (RFC 3376 4.2)."""
    message = bytearray(bytes([_REPORT3_4, 0, 0, 0, 0, 0]) + len(records).to_bytes(2, "big") + _records(records))
    message[2:4] = checksum(message).to_bytes(2, "big")
    return bytes(message)


def build_old4(kind: int, group: bytes) -> bytes:
    """An IGMPv2 report or leave message (RFC 2236 2)."""
    message = bytearray(bytes([kind, 0, 0, 0]) + group)
    message[2:4] = checksum(message).to_bytes(2, "big")
    return bytes(message)


def report6(records: Sequence[tuple[int, bytes]]) -> bytes:
    """What follows type, code and checksum in an MLDv2 report (RFC 3810 5.2)."""
    return bytes(2) + len(records).to_bytes(2, "big") + _records(records)
