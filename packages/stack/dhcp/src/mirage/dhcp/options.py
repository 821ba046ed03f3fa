"""What the values of options mean, to and from octets. Parsing raises only `InvalidMessage`, building `ValueError`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from typing import NamedTuple

from .errors import InvalidMessage

__all__ = [
    "Route",
    "build_addresses",
    "build_domains",
    "build_routes",
    "parse_addresses",
    "parse_addresses6",
    "parse_domains",
    "parse_mask",
    "parse_routes",
    "parse_static_routes",
    "parse_text",
]

_MOST_NAMES = 64


class Route(NamedTuple):
    """A route; through 0.0.0.0 means that the destination is on the link itself (RFC 3442)."""

    destination: IPv4Network
    router: IPv4Address


def parse_addresses(value: bytes) -> tuple[IPv4Address, ...]:
    """One or more IPv4 addresses (RFC 2132 section 3.5 and many others)."""
    return tuple(IPv4Address(item) for item in _items(value, 4))


def parse_addresses6(value: bytes) -> tuple[IPv6Address, ...]:
    """One or more IPv6 addresses (RFC 3646 section 3)."""
    return tuple(IPv6Address(item) for item in _items(value, 16))


def build_addresses(addresses: Iterable[IPv4Address | IPv6Address]) -> bytes:
    """The pair of both."""
    return b"".join(address.packed for address in addresses)


def parse_mask(value: bytes) -> int:
    """The length of the prefix that a subnet mask stands for (RFC 2132 section 3.3)."""
    if len(value) != 4:
        raise InvalidMessage(f"a subnet mask of {len(value)} octets; it has 4")
    ones = int.from_bytes(value, "big")
    length = ones.bit_count()
    if ones != (0xFFFFFFFF << (32 - length)) & 0xFFFFFFFF:
        raise InvalidMessage(f"{value.hex()} is no subnet mask: its ones are not all in front")
    return length


def parse_routes(value: bytes) -> tuple[Route, ...]:
    """Classless static routes (RFC 3442): each prefix is as short as its length permits."""
    routes, at = [], 0
    if not value:
        raise InvalidMessage("classless routes that are none")
    while at < len(value):
        length = value[at]
        size = (length + 7) // 8
        if length > 32 or at + 1 + size + 4 > len(value):
            raise InvalidMessage("a classless route goes on after the end of its option, or is longer than 32 bits")
        prefix = value[at + 1 : at + 1 + size].ljust(4, b"\0")
        router = value[at + 1 + size : at + 5 + size]
        routes.append(Route(IPv4Network((prefix, length), strict=False), IPv4Address(router)))
        at += 5 + size
    return tuple(routes)


def build_routes(routes: Iterable[Route]) -> bytes:
    """The pair of `parse_routes`."""
    return b"".join(
        bytes([net.prefixlen]) + net.network_address.packed[: (net.prefixlen + 7) // 8] + router.packed
        for net, router in routes
    )


def parse_static_routes(value: bytes) -> tuple[Route, ...]:
    """Static routes to addresses of the old classes (RFC 2132 section 5.8), which hosts read as routes to hosts."""
    pairs = [(IPv4Address(item[:4]), IPv4Address(item[4:])) for item in _items(value, 8)]
    # RFC 2132 section 5.8: the default route is no legal destination.
    return tuple(Route(IPv4Network(to), router) for to, router in pairs if int(to))


def parse_text(value: bytes) -> str:
    """A text, which some servers end with NUL (RFC 2132 section 2); what is not printable ASCII is refused."""
    text = value.rstrip(b"\0")
    if not text or any(octet <= 32 or octet >= 127 for octet in text):
        raise InvalidMessage(f"{value[:64]!r} is no name")
    return text.decode("ascii")


def parse_domains(value: bytes) -> tuple[str, ...]:
    """Domain names, compressed within the option (RFC 3397 section 2; RFC 8415 section 10 has them uncompressed)."""
    names, at = [], 0
    while at < len(value):
        name, at = _name(value, at)
        if name:
            names.append(name)
        if len(names) > _MOST_NAMES:
            raise InvalidMessage(f"more than {_MOST_NAMES} names in one option")
    return tuple(names)


def build_domains(names: Iterable[str]) -> bytes:
    """The pair of `parse_domains`; nothing is compressed."""
    parts = []
    for name in names:
        labels = [label.encode("ascii") for label in name.rstrip(".").split(".")]
        if any(not 0 < len(label) < 64 for label in labels) or sum(map(len, labels)) + len(labels) > 254:
            raise ValueError(f"{name!r} is no domain name: labels have 1 to 63 octets, names up to 255")
        parts += [bytes([len(label)]) + label for label in labels]
        parts.append(b"\0")
    return b"".join(parts)


def _name(value: bytes, start: int) -> tuple[str, int]:
    """The name at `start`, and where what follows it begins."""
    labels: list[str] = []
    at, after = start, -1
    while True:
        if at >= len(value):
            raise InvalidMessage("a domain name goes on after the end of its option")
        length = value[at]
        if length >= 0xC0:
            if at + 1 >= len(value):
                raise InvalidMessage("a pointer in a domain name goes on after the end of its option")
            target = (length & 0x3F) << 8 | value[at + 1]
            if after < 0:
                after = at + 2
            if target >= at:  # only backwards, so there is no circle
                raise InvalidMessage("a pointer in a domain name does not point backwards")
            at = target
            continue
        if length >= 0x40:
            raise InvalidMessage(f"{length:#x} begins neither a label nor a pointer")
        if length == 0:
            return ".".join(labels), after if after >= 0 else at + 1
        labels.append(parse_text(value[at + 1 : at + 1 + length].ljust(length, b" ")))
        if sum(map(len, labels)) + len(labels) > 254:
            raise InvalidMessage("a domain name of more than 255 octets")
        at += 1 + length


def _items(value: bytes, size: int) -> Iterator[bytes]:
    if not value or len(value) % size:
        raise InvalidMessage(f"{len(value)} octets are no whole number of items of {size}")
    return (value[at : at + size] for at in range(0, len(value), size))
