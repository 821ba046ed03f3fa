"""Socket options: those that do something here, those that are remembered, and the rest, which is refused."""

from __future__ import annotations

import errno
import socket
import struct
from typing import TYPE_CHECKING, Any

from mirage.tcpip.tcp.connection import Connection
from mirage.tcpip.tcp.describe import describe
from mirage.tcpip.tcp.listener import Listener
from mirage.tcpip.udp import UdpEndpoint

from . import _ip_options
from .errors import os_error, plain

if TYPE_CHECKING:
    from ._socket import StackSocket

__all__ = ["apply", "get", "put"]

_TCP = socket.IPPROTO_TCP
_SOCKET = socket.SOL_SOCKET

_REMEMBERED = {
    (_SOCKET, socket.SO_REUSEADDR),
    (_SOCKET, socket.SO_REUSEPORT),
    (_SOCKET, socket.SO_BROADCAST),
    (_SOCKET, socket.SO_KEEPALIVE),
    (_SOCKET, socket.SO_SNDBUF),
    (_SOCKET, socket.SO_RCVBUF),
    (_SOCKET, socket.SO_OOBINLINE),
    (socket.IPPROTO_IPV6, socket.IPV6_V6ONLY),
    *_ip_options.CLASSES,
    (_TCP, socket.TCP_NODELAY),
    (_TCP, socket.TCP_KEEPIDLE),
    (_TCP, socket.TCP_KEEPINTVL),
    (_TCP, socket.TCP_KEEPCNT),
    (_TCP, socket.TCP_USER_TIMEOUT),
    (_TCP, socket.TCP_QUICKACK),
    (_TCP, socket.TCP_DEFER_ACCEPT),
    (_TCP, socket.TCP_CORK),
    (_TCP, socket.TCP_MAXSEG),
    (_TCP, socket.TCP_NOTSENT_LOWAT),
}
_SEGMENTS = range(88, 32768)
"""What TCP_MAXSEG may be, as on Linux; 0 takes it back before there is a connection."""
_DEFAULT_SEGMENT = 536
"""RFC 9293 3.7.1: until something else is known."""
_LINGER = struct.Struct("ii")


def put(sock: StackSocket, level: int, option: int, value: int | bytes | None) -> None:
    """Set an option. Raises `OSError` (ENOPROTOOPT) for one that is not known here."""
    key = (level, option)
    if key == (_SOCKET, socket.SO_LINGER):
        on, seconds = _LINGER.unpack(value if isinstance(value, bytes) else b"")
        sock.options.pop(key, None)
        if on:
            sock.options[key] = seconds
        return
    if level in _ip_options.LEVELS and _ip_options.put(sock, key, value or 0):
        return
    if key not in _REMEMBERED:
        raise plain(errno.ENOPROTOOPT)
    number = int.from_bytes(value, "little") if isinstance(value, bytes) else int(value or 0)
    if key == (socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) and not number:
        raise plain(errno.EINVAL)  # a socket here has one version of IP
    if key == (_TCP, socket.TCP_MAXSEG) and number and number not in _SEGMENTS:
        raise plain(errno.EINVAL)
    sock.options[key] = number
    if isinstance(sock.endpoint, Listener) and key == (_TCP, socket.TCP_MAXSEG) and number:
        sock.endpoint.segment_limit = number
    if isinstance(sock.endpoint, Connection):
        _apply_one(sock.endpoint, key, number)
    elif isinstance(sock.endpoint, UdpEndpoint):
        _ip_options.apply_one(sock, sock.endpoint, key, number)


def apply(sock: StackSocket, connection: Connection) -> None:
    """Give a new connection what was set before there was one."""
    for key, number in sock.options.items():
        _apply_one(connection, key, number)


def _apply_one(connection: Connection, key: tuple[int, int], number: int) -> None:
    if key in _ip_options.CLASSES:
        connection.framer.traffic_class = number & 0xFC  # the other two bits are ECN's (RFC 3168 5)
    elif key == (_TCP, socket.TCP_NODELAY):
        connection.nodelay = bool(number)
        connection.schedule()
    elif key == (_TCP, socket.TCP_CORK):
        connection.corked = bool(number)
        connection.schedule()
    elif key == (_TCP, socket.TCP_MAXSEG) and number:
        connection.limit_segments(number)
    elif key == (_SOCKET, socket.SO_KEEPALIVE):
        connection.keepalive = bool(number)
        connection.set_timer()
    elif key == (_TCP, socket.TCP_KEEPIDLE):
        connection.keepalive_idle = float(number)
        connection.set_timer()
    elif key == (_TCP, socket.TCP_KEEPINTVL):
        connection.keepalive_interval = float(number)
    elif key == (_TCP, socket.TCP_KEEPCNT):
        connection.keepalive_limit = number
    elif key == (_TCP, socket.TCP_USER_TIMEOUT) and number:
        connection.user_timeout = number / 1000


def get(sock: StackSocket, level: int, option: int, size: int) -> Any:
    """The value of an option. Raises `OSError` (ENOPROTOOPT) for one that is not known here."""
    key = (level, option)
    endpoint = sock.endpoint
    if key == (_SOCKET, socket.SO_LINGER):
        found = (1, sock.options[key]) if key in sock.options else (0, 0)
        return _LINGER.pack(*found)[: size or None]
    if key == (_TCP, socket.TCP_INFO):
        if not isinstance(endpoint, Connection):
            raise plain(errno.ENOTCONN)
        packed = describe(endpoint, sock.loop.time()).pack()
        return packed[:size] if size else int.from_bytes(packed[:4], "little")
    if (known := _ip_options.get(sock, key)) is not None:
        value = known
    elif key == (_SOCKET, socket.SO_ERROR):
        error = endpoint.error if isinstance(endpoint, Connection) else None
        value = (os_error(error).errno or 0) if error is not None else 0
    elif key == (_SOCKET, socket.SO_TYPE):
        value = int(sock.type)
    elif key == (_SOCKET, socket.SO_DOMAIN):
        value = int(sock.family)
    elif key == (_SOCKET, socket.SO_PROTOCOL):
        value = int(sock.proto)
    elif key == (_SOCKET, socket.SO_ACCEPTCONN):
        value = int(isinstance(endpoint, Listener))
    elif key == (_TCP, socket.TCP_NODELAY) and isinstance(endpoint, Connection):
        value = int(endpoint.nodelay)
    elif key == (_TCP, socket.TCP_MAXSEG):
        value = sock.options.get(key, 0) or _DEFAULT_SEGMENT
        if isinstance(endpoint, Connection) and endpoint.state.synchronized:
            value = endpoint.sender.mss
    elif key == (_SOCKET, socket.SO_SNDBUF):
        value = sock.options.get(key, 256 * 1024)
    elif key == (_SOCKET, socket.SO_RCVBUF):
        value = endpoint.receiver.capacity if isinstance(endpoint, Connection) else 256 * 1024
    elif key in _REMEMBERED:
        value = sock.options.get(key, 0)
    else:
        raise plain(errno.ENOPROTOOPT)
    return value.to_bytes(4, "little")[:size] if size else value
