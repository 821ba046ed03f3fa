"""What can go wrong with a connection: our own misuse, what is not installed, and what the peer or the network did."""

from __future__ import annotations

from mirage.types import MirageError

__all__ = [
    "ConduitError",
    "ConfigurationError",
    "ImplementationUnavailable",
    "InvalidEndpoint",
    "PeerRefused",
    "TlsFailure",
    "TlsTimeout",
    "Truncated",
]


class ConduitError(MirageError):
    """Root of this package's errors."""


class InvalidEndpoint(ConduitError, ValueError):
    """Local misuse: the text names no endpoint, or one of a kind that is not there yet."""


class ConfigurationError(ConduitError, ValueError):
    """Local misuse: what was asked for contradicts itself, or the chosen implementation cannot do it."""


class ImplementationUnavailable(ConduitError):
    """The TLS implementation that was chosen is not installed. No other one takes its place."""


class TlsFailure(ConduitError, ConnectionError):
    """The connection is over because of what the peer or the network did. `output`: what to send before the end."""

    def __init__(self, message: str, output: bytes = b"", data: tuple[bytes, ...] = ()) -> None:
        super().__init__(message)
        self.output = output
        self.data = data
        """What had arrived in order before the failure."""


class PeerRefused(TlsFailure):
    """The authenticator does not accept who the peer is; `reason` is its word, such as ``expired``."""

    def __init__(self, message: str, output: bytes = b"", reason: str = "") -> None:
        super().__init__(message, output)
        self.reason = reason


class Truncated(TlsFailure):
    """The connection ended without the peer's close_notify: what arrived may be a part only (RFC 8446 section 6.1)."""


class TlsTimeout(TlsFailure, TimeoutError):
    """The peer took longer for its handshake than it may."""
