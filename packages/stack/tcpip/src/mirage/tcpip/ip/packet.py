"""What the IP layer hands up to a transport, once it is whole and for us."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mirage.types import Checksum

if TYPE_CHECKING:
    from .interface import Interface

__all__ = ["ErrorKind", "IcmpError", "Packet"]

import enum


class Packet(NamedTuple):
    """A received IP packet, reassembled, its options or extension headers taken off."""

    interface: Interface
    source: bytes
    """4 or 16 octets, as the other address."""
    destination: bytes
    protocol: int
    """IANA's number: 1 ICMP, 6 TCP, 17 UDP, 58 ICMPv6."""
    payload: memoryview
    """The transport's header and data, without Ethernet's padding. Valid until `Stack.poll` returns."""
    checksum: Checksum
    """What is known of the transport's checksum."""
    hop_limit: int
    traffic_class: int
    """The octet with DSCP and, in its low two bits, ECN (RFC 3168)."""
    packet: memoryview
    """From the IP header on: what an ICMP error about it quotes."""
    group: bool
    """Whether it came to a multicast or broadcast address, of IP or of Ethernet: then nobody is sent an error or a RST
    about it (RFC 1122 3.2.2, RFC 4443 2.4)."""


class ErrorKind(enum.Enum):
    """What an ICMP error means to a transport."""

    NET_UNREACHABLE = "the network cannot be reached"
    HOST_UNREACHABLE = "the host cannot be reached"
    PROTOCOL_UNREACHABLE = "the host does not speak the protocol"
    PORT_UNREACHABLE = "nobody is at the port"
    PROHIBITED = "a router or firewall forbids it"
    PACKET_TOO_BIG = "the packet is too big for the path"
    TIME_EXCEEDED = "the packet's hop limit ran out"
    PARAMETER_PROBLEM = "a field of the packet makes no sense to a node on the path"


class IcmpError(NamedTuple):
    """An ICMP error about a packet that this stack seems to have sent, for the transport to check and to act upon."""

    kind: ErrorKind
    reporter: bytes
    """Who sent the error."""
    local: bytes
    """The source of the packet that it is about: an address of ours."""
    remote: bytes
    """The destination of that packet."""
    protocol: int
    quoted: memoryview
    """The start of the transport's header as it was sent: at least 8 octets."""
    mtu: int
    """Of `PACKET_TOO_BIG`: the largest IP packet that fits, already bounded from below (RFC 1191 7.2, RFC 8201 4).
    Otherwise 0."""
