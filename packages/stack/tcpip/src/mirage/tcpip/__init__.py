"""Ethernet to TCP, IPv4 and IPv6 as equals, as sans-I/O state machines.

Frames and the time go in, frames and news come out: `Stack.input(interface, frames, now)`, `Stack.poll(now)`,
`Stack.next_deadline()`. Nothing here reads a clock, draws randomness of its own, or touches a device: a shell does
(`mirage.runtime` is one), and in tests virtual time does.
"""

from .counters import Counters
from .errors import (
    AddressInUse,
    AddressUnavailable,
    ConnectionAborted,
    ConnectionRefused,
    ConnectionReset,
    ConnectionTimedOut,
    LimitReached,
    LocalMisuse,
    MessageTooLong,
    NetworkFailure,
    NoRoute,
    NotConnected,
    TcpipError,
    Unreachable,
    WireError,
)
from .news import Endpoint, News
from .settings import Settings

__all__ = [
    "AddressInUse",
    "AddressUnavailable",
    "ConnectionAborted",
    "ConnectionRefused",
    "ConnectionReset",
    "ConnectionTimedOut",
    "Counters",
    "Endpoint",
    "LimitReached",
    "LocalMisuse",
    "MessageTooLong",
    "NetworkFailure",
    "News",
    "NoRoute",
    "NotConnected",
    "Settings",
    "TcpipError",
    "Unreachable",
    "WireError",
]
