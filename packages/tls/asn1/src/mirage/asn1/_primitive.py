"""BOOLEAN, INTEGER, ENUMERATED, NULL, BIT STRING and OCTET STRING (X.690 8.2 to 8.8, 11.1, 11.2)."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import NamedTuple

from ._grammar import DER, Content, Element, Rules, Run
from ._wire import CONSTRUCTED, read_ber
from .errors import DecodeError, EncodeError, GrammarError

__all__ = [
    "BitString",
    "Bits",
    "Octets",
    "bit_flags",
    "bit_string",
    "boolean",
    "enumerated",
    "integer",
    "null",
    "octet_string",
]

Pair = tuple[Content | None, Content | None]


class _Boolean(Element[bool]):
    __slots__ = ()

    def _decoders(self, rules: Rules) -> Pair:
        def decode(data: bytes, head: int, start: int, stop: int, run: Run) -> bool:
            if stop - start != 1:
                raise DecodeError("a BOOLEAN is one octet (X.690 8.2.1)", head)
            octet = data[start]
            if rules is DER and octet not in (0, 255):
                raise DecodeError("a true BOOLEAN is ff in DER (X.690 11.1)", head)
            return octet != 0

        return decode, None

    def _content_of(self, value: bool) -> bytes:
        if not isinstance(value, bool):
            raise EncodeError(f"a BOOLEAN is True or False, not a {type(value).__name__}")
        return b"\xff" if value else b"\x00"

    def _random(self, rng: random.Random, size: int) -> bool:
        return rng.random() < 0.5


def _integer(data: bytes, head: int, start: int, stop: int, run: Run) -> int:
    # X.690 8.3.2, for BER too: not empty, and the first nine bits are neither all ones nor all zeros.
    length = stop - start
    if length == 1:
        octet = data[start]
        return octet if octet < 128 else octet - 256
    if length == 0:
        raise DecodeError("an INTEGER without content (X.690 8.3.1)", head)
    first = data[start]
    if (first == 0 and data[start + 1] < 128) or (first == 255 and data[start + 1] >= 128):
        raise DecodeError("an INTEGER in more octets than it needs (X.690 8.3.2)", head)
    return int.from_bytes(data[start:stop], "big", signed=True)


class _Integer(Element[int]):
    __slots__ = ()

    def _decoders(self, rules: Rules) -> Pair:
        return _integer, None

    def _content_of(self, value: int) -> bytes:
        if not isinstance(value, int) or isinstance(value, bool):
            raise EncodeError(f"an INTEGER is an int, not a {type(value).__name__}")
        bits = value.bit_length() if value >= 0 else (value + 1).bit_length()
        return value.to_bytes(bits // 8 + 1, "big", signed=True)

    def _random(self, rng: random.Random, size: int) -> int:
        return rng.getrandbits(rng.randrange(1, 8 * max(size, 1) + 2)) * rng.choice((1, -1))


class _Null(Element[None]):
    __slots__ = ()

    def _decoders(self, rules: Rules) -> Pair:
        def decode(data: bytes, head: int, start: int, stop: int, run: Run) -> None:
            if start != stop:
                raise DecodeError("a NULL has no content (X.690 8.8.2)", head)

        return decode, None

    def _content_of(self, value: None) -> bytes:
        if value is not None:
            raise EncodeError(f"a NULL is None, not a {type(value).__name__}")
        return b""

    def _random(self, rng: random.Random, size: int) -> None:
        return None


def segments(
    data: bytes, start: int, stop: int, run: Run, key: int, take: Callable[[int, int, int], None], depth: int
) -> None:
    """Give each primitive part of a BER constructed string to `take`, as offsets of head, start and stop."""
    if depth > run.depth:
        raise DecodeError("a constructed string nested deeper than Limits.depth", start)
    pos = start
    while pos < stop:
        found, inner, end, after = read_ber(data, pos, stop)
        if found == key:
            take(pos, inner, end)
        elif found == key | CONSTRUCTED:
            segments(data, inner, end, run, key, take, depth + 1)
        else:
            raise DecodeError("a part of a constructed string that is no string of its type (X.690 8.7.3.2)", pos)
        pos = after


def string_decoders(rules: Rules, whole: Content, universal: int) -> Pair:
    """Decoders of a string's content: `whole` of primitive content, and in BER also of its parts, joined."""
    if rules is DER:
        return whole, None

    def constructed(data: bytes, head: int, start: int, stop: int, run: Run) -> object:
        parts: list[bytes] = []
        segments(data, start, stop, run, universal, lambda _, a, b: parts.append(data[a:b]), 1)
        joined = b"".join(parts)
        try:
            return whole(joined, 0, 0, len(joined), run)
        except DecodeError as error:
            raise DecodeError(error.problem, head, error.path) from None

    return whole, constructed


def _octets(data: bytes, head: int, start: int, stop: int, run: Run) -> bytes:
    return data[start:stop]


class Octets(Element[bytes]):
    """`octet_string`."""

    __slots__ = ()

    def _decoders(self, rules: Rules) -> Pair:
        return string_decoders(rules, _octets, 4)

    def _content_of(self, value: bytes) -> bytes:
        if not isinstance(value, bytes):
            raise EncodeError(f"an OCTET STRING is bytes, not a {type(value).__name__}")
        return value

    def _random(self, rng: random.Random, size: int) -> bytes:
        return rng.randbytes(rng.randrange(max(size, 0) + 1))


class BitString(NamedTuple):
    """Bits, the first in the top bit of the first octet; the last octet has `unused` bits at its low end, all zero."""

    octets: bytes
    unused: int = 0

    @property
    def bits(self) -> int:
        """How many bits there are."""
        return 8 * len(self.octets) - self.unused


class Bits(Element[BitString]):
    """`bit_string`."""

    __slots__ = ()

    def _decoders(self, rules: Rules) -> Pair:
        def decode(data: bytes, head: int, start: int, stop: int, run: Run) -> BitString:
            if start == stop:
                raise DecodeError("a BIT STRING without its first octet (X.690 8.6.2.3)", head)
            unused = data[start]
            if unused == 0:
                return BitString(data[start + 1 : stop])
            if unused > 7 or stop - start == 1:
                raise DecodeError("more unused bits than a BIT STRING's last octet has (X.690 8.6.2.2)", head)
            octets, mask = data[start + 1 : stop], (1 << unused) - 1
            if octets[-1] & mask:
                if rules is DER:
                    raise DecodeError("unused bits of a BIT STRING that are not zero (X.690 11.2.1)", head)
                octets = octets[:-1] + bytes((octets[-1] & ~mask,))
            return BitString(octets, unused)

        if rules is DER:
            return decode, None

        def constructed(data: bytes, head: int, start: int, stop: int, run: Run) -> BitString:
            parts: list[bytes] = []
            unused = 0

            def take(at: int, inner: int, end: int) -> None:
                nonlocal unused
                if unused:
                    # X.690 8.6.4: only the last part may have unused bits.
                    raise DecodeError("unused bits before the last part of a BIT STRING", at)
                part = decode(data, at, inner, end, run)
                parts.append(part.octets)
                unused = part.unused

            segments(data, start, stop, run, 3, take, 1)
            return BitString(b"".join(parts), unused)

        return decode, constructed

    def _content_of(self, value: BitString) -> bytes:
        octets, unused = value
        if not 0 <= unused <= 7 or (unused and not octets):
            raise EncodeError(f"{unused} unused bits; the last octet of a BIT STRING leaves 0 to 7")
        if unused and octets[-1] & ((1 << unused) - 1):
            raise EncodeError("the unused bits of a BIT STRING must be zero")
        return bytes((unused,)) + octets

    def _random(self, rng: random.Random, size: int) -> BitString:
        octets = rng.randbytes(rng.randrange(max(size, 0) + 1))
        unused = rng.randrange(8) if octets else 0
        return BitString(octets[:-1] + bytes((octets[-1] >> unused << unused,)) if octets else b"", unused)


class _Flags(Element[frozenset[str]]):
    """A BIT STRING with named bits: the set of the names whose bits are one."""

    __slots__ = ("_bits", "_names", "_zeros")

    def __init__(self, names: tuple[str, ...], zeros: bool) -> None:
        super().__init__(3)
        self._zeros = zeros
        self._names = names
        self._bits = Bits(3)

    def _decoders(self, rules: Rules) -> Pair:
        names, strict = self._names, rules is DER and not self._zeros

        def named(inner: Content) -> Content:
            def decode(data: bytes, head: int, start: int, stop: int, run: Run) -> frozenset[str]:
                octets, unused = inner(data, head, start, stop, run)
                if strict and octets and not octets[-1] >> unused & 1:
                    raise DecodeError("zeros at the end of named bits, which DER leaves out (X.690 11.2.2)", head)
                found = [name for i, name in enumerate(names[: 8 * len(octets)]) if octets[i >> 3] << (i & 7) & 128]
                return frozenset(found)

            return decode

        primitive, constructed = self._bits._decoders(rules)
        return primitive and named(primitive), constructed and named(constructed)

    def _content_of(self, value: frozenset[str]) -> bytes:
        if unknown := set(value) - set(self._names):
            raise EncodeError(f"no bit is named {sorted(unknown)[0]!r}; there are {', '.join(self._names)}")
        if not value:
            return b"\x00"
        last = max(self._names.index(name) for name in value)
        number = sum(1 << (last - i) for i, name in enumerate(self._names[: last + 1]) if name in value)
        unused = 7 - last % 8
        return bytes((unused,)) + (number << unused).to_bytes(last // 8 + 1, "big")

    def _random(self, rng: random.Random, size: int) -> frozenset[str]:
        return frozenset(name for name in self._names if rng.random() < 0.5)


class _Enumerated(Element[str]):
    __slots__ = ("_by_name", "_by_number")

    def __init__(self, numbers: Mapping[str, int]) -> None:
        super().__init__(10)
        self._by_name = dict(numbers)
        self._by_number = {number: name for name, number in numbers.items()}
        if len(self._by_name) != len(self._by_number):
            raise GrammarError("two names of an ENUMERATED have the same number")

    def _decoders(self, rules: Rules) -> Pair:
        by_number = self._by_number

        def decode(data: bytes, head: int, start: int, stop: int, run: Run) -> str:
            name = by_number.get(_integer(data, head, start, stop, run))
            if name is None:
                raise DecodeError("an ENUMERATED with a number that has no name", head)
            return name

        return decode, None

    def _content_of(self, value: str) -> bytes:
        if value not in self._by_name:
            raise EncodeError(f"{value!r} is none of {', '.join(self._by_name)}")
        return integer._content_of(self._by_name[value])

    def _random(self, rng: random.Random, size: int) -> str:
        return rng.choice(list(self._by_name))


boolean = _Boolean(1)
"""BOOLEAN, as a `bool`."""

integer = _Integer(2)
"""INTEGER of any size, as an `int`."""

null = _Null(5)
"""NULL, as None."""

octet_string = Octets(4)
"""OCTET STRING, as `bytes`."""

bit_string = Bits(3)
"""BIT STRING, as a `BitString`."""


def bit_flags(*names: str, zeros: bool = False) -> Element[frozenset[str]]:
    """BIT STRING whose bits are named, from bit 0; a value is the set of names. Further bits are ignored.

    `zeros` takes zeros at the end under DER as well, for what breaks X.690 11.2.2 and is in use. None are written.
    """
    return _Flags(names, zeros)


def enumerated(**numbers: int) -> Element[str]:
    """ENUMERATED, as one of the names."""
    return _Enumerated(numbers)
