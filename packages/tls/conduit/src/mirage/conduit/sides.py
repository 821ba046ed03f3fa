"""The two sides of TLS, and which implementation speaks it.

`ClientTls` and `ServerTls` say what is wanted in words that both implementations understand; `wrap` puts a protocol
behind TLS, whatever transport it will be given. An explicit choice (``implementation="openssl"``) goes over the
environment's ``CONDUIT_TLS=native|openssl``; where neither is made it is ``native``. An implementation that is chosen
and not installed is an error: nothing else takes its place.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Final, Protocol

from mirage.x509 import Authenticator, Certificate, UnusableInput, X509Error, chain_of_trust, system_roots

from ._wrapping import Wrapping
from .engine import Engine
from .errors import ConfigurationError, ImplementationUnavailable
from .identity import Identity

__all__ = ["IMPLEMENTATIONS", "Authenticator", "ClientTls", "ServerTls", "Side", "implementation", "trust"]

IMPLEMENTATIONS: Final[dict[str, str]] = {
    "native": "pip install 'mirage-conduit[native]'",
    "openssl": "install a Python that was built with OpenSSL (the module ssl)",
}
"""Each with what to do where it is absent."""

VERSIONS: Final = ("TLSv1.3", "TLSv1.2")


class Side(Protocol):
    """What an event loop and an application need of TLS."""

    def wrap(
        self,
        protocol: asyncio.BaseProtocol,
        *,
        loop: asyncio.AbstractEventLoop,
        waiter: asyncio.Future[None] | None = None,
        server_hostname: str | None = None,
        handshake_timeout: float | None = None,
        shutdown_timeout: float | None = None,
    ) -> asyncio.Protocol:
        """A protocol for the transport below, behind which `protocol` is given a transport that speaks TLS."""
        ...


def implementation(explicit: str | None = None, environment: Mapping[str, str] | None = None) -> str:
    """The name of the implementation that is to be used. Raises `ConfigurationError` for one that does not exist."""
    chosen, where = explicit, "implementation"
    if chosen is None:
        chosen, where = (
            (os.environ if environment is None else environment).get("CONDUIT_TLS") or "native",
            "CONDUIT_TLS",
        )
    if chosen not in IMPLEMENTATIONS:
        raise ConfigurationError(f"{where} is {chosen!r}; it must be one of {', '.join(IMPLEMENTATIONS)}")
    return chosen


def _module(name: str) -> ModuleType:
    """The module with an implementation. Raises `ImplementationUnavailable`."""
    try:
        return import_module(f"mirage.conduit.{name}")
    except ImportError as error:
        raise ImplementationUnavailable(
            f"the TLS implementation {name!r} was chosen and is not installed ({error}): {IMPLEMENTATIONS[name]}"
        ) from error


@cache
def _system_authenticator() -> Authenticator:
    try:
        return chain_of_trust(system_roots())
    except UnusableInput as error:
        raise ConfigurationError(f"no authenticator was given, and the system's roots cannot be had: {error}") from None


def trust(roots: str | os.PathLike[str]) -> Authenticator:
    """Who trusts the certificates in a file. Raises `ConfigurationError`."""
    try:
        return chain_of_trust(Certificate.load(os.fspath(roots)))
    except OSError as error:
        raise ConfigurationError(f"{os.fspath(roots)} cannot be read: {error.strerror or error}") from None
    except X509Error as error:
        raise ConfigurationError(f"{os.fspath(roots)} has no certificate to trust: {error}") from None


def _check(versions: tuple[str, ...], alpn: tuple[str, ...]) -> None:
    if not versions or not set(versions) <= set(VERSIONS):
        raise ConfigurationError(f"versions is {versions!r}; it must have {' or '.join(VERSIONS)}, or both")
    for name in alpn:
        if not (name.isascii() and 1 <= len(name) <= 255):
            raise ConfigurationError(f"alpn has {name!r}; a protocol's name has 1 to 255 ASCII characters")


@dataclass(frozen=True, kw_only=True)
class ClientTls(Wrapping):
    """How a client speaks TLS. Raises `ConfigurationError`, `ImplementationUnavailable`."""

    authenticator: Authenticator | None = None
    """Who judges the server; None for the roots that the system trusts."""
    identity: Identity | None = None
    """What the client shows when it is asked."""
    alpn: tuple[str, ...] = ()
    """Application protocols, the favourite first."""
    versions: tuple[str, ...] = VERSIONS
    implementation: str | None = None
    handshake_timeout: float | None = None
    """Seconds; 10 by default."""
    shutdown_timeout: float | None = None
    """Seconds that `close` waits for the peer while nothing moves; 5 by default."""
    wall_clock: Callable[[], float] = field(default=time.time, repr=False)
    """Seconds since the epoch, for certificates."""
    _make: Callable[[str | None], Engine] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check(self.versions, self.alpn)
        name = implementation(self.implementation)
        object.__setattr__(self, "implementation", name)
        if self.authenticator is None:
            object.__setattr__(self, "authenticator", _system_authenticator())
        object.__setattr__(self, "_make", _module(name).client(self))

    def engine(self, server_hostname: str | None = None) -> Engine:
        """One connection without I/O, for whoever moves the octets otherwise."""
        return self._make(server_hostname)


@dataclass(frozen=True, kw_only=True)
class ServerTls(Wrapping):
    """How a server speaks TLS. Raises `ConfigurationError`, `ImplementationUnavailable`."""

    identity: Identity
    """What the server shows."""
    authenticator: Authenticator | None = None
    """Who judges clients. With one, a client without a certificate is refused; without, none is asked for."""
    alpn: tuple[str, ...] = ()
    versions: tuple[str, ...] = VERSIONS
    implementation: str | None = None
    handshake_timeout: float | None = None
    shutdown_timeout: float | None = None
    wall_clock: Callable[[], float] = field(default=time.time, repr=False)
    _make: Callable[[], Engine] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check(self.versions, self.alpn)
        name = implementation(self.implementation)
        object.__setattr__(self, "implementation", name)
        object.__setattr__(self, "_make", _module(name).server(self))

    def engine(self, server_hostname: str | None = None) -> Engine:
        """One connection without I/O; a server needs no name."""
        return self._make()

    def with_identity(self, identity: Identity) -> ServerTls:
        """The same with another certificate; connections that are there keep what they have."""
        return replace(self, identity=identity)
