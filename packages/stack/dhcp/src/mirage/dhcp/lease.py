"""What a client was given: an address for a time, and what its network is like."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import TypeVar

from ._wire import UNSPECIFIED, Message, Option
from .errors import InvalidMessage
from .options import (
    Route,
    parse_addresses,
    parse_domains,
    parse_mask,
    parse_routes,
    parse_static_routes,
    parse_text,
)

__all__ = ["Lease", "lease_from"]

T = TypeVar("T")

_FOREVER = 0xFFFFFFFF
_LEAST_MTU = 68
"""Octets (RFC 2132 section 5.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Times are of the clock of `Client`; `math.inf` where a lease never ends."""

    address: IPv4Address
    prefix_length: int
    server: IPv4Address
    begins: float
    """When the request that was granted was sent."""
    renew_at: float
    """T1: from then on the server is asked for more."""
    rebind_at: float
    """T2: from then on everybody is."""
    expires: float
    routes: tuple[Route, ...] = ()
    """Classless routes, else the default route through the first router and static ones (RFC 3442)."""
    routers: tuple[IPv4Address, ...] = ()
    dns_servers: tuple[IPv4Address, ...] = ()
    domain: str | None = None
    search: tuple[str, ...] = ()
    """Domains in which names are looked for; the domain itself where the server gave no list."""
    ntp_servers: tuple[IPv4Address, ...] = ()
    broadcast: IPv4Address | None = None
    mtu: int | None = None
    host_name: str | None = None
    message: Message
    """The whole answer, for what else was asked for."""

    @property
    def interface(self) -> IPv4Interface:
        """The address with its prefix."""
        return IPv4Interface((self.address, self.prefix_length))


def lease_from(message: Message, asked: float) -> Lease:
    """The lease that an ACK grants to a request sent at `asked`.

    An option beside the point that makes no sense is as if it were absent; without address, server or time there is no
    lease: raises `InvalidMessage`.
    """
    server, seconds = message.address(Option.SERVER_ID), message.number(Option.LEASE_TIME)
    address = message.yiaddr if message.yiaddr != UNSPECIFIED else message.ciaddr
    if server is None or not seconds or address == UNSPECIFIED:
        raise InvalidMessage("an ACK without address, server identifier or lease time")
    renewal, rebinding = message.number(Option.RENEWAL_TIME), message.number(Option.REBINDING_TIME)
    if seconds == _FOREVER:
        t1 = t2 = length = math.inf
    else:
        length = float(seconds)
        # RFC 2131 section 4.4.5: T1 is 0.5 and T2 is 0.875 of the lease unless the server says otherwise;
        # they come in this order, or the server is not believed.
        t1 = length * 0.5 if renewal is None else float(renewal)
        t2 = length * 0.875 if rebinding is None else float(rebinding)
        if not 0 < t1 < t2 < length:
            t1, t2 = length * 0.5, length * 0.875
    routers = _optional(message, Option.ROUTERS, parse_addresses) or ()
    domain = _optional(message, Option.DOMAIN_NAME, parse_text)
    mtu = message.number(Option.MTU, 2)
    return Lease(
        address=address,
        prefix_length=_prefix_length(message, address),
        server=server,
        begins=asked,
        renew_at=asked + t1,
        rebind_at=asked + t2,
        expires=asked + length,
        routes=_routes(message, routers),
        routers=routers,
        dns_servers=_optional(message, Option.DNS_SERVERS, parse_addresses) or (),
        domain=domain,
        search=_optional(message, Option.DOMAIN_SEARCH, parse_domains) or ((domain,) if domain else ()),
        ntp_servers=_optional(message, Option.NTP_SERVERS, parse_addresses) or (),
        broadcast=message.address(Option.BROADCAST_ADDRESS),
        mtu=mtu if mtu is not None and mtu >= _LEAST_MTU else None,
        host_name=_optional(message, Option.HOST_NAME, parse_text),
        message=message,
    )


def _prefix_length(message: Message, address: IPv4Address) -> int:
    length = _optional(message, Option.SUBNET_MASK, parse_mask)
    if length:
        return length
    first = address.packed[0]  # a server that gives no mask speaks of the old classes (RFC 950 section 2.1)
    return 8 if first < 128 else 16 if first < 192 else 24


def _routes(message: Message, routers: tuple[IPv4Address, ...]) -> tuple[Route, ...]:
    # RFC 3442: with classless routes, a client ignores the routers and the static routes.
    classless = _optional(message, Option.CLASSLESS_ROUTES, parse_routes)
    if classless is not None:
        return classless
    static = _optional(message, Option.STATIC_ROUTES, parse_static_routes) or ()
    default = (Route(IPv4Network("0.0.0.0/0"), routers[0]),) if routers else ()
    return default + static


def _optional(message: Message, code: int, parse: Callable[[bytes], T]) -> T | None:
    value = message.options.get(code)
    try:
        return None if value is None else parse(value)
    except InvalidMessage:
        return None
