"""Names to addresses and back, as `getaddrinfo` and `getnameinfo`: literals, `localhost`, the hosts table, then DNS."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

from ._addresses import SocketAddress, family_of, literal, to_tuple
from .errors import name_error

if TYPE_CHECKING:
    from ._loop import StackEventLoop

__all__ = ["AddressInfo", "NameServer", "Resolver", "numbered", "ordered"]

AddressInfo = tuple[socket.AddressFamily, socket.SocketKind, int, str, SocketAddress]

_KINDS = ((socket.SOCK_STREAM, socket.IPPROTO_TCP), (socket.SOCK_DGRAM, socket.IPPROTO_UDP))
_LOOPBACK4, _LOOPBACK6 = bytes([127, 0, 0, 1]), bytes(15) + b"\1"


class NameServer(Protocol):
    """Who knows the names that are in no table: a stub resolver of `mirage.dns`, say."""

    async def addresses(self, name: str, versions: Iterable[int]) -> list[bytes]:
        """The addresses of a name, of these versions of IP. Raises `socket.gaierror` when there are none."""
        ...

    async def name(self, address: bytes) -> str | None:
        """The name of an address, None when there is none."""
        ...


class Resolver:
    """What a stack's programs ask for names."""

    def __init__(self, servers: NameServer | None = None, hosts: dict[str, Iterable[str]] | None = None) -> None:
        """`hosts` maps names to literal addresses, and is asked before `servers`."""
        self.servers = servers
        self.hosts: dict[str, list[bytes]] = {}
        for name, addresses in (hosts or {}).items():
            self.add_host(name, addresses)

    def add_host(self, name: str, addresses: Iterable[str]) -> None:
        """Know a name. Raises `ValueError` for what is no literal address."""
        found = [literal(address) for address in addresses]
        if None in found:
            raise ValueError(f"{name}: a hosts table holds literal addresses")
        self.hosts[name.rstrip(".").lower()] = [address for address in found if address is not None]

    # Addresses of names

    async def getaddrinfo(
        self,
        host: Any,
        port: Any,
        family: int = 0,
        type: int = 0,  # noqa: A002 - as in `socket`
        proto: int = 0,
        flags: int = 0,
    ) -> list[AddressInfo]:
        """As `socket.getaddrinfo`. Raises `socket.gaierror`."""
        number = _port(port)
        name = _text(host)
        known = self.known(name, family, flags)
        if known is None:
            assert name is not None
            if flags & socket.AI_NUMERICHOST or self.servers is None:
                raise _no_name(name)
            versions = [version for version in (6, 4) if family in (0, _family(version))]
            known = await self.servers.addresses(name, versions)
        return _infos(known, _scope(name), number, family, type, proto, name if flags & socket.AI_CANONNAME else "")

    def getaddrinfo_now(
        self,
        host: Any,
        port: Any,
        family: int = 0,
        type: int = 0,  # noqa: A002 - as in `socket`
        proto: int = 0,
        flags: int = 0,
    ) -> list[AddressInfo]:
        """The same, without asking any server: for callers that cannot wait. Raises `socket.gaierror`."""
        number, name = _port(port), _text(host)
        known = self.known(name, family, flags)
        if known is None:
            raise _no_name(str(name))
        return _infos(known, _scope(name), number, family, type, proto, name if flags & socket.AI_CANONNAME else "")

    def known(self, name: str | None, family: int, flags: int = 0) -> list[bytes] | None:
        """The addresses that need no server, None if one has to be asked."""
        if name is None:
            if flags & socket.AI_PASSIVE:
                return [bytes(4), bytes(16)]
            return [_LOOPBACK6, _LOOPBACK4]
        address = literal(name)
        if address is not None:
            if family not in (0, family_of(address)):
                raise name_error(getattr(socket, "EAI_ADDRFAMILY", -9), f"{name} is no address of that family")
            return [address]
        plain = name.rstrip(".").lower()
        if plain in self.hosts:
            return self.hosts[plain]
        if plain == "localhost" or plain.endswith(".localhost"):  # RFC 6761 6.3
            return [_LOOPBACK6, _LOOPBACK4]
        return None

    # Names of addresses

    async def getnameinfo(self, address: SocketAddress, flags: int = 0) -> tuple[str, str]:
        """As `socket.getnameinfo`. Raises `socket.gaierror`."""
        octets = _octets(address)
        name = None if flags & socket.NI_NUMERICHOST else self._known_name(octets)
        if name is None and not flags & socket.NI_NUMERICHOST and self.servers is not None:
            name = await self.servers.name(octets)
        return _name_info(name, address, flags)

    def getnameinfo_now(self, address: SocketAddress, flags: int = 0) -> tuple[str, str]:
        """The same, without asking any server."""
        octets = _octets(address)
        return _name_info(None if flags & socket.NI_NUMERICHOST else self._known_name(octets), address, flags)

    def _known_name(self, octets: bytes) -> str | None:
        for name, addresses in self.hosts.items():
            if octets in addresses:
                return name
        return "localhost" if octets in (_LOOPBACK4, _LOOPBACK6) else None


def numbered(loop: StackEventLoop, host: Any) -> Any:
    """``fe80::1%eth0`` with the interface's number in the place of its name, as `Resolver` takes it."""
    if isinstance(host, str) and "%" in host:
        address, _, zone = host.partition("%")
        interface = loop.stack.interfaces.get(zone)
        if interface is not None:
            return f"{address}%{interface.index}"
    return host


def ordered(loop: StackEventLoop, infos: list[AddressInfo]) -> list[AddressInfo]:
    """The addresses of a name in the order in which the stack reaches them best (RFC 6724 6)."""
    by_address: dict[bytes, list[AddressInfo]] = {}
    for info in infos:
        by_address.setdefault(_octets(info[4]), []).append(info)
    if len(by_address) < 2 or not all(map(any, by_address)):  # addresses to listen at are in no order
        return infos
    return [info for address in loop.stack.ip.order(by_address, loop.time()) for info in by_address[address]]


def _octets(address: SocketAddress) -> bytes:
    octets = literal(address[0])
    if octets is None:
        raise _no_name(address[0])
    return octets


def _name_info(name: str | None, address: SocketAddress, flags: int) -> tuple[str, str]:
    if name is None and flags & socket.NI_NAMEREQD:
        raise _no_name(address[0])
    return name or address[0], _service(address[1], flags)


def _no_name(name: str) -> socket.gaierror:
    return name_error(socket.EAI_NONAME, f"Name or service not known: {name}")


def _text(host: Any) -> str | None:
    if isinstance(host, (bytes, bytearray)):
        host = host.decode("idna")
    if host is None or host == "":
        return None
    if not isinstance(host, str):
        raise TypeError("getaddrinfo() argument 1 must be string or None")
    return host if host.isascii() else host.encode("idna").decode("ascii")


def _scope(name: str | None) -> int:
    """The number of the interface in ``fe80::1%2``; names of interfaces are the loop's to know."""
    scope = (name or "").partition("%")[2]
    return int(scope) if scope.isdecimal() else 0


def _port(port: Any) -> int:
    if port is None or port == "" or port == b"":
        return 0
    if isinstance(port, (bytes, bytearray)):
        port = port.decode("ascii")
    if isinstance(port, int):
        return port
    if port.isdecimal():
        return int(port)
    try:
        return socket.getservbyname(port)
    except OSError:
        raise name_error(socket.EAI_SERVICE, f"Servname not supported: {port}") from None


def _service(port: int, flags: int) -> str:
    if flags & socket.NI_NUMERICSERV:
        return str(port)
    try:
        return socket.getservbyport(port, "udp" if flags & socket.NI_DGRAM else "tcp")
    except OSError:
        return str(port)


def _family(version: int) -> socket.AddressFamily:
    return socket.AF_INET if version == 4 else socket.AF_INET6


def _infos(
    addresses: Iterable[bytes],
    scope: int,
    port: int,
    family: int,
    type: int,  # noqa: A002 - as in `socket`
    proto: int,
    canonical: str | None,
) -> list[AddressInfo]:
    kinds = [(kind, number) for kind, number in _KINDS if type in (0, kind) and proto in (0, number)]
    if not kinds:
        raise name_error(socket.EAI_SOCKTYPE, f"no sockets of type {type} and protocol {proto}")
    found = [
        (family_of(address), kind, number, canonical or "", to_tuple(family_of(address), address, port, scope))
        for address in addresses
        if family in (0, family_of(address))
        for kind, number in kinds
    ]
    if not found:
        raise name_error(socket.EAI_NONAME, "no address of that family")
    return found
