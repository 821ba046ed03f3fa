"""Frames over a descriptor, each behind the header of virtio-net: one system call for a frame, and little besides.

Everything that is read is checked before it is returned: header, length, and that a partial checksum lies within the
frame. What fails is dropped and counted; nothing from outside raises.

The block that frames are read into is filled from its start by each call, frame after frame, so a batch costs no
allocation but its views, and holds 256 KiB at most.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from typing import Final, NoReturn

from mirage.types import (
    Buffer,
    Checksum,
    DeviceClosed,
    FrameMeta,
    NetworkStats,
    Offload,
    OutOfRange,
    Segmentation,
)

from ._wire import ETHERNET, HEADER_SIZE, build_header, parse_header, shortest_frame
from .errors import BadOffload, MalformedHeader, NetworkUnavailable

__all__ = ["LONGEST", "Frames"]

LONGEST: Final = 65535
"""Octets of the longest packet that a super-frame holds: IPv4's Total Length has 16 bits (RFC 791 section 3.1)."""
_SLOT: Final = ETHERNET + 4 + LONGEST + 1
"""Room for any frame, a VLAN tag included; a read that fills it was cut off."""
_ARENA: Final = 256 * 1024
_DAMAGED_AT_ONCE: Final = 256
"""After so many damaged frames, a call returns: nobody can hold the program by sending rubbish."""
_KNOWN: Final = 4096
"""Headers remembered; a stack uses a few per connection."""

_SEGMENTATION: Final = {Segmentation.TCP4: Offload.TSO4, Segmentation.TCP6: Offload.TSO6}
_NO_ROOM: Final = frozenset({errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM})
_UNPLUGGED: Final = frozenset({errno.EIO, errno.ENETDOWN})
"""What Linux says when a TAP is there but not up."""
_PLAIN: Final = FrameMeta()


class Frames:
    """Reads and writes the frames of one device, and counts them."""

    def __init__(self, descriptor: int, name: str, mtu: int) -> None:
        """`name` is for messages, `mtu` the largest payload in octets."""
        self.descriptor = descriptor
        """-1 once the device is closed."""
        self.name = name
        self.mtu = mtu
        self.stats = NetworkStats()
        self._offload = Offload.NONE
        self._headers: dict[FrameMeta, tuple[bytes, int, int]] = {}
        self._metas: dict[bytes, tuple[FrameMeta, int]] = {}
        self._head = bytearray(HEADER_SIZE)
        self._arena = memoryview(bytearray(_ARENA))

    @property
    def offload(self) -> Offload:
        """What frames may leave to the device."""
        return self._offload

    @offload.setter
    def offload(self, agreed: Offload) -> None:
        self._offload = agreed
        self._headers.clear()

    @property
    def longest(self) -> int:
        """Octets of the longest frame or super-frame, header included."""
        return ETHERNET + (LONGEST if self._offload & (Offload.TSO4 | Offload.TSO6) else self.mtu)

    # Out

    def write(self, frames: Sequence[tuple[FrameMeta, Sequence[Buffer]]]) -> int:
        """Send frames, each given in slices of octets, in order; returns how many there was room for.

        Raises `OutOfRange`, `BadOffload`, `DeviceClosed`, `NetworkUnavailable`; the frames before are then sent.
        """
        descriptor, headers, writev = self.descriptor, self._headers, os.writev
        if descriptor < 0:
            self.closed()
        sent = octets = 0
        known: FrameMeta | None = None
        header, shortest, longest = b"", 0, 0
        try:
            for meta, parts in frames:
                if meta is not known:  # most frames of a batch want the same
                    header, shortest, longest = headers.get(meta) or self._admit(meta)
                    known = meta
                size = 0
                for part in parts:
                    size += len(part)
                if not shortest <= size <= longest:
                    self._refuse(meta, size)
                try:
                    writev(descriptor, (header, *parts))
                except OSError as error:
                    if error.errno in _NO_ROOM or error.errno in _UNPLUGGED:
                        break
                    if error.errno == errno.EINVAL and meta != _PLAIN:
                        raise BadOffload(f"{self.name} refuses {meta} with its frame of {size} octets") from error
                    self.gone(error)
                sent += 1
                octets += size
        finally:
            self.stats.frames_sent += sent
            self.stats.octets_sent += octets
        return sent

    def _admit(self, meta: FrameMeta) -> tuple[bytes, int, int]:
        """Check a meta against itself and what is enabled: its header as it is written, and the shortest and longest
        frame that it may precede; the outcome is remembered. Raises `BadOffload`."""
        needed = Offload.NONE
        if meta.checksum is Checksum.PARTIAL:
            needed |= Offload.CHECKSUM
        if meta.segmentation is not Segmentation.NONE:
            needed |= _SEGMENTATION[meta.segmentation] | (Offload.ECN if meta.ecn else Offload.NONE)
        if missing := needed & ~self._offload:
            raise BadOffload(f"{self.name}: {missing!r} is not enabled; enable_offload says what the device can do")
        payload = LONGEST if meta.segmentation is not Segmentation.NONE else self.mtu
        admitted = (build_header(meta), shortest_frame(meta), ETHERNET + payload)
        if len(self._headers) >= _KNOWN:
            self._headers.clear()
        self._headers[meta] = admitted
        return admitted

    def _refuse(self, meta: FrameMeta, size: int) -> NoReturn:
        _, _, longest = self._admit(meta)
        if ETHERNET <= size <= longest:
            raise BadOffload(f"{self.name}: the checksum of {meta} lies outside its frame of {size} octets")
        raise OutOfRange(f"{self.name}: a frame of {size} octets; it takes {ETHERNET} to {longest}")

    # In

    def read(self, limit: int) -> list[tuple[FrameMeta, memoryview]]:
        """The next frames, at most `limit` or 256 KiB; valid until the next call.

        Raises `DeviceClosed`, `NetworkUnavailable`.
        """
        descriptor, head, arena, metas, readv = self.descriptor, self._head, self._arena, self._metas, os.readv
        if descriptor < 0:
            self.closed()
        frames: list[tuple[FrameMeta, memoryview]] = []
        at = damaged = shortest = 0
        key = b""
        meta = _PLAIN
        while len(frames) < limit and at <= _ARENA - _SLOT and damaged < _DAMAGED_AT_ONCE:
            try:
                size = readv(descriptor, (head, arena[at : at + _SLOT])) - HEADER_SIZE
            except BlockingIOError:
                break
            except OSError as error:
                if frames or error.errno in _UNPLUGGED:
                    break  # if the device is gone, the next call says so
                self.gone(error)
            if size == -HEADER_SIZE:
                if frames:
                    break
                raise NetworkUnavailable(f"{self.name} has ended: its other side was closed")
            if head != key:
                key = bytes(head)
                meta, shortest = metas.get(key) or self._learn(key)
            if not shortest <= size < _SLOT:
                damaged += 1
                continue
            frames.append((meta, arena[at : at + size]))
            at += size
        stats = self.stats
        stats.frames_received += len(frames)
        stats.octets_received += at
        stats.frames_dropped += damaged
        return frames

    def _learn(self, header: bytes) -> tuple[FrameMeta, int]:
        """What a header says, and the shortest frame that it can belong to, remembered; no frame, if it is damaged."""
        try:
            meta = parse_header(header)
        except MalformedHeader:
            return _PLAIN, _SLOT
        if len(self._metas) >= _KNOWN:
            self._metas.clear()
        self._metas[header] = meta, shortest_frame(meta)
        return self._metas[header]

    # Why not

    def gone(self, error: OSError) -> NoReturn:
        """Say what the system says."""
        raise NetworkUnavailable(f"{self.name} does not work any more: {error.strerror}") from error

    def closed(self) -> NoReturn:
        """Say that the device was closed."""
        raise DeviceClosed(f"{self.name} was closed")
