"""The Internet checksum against the words of RFC 1071, added one by one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from mirage.tcpip.wire.checksum import checksum, ones_sum, ones_sum_parts


def plain(data: bytes) -> int:
    """RFC 1071 section 1 as it stands: 16-bit words added with end-around carry."""
    data += b"\0" * (len(data) & 1)
    total = 0
    for at in range(0, len(data), 2):
        total += data[at] << 8 | data[at + 1]
        total = (total & 0xFFFF) + (total >> 16)
    return total % 65535


@given(st.binary(max_size=300), st.integers(0, 40))
def test_the_sum_is_that_of_the_words(data: bytes, repeat: int) -> None:
    """Short and long texts, odd and even."""
    assert ones_sum(data * repeat) == plain(data * repeat)


@given(st.lists(st.binary(max_size=2000), max_size=6))
def test_slices_sum_as_the_whole(parts: list[bytes]) -> None:
    """Where a text is cut does not matter, odd places included."""
    assert ones_sum_parts(parts) == ones_sum(b"".join(parts))


@given(st.binary(min_size=2, max_size=3000).filter(lambda d: len(d) % 2 == 0), st.integers(0, 65534))
def test_a_receiver_finds_zero(data: bytes, start: int) -> None:
    """A text with its checksum in place, and what came before it, sums to zero; the field is never zero."""
    field = checksum(data, start)
    assert 1 <= field <= 65535
    assert (ones_sum(data + field.to_bytes(2, "big")) + start) % 65535 == 0


def test_the_example_of_rfc_1071() -> None:
    """RFC 1071 section 3: 0001 f203 f4f5 f6f7 sums to ddf2."""
    assert ones_sum(bytes.fromhex("0001f203f4f5f6f7")) == 0xDDF2
