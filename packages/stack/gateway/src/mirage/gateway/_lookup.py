"""What answers guests' questions: `mirage.dns.Forwarder`, which asks the name servers that the host asks; or nobody."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import dns.rcode
from mirage.dns import Forwarder, Hosts, InvalidMessage, Resolver, Settings
from mirage.dns.message import build, parse
from mirage.dns.server import check_query
from mirage.types import Random

from .policy import Address

__all__ = ["Lookup"]

_RESOLV_CONF = Path("/etc/resolv.conf")
_HOSTS = Path("/etc/hosts")


class Lookup:
    """Answers, or refuses to."""

    def __init__(self, settings: Settings | bool, random: Random) -> None:
        """See `NameService`."""
        if settings is True:
            settings = Settings.from_resolv_conf(_read(_RESOLV_CONF), hosts=Hosts.parse(_read(_HOSTS)))
        self._resolver = Resolver(settings, random) if settings else None
        self._forwarder = Forwarder(self._resolver) if self._resolver is not None else None

    async def answer(self, octets: bytes, source: Address, *, tcp: bool) -> Iterable[bytes]:
        """The responses to a question; none to what is no question."""
        if self._forwarder is not None:
            return await self._forwarder.handle(octets, source, tcp=tcp)
        try:
            response = check_query(parse(octets))
        except InvalidMessage:
            return ()
        if response is None:
            return ()
        if response.rcode() == dns.rcode.NOERROR:
            response.set_rcode(dns.rcode.REFUSED)
        return (build(response),)

    async def close(self) -> None:
        """Ask no more."""
        if self._resolver is not None:
            await self._resolver.close()


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
