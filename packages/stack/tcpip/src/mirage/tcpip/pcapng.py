"""Captures in the pcapng format (draft-ietf-opsawg-pcapng), which tcpdump and Wireshark read: values in, octets out.

`Tap` is what hangs on a link: it is told each frame and keeps the capture, all of it or the last so many octets. It
opens no file.
"""

from __future__ import annotations

import enum
import struct
from collections import deque
from collections.abc import Sequence
from typing import Final

from mirage.types.devices import Buffer

__all__ = ["Direction", "Tap", "interface_block", "packet_block", "section_header"]

_ETHERNET: Final = 1
_HEAD: Final = struct.Struct("<II")
_PACKET: Final = struct.Struct("<IIIIIII")
_NANOSECONDS: Final = b"\x09"
_MAX_PACKET: Final = 1 << 18
"""What a capture keeps of a frame, and says so in the interface's block: a super-frame fits."""


class Direction(enum.IntEnum):
    """The low two bits of a packet's flags: as seen by the interface."""

    UNKNOWN = 0
    RECEIVED = 1
    SENT = 2


def section_header(application: str = "mirage-tcpip", comment: str = "") -> bytes:
    """What a capture begins with; the numbers that follow are little-endian, as its magic says."""
    body = struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)
    options = [(1, comment.encode())] if comment else []
    return _block(0x0A0D0D0A, body + _options([*options, (4, application.encode())]))


def interface_block(name: str, mac: bytes | None = None, description: str = "") -> bytes:
    """An Ethernet interface; packets name it by its place among these, from 0. Times are in nanoseconds."""
    body = struct.pack("<HHI", _ETHERNET, 0, _MAX_PACKET)
    options = [(2, name.encode())]
    if description:
        options.append((3, description.encode()))
    if mac is not None:
        options.append((6, mac))
    options.append((9, _NANOSECONDS))
    return _block(1, body + _options(options))


def packet_block(
    interface: int, frame: Buffer, time_ns: int, direction: Direction = Direction.UNKNOWN, comment: str = ""
) -> bytes:
    """An enhanced packet block: one frame from its Ethernet header on, at `time_ns` since the epoch, or since the start
    where time is virtual."""
    size = len(frame)
    kept = bytes(frame[:_MAX_PACKET])
    pad = -len(kept) & 3
    options = [(1, comment.encode())] if comment else []
    tail = _options([*options, (2, int(direction).to_bytes(4, "little"))])
    total = 12 + 20 + len(kept) + pad + len(tail)
    time_ns = max(time_ns, 0)
    head = _PACKET.pack(6, total, interface, time_ns >> 32 & 0xFFFFFFFF, time_ns & 0xFFFFFFFF, len(kept), size)
    return b"".join((head, kept, bytes(pad), tail, total.to_bytes(4, "little")))


class Tap:
    """A capture that grows frame by frame, from any number of interfaces."""

    def __init__(self, limit: int | None = 64 << 20, comment: str = "", epoch: float = 0.0) -> None:
        """Keep the last `limit` octets of packets (None: all of them). `epoch` is added to every time: what a loop's
        clock lacks to be the time of day."""
        self.dropped = 0
        """Frames that gave way to later ones."""
        self._limit = limit
        # Converted apart: a double has no nanoseconds left at the time of day.
        self._epoch = round(epoch * 1e9)
        self._comment = comment
        self._interfaces: list[bytes] = []
        self._packets: deque[bytes] = deque()
        self._size = 0

    def interface(self, name: str, mac: bytes | None = None, description: str = "") -> int:
        """Name an interface; the number is what `frame` is given."""
        self._interfaces.append(interface_block(name, mac, description))
        return len(self._interfaces) - 1

    def frame(
        self,
        interface: int,
        frame: Buffer | Sequence[Buffer],
        now: float,
        direction: Direction = Direction.UNKNOWN,
        comment: str = "",
    ) -> None:
        """A frame passed by, whole or in slices; `now` in seconds."""
        octets = frame if isinstance(frame, bytes | bytearray | memoryview) else b"".join(frame)
        if not 0 <= interface < len(self._interfaces):
            raise ValueError(f"interface {interface} was not named; call Tap.interface first")
        block = packet_block(interface, octets, round(now * 1e9) + self._epoch, direction, comment)
        self._packets.append(block)
        self._size += len(block)
        if self._limit is not None:
            while self._size > self._limit and len(self._packets) > 1:
                self._size -= len(self._packets.popleft())
                self.dropped += 1

    def capture(self) -> bytes:
        """The capture so far, as the content of a file."""
        return b"".join((section_header(comment=self._comment), *self._interfaces, *self._packets))


def _block(kind: int, body: bytes) -> bytes:
    total = len(body) + 12
    return b"".join((_HEAD.pack(kind, total), body, total.to_bytes(4, "little")))


def _options(options: Sequence[tuple[int, bytes]]) -> bytes:
    """Options, each padded to 32 bits, and the one that ends them."""
    parts = []
    for code, value in options:
        # An option's length is 16 bits; only a comment can be as long as that.
        value = value[:65535]
        parts.append(struct.pack("<HH", code, len(value)) + value + bytes(-len(value) & 3))
    return b"".join(parts) + bytes(4)
