"""Router messages and options of Neighbour Discovery (RFC 4861 4, RFC 8106, RFC 4191, RFC 7527), without the ICMPv6
header's first four octets.

Everything that is read costs at most what its length is; lists are as long as a packet allows. Unknown options are
passed over (RFC 4861 4.6), an option of length zero makes the whole message invalid (RFC 4861 6.1.2).
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from ..errors import WireError

__all__ = [
    "ADVERTISEMENT",
    "REDIRECT",
    "ROUTER_ADVERTISEMENT",
    "ROUTER_SOLICITATION",
    "SOLICITATION",
    "Dnssl",
    "Prefix",
    "Rdnss",
    "RouteInformation",
    "RouterAdvertisement",
    "build_link",
    "build_nonce",
    "build_router_advertisement",
    "first_options",
    "options",
    "parse_redirect",
    "parse_router_advertisement",
]

ROUTER_SOLICITATION, ROUTER_ADVERTISEMENT, SOLICITATION, ADVERTISEMENT, REDIRECT = 133, 134, 135, 136, 137
SOURCE_LINK, TARGET_LINK, PREFIX, REDIRECTED, MTU, NONCE, ROUTE, RDNSS, DNSSL = 1, 2, 3, 4, 5, 14, 24, 25, 31

_RA = struct.Struct(">BBHII")
_PREFIX = struct.Struct(">BBBBIII16s")
_ON_LINK, _AUTONOMOUS = 0x80, 0x40
_MANAGED, _OTHER = 0x80, 0x40
_PREFERENCES = {0: 0, 1: 1, 3: -1}


@dataclass(frozen=True, slots=True)
class Prefix:
    """Prefix information (RFC 4861 4.6.2); lifetimes in seconds, 0xFFFFFFFF for ever."""

    prefix: bytes
    length: int
    on_link: bool
    autonomous: bool
    valid: int
    preferred: int


@dataclass(frozen=True, slots=True)
class RouteInformation:
    """A route through the router (RFC 4191 2.3)."""

    prefix: bytes
    length: int
    preference: int
    """1 high, 0 medium, -1 low."""
    lifetime: int


@dataclass(frozen=True, slots=True)
class Rdnss:
    """Recursive DNS servers (RFC 8106 5.1)."""

    lifetime: int
    servers: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Dnssl:
    """A DNS search list (RFC 8106 5.2)."""

    lifetime: int
    domains: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RouterAdvertisement:
    """RFC 4861 4.2, with the options that a host has a use for."""

    hop_limit: int = 0
    """0: unspecified, as are the two times."""
    managed: bool = False
    """Addresses are to be had by DHCPv6."""
    other: bool = False
    """Other settings are to be had by DHCPv6."""
    preference: int = 0
    """Of the router as a default router (RFC 4191 2.2): 1 high, 0 medium, -1 low."""
    lifetime: int = 0
    """Seconds; 0: no default router."""
    reachable_ms: int = 0
    retransmit_ms: int = 0
    link: bytes | None = None
    """The router's Ethernet address."""
    mtu: int | None = None
    prefixes: tuple[Prefix, ...] = ()
    routes: tuple[RouteInformation, ...] = ()
    rdnss: tuple[Rdnss, ...] = ()
    dnssl: tuple[Dnssl, ...] = field(default=())


def options(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Each option's type and its octets behind type and length. Raises `WireError`, RFC 4861 4.6."""
    at, size = 0, len(data)
    while at < size:
        if at + 2 > size or not data[at + 1] or at + data[at + 1] * 8 > size:
            raise WireError("an NDP option of an impossible length (RFC 4861 4.6)")
        end = at + data[at + 1] * 8
        yield data[at], data[at + 2 : end]
        at = end


def first_options(data: memoryview) -> dict[int, bytes]:
    """The first option of each type. Raises `WireError`."""
    found: dict[int, bytes] = {}
    for kind, value in options(data):
        found.setdefault(kind, bytes(value))
    return found


def build_link(kind: int, mac: bytes) -> bytes:
    """A source or target link-layer address option for Ethernet (RFC 2464 6)."""
    return bytes([kind, 1]) + mac


def build_nonce(nonce: bytes) -> bytes:
    """A nonce of 6 octets (RFC 3971 5.3.2, used as RFC 7527 4.1 says)."""
    return bytes([NONCE, 1]) + nonce


def parse_router_advertisement(rest: bytes, body: memoryview) -> RouterAdvertisement:
    """Read an advertisement; `rest` are the message's octets 4 to 7, `body` what follows. Raises `WireError`."""
    if len(body) < 8:
        raise WireError("a router advertisement that is cut off (RFC 4861 4.2)")
    hop_limit, flags, lifetime, reachable, retransmit = _RA.unpack(rest + bytes(body[:8]))
    link, mtu = None, None
    prefixes: list[Prefix] = []
    routes: list[RouteInformation] = []
    rdnss: list[Rdnss] = []
    dnssl: list[Dnssl] = []
    for kind, value in options(body[8:]):
        if kind == SOURCE_LINK:
            link = bytes(value[:6])
        elif kind == MTU and len(value) == 6:
            mtu = int.from_bytes(value[2:6], "big")
        elif kind == PREFIX and len(value) == 30:
            length, bits, valid, preferred = value[0], value[1], *struct.unpack(">II", value[2:10])
            if length <= 128:
                prefixes.append(
                    Prefix(
                        bytes(value[14:30]), length, bool(bits & _ON_LINK), bool(bits & _AUTONOMOUS), valid, preferred
                    )
                )
        elif kind == ROUTE and len(value) in {6, 14, 22}:
            route = _route(value)
            if route is not None:
                routes.append(route)
        elif kind == RDNSS and len(value) >= 22 and len(value) % 16 == 6:
            servers = tuple(bytes(value[at : at + 16]) for at in range(6, len(value), 16))
            rdnss.append(Rdnss(int.from_bytes(value[2:6], "big"), servers))
        elif kind == DNSSL and len(value) >= 14:
            with contextlib.suppress(WireError):  # one bad name is no reason to be without a router
                dnssl.append(Dnssl(int.from_bytes(value[2:6], "big"), tuple(_domains(value[6:]))))
    return RouterAdvertisement(
        hop_limit,
        bool(flags & _MANAGED),
        bool(flags & _OTHER),
        _PREFERENCES.get(flags >> 3 & 3, 0),  # RFC 4191 2.2: the reserved value is medium
        lifetime,
        reachable,
        retransmit,
        link,
        mtu,
        tuple(prefixes),
        tuple(routes),
        tuple(rdnss),
        tuple(dnssl),
    )


def build_router_advertisement(advertisement: RouterAdvertisement) -> bytes:
    """The message from octet 4 on: what a gateway sends."""
    a = advertisement
    bits = (_MANAGED if a.managed else 0) | (_OTHER if a.other else 0) | (a.preference & 3) << 3
    parts = [_RA.pack(a.hop_limit, bits, a.lifetime, a.reachable_ms, a.retransmit_ms)]
    if a.link is not None:
        parts.append(build_link(SOURCE_LINK, a.link))
    if a.mtu is not None:
        parts.append(struct.pack(">BBHI", MTU, 1, 0, a.mtu))
    for p in a.prefixes:
        flags = (_ON_LINK if p.on_link else 0) | (_AUTONOMOUS if p.autonomous else 0)
        parts.append(_PREFIX.pack(PREFIX, 4, p.length, flags, p.valid, p.preferred, 0, p.prefix))
    for r in a.routes:
        octets = 16 if r.length > 64 else 8 if r.length else 0
        head = struct.pack(">BBBBI", ROUTE, 1 + octets // 8, r.length, (r.preference & 3) << 3, r.lifetime)
        parts.append(head + r.prefix[:octets])
    parts.extend(
        struct.pack(">BBHI", RDNSS, 1 + 2 * len(s.servers), 0, s.lifetime) + b"".join(s.servers) for s in a.rdnss
    )
    for d in a.dnssl:
        names = b"".join(_encoded(domain) for domain in d.domains)
        names += bytes(-len(names) % 8)
        parts.append(struct.pack(">BBHI", DNSSL, 1 + len(names) // 8, 0, d.lifetime) + names)
    return b"".join(parts)


def parse_redirect(body: memoryview) -> tuple[bytes, bytes, dict[int, bytes]]:
    """Target (the better first hop), destination, and the options of a redirect (RFC 4861 4.5). Raises `WireError`."""
    if len(body) < 32:
        raise WireError("a redirect that is cut off (RFC 4861 8.1)")
    return bytes(body[:16]), bytes(body[16:32]), first_options(body[32:])


def _route(value: memoryview) -> RouteInformation | None:
    length, flags = value[0], value[1]
    octets = len(value) - 6
    preference = flags >> 3 & 3
    # RFC 4191 2.3: the option's length must suffice for the prefix; a reserved preference voids the option.
    if length > 128 or (length + 7) // 8 > octets or preference not in _PREFERENCES:
        return None
    prefix = bytes(value[6:]) + bytes(16 - octets)
    return RouteInformation(prefix, length, _PREFERENCES[preference], int.from_bytes(value[2:6], "big"))


def _domains(data: memoryview) -> Iterator[str]:
    """Names of DNS, uncompressed, up to the padding (RFC 8106 5.2, RFC 1035 3.1)."""
    at = 0
    while at < len(data) and data[at]:
        labels = []
        while data[at]:
            end = at + 1 + data[at]
            if data[at] > 63 or end >= len(data):
                raise WireError("a DNS search list with a label that is cut off (RFC 8106 5.2)")
            labels.append(bytes(data[at + 1 : end]))
            at = end
        at += 1
        try:
            name = b".".join(labels).decode("ascii")
        except UnicodeDecodeError:
            continue
        if len(name) <= 253 and name.isprintable():
            yield name


def _encoded(domain: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in domain.split(".")) + b"\0"
