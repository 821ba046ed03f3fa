"""Socket addresses: between the octets of the stack and the tuples of Python's `socket`."""

from __future__ import annotations

import errno
import ipaddress
import socket
from typing import Any

from mirage.tcpip import AddressUnavailable
from mirage.tcpip.stack import packed

from .errors import plain

__all__ = ["SocketAddress", "default_routes", "family_of", "literal", "octets", "to_tuple"]

SocketAddress = tuple[Any, ...]
"""``(host, port)`` for IPv4, ``(host, port, flow, scope)`` for IPv6."""

_ANY = {socket.AF_INET: bytes(4), socket.AF_INET6: bytes(16)}


def family_of(address: bytes) -> socket.AddressFamily:
    """IPv4 for 4 octets, IPv6 for 16."""
    return socket.AF_INET if len(address) == 4 else socket.AF_INET6


def to_tuple(family: int, address: bytes | None, port: int, scope: int = 0) -> SocketAddress:
    """The address as `getsockname` gives it; None stands for any address."""
    text = socket.inet_ntop(family, address or _ANY[socket.AddressFamily(family)])
    if family == socket.AF_INET:
        return text, port
    return text, port, 0, scope


def literal(host: str) -> bytes | None:
    """The octets of a literal address, None for a name. A scope after ``%`` is left out."""
    try:
        return packed(host)
    except AddressUnavailable:
        return None


def octets(family: int, address: SocketAddress) -> tuple[bytes | None, int]:
    """The octets and the port of a tuple; None for any address.

    Raises `TypeError`, `OverflowError` as `socket` does, and `OSError` for a host that is no literal address of the
    family: resolve names first (`loop.getaddrinfo`).
    """
    if not isinstance(address, tuple) or len(address) < 2:
        raise TypeError(f"an address is a tuple of a host and a port, not {address!r}")
    host, port = address[0], address[1]
    if not isinstance(port, int):
        raise TypeError(f"a port is an int, not {port!r}")
    if not 0 <= port <= 65535:
        raise OverflowError("a port must be 0-65535")
    if host == "":
        return None, port
    if host == "<broadcast>":
        host = "255.255.255.255"
    if host == "localhost":
        host = "127.0.0.1" if family == socket.AF_INET else "::1"
    found = literal(host)
    if found is None or family_of(found) != family:
        raise (
            plain(errno.EADDRNOTAVAIL)
            if found
            else socket.gaierror(socket.EAI_NONAME, f"{host!r} is a name: resolve it with loop.getaddrinfo() first")
        )
    return (found if any(found) else None), port


def default_routes(version: int) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """Everything, of a version of IP."""
    return ipaddress.ip_network("0.0.0.0/0" if version == 4 else "::/0")
