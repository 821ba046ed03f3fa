"""A TAP interface of Linux: the kernel's network stack is at its other end.

Linux documents it in `Documentation/networking/tuntap.rst`. The numbers below are those of x86-64 and arm64.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import re
import socket
import struct

from ._device import SIOCGIFHWADDR, SIOCGIFMTU, DeviceNetwork, check_mac
from ._wire import HEADER_SIZE
from .errors import NetworkUnavailable

__all__ = ["TapNetwork"]

_CLONE = "/dev/net/tun"
_TUNSETIFF = 0x400454CA
_TUNSETOFFLOAD = 0x400454D0
_TUNSETVNETHDRSZ = 0x400454D8
_TUNSETVNETLE = 0x400454DC
_IFF_TAP = 0x0002
_IFF_NO_PI = 0x1000
_IFF_VNET_HDR = 0x4000
_NAME = re.compile(r"[\w.%-]{1,15}", re.ASCII)


class TapNetwork(DeviceNetwork):
    """One end of a TAP interface. Fits `OffloadNetwork`.

    An existing interface is attached to; otherwise one is made, which needs root, and goes with `close`. It carries
    frames once it is up: ``ip link set NAME up``. A name with ``%d`` in it gets the next free number; see `name`.
    """

    def __init__(
        self,
        name: str = "tap%d",
        *,
        mac: bytes | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """Attach to `name`, or make it.

        `mac` is the address of *this* end; the kernel's end has its own, and by default ours differs from that in one
        bit, so that it stays the same as long as the kernel's does. Raises `NetworkUnavailable`, `ValueError`.
        """
        if not _NAME.fullmatch(name) or name in {".", ".."}:
            raise ValueError(f"{name!r} is no interface name: 1 to 15 letters, digits, or any of ._%-")
        fd = _open_clone()
        try:
            actual = _attach(fd, name)
            fcntl.ioctl(fd, _TUNSETVNETHDRSZ, struct.pack("=i", HEADER_SIZE))
            fcntl.ioctl(fd, _TUNSETVNETLE, struct.pack("=i", 1))
            fcntl.ioctl(fd, _TUNSETOFFLOAD, 0)
            own = check_mac(mac) if mac is not None else _beside(fcntl.ioctl(fd, SIOCGIFHWADDR, bytes(40))[18:24])
            mtu = _mtu(actual)
        except OSError as error:
            os.close(fd)
            raise NetworkUnavailable(f"{name} cannot be set up: {error.strerror}") from error
        except BaseException:
            os.close(fd)
            raise
        super().__init__(fd, mac=own, mtu=mtu, loop=loop)
        self._frames.name = actual


def _open_clone() -> int:
    try:
        return os.open(_CLONE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise NetworkUnavailable(
            f"there is no {_CLONE}: modprobe tun; for a container, start it with --device {_CLONE}"
        ) from error
    except PermissionError as error:
        raise NetworkUnavailable(f"you may not open {_CLONE}: chmod 666 {_CLONE}, or run as root") from error
    except OSError as error:
        raise NetworkUnavailable(f"{_CLONE} cannot be opened ({error.strerror}): modprobe tun") from error


def _attach(fd: int, name: str) -> str:
    """Join the descriptor to the interface; returns the interface's name."""
    flags = _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR
    try:
        answer = fcntl.ioctl(fd, _TUNSETIFF, struct.pack("=16sH22x", name.encode(), flags))
    except OSError as error:
        raise NetworkUnavailable(_why(name, error)) from error
    return answer[:16].rstrip(b"\0").decode()


def _why(name: str, error: OSError) -> str:
    shown = name.replace("%d", "0")
    if error.errno in {errno.EPERM, errno.EACCES}:
        return (
            f"you may not make or use the interface {name}; to make one that is yours: "
            f"sudo ip tuntap add dev {shown} mode tap user {os.getuid()} && sudo ip link set {shown} up"
        )
    if error.errno == errno.EBUSY:
        return f"{name} is in use by another program; end that one, or take another name"
    if error.errno == errno.EINVAL:
        return f"{name} exists and is no TAP of one queue: ip -d link show {name}; take another name"
    return f"the interface {name} cannot be made: {error.strerror}"


def _beside(mac: bytes) -> bytes:
    """An address for our end of the cable: the kernel's with another bit, marked as locally administered."""
    return bytes([mac[0] & 0xFE | 2, mac[1] ^ 0x80]) + mac[2:]


def _mtu(name: str) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as any_socket:
        answer = fcntl.ioctl(any_socket, SIOCGIFMTU, struct.pack("=16s24x", name.encode()))
    (mtu,) = struct.unpack_from("=i", answer, 16)
    return int(mtu)
