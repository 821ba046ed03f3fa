"""Endpoints by name: ``tcp://HOST:PORT``, ``tls://HOST:PORT``, ``unix:///PATH``.

`parse_endpoint` and `str` are each other's inverse. A host is a name or an address; one of IPv6 stands in brackets.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import TypeAlias

from .errors import InvalidEndpoint

__all__ = ["Endpoint", "Tcp", "Tls", "Unix", "parse_endpoint"]


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@dataclass(frozen=True, slots=True)
class Tcp:
    """A TCP port. To listen, the host may be empty (all addresses) and the port 0 (any)."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"tcp://{_authority(self.host, self.port)}"


@dataclass(frozen=True, slots=True)
class Tls:
    """TLS over a TCP port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"tls://{_authority(self.host, self.port)}"


@dataclass(frozen=True, slots=True)
class Unix:
    """A socket of this machine's file system."""

    path: str

    def __str__(self) -> str:
        return f"unix://{self.path}"


Endpoint: TypeAlias = Tcp | Tls | Unix


def parse_endpoint(text: str) -> Endpoint:
    """The endpoint that a text names. Raises `InvalidEndpoint`."""
    kind, separator, rest = text.partition("://")
    if not separator:
        raise InvalidEndpoint(f"{text!r} names no endpoint: write tcp://HOST:PORT, tls://HOST:PORT or unix:///PATH")
    if kind == "unix":
        if not rest.startswith("/") or "\0" in rest:
            raise InvalidEndpoint(f"{text!r} has no absolute path: write unix:///PATH, with three slashes")
        return Unix(rest)
    if kind == "vchan":
        raise InvalidEndpoint(f"{text!r}: connections by vchan are not there yet; use tcp, tls or unix")
    if kind not in ("tcp", "tls"):
        raise InvalidEndpoint(f"{text!r} is of an unknown kind {kind!r}: there are tcp, tls and unix")
    host, port = _split(text, rest)
    return Tcp(host, port) if kind == "tcp" else Tls(host, port)


def _split(text: str, authority: str) -> tuple[str, int]:
    host, colon, digits = authority.rpartition(":")
    if not colon or not (digits.isascii() and digits.isdigit()) or len(digits) > 5 or int(digits) > 65535:
        raise InvalidEndpoint(f"{text!r} has no port: write it behind the host, :0 to :65535")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        if not _is_ipv6(host):
            raise InvalidEndpoint(f"{text!r} has no IPv6 address between its brackets")
    elif ":" in host:
        raise InvalidEndpoint(f"{text!r}: an IPv6 address stands in brackets, as in tcp://[::1]:80")
    elif not host.isascii() or any(c in "/?#@[]\\" or not c.isprintable() or c.isspace() for c in host):
        raise InvalidEndpoint(f"{text!r} has a host with characters that none has; write names as ASCII (xn--...)")
    return host, int(digits)


def _is_ipv6(text: str) -> bool:
    try:
        return ip_address(text).version == 6
    except ValueError:
        return False
