"""Byte ranges (RFC 9110 section 14): what a Range field asks for, and how several ranges are sent as one content.

Pure functions. A range is a pair of offsets: its first octet, and the one after its last.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

__all__ = ["MAX_RANGES", "content_range", "part_heads", "select_ranges"]

MAX_RANGES: Final = 16
"""A request for more is answered with the whole: RFC 9110 14.2 lets a server ignore what looks like an attack."""

_GAP: Final = 256
"""Ranges closer than this are sent as one: the head of another part would be about as long."""

_SPEC: Final = re.compile(r"[ \t]*(?:([0-9]{1,19})-([0-9]{1,19})?|-([0-9]{1,19}))[ \t]*\Z", re.ASCII)


def select_ranges(field: str, size: int) -> Sequence[tuple[int, int]] | None:
    """The ranges of a representation of `size` octets that a Range field selects.

    None where the field is to be ignored (another unit, malformed, too many), empty where none can be satisfied (416).
    Ranges that overlap or nearly touch are joined, and then come in ascending order (RFC 9110 section 15.3.7.2).
    """
    unit, equals, specs = field.partition("=")
    # RFC 9110 14.2: "An origin server MUST ignore a Range header field that contains a range unit it does not
    # understand."
    if not equals or unit.strip(" \t").lower() != "bytes":
        return None
    members = specs.split(",", MAX_RANGES)
    if len(members) > MAX_RANGES:
        return None
    ranges = []
    for member in members:
        match = _SPEC.match(member)
        if match is None:
            return None
        if match[3] is not None:
            # 14.1.2: "If the selected representation is shorter than the specified suffix-length, the entire
            # representation is used."
            start, end = max(0, size - int(match[3])), size
            if not size and int(match[3]):
                return None  # satisfiable, and yet there is no Content-Range for no octets: send the whole
        else:
            start, end = int(match[1]), size if match[2] is None else int(match[2]) + 1
            if end <= start and match[2] is not None:
                return (
                    None  # 14.1.1: "An int-range is invalid if the last-pos value is present and less than first-pos"
                )
        if start < min(end, size):
            ranges.append((start, min(end, size)))
    return _joined(ranges)


def _joined(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if joined and start <= joined[-1][1] + _GAP:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return ranges if len(joined) == len(ranges) else joined


def content_range(start: int, end: int, size: int) -> str:
    """The Content-Range of a part (RFC 9110 section 14.4)."""
    return f"bytes {start}-{end - 1}/{size}"


def part_heads(ranges: Sequence[tuple[int, int]], size: int, content_type: str, boundary: str) -> list[bytes]:
    """What precedes each part of a multipart/byteranges content (RFC 9110 section 14.6), and last, what ends it."""
    heads = [
        f"\r\n--{boundary}\r\ncontent-type: {content_type}\r\ncontent-range: {content_range(*part, size)}\r\n\r\n"
        for part in ranges
    ]
    heads[0] = heads[0].removeprefix("\r\n")
    heads.append(f"\r\n--{boundary}--\r\n")
    return [head.encode("latin-1") for head in heads]
