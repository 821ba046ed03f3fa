"""Frames made by hand, for what is no business of a stack: router advertisements, and answers of DHCP to a client that
has no address yet. And the other way: frames with work left undone, made whole for a guest that did not offer to do it.

Everything here is octets in, octets out; what comes from a guest raises only `WireError`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from mirage.tcpip import WireError
from mirage.tcpip.wire.checksum import ones_sum
from mirage.types import Buffer, Checksum, FrameMeta, Segmentation

__all__ = ["icmp6_frame", "udp4_frame", "whole_frames"]

_ETHERNET, _IP4, _IP6, _TCP_LEAST = 14, 20, 40, 20
_ICMP6 = 58
_UDP = 17
_FIN, _PSH, _CWR = 0x01, 0x08, 0x80
_LONGEST = 65535


def icmp6_frame(source_mac: bytes, destination_mac: bytes, source: bytes, destination: bytes, message: bytes) -> bytes:
    """A message of NDP, its checksum still zero, with the hop limit that such messages must have (RFC 4861 4)."""
    pseudo = ones_sum(source + destination) + _ICMP6 + len(message)
    body = bytearray(message)
    body[2:4] = _complement(pseudo + ones_sum(body))
    head = struct.pack(">IHBB", 6 << 28, len(body), _ICMP6, 255)
    return b"".join((destination_mac, source_mac, b"\x86\xdd", head, source, destination, body))


def udp4_frame(
    source_mac: bytes,
    destination_mac: bytes,
    source: tuple[bytes, int],
    destination: tuple[bytes, int],
    data: bytes,
) -> bytes:
    """A datagram over IPv4 that is not fragmented."""
    length = 8 + len(data)
    udp = bytearray(struct.pack(">HHHH", source[1], destination[1], length, 0) + data)
    pseudo = ones_sum(source[0] + destination[0]) + _UDP + length
    udp[6:8] = _complement(pseudo + ones_sum(udp))
    ip = bytearray(struct.pack(">BBHHHBBH", 0x45, 0, _IP4 + length, 0, 0, 64, _UDP, 0) + source[0] + destination[0])
    ip[10:12] = _complement(ones_sum(ip))
    return b"".join((destination_mac, source_mac, b"\x08\x00", ip, udp))


def whole_frames(meta: FrameMeta, parts: Sequence[Buffer]) -> Iterator[bytes]:
    """The frames that a wire would carry: checksums complete, super-frames cut (VIRTIO 1.2, 5.1.6.2).

    Raises `WireError` for a frame that is not what its `meta` says.
    """
    frame = b"".join(parts)
    if meta.checksum is not Checksum.PARTIAL:
        yield frame
        return
    start, at = meta.checksum_start, meta.checksum_start + meta.checksum_offset
    if not _ETHERNET < start <= at <= len(frame) - 2:
        raise WireError(f"the checksum at octet {at} lies outside a frame of {len(frame)} octets")
    if meta.segmentation is Segmentation.NONE:
        total = ones_sum(memoryview(frame)[start:])
        yield b"".join((frame[:at], _complement(total), frame[at + 2 :]))
        return
    yield from _segments(meta, frame, start)


def _segments(meta: FrameMeta, frame: bytes, start: int) -> Iterator[bytes]:
    """Cut a super-frame: each segment has the headers again, with its own lengths, numbers and sums."""
    version6 = meta.segmentation is Segmentation.TCP6
    ip = _IP6 if version6 else _IP4
    if start < _ETHERNET + ip or len(frame) < start + _TCP_LEAST or meta.segment_size < 1:
        raise WireError("a super-frame without whole headers")
    end = start + (frame[start + 12] >> 4 << 2)
    if not start + _TCP_LEAST <= end <= len(frame):
        raise WireError("the TCP header of a super-frame ends outside of it (RFC 9293 3.1)")
    head = bytearray(frame[:end])
    sequence = int.from_bytes(frame[start + 4 : start + 8], "big")
    identification = int.from_bytes(frame[18:20], "big")
    flags = frame[start + 13]
    addresses = ones_sum(frame[22:54] if version6 else frame[26:34]) + 6
    data = memoryview(frame)[end:]
    size = meta.segment_size
    for number, offset in enumerate(range(0, len(data) or 1, size)):
        piece = data[offset : offset + size]
        last = offset + size >= len(data)
        length = end - start + len(piece)
        if version6:
            head[18:20] = (start - _ETHERNET - _IP6 + length).to_bytes(2, "big")
        else:
            head[16:18] = (start - _ETHERNET + length).to_bytes(2, "big")
            head[18:20] = (identification + number & 0xFFFF).to_bytes(2, "big")
            head[24:26] = b"\0\0"
            head[24:26] = _complement(ones_sum(head[_ETHERNET:start]))
        head[start + 4 : start + 8] = (sequence + offset & 0xFFFFFFFF).to_bytes(4, "big")
        # RFC 3168 6.1.2: CWR belongs to the first; FIN and PSH to the last.
        head[start + 13] = flags & ~(0 if last else _FIN | _PSH) & ~(_CWR if number else 0)
        head[start + 16 : start + 18] = b"\0\0"
        head[start + 16 : start + 18] = _complement(addresses + length + ones_sum(head[start:]) + ones_sum(piece))
        yield b"".join((head, piece))


def _complement(total: int) -> bytes:
    return (65535 - total % 65535).to_bytes(2, "big")
