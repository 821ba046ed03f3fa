"""Identifier and length octets (X.690 8.1), read and built.

A **key** is an identifier as one integer. For tag numbers up to 30 it is the identifier octet itself: class in the top
two bits, then the constructed bit, then the number. For larger ones it is ``number << 8 | first octet``, whose low five
bits are all ones, so that no two identifiers share a key.

`read_der` and `read_ber` return ``key, start, stop, after``: the content is ``data[start:stop]`` and the next element
begins at `after`, which differs from `stop` only for an indefinite length.
"""

from __future__ import annotations

from collections.abc import Callable

from .errors import DecodeError

__all__ = [
    "APPLICATION",
    "CONSTRUCTED",
    "CONTEXT",
    "PRIVATE",
    "UNIVERSAL",
    "Reader",
    "describe",
    "element",
    "key_of",
    "read_ber",
    "read_der",
]

UNIVERSAL, APPLICATION, CONTEXT, PRIVATE = 0x00, 0x40, 0x80, 0xC0
"""The four classes of tags, as the bits of the identifier octet."""

CONSTRUCTED = 0x20
"""The bit of a key that says that the content is made of elements."""

MAX_TAG = 0x0FFF_FFFF
"""The largest tag number that is read: four octets of seven bits, far beyond what any module uses."""

MAX_INDEFINITE = 32
"""How deep indefinite lengths may nest; finding an end costs one pass over the content for each level."""

Reader = Callable[[bytes, int, int], tuple[int, int, int, int]]

_NAMES = {
    1: "BOOLEAN",
    2: "INTEGER",
    3: "BIT STRING",
    4: "OCTET STRING",
    5: "NULL",
    6: "OBJECT IDENTIFIER",
    10: "ENUMERATED",
    12: "UTF8String",
    13: "RELATIVE-OID",
    16: "SEQUENCE",
    17: "SET",
    18: "NumericString",
    19: "PrintableString",
    20: "TeletexString",
    22: "IA5String",
    23: "UTCTime",
    24: "GeneralizedTime",
    26: "VisibleString",
    27: "GeneralString",
    28: "UniversalString",
    30: "BMPString",
}


def key_of(number: int, class_: int = CONTEXT, constructed: bool = False) -> int:
    """The key of an identifier."""
    first = class_ | (CONSTRUCTED if constructed else 0)
    return first | number if number < 31 else number << 8 | first | 31


def number_of(key: int) -> int:
    """The tag number of a key."""
    return key & 31 if key < 256 else key >> 8


def describe(key: int) -> str:
    """An identifier in the words of X.680: ``SEQUENCE``, ``[0]``, ``[APPLICATION 3]``."""
    number, class_ = number_of(key), key & 0xC0
    if class_ == UNIVERSAL:
        name = _NAMES.get(number, f"[UNIVERSAL {number}]")
        unusual = bool(key & CONSTRUCTED) != (number in (16, 17))
        return name if not unusual else f"{'constructed' if key & CONSTRUCTED else 'primitive'} {name}"
    return {CONTEXT: f"[{number}]", APPLICATION: f"[APPLICATION {number}]", PRIVATE: f"[PRIVATE {number}]"}[class_]


def element(key: int, content: bytes) -> bytes:
    """The element with this identifier and content, its length in the fewest octets (X.690 10.1)."""
    length = len(content)
    if key < 256 and length < 128:
        return bytes((key, length)) + content
    if key < 256:
        head = bytes((key,))
    else:
        number, septets = key >> 8, [key >> 8 & 127]
        while number := number >> 7:
            septets.append(number & 127 | 128)
        head = bytes((key & 255, *reversed(septets)))
    if length < 128:
        return head + bytes((length,)) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return head + bytes((128 | len(octets),)) + octets + content


def _identifier(data: bytes, pos: int, stop: int) -> tuple[int, int]:
    """The key at `pos`, and the offset of the length octets after it."""
    if pos >= stop:
        raise DecodeError("the octets end where an element should begin", pos)
    first = data[pos]
    if first & 31 != 31:
        return first, pos + 1
    number, at = 0, pos + 1
    while True:
        if at >= stop:
            raise DecodeError("the octets end within a tag number", pos)
        septet = data[at]
        at += 1
        number = number << 7 | septet & 127
        if number > MAX_TAG or (number == 0 and septet & 128):
            # X.690 8.1.2.4.2 (c): bits 7 to 1 of the first subsequent octet are not all zero.
            raise DecodeError("a tag number that is too large, or has leading zeros", pos)
        if septet < 128:
            break
    if number < 31:
        # X.690 8.1.2.2: numbers up to 30 stand in the first octet, under all rules.
        raise DecodeError(f"tag number {number} in the long form, which is for 31 and above", pos)
    return number << 8 | first, at


def read_der(data: bytes, pos: int, stop: int) -> tuple[int, int, int, int]:
    """The element at `pos`, of which `data` holds no octet from `stop` on; its length definite and shortest."""
    key, at = _identifier(data, pos, stop)
    if at >= stop:
        raise DecodeError("the octets end before the length of an element", pos)
    length = data[at]
    at += 1
    if length >= 128:
        count = length & 127
        if count == 0:
            raise DecodeError("an indefinite length, which DER forbids (X.690 10.1)", pos)
        if at + count > stop:
            raise DecodeError("the octets end within the length of an element", pos)
        length = int.from_bytes(data[at : at + count], "big")
        if length < 128 or data[at] == 0:
            raise DecodeError("a length in more octets than it needs, which DER forbids (X.690 10.1)", pos)
        at += count
    end = at + length
    if end > stop:
        raise _cut_short(pos, end - stop)
    return key, at, end, end


def read_ber(data: bytes, pos: int, stop: int) -> tuple[int, int, int, int]:
    """The element at `pos`, its length in any form."""
    key, at = _identifier(data, pos, stop)
    if at >= stop:
        raise DecodeError("the octets end before the length of an element", pos)
    length = data[at]
    at += 1
    if length == 128:
        if not key & CONSTRUCTED:
            raise DecodeError("an indefinite length of a primitive element (X.690 8.1.3.2)", pos)
        end = _end_of_contents(data, at, stop, 1)
        return key, at, end, end + 2
    if length > 128:
        count = length & 127
        if length == 255:
            raise DecodeError("the length octet ff is reserved (X.690 8.1.3.5)", pos)
        if at + count > stop:
            raise DecodeError("the octets end within the length of an element", pos)
        length = int.from_bytes(data[at : at + count], "big")
        at += count
    end = at + length
    if end > stop:
        raise _cut_short(pos, end - stop)
    return key, at, end, end


def _end_of_contents(data: bytes, pos: int, stop: int, level: int) -> int:
    """The offset of the end-of-contents octets that close the content begun at `pos`."""
    if level > MAX_INDEFINITE:
        raise DecodeError(f"indefinite lengths nested deeper than {MAX_INDEFINITE}", pos)
    while True:
        key, at = _identifier(data, pos, stop)
        if at >= stop:
            raise DecodeError("no end of an indefinite length", pos)
        if key == 0:
            if data[at] != 0:
                raise DecodeError("end-of-contents octets with a length (X.690 8.1.5)", pos)
            return pos
        if data[at] == 128 and key & CONSTRUCTED:
            pos = _end_of_contents(data, at + 1, stop, level + 1) + 2
        else:
            pos = read_ber(data, pos, stop)[3]


def _cut_short(pos: int, missing: int) -> DecodeError:
    # A claimed length may have hundreds of digits; only its presence matters.
    lack = f"{missing} octets" if missing < 1 << 32 else "far more octets"
    return DecodeError(f"an element that is cut short: {lack} more than there are", pos)
