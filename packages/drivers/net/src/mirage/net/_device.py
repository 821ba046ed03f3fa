"""Frames over a file: `read` takes one, `write` gives one, each behind the header of virtio-net.

Invariants:

* Offloads are off until `enable_offload`; what is enabled is what the kernel, or the host of the unikernel, agreed to.
* Everything that is received is checked before it is returned: header, length, and that a partial checksum lies within
  the frame. What fails is dropped and counted; nothing from outside raises.
* The receive buffer is one block that a batch fills from its start, frame after frame, so a batch costs no allocation
  but its views, and holds 256 KiB at most.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import struct
from collections.abc import Callable, Sequence
from typing import NoReturn

from mirage.types import (
    Buffer,
    Checksum,
    DeviceClosed,
    DeviceError,
    FrameMeta,
    NetworkStats,
    Offload,
    OutOfRange,
    Segmentation,
)

from ._wire import ETHERNET, HEADER_SIZE, TUN_FLAGS, build_header, parse_header, shortest_frame
from .errors import BadOffload, MalformedHeader, NetworkUnavailable

__all__ = ["DeviceNetwork"]

_LONGEST = 65535
"""Octets of the longest packet that a super-frame holds: IPv4's Total Length has 16 bits (RFC 791 section 3.1)."""
_SLOT = ETHERNET + 4 + _LONGEST + 1
"""Room for any frame, a VLAN tag included; a read that fills it was cut off."""
_ARENA = 256 * 1024
_DAMAGED_AT_ONCE = 256
"""After so many damaged frames, a call returns: nobody can hold the program by sending rubbish."""
_KNOWN = 4096
"""Headers remembered; a stack uses a few per connection."""

SIOCGIFMTU = 0x8921
SIOCGIFHWADDR = 0x8927
_TUNSETOFFLOAD = 0x400454D0
_SEGMENTATION = {Segmentation.TCP4: Offload.TSO4, Segmentation.TCP6: Offload.TSO6}
_NO_ROOM = {errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM}
_UNPLUGGED = {errno.EIO, errno.ENETDOWN}
"""What Linux says when a TAP is there but not up."""
_PLAIN = FrameMeta()
_Admitted = tuple[bytes, int, int]
"""A header as it is written, and the shortest and longest frame that it may precede."""


class DeviceNetwork:
    """An Ethernet device behind a file, such as a unikernel's `/dev/net0`. Fits `OffloadNetwork`."""

    def __init__(
        self,
        device: str | int = "/dev/net0",
        *,
        mac: bytes | None = None,
        mtu: int | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """Open a device, or take over a descriptor, which `close` then closes.

        `mac` and `mtu` are asked of the device where they are not given. `loop` is the event loop that `on_readable`
        uses; without it, the one that runs when `on_readable` is called. Raises `NetworkUnavailable`, `ValueError`.
        """
        self._name = device if isinstance(device, str) else f"network device on descriptor {device}"
        self._fd = _open(device) if isinstance(device, str) else device
        try:
            os.set_blocking(self._fd, False)
            self._mac = check_mac(mac) if mac is not None else _ask(self._fd, self._name, SIOCGIFHWADDR, "mac")[18:24]
            self._mtu = mtu if mtu is not None else _ask_mtu(self._fd, self._name)
        except BaseException:
            os.close(self._fd)
            self._fd = -1
            raise
        self._loop = loop
        self._reading: asyncio.AbstractEventLoop | None = None
        self._stats = NetworkStats()
        self._offload = Offload.NONE
        self._headers: dict[FrameMeta, _Admitted] = {}
        self._metas: dict[bytes, tuple[FrameMeta, int]] = {}
        self._head = bytearray(HEADER_SIZE)
        self._arena = memoryview(bytearray(_ARENA))

    @property
    def name(self) -> str:
        """What the device is called in messages."""
        return self._name

    @property
    def mac(self) -> bytes:
        """The device's 6-octet address: the one that frames from here bear."""
        self._check_open()
        return self._mac

    @property
    def mtu(self) -> int:
        """The largest payload of a frame in octets, as it was when the device was opened."""
        self._check_open()
        return self._mtu

    @property
    def max_frame(self) -> int:
        """The longest frame or super-frame in octets, header included."""
        self._check_open()
        return ETHERNET + (_LONGEST if self._offload & (Offload.TSO4 | Offload.TSO6) else self._mtu)

    @property
    def stats(self) -> NetworkStats:
        """The live counters. A super-frame counts as one frame. What the kernel dropped is in `ip -s link`."""
        self._check_open()
        return self._stats

    def fileno(self) -> int:
        """The descriptor, readable when a frame waits, for a selector of your own. Raises `DeviceClosed`."""
        self._check_open()
        return self._fd

    def enable_offload(self, wanted: Offload) -> Offload:
        """Have as much of `wanted` as the device agrees to, and nothing else; returns what is enabled."""
        self._check_open()
        if not wanted & Offload.CHECKSUM:
            wanted = Offload.NONE
        for offer in dict.fromkeys((wanted, wanted & ~Offload.ECN, wanted & Offload.CHECKSUM)):
            if self._set_offload(offer):
                self._offload = offer
                break
        else:
            self._offload = Offload.NONE
        self._headers.clear()
        return self._offload

    def _set_offload(self, offload: Offload) -> bool:
        """Ask the device for just this; False when it cannot."""
        flags = sum(bit for flag, bit in TUN_FLAGS.items() if flag in offload)
        try:
            fcntl.ioctl(self._fd, _TUNSETOFFLOAD, flags)
        except OSError as error:
            if error.errno in {errno.EINVAL, errno.ENOTTY, errno.ENOSYS, errno.EOPNOTSUPP}:
                return False
            self._gone(error)
        return True

    def send(self, frame: Sequence[Buffer]) -> bool:
        """Send one frame, given in slices of octets. False, and counted, when the device has no room or is not up."""
        if self.send_many(((_PLAIN, frame),)):
            return True
        self._stats.frames_dropped += 1
        return False

    def send_many(self, frames: Sequence[tuple[FrameMeta, Sequence[Buffer]]]) -> int:
        """Send frames, each given in slices of octets, in order; returns how many were taken."""
        self._check_open()
        fd, headers, writev = self._fd, self._headers, os.writev
        sent = octets = 0
        known: FrameMeta | None = None
        try:
            for meta, parts in frames:
                if meta is not known:  # most frames of a batch want the same
                    header, shortest, longest = headers.get(meta) or self._admit(meta)
                    known = meta
                size = sum(map(len, parts))
                if not shortest <= size <= longest:
                    self._refuse(meta, size)
                try:
                    writev(fd, (header, *parts))
                except OSError as error:
                    if error.errno in _NO_ROOM or error.errno in _UNPLUGGED:
                        break
                    if error.errno == errno.EINVAL and meta != _PLAIN:
                        raise BadOffload(f"{self._name} refuses {meta} with its frame of {size} octets") from error
                    self._gone(error)
                sent += 1
                octets += size
        finally:
            self._stats.frames_sent += sent
            self._stats.octets_sent += octets
        return sent

    def _refuse(self, meta: FrameMeta, size: int) -> NoReturn:
        _, _, longest = self._admit(meta)
        if ETHERNET <= size <= longest:
            raise BadOffload(f"{self._name}: the checksum of {meta} lies outside its frame of {size} octets")
        raise OutOfRange(f"{self._name}: a frame of {size} octets; it takes {ETHERNET} to {longest}")

    def _admit(self, meta: FrameMeta) -> _Admitted:
        """Check a meta against itself and what is enabled, and remember the outcome. Raises `BadOffload`."""
        needed = Offload.NONE
        if meta.checksum is Checksum.PARTIAL:
            needed |= Offload.CHECKSUM
        if meta.segmentation is not Segmentation.NONE:
            needed |= _SEGMENTATION[meta.segmentation] | (Offload.ECN if meta.ecn else Offload.NONE)
        if missing := needed & ~self._offload:
            raise BadOffload(f"{self._name}: {missing!r} is not enabled; enable_offload says what the device can do")
        payload = _LONGEST if meta.segmentation is not Segmentation.NONE else self._mtu
        admitted = (build_header(meta), shortest_frame(meta), ETHERNET + payload)
        if len(self._headers) >= _KNOWN:
            self._headers.clear()
        self._headers[meta] = admitted
        return admitted

    def receive(self) -> memoryview | None:
        """The next frame with a complete checksum, or None if none waits; valid until the next call.

        Frames that are not complete, because they came while an offload was enabled, are dropped and counted.
        """
        while frames := self.receive_many(1):
            meta, frame = frames[0]
            if meta.checksum is not Checksum.PARTIAL and meta.segmentation is Segmentation.NONE:
                return frame
            self._uncount(len(frame))
        return None

    def _uncount(self, octets: int) -> None:
        self._stats.frames_received -= 1
        self._stats.octets_received -= octets
        self._stats.frames_dropped += 1

    def receive_many(self, limit: int = 64) -> list[tuple[FrameMeta, memoryview]]:
        """The next frames, at most `limit` or 256 KiB; valid until the next call."""
        self._check_open()
        fd, head, arena, metas, readv = self._fd, self._head, self._arena, self._metas, os.readv
        frames: list[tuple[FrameMeta, memoryview]] = []
        at = damaged = 0
        key = b""
        while len(frames) < limit and at <= _ARENA - _SLOT and damaged < _DAMAGED_AT_ONCE:
            try:
                size = readv(fd, (head, arena[at : at + _SLOT])) - HEADER_SIZE
            except BlockingIOError:
                break
            except OSError as error:
                if frames or error.errno in _UNPLUGGED:
                    break  # if the device is gone, the next call says so
                self._gone(error)
            if size == -HEADER_SIZE:
                if frames:
                    break
                raise NetworkUnavailable(f"{self._name} has ended: its other side was closed")
            if head != key:
                key = bytes(head)
                meta, shortest = metas.get(key) or self._meta(key)
            if not shortest <= size < _SLOT:
                damaged += 1
                continue
            frames.append((meta, arena[at : at + size]))
            at += size
        stats = self._stats
        stats.frames_received += len(frames)
        stats.octets_received += at
        stats.frames_dropped += damaged
        return frames

    def _meta(self, header: bytes) -> tuple[FrameMeta, int]:
        """What a header says, and the shortest frame that it can belong to, remembered; no frame, if it is damaged."""
        try:
            meta = parse_header(header)
        except MalformedHeader:
            return _PLAIN, _SLOT
        if len(self._metas) >= _KNOWN:
            self._metas.clear()
        self._metas[header] = meta, shortest_frame(meta)
        return self._metas[header]

    def on_readable(self, callback: Callable[[], None] | None) -> None:
        """Have `callback` called by the event loop while frames wait; None stops it.

        Raises `DeviceError` when no loop was given and none runs: use `fileno` with a selector of your own then.
        """
        self._check_open()
        if self._reading is not None:
            self._reading.remove_reader(self._fd)
            self._reading = None
        if callback is None:
            return
        loop = self._loop
        if loop is None:
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError as error:
                raise DeviceError(
                    f"{self._name}: no event loop runs; pass loop= when opening it, or select on fileno()"
                ) from error
        loop.add_reader(self._fd, callback)
        self._reading = loop

    def close(self) -> None:
        """Release the device; frames not yet received are lost."""
        if self._fd < 0:
            return
        with contextlib.suppress(RuntimeError):  # the loop may be closed already
            self.on_readable(None)
        os.close(self._fd)
        self._fd = -1

    def __repr__(self) -> str:
        state = "closed" if self._fd < 0 else f"{self._mac.hex(':')}, mtu {self._mtu}"
        return f"<{type(self).__name__} {self._name}: {state}>"

    def _gone(self, error: OSError) -> NoReturn:
        raise NetworkUnavailable(f"{self._name} does not work any more: {error.strerror}") from error

    def _check_open(self) -> None:
        if self._fd < 0:
            raise DeviceClosed(f"{self._name} was closed")


def check_mac(mac: bytes) -> bytes:
    """`mac`, if it can be one station's address. Raises `ValueError`."""
    if len(mac) != 6 or mac[0] & 1:
        raise ValueError(f"{mac.hex(':') or 'nothing'} is no address of one station: 6 octets, the first one even")
    return bytes(mac)


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise NetworkUnavailable(
            f"{path} does not exist: the unikernel was started without a network; on Linux, use TapNetwork"
        ) from error
    except OSError as error:
        raise NetworkUnavailable(f"{path} cannot be opened: {error.strerror}") from error


def _ask(fd: int, name: str, request: int, argument: str) -> bytes:
    """A `struct ifreq` filled in by the device itself."""
    try:
        return fcntl.ioctl(fd, request, bytes(40))
    except OSError as error:
        raise NetworkUnavailable(f"{name} does not know its {argument}: pass {argument}=") from error


def _ask_mtu(fd: int, name: str) -> int:
    (mtu,) = struct.unpack_from("=i", _ask(fd, name, SIOCGIFMTU, "mtu"), 16)
    return int(mtu)
