"""A guest's plug: a socket that keeps messages apart, each a virtio-net header of 12 octets and a frame.

Invariants:

* A batch of frames is read into one arena of 256 KiB and is done with before the next is read.
* What a guest sends is checked before it goes on: header, length, and that a partial checksum lies within the frame.
  What fails is counted and dropped.
* Offloads: whatever a guest sends is taken. It is sent only what it has said that it takes, by a message that is too
  short for a frame (`mirage.net.parse_offload_request`); the rest is made whole first.
* Frames that the socket has no room for wait, in order, at most `_KEPT` octets of them; beyond, they are dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence

from mirage.net import HEADER_SIZE, MalformedHeader, build_header, parse_header, parse_offload_request
from mirage.tcpip import WireError
from mirage.types import Buffer, Checksum, FrameMeta, Offload, Segmentation

from .frames import whole_frames

__all__ = ["Frame", "SocketPort"]

_ETHERNET = 14
_SLOT = _ETHERNET + 4 + 65535 + 1
_ARENA = 256 * 1024
_FRAMES = 64
_KEPT = 4 << 20
_KNOWN = 4096
_BUFFER = 4 << 20
_NO_ROOM = {errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM}
_PLAIN = FrameMeta()
_PLAIN_HEADER = build_header(_PLAIN)

Frame = tuple[FrameMeta, memoryview]


class SocketPort:
    """One guest, on an ordinary event loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        name: str,
        number: int,
        receive: Callable[[SocketPort, list[Frame]], None],
        ended: Callable[[SocketPort], None],
    ) -> None:
        """Take the socket over. `receive` gets the frames, valid while it runs; `ended` is called once, at the end."""
        self.name = name
        self.number = number
        """Which guest of the plan it is."""
        self.offload = Offload.NONE
        """What the guest has said that it takes."""
        self.received = self.sent = self.dropped = 0
        """Frames."""
        self._loop = loop
        self._socket = sock
        self._fd = sock.fileno()
        self._receive = receive
        self._ended = ended
        self._metas: dict[bytes, tuple[FrameMeta, int]] = {}
        self._headers: dict[FrameMeta, tuple[bytes, bool]] = {}
        self._kept: deque[bytes] = deque()
        self._kept_size = 0
        self._head = bytearray(HEADER_SIZE)
        self._arena = memoryview(bytearray(_ARENA))
        sock.setblocking(False)
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, option, _BUFFER)
        loop.add_reader(self._fd, self._readable)

    @property
    def closed(self) -> bool:
        """Whether the guest is gone."""
        return self._fd < 0

    # In

    def _readable(self) -> None:
        fd, head, arena, metas, readv = self._fd, self._head, self._arena, self._metas, os.readv
        frames: list[Frame] = []
        at = 0
        over = False
        for _ in range(_FRAMES):
            if at > _ARENA - _SLOT:
                break
            try:
                size = readv(fd, (head, arena[at : at + _SLOT])) - HEADER_SIZE
            except BlockingIOError:
                break
            except OSError:
                over = True
                break
            key = bytes(head)
            if size < _ETHERNET:
                if size == -HEADER_SIZE:
                    over = True
                    break
                self._word(key[: HEADER_SIZE + size] if size < 0 else key)
                continue
            meta, shortest = metas.get(key) or self._meta(key)
            if not shortest <= size < _SLOT:
                self.dropped += 1
                continue
            frames.append((meta, arena[at : at + size]))
            at += size
        if frames:
            self.received += len(frames)
            self._receive(self, frames)
        if over:
            self.close()

    def _meta(self, header: bytes) -> tuple[FrameMeta, int]:
        """What a header says, and the shortest frame it can belong to; no frame can be that long if it is damaged."""
        try:
            meta = parse_header(header)
        except MalformedHeader:
            return _PLAIN, _SLOT
        shortest = _ETHERNET
        if meta.checksum is Checksum.PARTIAL:
            shortest = max(shortest, meta.checksum_start + meta.checksum_offset + 2)
        elif meta.segmentation is not Segmentation.NONE:
            shortest = _SLOT  # VIRTIO 1.2, 5.1.6.2: segmentation builds on the checksum offload
        if len(self._metas) >= _KNOWN:
            self._metas.clear()
        self._metas[header] = meta, shortest
        return meta, shortest

    def _word(self, octets: bytes) -> None:
        """A message that is no frame."""
        offload = parse_offload_request(octets)
        if offload is None:
            self.dropped += 1
        else:
            self.offload = offload
            self._headers.clear()

    # Out

    def say(self, word: bytes) -> None:
        """Send a message that is no frame; a guest that has no room for it does without."""
        with contextlib.suppress(OSError):
            self._socket.send(word)

    def send(self, meta: FrameMeta, parts: Sequence[Buffer]) -> None:
        """Send a frame, or keep it until there is room, or drop it."""
        header, agreed = self._headers.get(meta) or self._header(meta)
        if agreed:
            self._send(header, parts)
            return
        try:
            for frame in whole_frames(meta, parts):
                self._send(_PLAIN_HEADER, (frame,))
        except WireError:
            self.dropped += 1

    def _header(self, meta: FrameMeta) -> tuple[bytes, bool]:
        """A frame's header, and whether the guest takes such frames as they are; remembered."""
        needed = Offload.NONE
        if meta.checksum is Checksum.VERIFIED:
            # That is a receiver's word; the checksum itself stands in the frame.
            header = _PLAIN_HEADER
        else:
            header = build_header(meta)
            if meta.checksum is Checksum.PARTIAL:
                needed |= Offload.CHECKSUM
            if meta.segmentation is not Segmentation.NONE:
                needed |= Offload.TSO4 if meta.segmentation is Segmentation.TCP4 else Offload.TSO6
                needed |= Offload.ECN if meta.ecn else Offload.NONE
        if len(self._headers) >= _KNOWN:
            self._headers.clear()
        self._headers[meta] = header, needed in self.offload
        return self._headers[meta]

    def _send(self, header: bytes, parts: Sequence[Buffer]) -> None:
        if self._fd < 0:
            return
        if not self._kept:
            try:
                os.writev(self._fd, (header, *parts))
            except OSError as error:
                if error.errno not in _NO_ROOM:
                    self._loop.call_soon(self.close)
                    return
                self._loop.add_writer(self._fd, self._writable)
            else:
                self.sent += 1
                return
        frame = b"".join((header, *parts))
        if self._kept_size + len(frame) > _KEPT:
            self.dropped += 1
            return
        self._kept.append(frame)
        self._kept_size += len(frame)

    def _writable(self) -> None:
        while self._kept:
            try:
                os.write(self._fd, self._kept[0])
            except OSError as error:
                if error.errno not in _NO_ROOM:
                    self.close()
                return
            self.sent += 1
            self._kept_size -= len(self._kept.popleft())
        self._loop.remove_writer(self._fd)

    def close(self) -> None:
        """Unplug; may be called again."""
        if self._fd < 0:
            return
        self._loop.remove_reader(self._fd)
        self._loop.remove_writer(self._fd)
        self._fd = -1
        self._socket.close()
        self._kept.clear()
        self._ended(self)
