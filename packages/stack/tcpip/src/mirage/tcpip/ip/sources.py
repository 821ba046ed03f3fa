"""Which of this host's addresses a packet goes out from, and which of another's is tried first (RFC 6724 5 and 6), for
both versions of IP."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .interface import Interface, InterfaceAddress
from .routes import in_prefix

__all__ = ["choose", "order", "scope"]

# RFC 6724 2.1: prefix, length, precedence, label
_POLICY = (
    (bytes(15) + b"\1", 128, 50, 0),
    (bytes(16), 0, 40, 1),
    (bytes(10) + b"\xff\xff" + bytes(4), 96, 35, 4),
    (b"\x20\x02" + bytes(14), 16, 30, 2),
    (b"\x20\x01" + bytes(14), 32, 5, 5),
    (b"\xfc" + bytes(15), 7, 3, 13),
    (bytes(16), 96, 1, 3),
    (b"\xfe\xc0" + bytes(14), 10, 1, 11),
    (b"\x3f\xfe" + bytes(14), 16, 1, 12),
)
_MAPPED = bytes(10) + b"\xff\xff"
"""What precedes an IPv4 address in the policy table (RFC 6724 2.1)."""
_LINK, _SITE, _GLOBAL = 2, 5, 14


def scope(address: bytes) -> int:
    """How far an address reaches (RFC 6724 3.1): 2 the link, 5 the site, 14 everywhere; of groups, as they say."""
    if len(address) == 4:
        if address[0] == 127 or address[:2] == b"\xa9\xfe":
            return _LINK
        return _GLOBAL
    if address[0] == 0xFF:
        return address[1] & 15
    if address == bytes(15) + b"\1" or (address[0] == 0xFE and address[1] & 0xC0 == 0x80):
        return _LINK
    if address[0] == 0xFE and address[1] & 0xC0 == 0xC0:
        return _SITE
    return _GLOBAL


def _policy(address: bytes) -> tuple[int, int]:
    """Precedence and label of an address (RFC 6724 2.1)."""
    address = address if len(address) == 16 else _MAPPED + address
    best = max((p for p in _POLICY if in_prefix(address, p[0], p[1])), key=lambda p: p[1])
    return best[2], best[3]


def _label(address: bytes) -> int:
    return _policy(address)[1]


def _common(a: bytes, b: bytes) -> int:
    """Bits at the start that are the same; of IPv6 only the prefix counts (RFC 6724 2.2)."""
    different = int.from_bytes(a, "big") ^ int.from_bytes(b, "big")
    return min(len(a) * 8 - different.bit_length(), 64 if len(a) == 16 else 32)


def choose(
    destination: bytes,
    outgoing: Interface,
    candidates: Iterable[tuple[Interface, InterfaceAddress]],
    now: float,
    *,
    prefer_temporary: bool,
) -> bytes | None:
    """The best source address for a destination; None when there is none of its version that may be used."""
    usable = [
        (interface, own)
        for interface, own in candidates
        if len(own.address) == len(destination)
        and not own.tentative
        and own.valid_until > now
        and (interface is outgoing or scope(own.address) > _LINK)
    ]
    if len(usable) < 2:
        return usable[0][1].address if usable else None
    wanted, label = scope(destination), _label(destination)

    def rank(candidate: tuple[Interface, InterfaceAddress]) -> tuple[object, ...]:
        interface, own = candidate
        reach = scope(own.address)
        return (
            own.address == destination,  # rule 1
            reach >= wanted,  # rule 2: the smallest scope that suffices, else the largest there is
            -reach if reach >= wanted else reach,
            own.preferred_until > now,  # rule 3
            interface is outgoing,  # rule 5
            _label(own.address) == label,  # rule 6
            own.temporary == prefer_temporary,  # rule 7
            _common(own.address, destination),  # rule 8
        )

    return max(usable, key=rank)[1].address


def order(destinations: Iterable[bytes], source: Callable[[bytes], tuple[bytes, bool] | None]) -> list[bytes]:
    """Addresses in the order in which they are best tried (RFC 6724 6); equal ones stay as they come.

    `source` gives for a destination the address that packets to it go out from, and whether that is deprecated; None
    where no way leads there.
    """

    def rank(destination: bytes) -> tuple[object, ...]:
        found = source(destination)
        if found is None:
            return (True,)  # rule 1
        own, deprecated = found
        precedence, label = _policy(destination)
        return (
            False,
            scope(own) != scope(destination),  # rule 2
            deprecated,  # rule 3
            _label(own) != label,  # rule 5
            -precedence,  # rule 6
            scope(destination),  # rule 8
            -_common(own, destination),  # rule 9: of one version, for two have not the same precedence
        )

    return sorted(destinations, key=rank)
