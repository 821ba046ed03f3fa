"""Whom guests may reach: nobody, unless a rule says so.

A rule names addresses and ports. Addresses that are the host's own business (its loopback, link-local ones, those
of groups, and what only stands for another address) are covered by a rule only that names them, never by
``--allow-all`` or a wider network. To a guest the host's loopback is the address of the gateway.

Nothing here does I/O: names are resolved by whoever makes a `Rule`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from .errors import BadOption
from .plan import Plan

__all__ = ["Address", "Policy", "Rule", "parse_host_port", "parse_rule"]

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_EVERYWHERE: tuple[Network, ...] = (IPv4Network("0.0.0.0/0"), IPv6Network("::/0"))
_SPECIAL: tuple[Network, ...] = (
    # RFC 6890: this host, loopback, link-local (with the metadata servers of clouds), groups, broadcast and reserved.
    IPv4Network("0.0.0.0/8"),
    IPv4Network("127.0.0.0/8"),
    IPv4Network("169.254.0.0/16"),
    IPv4Network("224.0.0.0/3"),
    IPv6Network("::/96"),
    IPv6Network("fe80::/10"),
    IPv6Network("ff00::/8"),
    # They stand for an IPv4 address (RFC 4291 2.5.5.2, RFC 6052 2.1, RFC 3056 2, RFC 4380 4), which has its own rules.
    IPv6Network("::ffff:0:0/96"),
    IPv6Network("64:ff9b::/96"),
    IPv6Network("64:ff9b:1::/48"),
    IPv6Network("2002::/16"),
    IPv6Network("2001::/32"),
)
_LOOPBACK4, _LOOPBACK6 = IPv4Address("127.0.0.1"), IPv6Address("::1")
_PORTS = range(1, 65536)


@dataclass(frozen=True, slots=True)
class Rule:
    """Every port of `ports` of every address of `networks` may be reached."""

    networks: tuple[Network, ...]
    ports: range = _PORTS

    def covers(self, address: Address, port: int) -> bool:
        """Whether this rule permits it."""
        if port not in self.ports:
            return False
        special = _special(address)
        return any(
            address in network and (special is None or _within(network, special))
            for network in self.networks
            if network.version == address.version
        )


class Policy:
    """What is permitted, and where it is on the host."""

    def __init__(self, plan: Plan, rules: Iterable[Rule] = (), *, everything: bool = False) -> None:
        self.plan = plan
        self.rules = (*rules, *([Rule(_EVERYWHERE)] if everything else []))

    @property
    def nothing(self) -> bool:
        """Whether guests may reach nobody at all."""
        return not self.rules

    def target(self, destination: bytes, port: int) -> tuple[Address, int] | None:
        """Where the host should connect when a guest wants `destination`, 4 or 16 octets; None if it may not."""
        address: Address = ipaddress.ip_address(destination)
        plan = self.plan
        if address in {plan.gateway4, plan.gateway6}:
            address = _LOOPBACK4 if address.version == 4 else _LOOPBACK6
        elif address in plan.ipv4 or address in plan.ipv6 or _special(address) in _SPECIAL[:2] or address.is_loopback:
            return None  # guests reach each other by themselves, and a loopback by the gateway's address only
        if port and any(rule.covers(address, port) for rule in self.rules):
            return address, port
        return None


def parse_rule(text: str, resolve: Callable[[str], Sequence[Address]]) -> Rule:
    """A rule from ``HOST[:PORT[-PORT]]``: HOST is an address (of IPv6 in brackets), a network, a name, or ``*``.

    `resolve` gives the addresses of a name. Raises `BadOption`, and what `resolve` raises.
    """
    host, ports_text = parse_host_port(text)
    ports = _PORTS
    if ports_text:
        first, _, last = ports_text.partition("-")
        if not all(part.isascii() and part.isdigit() for part in (first, last or first)):
            raise BadOption(f"{ports_text!r} in {text!r} is no port, like 443 or 8000-8010")
        ports = range(int(first), int(last or first) + 1)
        if not ports or ports[0] < 1 or ports[-1] > 65535:
            raise BadOption(f"{ports_text!r} in {text!r}: ports are 1 to 65535, the smaller first")
    if host == "*":
        return Rule(_EVERYWHERE, ports)
    try:
        return Rule((ipaddress.ip_network(host),), ports)
    except ValueError:
        if not host or "/" in host:
            raise BadOption(
                f"{text!r} is no rule: write an address, a network like 192.0.2.0/24, a name or *, and perhaps :PORT"
            ) from None
    found = resolve(host)
    return Rule(tuple(ipaddress.ip_network(address) for address in found), ports)


def parse_host_port(text: str) -> tuple[str, str]:
    """``HOST``, ``HOST:PORT`` or ``[HOST]:PORT`` in two; an address of IPv6 without brackets has no port."""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise BadOption(f"{text!r} lacks its second bracket, or has something else than a port behind it")
        return host, rest[1:]
    if text.count(":") > 1:
        return text, ""
    host, _, port = text.partition(":")
    return host, port


def _special(address: Address) -> Network | None:
    """The network of addresses that are to be named by a rule, if it is one of those."""
    for network in _SPECIAL:
        if network.version == address.version and address in network:
            return network
    return None


def _within(network: Network, special: Network) -> bool:
    if isinstance(network, IPv4Network):
        return isinstance(special, IPv4Network) and network.subnet_of(special)
    return isinstance(special, IPv6Network) and network.subnet_of(special)
