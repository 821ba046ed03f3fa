"""Frames made whole: what a stack left to the device is done here, and a stack without offloads agrees with it."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mirage.gateway.frames import icmp6_frame, udp4_frame, whole_frames
from mirage.tcpip import WireError
from mirage.tcpip.wire.checksum import ones_sum
from mirage.types import Checksum, FrameMeta, Segmentation

HERE, THERE = b"\x02\0\0\0\0\x01", b"\x02\0\0\0\0\x02"


def super_frame(version: int, payload: bytes, options: bytes, flags: int) -> tuple[FrameMeta, bytes]:
    """A super-frame as a stack gives it to a device."""
    length = 20 + len(options) + len(payload)
    addresses = bytes(range(1, 9)) if version == 4 else bytes(range(1, 33))
    pseudo = (ones_sum(addresses) + 6 + length) % 65535
    tcp = struct.pack(">HHIIHHHH", 80, 4000, 0xFFFFFF00, 7, (20 + len(options)) << 10 | flags, 100, pseudo, 0)
    if version == 4:
        head = struct.pack(">BBHHHBBH", 0x45, 2, 20 + length & 0xFFFF, 9, 0x4000, 64, 6, 0)
        kind, start = b"\x08\0", 34
    else:
        head = struct.pack(">IHBB", 6 << 28, length & 0xFFFF, 6, 64)
        kind, start = b"\x86\xdd", 54
    size = start + 20 + len(options)
    gso = Segmentation.TCP4 if version == 4 else Segmentation.TCP6
    meta = FrameMeta(Checksum.PARTIAL, start, 16, gso, 100, size, bool(flags & 0x80))
    return meta, THERE + HERE + kind + head + addresses + tcp + options + payload


@pytest.mark.parametrize("version", [4, 6])
@given(
    payload=st.binary(max_size=950),
    options=st.sampled_from([b"", b"\1\1\x08\x0a" + bytes(8)]),
    flags=st.sampled_from([0x10, 0x18, 0x19, 0x98]),
)
def test_a_super_frame_is_cut(version: int, payload: bytes, options: bytes, flags: int) -> None:
    """The segments carry the payload in order, each whole: lengths, numbers, checksums; FIN and PSH are the last's, CWR
    is the first's (RFC 3168 6.1.2)."""
    meta, frame = super_frame(version, payload, options, flags)
    start, head = meta.checksum_start, meta.header_size
    found = b""
    pieces = list(whole_frames(meta, [frame[:60], frame[60:]]))
    assert len(pieces) == max(-(-len(payload) // 100), 1)
    for number, piece in enumerate(pieces):
        last = number == len(pieces) - 1
        length = len(piece) - start
        addresses = piece[26:34] if version == 4 else piece[22:54]
        assert (ones_sum(addresses) + 6 + length + ones_sum(piece[start:])) % 65535 == 0
        if version == 4:
            assert ones_sum(piece[14:34]) == 0
            assert int.from_bytes(piece[16:18], "big") == len(piece) - 14
            assert int.from_bytes(piece[18:20], "big") == 9 + number
        else:
            assert int.from_bytes(piece[18:20], "big") == len(piece) - 54
        assert int.from_bytes(piece[start + 4 : start + 8], "big") == (0xFFFFFF00 + len(found)) & 0xFFFFFFFF
        assert piece[start + 13] == flags & ~(0 if last else 9) & ~(0x80 if number else 0)
        assert piece[head - len(options) : head] == options
        found += piece[head:]
    assert found == payload


def test_a_partial_checksum_is_completed() -> None:
    """A datagram whose sum was left to the device."""
    whole = udp4_frame(HERE, THERE, (b"\x0a\0\2\2", 67), (b"\x0a\0\2\x0f", 68), b"hello")
    pseudo = ones_sum(whole[26:34]) + 17 + 13
    partial = whole[:40] + (pseudo % 65535).to_bytes(2, "big") + whole[42:]
    assert list(whole_frames(FrameMeta(Checksum.PARTIAL, 34, 6), [partial])) == [whole]
    assert list(whole_frames(FrameMeta(), [whole[:20], whole[20:]])) == [whole]


def test_frames_made_by_hand_have_right_checksums() -> None:
    """Of IPv4, UDP and ICMPv6."""
    udp = udp4_frame(HERE, THERE, (b"\x0a\0\2\2", 67), (b"\xff" * 4, 68), b"odd")
    assert ones_sum(udp[14:34]) == 0
    assert (ones_sum(udp[26:34]) + 17 + 11 + ones_sum(udp[34:])) % 65535 == 0
    ndp = icmp6_frame(HERE, THERE, bytes(15) + b"\1", bytes(15) + b"\2", b"\x86\0\0\0abcd")
    assert ndp[21] == 255
    assert (ones_sum(ndp[22:54]) + 58 + 8 + ones_sum(ndp[54:])) % 65535 == 0


@given(
    st.builds(
        FrameMeta,
        checksum=st.just(Checksum.PARTIAL),
        checksum_start=st.integers(0, 120),
        checksum_offset=st.integers(0, 20),
        segmentation=st.sampled_from(list(Segmentation)),
        segment_size=st.integers(0, 200),
        header_size=st.integers(0, 120),
    ),
    st.binary(max_size=200),
)
def test_a_frame_that_is_not_what_is_said_of_it_is_refused(meta: FrameMeta, frame: bytes) -> None:
    """Whatever a guest says, `WireError` is all that comes of it, and no more octets than headers again for each."""
    try:
        size = sum(map(len, whole_frames(meta, [frame])))
    except WireError:
        return
    assert size <= len(frame) * (len(frame) + 1)
