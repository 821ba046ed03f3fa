"""Names that are known without asking: a hosts file, and those that RFC 6761 reserves."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address

from .errors import BadName
from .message import Name, parse_name

__all__ = ["Hosts"]

_LOCALHOST = parse_name("localhost.")
_INVALID = parse_name("invalid.")
_LOOPBACK = (IPv6Address("::1"), IPv4Address("127.0.0.1"))


class Hosts:
    """Addresses by name and names by address; the same text always means the same."""

    def __init__(self, entries: Mapping[str, Iterable[str | IPv4Address | IPv6Address]] | None = None) -> None:
        self._addresses: dict[Name, tuple[IPv4Address | IPv6Address, ...]] = {}
        self._names: dict[IPv4Address | IPv6Address, tuple[Name, ...]] = {}
        for name, addresses in (entries or {}).items():
            for address in addresses:
                self._add(parse_name(name), ipaddress.ip_address(address))

    @classmethod
    def parse(cls, text: str) -> Hosts:
        """A file in the form of hosts(5); lines that make no sense are passed over, as libc does."""
        hosts = cls()
        for line in text.splitlines():
            address, *names = line.split("#")[0].split() or [""]
            try:
                found = ipaddress.ip_address(address)
                for name in names:
                    hosts._add(parse_name(name), found)
            except (ValueError, BadName):
                continue
        return hosts

    def _add(self, name: Name, address: IPv4Address | IPv6Address) -> None:
        known, names = self._addresses.get(name, ()), self._names.get(address, ())
        if address not in known:
            self._addresses[name] = (*known, address)
        if name not in names:
            self._names[address] = (*names, name)

    def addresses(self, name: Name) -> tuple[IPv4Address | IPv6Address, ...] | None:
        """The addresses of a name; None: ask for it. None of a name that is known not to exist is ()."""
        found = self._addresses.get(name)
        if found is None and name.is_subdomain(_LOCALHOST):
            return _LOOPBACK  # RFC 6761 section 6.3
        if found is None and name.is_subdomain(_INVALID):
            return ()  # RFC 6761 section 6.4
        return found

    def names(self, address: IPv4Address | IPv6Address) -> tuple[Name, ...]:
        """The names of an address, the first of a line first."""
        found = self._names.get(address, ())
        return found or ((_LOCALHOST,) if address.is_loopback else ())
