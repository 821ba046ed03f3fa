"""The header of virtio-net, 12 octets in little-endian order (VIRTIO 1.2, 5.1.6), to and from `FrameMeta`.

`parse_header` and `build_header` are a pair: parsing what was built gives the same `FrameMeta`. Parsing takes any
octets and raises only `MalformedHeader`; building raises `BadOffload`. Neither looks at the frame: that a checksum lies
within its frame is checked by the length against `shortest_frame`.
"""

from __future__ import annotations

import struct

from mirage.types import Checksum, FrameMeta, Offload, Segmentation

from .errors import BadOffload, MalformedHeader

__all__ = [
    "ETHERNET",
    "HEADER_SIZE",
    "TUN_FLAGS",
    "build_header",
    "build_offload_request",
    "parse_header",
    "parse_offload_request",
    "shortest_frame",
]

ETHERNET = 14
"""Octets of an Ethernet header: two addresses and a type (IEEE 802.3 clause 3)."""
HEADER_SIZE = 12

_MEANING = struct.Struct("<BBHHHH")
"""flags, gso_type, hdr_len, gso_size, csum_start, csum_offset. num_buffers follows; its feature is never agreed on."""
_NEEDS_CSUM = 1
_DATA_VALID = 2
_GSO_ECN = 0x80
_TO_GSO = {Segmentation.NONE: 0, Segmentation.TCP4: 1, Segmentation.TCP6: 4}
TUN_FLAGS = {Offload.CHECKSUM: 1, Offload.TSO4: 2, Offload.TSO6: 4, Offload.ECN: 8}
"""The numbers of Linux's TUNSETOFFLOAD."""
_REQUEST = b"OFFLOAD"
_FROM_GSO = {number: kind for kind, number in _TO_GSO.items()}


def parse_header(header: bytes | bytearray | memoryview) -> FrameMeta:
    """What the header of a received frame says. Raises `MalformedHeader`."""
    if len(header) < _MEANING.size:
        raise MalformedHeader(f"a header of {len(header)} octets; virtio-net's has {HEADER_SIZE}")
    flags, gso, header_size, segment_size, start, offset = _MEANING.unpack_from(header)
    # VIRTIO 1.2, 5.1.6.4: a driver ignores the flag bits that it does not know.
    if flags & _NEEDS_CSUM:
        checksum = Checksum.PARTIAL
    else:
        checksum = Checksum.VERIFIED if flags & _DATA_VALID else Checksum.COMPLETE
        start = offset = 0  # without NEEDS_CSUM these two fields have no meaning
    segmentation = _FROM_GSO.get(gso & ~_GSO_ECN)
    if segmentation is None:
        raise MalformedHeader(f"segmentation of type {gso:#x}, which nobody enabled")
    if segmentation is Segmentation.NONE:
        return FrameMeta(checksum, start, offset)
    if segment_size == 0:
        raise MalformedHeader("a super-frame of segments of 0 octets")
    return FrameMeta(checksum, start, offset, segmentation, segment_size, header_size, bool(gso & _GSO_ECN))


def build_header(meta: FrameMeta) -> bytes:
    """The header of a frame to send. Raises `BadOffload` for what contradicts itself."""
    flags = gso = 0
    if meta.checksum is Checksum.PARTIAL:
        flags = _NEEDS_CSUM
    elif meta.checksum is Checksum.VERIFIED:
        # VIRTIO 1.2, 5.1.6.2.1: DATA_VALID is for the device to set, never for the driver.
        raise BadOffload("VERIFIED is said of received frames only; send a COMPLETE or a PARTIAL checksum")
    elif meta.checksum_start or meta.checksum_offset:
        raise BadOffload("the place of a checksum is given, but the checksum is not PARTIAL")
    if meta.segmentation is not Segmentation.NONE:
        # VIRTIO 1.2, 5.1.6.2: segmentation builds on the checksum offload, so NEEDS_CSUM goes with every gso_type.
        if not flags:
            raise BadOffload("a super-frame needs a PARTIAL checksum: each of its segments gets its own")
        if not meta.segment_size:
            raise BadOffload("a super-frame needs a segment_size: the octets of payload in each segment")
        if meta.header_size < 14 + 20 + 20:
            raise BadOffload(f"a super-frame needs the size of all its headers; {meta.header_size} octets cannot be it")
        gso = _TO_GSO[meta.segmentation] | (_GSO_ECN if meta.ecn else 0)
    elif meta.segment_size or meta.header_size or meta.ecn:
        raise BadOffload("segment_size, header_size and ecn belong to super-frames")
    try:
        return _MEANING.pack(
            flags, gso, meta.header_size, meta.segment_size, meta.checksum_start, meta.checksum_offset
        ) + bytes(2)
    except struct.error as error:
        raise BadOffload(f"{meta}: every number is from 0 to 65535") from error


def shortest_frame(meta: FrameMeta) -> int:
    """Octets of the shortest frame that this can be said of: an Ethernet header, and a partial checksum within it."""
    return max(ETHERNET, meta.checksum_start + meta.checksum_offset + 2 if meta.checksum is Checksum.PARTIAL else 0)


def build_offload_request(offload: Offload) -> bytes:
    """What is sent over a socket of frames, which has no ioctl, to say which offloads this end takes from now on.

    It is shorter than a header, so it is no frame: whoever does not know it drops it.
    """
    return _REQUEST + bytes([sum(bit for flag, bit in TUN_FLAGS.items() if flag in offload)])


def parse_offload_request(octets: bytes) -> Offload | None:
    """The pair of `build_offload_request`; None for anything else. Offloads that need `CHECKSUM` are off without it."""
    if len(octets) != len(_REQUEST) + 1 or not octets.startswith(_REQUEST):
        return None
    offload = Offload.NONE
    if octets[-1] & TUN_FLAGS[Offload.CHECKSUM]:
        for flag, bit in TUN_FLAGS.items():
            if octets[-1] & bit:
                offload |= flag
    return offload
