"""`mirage.dns` as the name server of a `Resolver`."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from mirage.types import Random

from .errors import name_error

if TYPE_CHECKING:
    from mirage import dns
    from mirage.dns.message import Name

__all__ = ["DnsNames"]


class DnsNames:
    """A stub resolver that asks by the running event loop's own endpoints, so over the stack. Fits `NameServer`.

    `mirage.dns` is imported with the first question: a server that asks none starts sooner.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._servers: tuple[str, ...] = ()
        self._search: tuple[str, ...] = ()
        self._resolver: dns.Resolver | None = None
        self._learned: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {}

    def configure(self, servers: Iterable[str], search: Iterable[str] = ()) -> None:
        """Ask these servers from now on. What was remembered is forgotten: another network may know other names."""
        self._servers, self._search = tuple(servers), tuple(search)
        self._resolver = None

    def learn(self, source: str, servers: Iterable[str], search: Iterable[str] = ()) -> None:
        """What `source` tells now, in the place of what it told before: all sources together are asked, those that were
        heard first before the others."""
        self._learned[source] = tuple(servers), tuple(search)
        told = self._learned.values()
        self.configure(
            dict.fromkeys(server for servers, _ in told for server in servers),
            dict.fromkeys(domain for _, search in told for domain in search),
        )

    @property
    def resolver(self) -> dns.Resolver:
        """The resolver, for introspection."""
        if self._resolver is None:
            from mirage import dns

            settings = dns.Settings(
                servers=tuple(dns.NameServer.of(server) for server in self._servers),
                search=tuple(_names(self._search)),
            )
            self._resolver = dns.Resolver(settings, self._random)
        return self._resolver

    async def addresses(self, name: str, versions: Iterable[int]) -> list[bytes]:
        """The addresses of a name. Raises `socket.gaierror`."""
        from mirage.dns import DnsError

        wanted = set(versions)
        try:
            found = await self.resolver.addresses(name, 0 if wanted == {4, 6} else 4 if wanted == {4} else 6)
        except DnsError as error:
            raise _as_gaierror(error) from error
        return [address.packed for address in found]

    async def name(self, address: bytes) -> str | None:
        """The first name of an address, None when there is none or nobody can say."""
        from mirage.dns import DnsError

        try:
            names = await self.resolver.names(ipaddress.ip_address(address))
        except DnsError:
            return None
        return names[0] if names else None


def _names(texts: Iterable[str]) -> Iterator[Name]:
    """Those that are names: what a network tells is not to be trusted for that."""
    from mirage import dns
    from mirage.dns.message import parse_name

    for text in texts:
        with contextlib.suppress(dns.BadName):
            yield parse_name(text)


def _as_gaierror(error: dns.DnsError) -> socket.gaierror:
    from mirage import dns

    if isinstance(error, dns.NoData):
        return name_error(getattr(socket, "EAI_NODATA", socket.EAI_NONAME), str(error))
    if isinstance(error, (dns.NameNotFound, dns.BadName)):
        return name_error(socket.EAI_NONAME, str(error))
    if isinstance(error, (dns.TimedOut, dns.TooManyQueries)):
        return name_error(socket.EAI_AGAIN, str(error))
    return name_error(socket.EAI_FAIL, str(error))
