"""The TCP header and its options (RFC 9293 3.1 and 3.2, RFC 7323, RFC 2018, RFC 5482)."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from mirage.types.devices import Buffer

from ..errors import WireError

__all__ = [
    "ACK",
    "CWR",
    "ECE",
    "FIN",
    "HEADER",
    "PSH",
    "RST",
    "SYN",
    "URG",
    "Options",
    "Segment",
    "build",
    "build_options",
    "parse",
    "parse_options",
]

HEADER: Final = 20
"""Octets of the header without options."""

FIN: Final = 0x01
SYN: Final = 0x02
RST: Final = 0x04
PSH: Final = 0x08
ACK: Final = 0x10
URG: Final = 0x20
ECE: Final = 0x40
CWR: Final = 0x80

_FIXED = struct.Struct(">HHIIHHHH")
_END, _NOP, _MSS, _SCALE, _SACK_PERMITTED, _SACK, _TIMESTAMPS, _USER_TIMEOUT = 0, 1, 2, 3, 4, 5, 8, 28
_MAX_SCALE = 14
_BLOCK = struct.Struct(">II")


class Options(NamedTuple):
    """The options that this stack knows; None where the segment had none."""

    mss: int | None = None
    window_scale: int | None = None
    """A shift count; never above 14 (RFC 7323 2.3)."""
    sack_permitted: bool = False
    timestamps: tuple[int, int] | None = None
    """TSval and TSecr (RFC 7323 3.2)."""
    sack: tuple[tuple[int, int], ...] = ()
    """Blocks as they are on the wire: left edge, right edge (RFC 2018 3)."""
    user_timeout: float | None = None
    """Seconds (RFC 5482 3)."""


class Segment(NamedTuple):
    """A TCP segment as it is on the wire."""

    source_port: int
    destination_port: int
    sequence: int
    acknowledgment: int
    flags: int
    window: int
    options: memoryview
    payload: memoryview


NO_OPTIONS = Options()


def parse(data: memoryview) -> Segment:
    """Take a segment apart; the checksum is the caller's concern. Raises `WireError`."""
    if len(data) < HEADER:
        raise WireError(f"a TCP segment of {len(data)} octets; the header alone is {HEADER} (RFC 9293 3.1)")
    source, destination, sequence, acknowledgment, offset_flags, window, _, _ = _FIXED.unpack_from(data)
    offset = offset_flags >> 12 << 2
    if not HEADER <= offset <= len(data):
        raise WireError(f"the TCP data offset says {offset} octets, of {len(data)} (RFC 9293 3.1)")
    return Segment(
        source,
        destination,
        sequence,
        acknowledgment,
        offset_flags & 0xFF,
        window,
        data[HEADER:offset],
        data[offset:],
    )


def build(
    source_port: int,
    destination_port: int,
    sequence: int,
    acknowledgment: int,
    flags: int,
    window: int,
    options: bytes = b"",
) -> bytes:
    """A header with a checksum of zero, for `Path.send` to fill in. `options` is padded by `build_options`."""
    offset = HEADER + len(options)
    fixed = _FIXED.pack(
        source_port,
        destination_port,
        sequence & 0xFFFFFFFF,
        acknowledgment & 0xFFFFFFFF,
        offset << 10 | flags,
        window,
        0,
        0,
    )
    return fixed + options


def parse_options(data: Buffer) -> Options:
    """What the options say. An option of an impossible length ends the list, as does what this stack cannot know
    (RFC 9293 MUST-7: no illegal option may crash the receiver); what came before it counts.
    """
    if not data:
        return NO_OPTIONS
    found: dict[str, object] = {}
    at, end = 0, len(data)
    while at < end:
        kind = data[at]
        if kind == _END:
            break
        if kind == _NOP:
            at += 1
            continue
        if at + 1 >= end or data[at + 1] < 2 or at + data[at + 1] > end:
            break
        size = data[at + 1]
        body = bytes(data[at + 2 : at + size])
        if kind == _MSS and size == 4:
            found["mss"] = int.from_bytes(body, "big")
        elif kind == _SCALE and size == 3:
            found["window_scale"] = min(body[0], _MAX_SCALE)
        elif kind == _SACK_PERMITTED and size == 2:
            found["sack_permitted"] = True
        elif kind == _TIMESTAMPS and size == 10:
            found["timestamps"] = _BLOCK.unpack(body)
        elif kind == _SACK and size % 8 == 2:
            found["sack"] = tuple(_BLOCK.iter_unpack(body))
        elif kind == _USER_TIMEOUT and size == 4:
            value = int.from_bytes(body, "big")
            found["user_timeout"] = float((value & 0x7FFF) * (60 if value & 0x8000 else 1))
        at += size
    return Options(**found)  # type: ignore[arg-type]


def build_options(options: Options) -> bytes:
    """The options as octets, padded to a multiple of four."""
    parts = []
    if options.mss is not None:
        parts.append(struct.pack(">BBH", _MSS, 4, options.mss))
    if options.timestamps is not None:
        lead = bytes([_SACK_PERMITTED, 2]) if options.sack_permitted else bytes([_NOP, _NOP])
        parts.append(lead + struct.pack(">BBII", _TIMESTAMPS, 10, *options.timestamps))
    elif options.sack_permitted:
        parts.append(bytes([_NOP, _NOP, _SACK_PERMITTED, 2]))
    if options.window_scale is not None:
        parts.append(bytes([_NOP, _SCALE, 3, options.window_scale]))
    if options.user_timeout is not None:
        seconds = int(options.user_timeout)
        value = seconds if seconds < 0x8000 else 0x8000 | min(seconds // 60, 0x7FFF)
        parts.append(struct.pack(">BBH", _USER_TIMEOUT, 4, value))
    if options.sack:
        blocks = b"".join(_BLOCK.pack(left & 0xFFFFFFFF, right & 0xFFFFFFFF) for left, right in options.sack)
        parts.append(bytes([_NOP, _NOP, _SACK, 2 + len(blocks)]) + blocks)
    return b"".join(parts)
