"""ICMP messages of both versions (RFC 792, RFC 4443): type, code, four octets that depend on both, and a body."""

from __future__ import annotations

import struct
from typing import NamedTuple

from ..errors import WireError
from .checksum import checksum

__all__ = ["Icmp", "build4", "build6", "parse"]

HEADER = 8
_ICMP6 = 58

# RFC 792
ECHO_REPLY4, UNREACHABLE4, REDIRECT4, ECHO_REQUEST4, TIME_EXCEEDED4, PARAMETER_PROBLEM4 = 0, 3, 5, 8, 11, 12
# RFC 4443
UNREACHABLE6, TOO_BIG6, TIME_EXCEEDED6, PARAMETER_PROBLEM6, ECHO_REQUEST6, ECHO_REPLY6 = 1, 2, 3, 4, 128, 129


class Icmp(NamedTuple):
    """A message."""

    kind: int
    code: int
    rest: bytes
    """The second four octets: an identifier and a sequence number, an MTU, a pointer, or nothing."""
    body: memoryview


def parse(data: memoryview) -> Icmp:
    """Read a message; the checksum is the caller's to check. Raises `WireError`."""
    if len(data) < HEADER:
        raise WireError(f"an ICMP message of {len(data)} octets; the header alone is {HEADER}")
    return Icmp(data[0], data[1], bytes(data[4:8]), data[HEADER:])


def build4(kind: int, code: int, rest: bytes, body: bytes | memoryview) -> bytes:
    """An ICMP message, with its checksum."""
    message = bytearray(struct.pack(">BBH", kind, code, 0) + rest + bytes(body))
    message[2:4] = checksum(message).to_bytes(2, "big")
    return bytes(message)


def build6(kind: int, code: int, rest: bytes, body: bytes | memoryview, pseudo: int) -> bytes:
    """An ICMPv6 message, with its checksum; `pseudo` is the sum of both addresses (RFC 8200 8.1)."""
    message = bytearray(struct.pack(">BBH", kind, code, 0) + rest + bytes(body))
    message[2:4] = checksum(message, pseudo + _ICMP6 + len(message)).to_bytes(2, "big")
    return bytes(message)
