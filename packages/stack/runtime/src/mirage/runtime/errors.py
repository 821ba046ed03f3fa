"""What goes wrong in the stack, as the exceptions that asyncio programs know.

A program written for sockets catches `ConnectionRefusedError`, `TimeoutError` and `OSError` with an `errno`; so that is
what comes out of this package's transports and sockets. `RuntimeMisuse` and `NoAddress` are for those who set up a
network.
"""

from __future__ import annotations

import errno
import os
import socket

from mirage.tcpip import (
    AddressInUse,
    AddressUnavailable,
    ConnectionAborted,
    ConnectionRefused,
    ConnectionReset,
    ConnectionTimedOut,
    LimitReached,
    MessageTooLong,
    NoRoute,
    NotConnected,
    TcpipError,
    Unreachable,
)
from mirage.types import MirageError

__all__ = ["NoAddress", "RuntimeMisuse", "name_error", "os_error"]


class RuntimeMisuse(MirageError):
    """A network was asked for in a way that cannot work; the message says what to do instead."""


class NoAddress(MirageError, TimeoutError):
    """The network gave no address that can be used; the message says what to do instead."""


_NUMBERS: dict[type[TcpipError], int] = {
    AddressInUse: errno.EADDRINUSE,
    AddressUnavailable: errno.EADDRNOTAVAIL,
    ConnectionAborted: errno.ECONNABORTED,
    ConnectionRefused: errno.ECONNREFUSED,
    ConnectionReset: errno.ECONNRESET,
    ConnectionTimedOut: errno.ETIMEDOUT,
    LimitReached: errno.ENOBUFS,
    MessageTooLong: errno.EMSGSIZE,
    NoRoute: errno.ENETUNREACH,
    NotConnected: errno.ENOTCONN,
    Unreachable: errno.EHOSTUNREACH,
}


def os_error(error: TcpipError) -> OSError:
    """The same as an `OSError`; its class follows from its number, `ConnectionRefusedError` for example."""
    for kind in type(error).__mro__:
        if kind in _NUMBERS:
            return OSError(_NUMBERS[kind], str(error))
    return OSError(errno.EIO, str(error))


def plain(number: int) -> OSError:
    """The error with this number, and the system's words for it."""
    return OSError(number, os.strerror(number))


def name_error(number: int, text: str) -> socket.gaierror:
    """A name that cannot be resolved: `socket.gaierror` with one of the ``EAI_`` numbers."""
    return socket.gaierror(number, text)
