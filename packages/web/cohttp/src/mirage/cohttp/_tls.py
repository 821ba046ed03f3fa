"""The one place that asks for `mirage.conduit`, which speaks TLS, and is installed by choice."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from .errors import TLSUnavailable

if TYPE_CHECKING:
    import socket

    from mirage.conduit import ClientTls, ServerTls
    from mirage.conduit.blocking import TlsSocket
    from mirage.conduit.engine import Engine

__all__ = ["client_side", "conduit", "failure_text", "server_side", "tls_socket", "trusting"]


def conduit() -> ModuleType:
    """The package. Raises `TLSUnavailable` where it is not installed."""
    try:
        return import_module("mirage.conduit")
    except ImportError as error:
        raise TLSUnavailable(
            f"https needs TLS, which is not installed ({error}): pip install 'mirage-cohttp[tls]'"
        ) from None


def client_side(given: ClientTls | None) -> ClientTls:
    """What was given, or one that trusts the system's roots. Raises `TLSUnavailable`, with what is missing."""
    package = conduit()
    if given is not None:
        return given
    try:
        side: ClientTls = package.ClientTls(alpn=("http/1.1",))
    except package.ConduitError as error:
        raise TLSUnavailable(str(error)) from error
    return side


def trusting(roots: str) -> ClientTls:
    """A side that trusts the roots in a file. Raises `TLSUnavailable`, with what is wrong with the file too."""
    package = conduit()
    try:
        side: ClientTls = package.ClientTls(authenticator=package.trust(roots), alpn=("http/1.1",))
    except package.ConduitError as error:
        raise TLSUnavailable(str(error)) from error
    return side


def server_side(given: ServerTls) -> None:
    """Raises `TLSUnavailable` unless it is what `serve` takes."""
    if not isinstance(given, conduit().ServerTls):
        raise TLSUnavailable(
            f"tls is {type(given).__name__}; it must be a mirage.conduit.ServerTls, with a certificate and its key"
        )


def tls_socket(sock: socket.socket, engine: Engine, timeout: float) -> TlsSocket:
    """The socket behind TLS. Raises `OSError`, and then the socket is closed."""
    made: TlsSocket = import_module("mirage.conduit.blocking").TlsSocket(sock, engine, handshake_timeout=timeout)
    return made


def failure_text(error: OSError) -> str:
    """What to say of a connection that could not be made."""
    return str(error.strerror or error)
