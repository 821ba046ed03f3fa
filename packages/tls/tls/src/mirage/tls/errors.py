"""What can go wrong: `ConfigurationError` and `UsageError` are ours, every `Failure` is the peer's or the network's.

Octets from outside raise only subclasses of `Failure`. A failure carries the octets that are to be sent before the
connection is closed (its alert), and what had arrived before it in the same octets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mirage.types import MirageError

from ._alerts import Alert

if TYPE_CHECKING:
    from ._events import Event

__all__ = [
    "AlertReceived",
    "ConfigurationError",
    "Failure",
    "NothingInCommon",
    "PeerMisbehaved",
    "PeerUntrusted",
    "TlsError",
    "Truncated",
    "UsageError",
]


class TlsError(MirageError):
    """Root of this package's errors."""


class ConfigurationError(TlsError, ValueError):
    """Local misuse: the configuration contradicts itself; the message says what clashes and what to do."""


class UsageError(TlsError):
    """Local misuse: a call that the connection's state does not allow; nothing was sent."""


class Failure(TlsError):
    """The connection is over. Send `output`, then close the transport.

    `alert` is what the peer is told, or, of `AlertReceived`, what it told us; None where there is nobody to tell.
    `events` are those that preceded the failure.
    """

    def __init__(self, message: str, alert: Alert | None = None) -> None:
        super().__init__(message)
        self.alert = alert
        self.output = b""
        self.events: tuple[Event, ...] = ()

    def __reduce__(self) -> tuple[type[Failure], tuple[str, Alert | None]]:
        return type(self), (str(self), self.alert)


class PeerMisbehaved(Failure):
    """The peer broke the protocol, exceeded a limit, or somebody changed octets on their way."""

    def __init__(self, message: str, alert: Alert = Alert.ILLEGAL_PARAMETER) -> None:
        super().__init__(message, alert)


class NothingInCommon(Failure):
    """Both sides are right, and no version, cipher suite, group, signature scheme or protocol pleases both."""

    def __init__(self, message: str, alert: Alert = Alert.HANDSHAKE_FAILURE) -> None:
        super().__init__(message, alert)


class PeerUntrusted(Failure):
    """The authenticator refused the peer's certificate or key; `reason` is its word, such as expired."""

    def __init__(self, message: str, alert: Alert = Alert.BAD_CERTIFICATE, reason: str = "") -> None:
        super().__init__(message, alert)
        self.reason = reason


class AlertReceived(Failure):
    """The peer gave the connection up and told why."""


class Truncated(Failure):
    """The transport ended without close_notify: what arrived may be only a part (RFC 8446 6.1)."""
