"""Ethernet II headers (IEEE 802.3 clause 3), and the group addresses that IP multicast maps to."""

from __future__ import annotations

__all__ = ["ARP", "BROADCAST", "HEADER", "IPV4", "IPV6", "group_mac"]

HEADER = 14
IPV4, ARP, IPV6 = 0x0800, 0x0806, 0x86DD
BROADCAST = b"\xff" * 6


def group_mac(address: bytes) -> bytes:
    """The Ethernet address of an IP multicast group (RFC 1112 6.4, RFC 2464 7)."""
    if len(address) == 4:
        return bytes([0x01, 0x00, 0x5E, address[1] & 0x7F]) + address[2:]
    return b"\x33\x33" + address[12:]
