"""The IPv6 header and its extension headers (RFC 8200)."""

from __future__ import annotations

import struct
from typing import NamedTuple

from ..errors import WireError

__all__ = [
    "FRAGMENT",
    "HEADER",
    "Fragment6",
    "Header6",
    "Payload6",
    "build",
    "build_fragment",
    "holds_headers",
    "parse",
    "walk",
]

HEADER = 40
HOP_BY_HOP, ROUTING, FRAGMENT, NO_NEXT, DESTINATION = 0, 43, 44, 59, 60
_MAX_EXTENSIONS = 8
"""More extension headers than anybody has a use for cost only work (RFC 8504 5.3)."""

_TRANSPORTS = {6: 20, 17: 8, 58: 4}
"""Octets of the headers of TCP, UDP and ICMPv6."""

_LAYOUT = struct.Struct(">IHBB16s16s")
_FRAGMENT = struct.Struct(">BBHI")


class Header6(NamedTuple):
    """The fixed header."""

    traffic_class: int
    flow_label: int
    payload: int
    """Octets behind the fixed header."""
    next_header: int
    hop_limit: int
    source: bytes
    destination: bytes


class Fragment6(NamedTuple):
    """A fragment header (RFC 8200 4.5)."""

    next_header: int
    offset: int
    """Octets of the fragmentable part before this fragment's."""
    more: bool
    identification: int


class Payload6(NamedTuple):
    """What follows the extension headers."""

    protocol: int
    offset: int
    """Where it starts, in octets from the start of the IPv6 header."""
    fragment: Fragment6 | None
    pointer: int
    """Where the number of `protocol` stands: what a Parameter Problem points at (RFC 4443 3.4)."""


class BadExtension(WireError):
    """An extension header asks for an ICMP Parameter Problem."""

    def __init__(self, message: str, code: int, pointer: int, *, to_groups: bool = False) -> None:
        """`to_groups`: the sender is told even if it sent the packet to a group (RFC 8200 4.2, RFC 4443 2.4)."""
        super().__init__(message)
        self.code = code
        self.pointer = pointer
        self.to_groups = to_groups


def parse(data: memoryview) -> Header6:
    """Read the fixed header; `data` may be longer than the packet. Raises `WireError`."""
    if len(data) < HEADER:
        raise WireError(f"an IPv6 packet of {len(data)} octets; the header alone is {HEADER} (RFC 8200 3)")
    word, payload, next_header, hop_limit, source, destination = _LAYOUT.unpack_from(data)
    if word >> 28 != 6:
        raise WireError(f"an IPv6 packet whose version is {word >> 28}")
    if HEADER + payload > len(data):
        raise WireError(f"an IPv6 packet of {len(data)} octets that says {HEADER + payload}")
    return Header6(word >> 20 & 0xFF, word & 0xFFFFF, payload, next_header, hop_limit, source, destination)


def build(
    size: int,
    next_header: int,
    source: bytes,
    destination: bytes,
    *,
    hop_limit: int,
    traffic_class: int = 0,
    flow_label: int = 0,
) -> bytes:
    """A fixed header for `size` octets behind it."""
    word = 6 << 28 | traffic_class << 20 | flow_label
    return _LAYOUT.pack(word, size, next_header, hop_limit, source, destination)


def build_fragment(fragment: Fragment6) -> bytes:
    """A fragment header."""
    return _FRAGMENT.pack(fragment.next_header, 0, fragment.offset | fragment.more, fragment.identification)


def walk(packet: memoryview, first: int) -> Payload6:
    """Go past the extension headers, up to the payload, or up to a fragment header that does not hold a whole packet.

    `first` is the fixed header's next header. Raises `WireError` for what cannot be, `BadExtension` for what has to be
    answered with a Parameter Problem.
    """
    protocol, at, pointer = first, HEADER, 6
    fragment: Fragment6 | None = None
    for _ in range(_MAX_EXTENSIONS):
        if protocol == FRAGMENT:
            if at + 8 > len(packet):
                raise WireError("an IPv6 fragment header that is cut off")
            inner, _, word, identification = _FRAGMENT.unpack_from(packet, at)
            fragment = Fragment6(inner, word & 0xFFF8, bool(word & 1), identification)
            if fragment.offset or fragment.more:
                return Payload6(protocol, at + 8, fragment, pointer)
            protocol, pointer, at = inner, at, at + 8  # an atomic fragment is a whole packet (RFC 6946)
        elif protocol in {HOP_BY_HOP, DESTINATION, ROUTING}:
            if protocol == HOP_BY_HOP and at != HEADER:
                raise BadExtension("hop-by-hop options that are not first (RFC 8200 4.1)", 1, pointer)
            if at + 8 > len(packet):
                raise WireError("an IPv6 extension header that is cut off")
            size = (packet[at + 1] + 1) * 8
            if at + size > len(packet):
                raise WireError("an IPv6 extension header that is longer than the packet")
            if protocol == ROUTING:
                if packet[at + 3]:
                    # RFC 8200 4.4, and RFC 5095 for type 0: nobody is routed through this host
                    raise BadExtension("a routing header with segments left", 0, at + 2)
            else:
                _check_options(packet, at + 2, at + size)
            protocol, pointer, at = packet[at], at, at + size
        else:
            return Payload6(protocol, at, fragment, pointer)
    raise WireError(f"an IPv6 packet with over {_MAX_EXTENSIONS} extension headers")


def holds_headers(packet: memoryview, protocol: int, at: int) -> bool:
    """Whether a first fragment has all headers, that of the transport included (RFC 7112 5, RFC 8200 4.5): where it has
    not, whoever looks at packets on the way has not seen what they are.

    `protocol` is the number in the fragment header, `at` what follows that header.
    """
    for _ in range(_MAX_EXTENSIONS):
        if protocol not in {HOP_BY_HOP, DESTINATION, ROUTING}:
            break
        if at + 8 > len(packet):
            return False
        protocol, at = packet[at], at + (packet[at + 1] + 1) * 8
    return at + _TRANSPORTS.get(protocol, 0) <= len(packet)


def _check_options(packet: memoryview, at: int, end: int) -> None:
    """Unknown options say by their highest bits what is to be done about them (RFC 8200 4.2)."""
    while at < end:
        kind = packet[at]
        if kind == 0:
            at += 1
            continue
        if at + 2 > end or at + 2 + packet[at + 1] > end:
            raise WireError("an IPv6 option that is longer than its header")
        if kind not in {1, 5}:  # PadN, Router Alert (RFC 2711)
            action = kind >> 6
            if action == 1:
                raise WireError(f"an IPv6 option {kind} that asks to be dropped with its packet")
            if action >= 2:
                raise BadExtension(f"an unknown IPv6 option {kind}", 2, at, to_groups=action == 2)
        at += 2 + packet[at + 1]
