"""What goes between packetdrill's shared object and us: calls, answers, and the kernel's structures in them."""

from __future__ import annotations

import errno
import socket
import struct
from typing import Final

from ...errors import ConnectionAborted, ConnectionRefused, ConnectionReset, ConnectionTimedOut, NotConnected

__all__ = [
    "DONTWAIT",
    "ERRNO",
    "MORE",
    "NONBLOCK",
    "PEEK",
    "REPLY",
    "REQUEST",
    "TRUNC",
    "Answer",
    "done",
    "fail",
    "number_of",
    "pack_address",
    "unpack_address",
    "unpack_message",
]

REQUEST: Final = struct.Struct("<IIqqqq")
REPLY: Final = struct.Struct("<qiIq")
(SOCKET, BIND, LISTEN, ACCEPT, CONNECT, READ, WRITE, CLOSE, SHUTDOWN, GETOPT, SETOPT, POLL, FCNTL, IOCTL, NSEND, NRECV,
 USLEEP, GTOD, EPOLL_CREATE, EPOLL_CTL, EPOLL_WAIT, RECVMSG, SENDMSG) = range(1, 24)  # fmt: skip

NONBLOCK: Final = 0o4000
DONTWAIT: Final = 0x40
MORE: Final = 0x8000
PEEK: Final = 2
TRUNC: Final = 0x20

ERRNO: Final = {
    ConnectionRefused: errno.ECONNREFUSED,
    ConnectionReset: errno.ECONNRESET,
    ConnectionTimedOut: errno.ETIMEDOUT,
    ConnectionAborted: errno.ECONNABORTED,
    NotConnected: errno.EDESTADDRREQ,
}

Answer = tuple[int, int, bytes, int]
"""Result, errno, octets, and the time or the number that goes with it."""


def fail(number: int) -> Answer:
    """A call that failed so."""
    return -1, number, b"", 0


def done(result: int = 0, data: bytes = b"", x: int = 0) -> Answer:
    """A call that did what it was to do."""
    return result, 0, data, x


def number_of(error: Exception, otherwise: int) -> int:
    """The errno of an error of the stack's."""
    return next((number for kind, number in ERRNO.items() if isinstance(error, kind)), otherwise)


def unpack_address(data: bytes) -> tuple[bytes, int]:
    """Address and port of a `sockaddr_in` or `sockaddr_in6`."""
    family, port = struct.unpack_from("<H", data)[0], int.from_bytes(data[2:4], "big")
    return (data[4:8] if family == socket.AF_INET else data[8:24]), port


def pack_address(address: bytes, port: int) -> bytes:
    """The way back."""
    if len(address) == 4:
        return struct.pack("<H", socket.AF_INET) + port.to_bytes(2, "big") + address + bytes(8)
    return struct.pack("<H", socket.AF_INET6) + port.to_bytes(2, "big") + bytes(4) + address + bytes(4)


def unpack_message(data: bytes) -> tuple[tuple[bytes, int] | None, bytes]:
    """What `SENDMSG` carries: the length of the address, the address, and what is to be sent."""
    (size,) = struct.unpack_from("<I", data)
    return (unpack_address(data[4 : 4 + size]) if size else None), data[4 + size :]
