"""`mirage.dns` as the name server of a `Resolver`."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import replace

from mirage import dns
from mirage.dns.message import parse_name
from mirage.types import Random

from .errors import name_error

__all__ = ["DnsNames"]


class DnsNames:
    """A stub resolver that asks by the running event loop's own endpoints, so over the stack. Fits `NameServer`."""

    def __init__(self, random: Random, settings: dns.Settings | None = None) -> None:
        self._random = random
        self.resolver = dns.Resolver(settings or dns.Settings(), random)

    def configure(self, servers: Iterable[str], search: Iterable[str] = ()) -> None:
        """Ask these servers from now on. What was remembered is forgotten, since another network may know other names."""
        settings = replace(
            self.resolver.settings,
            servers=tuple(dns.NameServer.of(server) for server in servers),
            search=tuple(parse_name(name) for name in search),
        )
        self.resolver = dns.Resolver(settings, self._random)

    async def addresses(self, name: str, versions: Iterable[int]) -> list[bytes]:
        """The addresses of a name. Raises `socket.gaierror`."""
        wanted = set(versions)
        try:
            found = await self.resolver.addresses(name, 0 if wanted == {4, 6} else 4 if wanted == {4} else 6)
        except dns.DnsError as error:
            raise _as_gaierror(error) from error
        return [address.packed for address in found]

    async def name(self, address: bytes) -> str | None:
        """The first name of an address, None when there is none or nobody can say."""
        try:
            names = await self.resolver.names(ipaddress.ip_address(address))
        except dns.DnsError:
            return None
        return names[0] if names else None


def _as_gaierror(error: dns.DnsError) -> socket.gaierror:
    if isinstance(error, dns.NoData):
        return name_error(getattr(socket, "EAI_NODATA", socket.EAI_NONAME), str(error))
    if isinstance(error, (dns.NameNotFound, dns.BadName)):
        return name_error(socket.EAI_NONAME, str(error))
    if isinstance(error, (dns.TimedOut, dns.TooManyQueries)):
        return name_error(socket.EAI_AGAIN, str(error))
    return name_error(socket.EAI_FAIL, str(error))
