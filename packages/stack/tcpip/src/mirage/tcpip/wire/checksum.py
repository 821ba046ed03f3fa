"""The Internet checksum (RFC 1071) by big-integer arithmetic.

2**16 is 1 modulo 65535, so the ones' complement sum of 16-bit words is the whole text, read as one number, modulo
65535; 0 stands for both of its zeros. A division of a long number is quadratic in CPython, so long texts are summed in
pieces.
"""

from __future__ import annotations

from collections.abc import Iterable

from mirage.types.devices import Buffer

__all__ = ["checksum", "ones_sum", "ones_sum_parts"]

_PIECE = 4096
"""Octets of a piece; a multiple of 2. Longer is slower by the division, shorter by the loop."""
_WHOLE = 1536
_HALVES = 768
_HALF, _QUARTER = 6144, 3072
"""Bits of parts of a text of that length; multiples of 16."""
_HALF_MASK, _QUARTER_MASK = (1 << _HALF) - 1, (1 << _QUARTER) - 1


def ones_sum(data: Buffer) -> int:
    """The ones' complement sum of `data`, in [0, 65534]; an odd last octet counts as if followed by a zero."""
    size = len(data)
    if size <= _WHOLE:
        total = int.from_bytes(data, "big")
        if size > _HALVES:  # adding halves is faster than dividing the whole
            total = (total >> _HALF) + (total & _HALF_MASK)
            total = (total >> _QUARTER) + (total & _QUARTER_MASK)
    else:
        pieces = memoryview(data)
        total = 0
        for at in range(0, size - size % _PIECE, _PIECE):
            total += int.from_bytes(pieces[at : at + _PIECE], "big")
        if tail := size % _PIECE:
            last = int.from_bytes(pieces[size - tail :], "big")
            return (total + (last << 8 if size & 1 else last)) % 65535
        return total % 65535
    return (total << 8 if size & 1 else total) % 65535


def ones_sum_parts(parts: Iterable[Buffer]) -> int:
    """The same over slices that follow each other; a slice may have an odd length."""
    total = 0
    odd = False
    for part in parts:
        partial = ones_sum(part)
        # After an odd number of octets every octet sits in the other half of its word.
        total += (partial << 8) if odd else partial
        odd ^= bool(len(part) & 1)
    return total % 65535


def checksum(data: Buffer, start: int = 0) -> int:
    """What goes into a checksum field that was zero while `data` was summed, in [1, 65535]; `start` is the sum of what
    comes before, a pseudo-header's. With it in place, `ones_sum` of all is 0: that is how a receiver checks.

    Of the two forms that zero has this gives 65535, never 0, which in UDP would mean that there is no checksum.
    """
    return 65535 - (ones_sum(data) + start) % 65535
