"""What can go wrong with a gateway."""

from __future__ import annotations

from mirage.types import MirageError

__all__ = ["BadOption", "GatewayError", "HostUnavailable"]


class GatewayError(MirageError):
    """Root of this package's errors."""


class BadOption(GatewayError, ValueError):
    """A network, a rule or a port was described in a way that makes no sense; the message says how to."""


class HostUnavailable(GatewayError):
    """The host does not give what was asked for: a port that is taken, a name that is not known."""
