"""The UDP header (RFC 768), and what its checksum means in both versions of IP."""

from __future__ import annotations

import struct
from typing import NamedTuple

from ..errors import WireError

__all__ = ["CHECKSUM_AT", "HEADER", "Udp", "build", "parse"]

HEADER = 8
CHECKSUM_AT = 6

_LAYOUT = struct.Struct(">HHHH")


class Udp(NamedTuple):
    """A datagram."""

    source_port: int
    destination_port: int
    checksum: int
    """0: there is none, which IPv6 forbids (RFC 8200 8.1)."""
    length: int
    payload: memoryview


def parse(data: memoryview) -> Udp:
    """Read a datagram; what is behind its length is cut off. Raises `WireError`."""
    if len(data) < HEADER:
        raise WireError(f"a UDP datagram of {len(data)} octets; the header alone is {HEADER} (RFC 768)")
    source, destination, length, checksum = _LAYOUT.unpack_from(data)
    if not HEADER <= length <= len(data):
        raise WireError(f"a UDP datagram of {len(data)} octets that says {length} (RFC 768)")
    return Udp(source, destination, checksum, length, data[HEADER:length])


def build(source_port: int, destination_port: int, size: int) -> bytes:
    """A header for `size` octets of data, its checksum zero."""
    return _LAYOUT.pack(source_port, destination_port, HEADER + size, 0)
