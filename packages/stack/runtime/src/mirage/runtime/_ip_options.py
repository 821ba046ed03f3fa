"""Socket options of UDP at the IP level: groups, hop limits, traffic classes, broadcasts, in both versions of IP.

They may be set before there is an endpoint: `apply` gives it then what was set. A membership lasts until it is dropped
or the socket is closed.
"""

from __future__ import annotations

import errno
import socket
import struct
from typing import TYPE_CHECKING

from mirage.tcpip import TcpipError
from mirage.tcpip.udp import UdpEndpoint

from .errors import os_error, plain

if TYPE_CHECKING:
    from mirage.tcpip.ip.interface import Interface

    from ._socket import StackSocket

__all__ = ["CLASSES", "LEVELS", "apply", "apply_one", "get", "put"]

LEVELS = (socket.IPPROTO_IP, socket.IPPROTO_IPV6)

_IP, _IP6 = socket.IPPROTO_IP, socket.IPPROTO_IPV6
_JOIN = {(_IP, socket.IP_ADD_MEMBERSHIP), (_IP6, socket.IPV6_JOIN_GROUP)}
_LEAVE = {(_IP, socket.IP_DROP_MEMBERSHIP), (_IP6, socket.IPV6_LEAVE_GROUP)}
_OUT_OF = {(_IP, socket.IP_MULTICAST_IF), (_IP6, socket.IPV6_MULTICAST_IF)}
_HOPS = {(_IP, socket.IP_TTL), (_IP6, socket.IPV6_UNICAST_HOPS)}
_GROUP_HOPS = {(_IP, socket.IP_MULTICAST_TTL), (_IP6, socket.IPV6_MULTICAST_HOPS)}
_LOOP = {(_IP, socket.IP_MULTICAST_LOOP), (_IP6, socket.IPV6_MULTICAST_LOOP)}
CLASSES = {(_IP, socket.IP_TOS), (_IP6, socket.IPV6_TCLASS)}
"""Options that connections have too."""
_NUMBERS = _HOPS | _GROUP_HOPS | _LOOP
_DEFAULTS = dict.fromkeys(_HOPS, 64) | dict.fromkeys(_GROUP_HOPS | _LOOP, 1)
_INDEX = struct.Struct("=I")


def put(sock: StackSocket, key: tuple[int, int], value: int | bytes) -> bool:
    """Set an option; False for one that is none of these. Raises `OSError`."""
    if key in _NUMBERS:
        number = int.from_bytes(value, "little") if isinstance(value, bytes) else value
        if number == -1:
            number = _DEFAULTS[key]
        if not 0 <= number <= 255:
            raise plain(errno.EINVAL)
        sock.options[key] = number
    elif key in _JOIN | _LEAVE:
        if not isinstance(value, bytes):
            raise plain(errno.EINVAL)
        size = 4 if key[0] == _IP else 16
        joined = value[:size], _interface(sock, value[size:], size)
        _change(sock, joined, key in _JOIN)
        return True
    elif key in _OUT_OF:
        where = value if isinstance(value, bytes) else _INDEX.pack(value)
        interface = _interface(
            sock, where[4:] if key[0] == _IP and len(where) > 4 else where, 4 if key[0] == _IP else 16
        )
        sock.options[key] = interface.index if interface is not None else 0
    else:
        return False
    if isinstance(sock.endpoint, UdpEndpoint):
        apply_one(sock, sock.endpoint, key, sock.options[key])
    return True


def get(sock: StackSocket, key: tuple[int, int]) -> int | None:
    """The value of an option, None for one that is none of these numbers."""
    return sock.options.get(key, _DEFAULTS.get(key, 0)) if key in _NUMBERS | _OUT_OF else None


def apply(sock: StackSocket, endpoint: UdpEndpoint) -> None:
    """Give a new endpoint what was set before there was one."""
    for key, number in sock.options.items():
        apply_one(sock, endpoint, key, number)
    joined, sock.joined = sock.joined, []
    for group, interface in joined:
        _change(sock, (group, interface), True)


def apply_one(sock: StackSocket, endpoint: UdpEndpoint, key: tuple[int, int], number: int) -> None:
    """Give an endpoint one option; those that mean nothing to it are no matter."""
    if key == (socket.SOL_SOCKET, socket.SO_BROADCAST):
        endpoint.broadcast = bool(number)
    elif key in _HOPS:
        endpoint.hop_limit = number
    elif key in _GROUP_HOPS:
        endpoint.multicast_hop_limit = number
    elif key in _LOOP:
        endpoint.multicast_loop = bool(number)
    elif key in CLASSES:
        endpoint.traffic_class = number
    elif key in _OUT_OF:
        endpoint.multicast_interface = sock.loop.interface_at(number)


def _change(sock: StackSocket, joined: tuple[bytes, Interface | None], join: bool) -> None:
    endpoint = sock.endpoint
    if sock.type != socket.SOCK_DGRAM:
        raise plain(errno.EPROTO)
    if join == (joined in sock.joined):
        raise plain(errno.EADDRINUSE if join else errno.EADDRNOTAVAIL)
    try:
        if isinstance(endpoint, UdpEndpoint):
            endpoint.join(*joined) if join else endpoint.leave(*joined)
    except TcpipError as error:
        raise os_error(error) from None
    if join:
        sock.joined.append(joined)
    else:
        sock.joined.remove(joined)


def _interface(sock: StackSocket, where: bytes, size: int) -> Interface | None:
    """The interface that the end of a request names: by an address of it (`ip_mreq`), or by its number (`ip_mreqn`,
    `ipv6_mreq`); None for any."""
    if size == 4 and len(where) == 4:
        if not any(where):
            return None
        for interface in sock.loop.stack.interfaces.values():
            if where in interface.addresses:
                return interface
        raise plain(errno.ENODEV)
    return sock.loop.interface_at(_INDEX.unpack(where[-4:])[0] if len(where) >= 4 else 0)
