"""ARP for Ethernet and IPv4 (RFC 826)."""

from __future__ import annotations

import struct
from typing import NamedTuple

from ..errors import WireError

__all__ = ["REPLY", "REQUEST", "Arp", "build", "parse"]

REQUEST, REPLY = 1, 2

_LAYOUT = struct.Struct(">HHBBH6s4s6s4s")
_ETHERNET, _IPV4 = 1, 0x0800


class Arp(NamedTuple):
    """A request or a reply."""

    operation: int
    sender_mac: bytes
    sender: bytes
    """4 octets; all zero in a probe (RFC 5227 1.1)."""
    target_mac: bytes
    target: bytes


def parse(data: memoryview) -> Arp:
    """Read what follows the Ethernet header. Raises `WireError`."""
    if len(data) < _LAYOUT.size:
        raise WireError(f"an ARP packet of {len(data)} octets; it has {_LAYOUT.size} (RFC 826)")
    hardware, protocol, mac_size, address_size, operation, *addresses = _LAYOUT.unpack_from(data)
    if (hardware, protocol, mac_size, address_size) != (_ETHERNET, _IPV4, 6, 4):
        raise WireError("an ARP packet that is not for Ethernet and IPv4")
    if operation not in {REQUEST, REPLY}:
        raise WireError(f"an ARP packet with operation {operation}")
    return Arp(operation, *addresses)


def build(arp: Arp) -> bytes:
    """The reverse of `parse`."""
    return _LAYOUT.pack(_ETHERNET, _IPV4, 6, 4, *arp)
