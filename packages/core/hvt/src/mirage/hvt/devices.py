"""What a guest's devices are on the host's side: `Tap` and `FrameSocket` are networks, `Disk` is a disk.

They are descriptions; a `Tender` opens what they describe, and closes it when it is closed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct

from mirage.hvt.errors import HostError
from mirage.libos import layout

__all__ = ["Disk", "FrameSocket", "Tap"]

TUNSETOFFLOAD = 0x400454D0
_TUNSETIFF, _TUNSETVNETHDRSZ, _TUNSETVNETLE = 0x400454CA, 0x400454D8, 0x400454DC
_SIOCGIFMTU, _SIOCGIFHWADDR = 0x8921, 0x8927
_IFF_TAP, _IFF_NO_PI, _IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
_HEADER_SIZE = 12
_LARGEST_MTU = 65535


class Tap:
    """A network: a TAP interface of Linux. One that does not exist is made, which needs root."""

    __slots__ = ("interface", "mac")

    def __init__(self, interface: str, *, mac: bytes | None = None) -> None:
        """`mac` is the guest's address; by default the interface's own with one bit changed."""
        self.interface = interface
        self.mac = _check_mac(mac) if mac is not None else None

    def open(self) -> tuple[int, bytes, int]:
        """A descriptor, the guest's address and the MTU. Raises `HostError`."""
        name = self.interface
        if not 0 < len(name.encode()) < 16 or not name.isprintable() or set(name) & set(" /:"):
            raise HostError(f"{name!r} is no interface name: 1 to 15 letters, digits, or any of ._-")
        try:
            tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise HostError(f"/dev/net/tun cannot be opened ({error.strerror}): modprobe tun, or run as root") from None
        try:
            flags = _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR
            fcntl.ioctl(tap, _TUNSETIFF, struct.pack("=16sH22x", name.encode(), flags))
            fcntl.ioctl(tap, _TUNSETVNETHDRSZ, struct.pack("=i", _HEADER_SIZE))
            fcntl.ioctl(tap, _TUNSETVNETLE, struct.pack("=i", 1))
            fcntl.ioctl(tap, TUNSETOFFLOAD, 0)
            own = fcntl.ioctl(tap, _SIOCGIFHWADDR, bytes(40))[18:24]
            mtu = _mtu(name)
        except OSError as error:
            os.close(tap)
            raise HostError(_why(name, error)) from None
        return tap, self.mac or bytes([own[0] & 0xFE | 2, own[1] ^ 0x80]) + own[2:], mtu


class FrameSocket:
    """A network: a descriptor that keeps messages apart, each a virtio-net header of 12 octets and a frame.

    A socket of the kind SOCK_SEQPACKET or SOCK_DGRAM, say, with another program at its other end. The tender uses a
    duplicate, which it makes non-blocking, and with it the original.
    """

    __slots__ = ("descriptor", "mac", "mtu", "offload")

    def __init__(self, descriptor: int, *, mac: bytes, mtu: int = 1500, offload: bool = False) -> None:
        """`mac` is the guest's address. Raises `ValueError`.

        `offload`: the other end takes frames with work left to do (partial checksums, super-frames), and heeds the
        message by which the tender says which of them the guest takes: ``OFFLOAD`` and an octet with the flags of
        TUNSETOFFLOAD. `mirage.gateway` does.
        """
        if not 68 <= mtu <= _LARGEST_MTU:
            raise ValueError(f"an MTU is 68 to {_LARGEST_MTU} octets, and not {mtu}")
        self.descriptor = descriptor
        self.mac = _check_mac(mac)
        self.mtu = mtu
        self.offload = offload

    @classmethod
    def parse(cls, text: str) -> FrameSocket:
        """A network from ``NUMBER,mac=ADDRESS[,mtu=OCTETS][,offload]``. Raises `ValueError`."""
        number, *words = text.split(",")
        options = {name: value for name, _, value in (word.partition("=") for word in words)}
        mtu = options.pop("mtu", "1500")
        offload = options.pop("offload", None)
        mac = options.pop("mac", "")
        if options or offload not in {None, ""} or not (_is_number(number) and _is_number(mtu)):
            raise ValueError(f"{text!r} is no socket of frames: NUMBER,mac=ADDRESS[,mtu=OCTETS][,offload]")
        return cls(int(number), mac=bytes.fromhex(mac.replace(":", "")), mtu=int(mtu), offload=offload is not None)

    def open(self) -> tuple[int, bytes, int]:
        """A descriptor, the guest's address and the MTU. Raises `HostError`."""
        try:
            own = os.dup(self.descriptor)
        except OSError as error:
            raise HostError(f"descriptor {self.descriptor} is no open socket: {error.strerror}") from None
        os.set_blocking(own, False)
        return own, self.mac, self.mtu


class Disk:
    """A disk: a file, or a block device of the host, of whole sectors of 512 octets.

    A guest that may write has the file to itself; guests that only read may share it.
    """

    __slots__ = ("path", "read_only")

    def __init__(self, path: str | os.PathLike[str], *, read_only: bool = False) -> None:
        self.path = os.fspath(path)
        self.read_only = read_only

    def open(self) -> tuple[int, int]:
        """A descriptor and the size in octets. Raises `HostError`."""
        access = os.O_RDONLY if self.read_only else os.O_RDWR
        try:
            # Without O_NONBLOCK, a pipe of that name would keep us waiting before we could say that it is no disk.
            disk = os.open(self.path, access | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise HostError(f"the disk {self.path} cannot be opened: {error.strerror}") from None
        try:
            return disk, self._examine(disk)
        except BaseException:
            os.close(disk)
            raise

    def _examine(self, disk: int) -> int:
        mode, sector = os.fstat(disk).st_mode, layout()["SECTOR"]
        if not stat.S_ISREG(mode) and not stat.S_ISBLK(mode):
            raise HostError(f"{self.path} is neither a file nor a block device")
        try:
            fcntl.flock(disk, (fcntl.LOCK_SH if self.read_only else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError:
            raise HostError(f"{self.path} is in use by another program; to find it: fuser -v {self.path}") from None
        size = os.lseek(disk, 0, os.SEEK_END)
        if size % sector:
            raise HostError(
                f"{self.path} has {size} octets, which is no multiple of {sector}; "
                f"to add {-size % sector} zeros: truncate -s %{sector} {self.path}"
            )
        return size


def _why(name: str, error: OSError) -> str:
    if error.errno == errno.EBUSY:
        return f"the TAP {name} is in use by another program; end that one, or take another name"
    if error.errno == errno.EINVAL:
        return f"the interface {name} is no TAP of one queue: ip -d link show {name}; take another name"
    return (
        f"the TAP {name} cannot be used ({error.strerror}); to make one that is yours: "
        f"sudo ip tuntap add dev {name} mode tap user {os.getuid()} && sudo ip link set {name} up"
    )


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _check_mac(mac: bytes) -> bytes:
    if len(mac) != 6 or mac[0] & 1:
        raise ValueError(f"{mac.hex(':') or 'nothing'} is no address of one station: 6 octets, the first one even")
    return bytes(mac)


def _mtu(name: str) -> int:
    import _socket  # `socket` makes enumerations of its numbers first, which takes milliseconds

    any_socket = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    try:
        answer = fcntl.ioctl(any_socket.fileno(), _SIOCGIFMTU, struct.pack("=16s24x", name.encode()))
    finally:
        any_socket.close()
    mtu: int = struct.unpack_from("=i", answer, 16)[0]
    return mtu
