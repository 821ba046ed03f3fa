"""RFC 9110 section 14: ranges."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mirage.cohttp._ranges import MAX_RANGES, part_heads, select_ranges


@pytest.mark.parametrize(
    ("field", "size", "ranges"),
    [
        # 14.1.2, with its examples
        ("bytes=0-499", 10000, [(0, 500)]),
        ("bytes=500-999", 10000, [(500, 1000)]),
        ("bytes=-500", 10000, [(9500, 10000)]),
        ("bytes=9500-", 10000, [(9500, 10000)]),
        ("bytes=0-0,-1", 10000, [(0, 1), (9999, 10000)]),
        ("bytes= 0-999, 4500-5499, -1000", 10000, [(0, 1000), (4500, 5500), (9000, 10000)]),
        ("bytes=-20000", 10000, [(0, 10000)]),
        ("bytes=0-99999", 100, [(0, 100)]),
        ("BYTES=0-0", 100, [(0, 1)]),
        # not satisfiable
        ("bytes=100-", 100, []),
        ("bytes=100-200,300-", 100, []),
        ("bytes=-0", 100, []),
        ("bytes=0-", 0, []),
        ("bytes=200-,0-0", 100, [(0, 1)]),
        # ignored
        ("bytes=5-4", 100, None),
        ("bytes=", 100, None),
        ("bytes=a-b", 100, None),
        ("bytes=0-1,,2-3", 100, None),
        ("bytes 0-1", 100, None),
        ("lines=0-1", 100, None),
        ("bytes=-5", 0, None),
        ("bytes=0-1, bytes=4-5", 100, None),
        ("bytes=٣-٤", 100, None),
        # joined, and in order only if joined
        ("bytes=0-99,50-149", 10000, [(0, 150)]),
        ("bytes=0-9,20-29", 10000, [(0, 30)]),
        ("bytes=5000-5009,0-9", 10000, [(5000, 5010), (0, 10)]),
        ("bytes=5000-5009,0-9,5-20", 10000, [(0, 21), (5000, 5010)]),
    ],
)
def test_selected(field: str, size: int, ranges: list[tuple[int, int]] | None) -> None:
    """What a field selects of a representation."""
    assert select_ranges(field, size) == ranges


def test_many_ranges_are_ignored() -> None:
    """14.2: a server may ignore a field that looks like an attack; the whole is sent."""
    specs = [f"{1000 * number}-{1000 * number}" for number in range(MAX_RANGES + 1)]
    assert select_ranges("bytes=" + ",".join(specs[:-1]), 1 << 20) is not None
    assert select_ranges("bytes=" + ",".join(specs), 1 << 20) is None


@settings(deadline=None)
@given(st.text(st.sampled_from("0123456789-, =bytes")).map("bytes=".__add__) | st.text(), st.integers(0, 5000))
def test_every_selection_lies_within(field: str, size: int) -> None:
    """Whatever is asked for: ranges are not empty, do not overlap, and end within the representation."""
    ranges = select_ranges(field, size)
    for start, end in ranges or ():
        assert 0 <= start < end <= size
    ordered = sorted(ranges or ())
    assert all(one[1] < other[0] for one, other in itertools.pairwise(ordered))


def test_parts() -> None:
    """14.6: what stands between the parts."""
    heads = part_heads([(0, 5), (9, 10)], 10, "text/plain", "B")
    assert b"".join((heads[0], b"hello", heads[1], b"x", heads[2])) == (
        b"--B\r\ncontent-type: text/plain\r\ncontent-range: bytes 0-4/10\r\n\r\nhello\r\n"
        b"--B\r\ncontent-type: text/plain\r\ncontent-range: bytes 9-9/10\r\n\r\nx\r\n--B--\r\n"
    )
