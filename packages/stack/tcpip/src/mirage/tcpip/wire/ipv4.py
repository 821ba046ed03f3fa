"""The IPv4 header (RFC 791 3.1)."""

from __future__ import annotations

import struct
from typing import NamedTuple

from ..errors import WireError
from .checksum import checksum

__all__ = ["DONT_FRAGMENT", "HEADER", "MORE_FRAGMENTS", "Header4", "build", "parse", "source_routed"]

HEADER = 20
DONT_FRAGMENT, MORE_FRAGMENTS = 0x4000, 0x2000

_SOURCE_ROUTES = {131, 137}
"""Loose and strict (RFC 791 3.1)."""

_LAYOUT = struct.Struct(">BBHHHBBH4s4s")


class Header4(NamedTuple):
    """A header, without its checksum."""

    length: int
    """Octets of the header, options included."""
    traffic_class: int
    total: int
    """Octets of the packet."""
    identification: int
    flags: int
    """`DONT_FRAGMENT`, `MORE_FRAGMENTS`."""
    offset: int
    """Octets of the original packet's payload before this fragment's."""
    hop_limit: int
    protocol: int
    source: bytes
    destination: bytes

    @property
    def fragment(self) -> bool:
        """Whether this is a fragment of a packet."""
        return bool(self.offset or self.flags & MORE_FRAGMENTS)


def parse(data: memoryview) -> Header4:
    """Read a header; `data` may be longer than the packet, as Ethernet pads. Raises `WireError`.

    The checksum is the caller's to check: `ones_sum(data[:length])` is 0.
    """
    if len(data) < HEADER:
        raise WireError(f"an IPv4 packet of {len(data)} octets; the header alone is {HEADER} (RFC 791 3.1)")
    first, traffic_class, total, identification, fragment, hop_limit, protocol, _, source, destination = (
        _LAYOUT.unpack_from(data)
    )
    length = (first & 15) << 2
    if first >> 4 != 4:
        raise WireError(f"an IPv4 packet whose version is {first >> 4}")
    if not HEADER <= length <= total <= len(data):
        raise WireError(f"an IPv4 packet of {len(data)} octets that says {total}, of them {length} of header")
    return Header4(
        length,
        traffic_class,
        total,
        identification,
        fragment & 0xE000,
        (fragment & 0x1FFF) << 3,
        hop_limit,
        protocol,
        source,
        destination,
    )


def source_routed(options: memoryview) -> bool:
    """Whether a header's options want the packet to go a way of its sender's choice. Raises `WireError`."""
    at = 0
    while at < len(options) and (kind := options[at]):
        if kind in _SOURCE_ROUTES:
            return True
        if kind == 1:
            at += 1
            continue
        if at + 1 >= len(options) or options[at + 1] < 2 or at + options[at + 1] > len(options):
            raise WireError("an IPv4 option of an impossible length")
        at += options[at + 1]
    return False


def build(
    size: int,
    protocol: int,
    source: bytes,
    destination: bytes,
    *,
    hop_limit: int,
    traffic_class: int = 0,
    identification: int = 0,
    flags: int = DONT_FRAGMENT,
    offset: int = 0,
    options: bytes = b"",
) -> bytes:
    """A header for `size` octets of payload, with its checksum. `options` is a multiple of four octets."""
    length = HEADER + len(options)
    header = bytearray(
        _LAYOUT.pack(
            0x40 | length >> 2,
            traffic_class,
            length + size,
            identification,
            flags | offset >> 3,
            hop_limit,
            protocol,
            0,
            source,
            destination,
        )
        + options
    )
    header[10:12] = checksum(header).to_bytes(2, "big")
    return bytes(header)
