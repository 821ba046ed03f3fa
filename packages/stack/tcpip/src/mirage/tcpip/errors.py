"""What can go wrong. Local misuse, a remote that misbehaves, and a network that fails are different classes."""

from __future__ import annotations

from mirage.types import MirageError

__all__ = [
    "AddressInUse",
    "AddressUnavailable",
    "ConnectionAborted",
    "ConnectionRefused",
    "ConnectionReset",
    "ConnectionTimedOut",
    "LimitReached",
    "LocalMisuse",
    "MessageTooLong",
    "NetworkFailure",
    "NoRoute",
    "NotConnected",
    "TcpipError",
    "Unreachable",
    "WireError",
]


class TcpipError(MirageError):
    """Root of this package's errors."""


class LocalMisuse(TcpipError):
    """The caller asked for what cannot be done; the message says what to do instead."""


class AddressInUse(LocalMisuse):
    """Somebody listens at, or is bound to, this address and port already."""


class AddressUnavailable(LocalMisuse, ValueError):
    """The address is none of this stack's, or none that can be used so."""


class NotConnected(LocalMisuse):
    """The endpoint has no peer, or its sending side was shut down."""


class MessageTooLong(LocalMisuse, ValueError):
    """A datagram is longer than can be carried."""


class LimitReached(LocalMisuse):
    """A hard cap of `mirage.tcpip.Settings` was reached: connections, endpoints, ports."""


class NetworkFailure(TcpipError):
    """The network or the peer ended what was under way."""


class NoRoute(NetworkFailure):
    """No route leads to the destination."""


class Unreachable(NetworkFailure):
    """A neighbour does not answer, or an ICMP error said that the destination cannot be reached."""


class ConnectionRefused(NetworkFailure):
    """The peer answered the SYN with RST: nobody listens there (RFC 9293 3.10.7.3)."""


class ConnectionReset(NetworkFailure):
    """The peer sent RST (RFC 9293 3.10.7.4)."""


class ConnectionTimedOut(NetworkFailure):
    """No acknowledgement came within the user timeout (RFC 9293 3.8.3)."""


class ConnectionAborted(NetworkFailure):
    """The connection was ended from this side."""


class WireError(TcpipError, ValueError):
    """Octets from outside are not what they should be: too short, contradictory, or a checksum that is wrong.

    A parser raises it; `Stack.input` never does: it counts and drops.
    """
