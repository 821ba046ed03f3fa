"""The header of virtio-net."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from mirage.net import HEADER_SIZE, BadOffload, MalformedHeader, build_header, parse_header
from mirage.types import Checksum, FrameMeta, Segmentation

SHORT = st.integers(0, 65535)
ORDINARY = st.one_of(
    st.just(FrameMeta()),
    st.tuples(SHORT, SHORT).map(lambda place: FrameMeta(Checksum.PARTIAL, *place)),
)
SUPER = st.builds(
    FrameMeta,
    checksum=st.just(Checksum.PARTIAL),
    checksum_start=SHORT,
    checksum_offset=SHORT,
    segmentation=st.sampled_from([Segmentation.TCP4, Segmentation.TCP6]),
    segment_size=st.integers(1, 65535),
    header_size=st.integers(54, 65535),
    ecn=st.booleans(),
)


def test_layout() -> None:
    """VIRTIO 1.2, 5.1.6: flags, gso_type, hdr_len, gso_size, csum_start, csum_offset, num_buffers; little-endian."""
    meta = FrameMeta(Checksum.PARTIAL, 34, 16, Segmentation.TCP4, 1460, 54)
    assert build_header(meta) == bytes.fromhex("01 01 3600 b405 2200 1000 0000")
    assert build_header(meta._replace(segmentation=Segmentation.TCP6, ecn=True))[1] == 0x84
    assert build_header(FrameMeta()) == bytes(HEADER_SIZE)
    assert parse_header(bytes.fromhex("02 00 0000 0000 ffff ffff 0100")) == FrameMeta(Checksum.VERIFIED)


@given(st.one_of(ORDINARY, SUPER))
def test_parsing_undoes_building(meta: FrameMeta) -> None:
    """What was built is parsed to the same."""
    header = build_header(meta)
    assert len(header) == HEADER_SIZE
    assert parse_header(header) == meta


@given(st.binary(max_size=20))
@example(bytes.fromhex("00 03 0000 0100 0000 0000 0000"))
@example(bytes.fromhex("00 01 0000 0000 0000 0000 0000"))
def test_any_octets_parse_or_are_malformed(octets: bytes) -> None:
    """Nothing but `MalformedHeader` comes of rubbish; what parses is in range, in any form of buffer."""
    try:
        meta = parse_header(octets)
    except MalformedHeader:
        return
    assert meta == parse_header(bytearray(octets)) == parse_header(memoryview(octets))
    assert all(0 <= number <= 65535 for number in meta)
    assert meta.segmentation is Segmentation.NONE or meta.segment_size > 0
    if meta.checksum is Checksum.PARTIAL and (meta.segmentation is Segmentation.NONE or meta.header_size >= 54):
        assert parse_header(build_header(meta)) == meta


@given(st.integers(0, 255), st.binary(min_size=10, max_size=10))
def test_unknown_flags_are_ignored(extra: int, octets: bytes) -> None:
    """Bits that no feature of ours gives a meaning change nothing."""
    plain = bytes([octets[0] & 3, 0]) + octets[2:]
    assert parse_header(plain) == parse_header(bytes([plain[0] | extra & 0xFC]) + plain[1:])


@pytest.mark.parametrize(
    ("meta", "why"),
    [
        (FrameMeta(Checksum.VERIFIED), "received frames only"),
        (FrameMeta(checksum_start=34), "not PARTIAL"),
        (FrameMeta(checksum_offset=16), "not PARTIAL"),
        (FrameMeta(segmentation=Segmentation.TCP4, segment_size=1460, header_size=54), "PARTIAL checksum"),
        (FrameMeta(Checksum.PARTIAL, 34, 16, Segmentation.TCP4, 0, 54), "segment_size"),
        (FrameMeta(Checksum.PARTIAL, 34, 16, Segmentation.TCP4, 1460, 53), "size of all its headers"),
        (FrameMeta(Checksum.PARTIAL, 34, 16, Segmentation.NONE, 1460), "belong to super-frames"),
        (FrameMeta(ecn=True), "belong to super-frames"),
        (FrameMeta(Checksum.PARTIAL, 65536, 16), "0 to 65535"),
        (FrameMeta(Checksum.PARTIAL, 34, -1), "0 to 65535"),
    ],
)
def test_contradictions_are_refused(meta: FrameMeta, why: str) -> None:
    """A meta that says two things at once is the caller's mistake."""
    with pytest.raises(BadOffload, match=why):
        build_header(meta)
