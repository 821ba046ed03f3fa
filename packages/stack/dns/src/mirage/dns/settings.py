"""How a resolver asks: one frozen value."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import TypeAlias

from .errors import BadName
from .hosts import Hosts
from .message import UDP_PAYLOAD, Name, parse_name

__all__ = ["Address", "NameServer", "Settings"]

Address: TypeAlias = "IPv4Address | IPv6Address"


def _names(texts: Iterable[str]) -> Iterator[Name]:
    for text in texts:
        try:
            yield parse_name(text)
        except BadName:
            continue


@dataclass(frozen=True, slots=True)
class NameServer:
    """A name server."""

    address: Address
    port: int = 53

    @classmethod
    def of(cls, address: str | Address, port: int = 53) -> NameServer:
        """A server by its address, given as text too. Raises `ValueError`."""
        return cls(ipaddress.ip_address(address), port)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Times are in seconds."""

    servers: tuple[NameServer, ...] = ()
    """Recursive servers, the preferred ones first."""
    search: tuple[Name, ...] = ()
    """Domains in which a name is looked for that is not absolute."""
    ndots: int = 1
    """A name with at least so many dots is tried as it is before the search list, one with fewer after it."""
    timeout: float = 2.0
    """How long the first answer is waited for; doubled in every round over the servers."""
    attempts: int = 3
    """Rounds over the servers."""
    rotate: bool = False
    """Whether each question begins with another server."""
    edns: bool = True
    payload: int = UDP_PAYLOAD
    mix_case: bool = False
    """Whether letters of a question are in random case, which an answer must repeat, against forgery. The last round
    does without, for servers that do not."""
    source_ports: tuple[int, int] | None = None
    """From which to which port questions are sent, one at random each; None: whichever the event loop's network gives,
    which on Linux is random too."""
    hosts: Hosts = field(default_factory=Hosts)
    max_chain: int = 12
    """CNAMEs that are followed for one name."""
    cache_entries: int = 10_000
    max_ttl: int = 86_400
    max_negative_ttl: int = 10_800
    """RFC 2308 section 5: one to three hours."""
    max_queries: int = 1_000
    """Questions under way at once."""

    @classmethod
    def from_resolv_conf(cls, text: str, **more: object) -> Settings:
        """What a file in the form of resolv.conf(5) says; what makes no sense in it is passed over, as libc does."""
        servers: list[NameServer] = []
        found: dict[str, object] = {}
        for line in text.splitlines():
            match line.split("#")[0].split(";")[0].split():
                case ["nameserver", address, *_]:
                    try:
                        servers.append(NameServer.of(address))
                    except ValueError:
                        continue
                case ["domain" | "search", *names]:
                    found["search"] = tuple(_names(names))
                case ["options", *options]:
                    for option in options:
                        name, _, value = option.partition(":")
                        if name == "rotate":
                            found["rotate"] = True
                        elif value.isascii() and value.isdigit() and name in {"ndots", "attempts", "timeout"}:
                            found[name] = min(int(value), 15) or (0 if name == "ndots" else 1)
        return cls(**{"servers": tuple(servers[:3]), **found, **more})  # type: ignore[arg-type]
