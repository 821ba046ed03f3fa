"""Frames over a file: `read` takes one, `write` gives one, each behind the header of virtio-net.

Offloads are off until `enable_offload`; what is enabled is what the kernel, or the host of the unikernel, agreed to.
What is the same for each frame is in `_frames`.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import struct
from collections.abc import Callable, Sequence

from mirage.types import Buffer, Checksum, DeviceError, FrameMeta, NetworkStats, Offload, Segmentation

from ._frames import Frames
from ._wire import TUN_FLAGS
from .errors import NetworkUnavailable

__all__ = ["DeviceNetwork"]

SIOCGIFMTU = 0x8921
SIOCGIFHWADDR = 0x8927
_TUNSETOFFLOAD = 0x400454D0
_PLAIN = FrameMeta()


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
        name = device if isinstance(device, str) else f"network device on descriptor {device}"
        descriptor = _open(device) if isinstance(device, str) else device
        try:
            os.set_blocking(descriptor, False)
            self._mac = check_mac(mac) if mac is not None else _ask(descriptor, name, SIOCGIFHWADDR, "mac")[18:24]
            self._frames = Frames(descriptor, name, mtu if mtu is not None else _ask_mtu(descriptor, name))
        except BaseException:
            os.close(descriptor)
            raise
        self._loop = loop
        self._reading: asyncio.AbstractEventLoop | None = None

    @property
    def name(self) -> str:
        """What the device is called in messages."""
        return self._frames.name

    @property
    def mac(self) -> bytes:
        """The device's 6-octet address: the one that frames from here bear."""
        self._check_open()
        return self._mac

    @property
    def mtu(self) -> int:
        """The largest payload of a frame in octets, as it was when the device was opened."""
        self._check_open()
        return self._frames.mtu

    @property
    def max_frame(self) -> int:
        """The longest frame or super-frame in octets, header included."""
        self._check_open()
        return self._frames.longest

    @property
    def stats(self) -> NetworkStats:
        """The live counters. A super-frame counts as one frame. What the kernel dropped is in `ip -s link`."""
        self._check_open()
        return self._frames.stats

    def fileno(self) -> int:
        """The descriptor, readable when a frame waits, for a selector of your own. Raises `DeviceClosed`."""
        self._check_open()
        return self._frames.descriptor

    def enable_offload(self, wanted: Offload) -> Offload:
        """Have as much of `wanted` as the device agrees to, and nothing else; returns what is enabled."""
        self._check_open()
        if not wanted & Offload.CHECKSUM:
            wanted = Offload.NONE
        for offer in dict.fromkeys((wanted, wanted & ~Offload.ECN, wanted & Offload.CHECKSUM)):
            if self._set_offload(offer):
                self._frames.offload = offer
                break
        else:
            self._frames.offload = Offload.NONE
        return self._frames.offload

    def _set_offload(self, offload: Offload) -> bool:
        """Ask the device for just this; False when it cannot."""
        flags = sum(bit for flag, bit in TUN_FLAGS.items() if flag in offload)
        try:
            fcntl.ioctl(self._frames.descriptor, _TUNSETOFFLOAD, flags)
        except OSError as error:
            if error.errno in {errno.EINVAL, errno.ENOTTY, errno.ENOSYS, errno.EOPNOTSUPP}:
                return False
            self._frames.gone(error)
        return True

    def send(self, frame: Sequence[Buffer]) -> bool:
        """Send one frame, given in slices of octets. False, and counted, when the device has no room or is not up."""
        if self.send_many(((_PLAIN, frame),)):
            return True
        self._frames.stats.frames_dropped += 1
        return False

    def send_many(self, frames: Sequence[tuple[FrameMeta, Sequence[Buffer]]]) -> int:
        """Send frames, each given in slices of octets, in order; returns how many were taken."""
        return self._frames.write(frames)

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
        stats = self._frames.stats
        stats.frames_received -= 1
        stats.octets_received -= octets
        stats.frames_dropped += 1

    def receive_many(self, limit: int = 64) -> list[tuple[FrameMeta, memoryview]]:
        """The next frames, at most `limit` or 256 KiB; valid until the next call."""
        return self._frames.read(limit)

    def on_readable(self, callback: Callable[[], None] | None) -> None:
        """Have `callback` called by the event loop while frames wait; None stops it.

        Raises `DeviceError` when no loop was given and none runs: use `fileno` with a selector of your own then.
        """
        self._check_open()
        if self._reading is not None:
            self._reading.remove_reader(self._frames.descriptor)
            self._reading = None
        if callback is None:
            return
        loop = self._loop
        if loop is None:
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError as error:
                raise DeviceError(
                    f"{self._frames.name}: no event loop runs; pass loop= when opening it, or select on fileno()"
                ) from error
        loop.add_reader(self._frames.descriptor, callback)
        self._reading = loop

    def close(self) -> None:
        """Release the device; frames not yet received are lost."""
        if self._frames.descriptor < 0:
            return
        with contextlib.suppress(RuntimeError):  # the loop may be closed already
            self.on_readable(None)
        os.close(self._frames.descriptor)
        self._frames.descriptor = -1

    def __repr__(self) -> str:
        frames = self._frames
        state = "closed" if frames.descriptor < 0 else f"{self._mac.hex(':')}, mtu {frames.mtu}"
        return f"<{type(self).__name__} {frames.name}: {state}>"

    def _check_open(self) -> None:
        if self._frames.descriptor < 0:
            self._frames.closed()


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
