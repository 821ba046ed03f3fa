"""OBJECT IDENTIFIER and RELATIVE-OID (X.690 8.19, 8.20)."""

from __future__ import annotations

import random
import re

from ._grammar import Content, Element, Rules, Run
from .errors import DecodeError, EncodeError

__all__ = ["Oid", "oid", "relative_oid"]

MAX_OCTETS = 256
"""The longest content that is read as an identifier; the longest in use are about 40 octets."""

MAX_ARC = (1 << 128) - 1
"""The largest arc: those of UUIDs (X.667) have 128 bits."""

_TEXT = re.compile(r"(?:0|[1-9][0-9]{0,39})(?:\.(?:0|[1-9][0-9]{0,39}))*", re.ASCII)


class Oid(str):
    """An object identifier, as its dotted text: ``Oid("1.2.840.113549")``. Raises `ValueError` for any other text."""

    __slots__ = ()

    def __new__(cls, text: str) -> Oid:
        """Check the text: at least two arcs, of which the first is below 3 and the second below 40 under 0 and 1."""
        if not _TEXT.fullmatch(text):
            raise ValueError(f"{text[:60]!r} is no object identifier; write numbers with dots, as 1.2.840.113549")
        arcs = [int(arc) for arc in text.split(".")]
        if len(arcs) < 2 or arcs[0] > 2 or (arcs[0] < 2 and arcs[1] > 39):
            raise ValueError(f"{text[:60]!r} is no object identifier: it begins with 0, 1 or 2, then a second arc")
        if max(arcs) > MAX_ARC:
            raise ValueError(f"{text[:60]!r} has an arc of more than 128 bits")
        return super().__new__(cls, text)

    def __repr__(self) -> str:
        return f"Oid({str(self)!r})"

    @property
    def arcs(self) -> tuple[int, ...]:
        """The numbers."""
        return tuple(int(arc) for arc in self.split("."))


def _arcs(data: bytes, head: int, start: int, stop: int) -> list[int]:
    # X.690 8.19.2: base 128, most significant first, no leading zero septet.
    if start == stop:
        raise DecodeError("an object identifier without content (X.690 8.19.2)", head)
    if stop - start > MAX_OCTETS:
        raise DecodeError(f"an object identifier of more than {MAX_OCTETS} octets", head)
    arcs, arc, fresh = [], 0, True
    for octet in data[start:stop]:
        if fresh and octet == 128:
            raise DecodeError("an arc with leading zeros (X.690 8.19.2)", head)
        arc = arc << 7 | octet & 127
        fresh = octet < 128
        if fresh:
            if arc > MAX_ARC + 80:
                raise DecodeError("an arc of more than 128 bits", head)
            arcs.append(arc)
            arc = 0
    if not fresh:
        raise DecodeError("an object identifier that ends within an arc", head)
    return arcs


_known: dict[bytes, Oid] = {}
_KNOWN_LIMIT = 4096


def _oid(data: bytes, head: int, start: int, stop: int, run: Run) -> Oid:
    content = data[start:stop]
    found = _known.get(content)
    if found is None:
        first, *rest = _arcs(data, head, start, stop)
        top = min(first // 40, 2)
        arcs = [top, first - 40 * top, *rest]
        if max(arcs) > MAX_ARC:
            raise DecodeError("an arc of more than 128 bits", head)
        found = str.__new__(Oid, ".".join(map(str, arcs)))
        if len(_known) < _KNOWN_LIMIT and len(content) <= 32:
            _known[content] = found
    return found


def _septets(arc: int) -> bytes:
    octets = [arc & 127]
    while arc := arc >> 7:
        octets.append(arc & 127 | 128)
    return bytes(reversed(octets))


class _ObjectIdentifier(Element[Oid]):
    __slots__ = ()

    def _decoders(self, rules: Rules) -> tuple[Content | None, Content | None]:
        return _oid, None

    def _content_of(self, value: Oid) -> bytes:
        if type(value) is not Oid:
            raise EncodeError(f"an OBJECT IDENTIFIER is an Oid, not a {type(value).__name__}")
        first, second, *rest = value.arcs
        content = b"".join(map(_septets, (40 * first + second, *rest)))
        if len(content) > MAX_OCTETS:
            raise EncodeError(f"an OBJECT IDENTIFIER of more than {MAX_OCTETS} octets")
        return content

    def _random(self, rng: random.Random, size: int) -> Oid:
        first = rng.randrange(3)
        second = rng.randrange(40) if first < 2 else rng.getrandbits(rng.randrange(1, 128))
        rest = (rng.getrandbits(rng.randrange(1, 129)) for _ in range(rng.randrange(max(min(size, 12), 1))))
        return Oid(".".join(map(str, (first, second, *rest))))


def _relative(data: bytes, head: int, start: int, stop: int, run: Run) -> tuple[int, ...]:
    arcs = _arcs(data, head, start, stop)
    if max(arcs) > MAX_ARC:
        raise DecodeError("an arc of more than 128 bits", head)
    return tuple(arcs)


class _RelativeOid(Element[tuple[int, ...]]):
    __slots__ = ()

    def _decoders(self, rules: Rules) -> tuple[Content | None, Content | None]:
        return _relative, None

    def _content_of(self, value: tuple[int, ...]) -> bytes:
        if not value or min(value) < 0 or max(value) > MAX_ARC:
            raise EncodeError("a RELATIVE-OID has one arc or more, each of up to 128 bits")
        return b"".join(map(_septets, value))

    def _random(self, rng: random.Random, size: int) -> tuple[int, ...]:
        return tuple(rng.getrandbits(rng.randrange(1, 129)) for _ in range(rng.randrange(1, max(min(size, 12), 1) + 1)))


oid = _ObjectIdentifier(6)
"""OBJECT IDENTIFIER, as an `Oid`."""

relative_oid = _RelativeOid(13)
"""RELATIVE-OID, as a tuple of arcs."""
