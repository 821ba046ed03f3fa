"""Router solicitations and advertisements and their options (RFC 4861 4.1, 4.2, 4.6; RFC 4191; RFC 8106)."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from ..errors import WireError

__all__ = [
    "ADVERTISEMENT",
    "INFINITE",
    "REDIRECT",
    "SOLICITATION",
    "Advertisement",
    "Prefix",
    "RouteInfo",
    "build",
    "parse",
]

SOLICITATION, ADVERTISEMENT, REDIRECT = 133, 134, 137
INFINITE = 0xFFFFFFFF
"""A lifetime that does not end."""

_SOURCE_LINK, _PREFIX, _MTU, _ROUTE, _DNS, _SEARCH = 1, 3, 5, 24, 25, 31
_HEADER = struct.Struct(">BBHII")
_PREFIX_LAYOUT = struct.Struct(">BBII4x16s")
_MANAGED, _OTHER = 0x80, 0x40
_ON_LINK, _AUTONOMOUS = 0x80, 0x40
_MAX_OPTIONS = 64


@dataclass(frozen=True, slots=True)
class Prefix:
    """A prefix of the link. Lifetimes are in seconds; `INFINITE` for ever."""

    prefix: bytes
    length: int
    valid: int
    preferred: int
    on_link: bool = True
    autonomous: bool = True


@dataclass(frozen=True, slots=True)
class RouteInfo:
    """A prefix that is reached through the router (RFC 4191 2.3); `preference` is 1 (high), 0 or -1 (low)."""

    prefix: bytes
    length: int
    preference: int
    lifetime: int


@dataclass(frozen=True, slots=True)
class Advertisement:
    """What a router says."""

    hop_limit: int = 64
    """0: unspecified."""
    managed: bool = False
    """Whether DHCPv6 gives addresses, and `other`: whether it gives the rest."""
    other: bool = False
    preference: int = 0
    """1 high, 0 medium, -1 low (RFC 4191 2.1)."""
    lifetime: int = 1800
    """Seconds for which it is a default router; 0: it is none."""
    reachable: int = 0
    """Milliseconds, as `retransmit`; 0: unspecified."""
    retransmit: int = 0
    link: bytes = b""
    """The router's Ethernet address, if it told."""
    mtu: int = 0
    """0: not told."""
    prefixes: tuple[Prefix, ...] = ()
    routes: tuple[RouteInfo, ...] = ()
    dns: tuple[tuple[bytes, int], ...] = field(default=())
    """Addresses of name servers, each with its lifetime (RFC 8106 5.1)."""
    search: tuple[tuple[str, int], ...] = ()
    """Domains to search names in, each with its lifetime (RFC 8106 5.2)."""


def parse(message: memoryview) -> Advertisement:
    """Read a message from its ICMPv6 header on; the checksum is the caller's. Unknown options are passed over, and so
    is a known one that is malformed inside (RFC 4861 6.1.2). Raises `WireError`."""
    if len(message) < 16:
        raise WireError(f"a router advertisement of {len(message)} octets; it has at least 16 (RFC 4861 6.1.2)")
    hop_limit, flags, lifetime, reachable, retransmit = _HEADER.unpack_from(message, 4)
    link, mtu = b"", 0
    prefixes: list[Prefix] = []
    routes: list[RouteInfo] = []
    dns: list[tuple[bytes, int]] = []
    search: list[tuple[str, int]] = []
    at = 16
    for _ in range(_MAX_OPTIONS):
        if at >= len(message):
            break
        if at + 2 > len(message) or not message[at + 1] or at + message[at + 1] * 8 > len(message):
            raise WireError("an NDP option of an impossible length (RFC 4861 4.6)")
        kind, body = message[at], bytes(message[at + 2 : at + message[at + 1] * 8])
        at += len(body) + 2
        if kind == _SOURCE_LINK:
            link = body[:6]
        elif kind == _MTU and len(body) == 6:
            mtu = int.from_bytes(body[2:], "big")
        elif kind == _PREFIX and len(body) == 30 and body[0] <= 128:
            length, bits, valid, preferred, prefix = _PREFIX_LAYOUT.unpack(body)
            prefixes.append(
                Prefix(
                    _masked(prefix, length), length, valid, preferred, bool(bits & _ON_LINK), bool(bits & _AUTONOMOUS)
                )
            )
        elif kind == _ROUTE and body[0] <= (len(body) - 6) * 8 and len(body) <= 22:
            prefix = _masked((body[6:] + bytes(16))[:16], body[0])
            if (preference := _preference(body[1])) is not None:
                routes.append(RouteInfo(prefix, body[0], preference, int.from_bytes(body[2:6], "big")))
        elif kind == _DNS and len(body) >= 22:
            life = int.from_bytes(body[2:6], "big")
            dns += [(body[n : n + 16], life) for n in range(6, len(body) - 15, 16)]
        elif kind == _SEARCH and len(body) >= 14:
            search += [(name, int.from_bytes(body[2:6], "big")) for name in _names(body[6:])]
    return Advertisement(
        hop_limit,
        bool(flags & _MANAGED),
        bool(flags & _OTHER),
        _preference(flags) or 0,
        lifetime,
        reachable,
        retransmit,
        link,
        mtu,
        tuple(prefixes),
        tuple(routes),
        tuple(dns),
        tuple(search),
    )


def build(said: Advertisement) -> bytes:
    """The message behind the checksum: what `mirage.tcpip.ip.ndp.send` takes as body. Lists get one option each."""
    flags = _MANAGED * said.managed | _OTHER * said.other | (said.preference & 3) << 3
    parts = [_HEADER.pack(said.hop_limit, flags, said.lifetime, said.reachable, said.retransmit)]
    if said.link:
        parts.append(bytes([_SOURCE_LINK, 1]) + said.link)
    if said.mtu:
        parts.append(bytes([_MTU, 1, 0, 0]) + said.mtu.to_bytes(4, "big"))
    for p in said.prefixes:
        bits = _ON_LINK * p.on_link | _AUTONOMOUS * p.autonomous
        parts.append(bytes([_PREFIX, 4]) + _PREFIX_LAYOUT.pack(p.length, bits, p.valid, p.preferred, p.prefix))
    for r in said.routes:
        head = bytes([_ROUTE, 3, r.length, (r.preference & 3) << 3])
        parts.append(head + r.lifetime.to_bytes(4, "big") + r.prefix)
    for address, life in said.dns:
        parts.append(bytes([_DNS, 3, 0, 0]) + life.to_bytes(4, "big") + address)
    for name, life in said.search:
        labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"
        labels += bytes(-len(labels) % 8)
        parts.append(bytes([_SEARCH, 1 + len(labels) // 8, 0, 0]) + life.to_bytes(4, "big") + labels)
    return b"".join(parts)


def _preference(octet: int) -> int | None:
    """RFC 4191 2.1: 2 is reserved, and in a route option it makes the option void."""
    return {0: 0, 1: 1, 3: -1}.get(octet >> 3 & 3)


def _masked(prefix: bytes, length: int) -> bytes:
    number = int.from_bytes(prefix, "big") >> (128 - length) << (128 - length)
    return number.to_bytes(16, "big")


def _names(data: bytes) -> list[str]:
    """Domain names one after the other, uncompressed, padded with zeros; none at all if one makes no sense."""
    names: list[str] = []
    labels: list[str] = []
    at = 0
    while at < len(data):
        size = data[at]
        label = data[at + 1 : at + 1 + size]
        if size > 63 or len(label) < size or not all(0x21 <= octet < 0x7F and octet != 0x2E for octet in label):
            return []
        at += 1 + size
        if size:
            labels.append(label.decode())
        elif labels:
            names.append(".".join(labels))
            labels = []
    return names if not labels else []
