"""What every grammar is: a description of values that can decode, encode and make them up.

A grammar is compiled once for each set of rules, into a **table** from keys (see `_wire`) to decoders of content. So an
element's identifier and length are read once, by whatever contains it, and one look-up says which decoder takes it, if
any: choices and optional parts cost no second attempt. A table's entry for `ANY` takes the keys that have none.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, TypeVar

from ._wire import CONSTRUCTED, Reader, describe, element, read_ber, read_der
from .errors import DecodeError, EncodeError, GrammarError

__all__ = ["ANY", "BER", "DER", "Content", "Element", "Grammar", "Limits", "Rules", "Run", "TooDeep", "read_one"]

T = TypeVar("T")
U = TypeVar("U")


class Rules(Enum):
    """The encoding rules that a decoder holds octets to (X.690)."""

    DER = "DER"
    """One encoding for each value: what is signed, and the default."""

    BER = "BER"
    """Any length form, constructed strings, any true, sets in any order, defaults spelt out, older time forms."""


DER, BER = Rules.DER, Rules.BER


@dataclass(frozen=True, slots=True)
class Limits:
    """What octets from outside may cost. Each limit that is passed is a `DecodeError`."""

    size: int = 16 << 20
    """Octets given to `decode`."""

    depth: int = 32
    """How often a `recursive` grammar may enter itself, and how deep BER's constructed strings may nest."""

    count: int = 200_000
    """Elements of all SEQUENCE OF and SET OF together."""


class Run:
    """What one call of `decode` has left of its limits."""

    __slots__ = ("count", "depth")

    def __init__(self, limits: Limits) -> None:
        self.depth = limits.depth
        self.count = limits.count


Content = Callable[[bytes, int, int, int, Run], Any]
"""Decodes content: ``(data, head, start, stop, run) -> value``, where the element began at `head`."""

ANY = -1
"""The key under which a table keeps the decoder for all keys that it does not list."""

_DEFAULT_LIMITS = Limits()


class TooDeep(Exception):
    """A random value cannot be made this small along this way."""


class Grammar(Generic[T]):
    """A set of values of type `T`, and their encoding. Grammars are values: build them once, share them freely."""

    __slots__ = ("_tables",)

    def __init__(self) -> None:
        self._tables: dict[Rules, dict[int, Content]] = {}

    # What each kind of grammar says of itself.

    def _compile(self, rules: Rules) -> dict[int, Content]:
        raise NotImplementedError

    def _encode(self, value: T) -> bytes:
        raise NotImplementedError

    def _random(self, rng: random.Random, size: int) -> T:
        raise NotImplementedError

    def _keys(self) -> frozenset[int]:
        """The keys that an encoding may begin with under DER, `ANY` among them where all may."""
        return frozenset(self._table(DER))

    def _table(self, rules: Rules) -> dict[int, Content]:
        table = self._tables.get(rules)
        if table is None:
            table = self._tables[rules] = self._compile(rules)
        return table

    # What every grammar can do.

    def decode(self, data: bytes | bytearray | memoryview, rules: Rules = DER, limits: Limits = _DEFAULT_LIMITS) -> T:
        """The value that `data`, all of it, encodes. Raises `DecodeError`."""
        size = len(data)
        if 2 <= size < 130 and type(data) is bytes and data[1] == size - 2 and size <= limits.size:
            # A short value under a short tag, as most are: its length is right, and `decode_prefix` says what is not.
            content = self._table(rules).get(data[0])
            if content is not None:
                short: T = content(data, 0, 2, size, Run(limits))
                return short
        value, after = self.decode_prefix(data, rules, limits)
        if after != len(data):
            raise DecodeError(f"{len(data) - after} octets too many after the value", after)
        return value

    def decode_prefix(
        self, data: bytes | bytearray | memoryview, rules: Rules = DER, limits: Limits = _DEFAULT_LIMITS
    ) -> tuple[T, int]:
        """The value at the beginning of `data`, and how many octets encode it. Raises `DecodeError`."""
        if len(data) > limits.size:
            raise DecodeError(f"{len(data)} octets are more than the {limits.size} allowed (Limits.size)", limits.size)
        octets = data if type(data) is bytes else bytes(data)
        key, start, stop, after = (read_der if rules is DER else read_ber)(octets, 0, len(octets))
        table = self._table(rules)
        decoder = table.get(key) or table.get(ANY)
        if decoder is None:
            raise DecodeError(f"{describe(key)} where {expected(table)} should be", 0)
        value: T = decoder(octets, 0, start, stop, Run(limits))
        return value, after

    def encode(self, value: T) -> bytes:
        """The one DER encoding of a value, which is a BER encoding too. Raises `EncodeError`."""
        return self._encode(value)

    def random(self, rng: random.Random, size: int = 8) -> T:
        """A value of this grammar for tests, drawn from `rng`: long parts have up to about `size` elements."""
        try:
            return self._random(rng, max(size, 0))
        except TooDeep:
            raise GrammarError("every value of this grammar contains another of it, without end") from None

    def map(self, decoded: Callable[[T], U], encoded: Callable[[U], T]) -> Grammar[U]:
        """The same octets, seen as values of another type.

        `decoded` may raise `ValueError` for a value that the octets may not have; the message goes into `DecodeError`.
        So may `encoded`.
        """
        return _Mapped(self, decoded, encoded)


class Element(Grammar[T]):
    """A grammar whose encodings all have one identifier, so that an implicit tag can replace it."""

    __slots__ = ("key",)

    def __init__(self, key: int) -> None:
        super().__init__()
        self.key = key

    def _content_of(self, value: T) -> bytes:
        raise NotImplementedError

    def _decoders(self, rules: Rules) -> tuple[Content | None, Content | None]:
        """The decoder of primitive content, and of constructed content, each None where it is not allowed."""
        raise NotImplementedError

    def _compile(self, rules: Rules) -> dict[int, Content]:
        return table_for(self.key, self._decoders(rules))

    def _keys(self) -> frozenset[int]:
        return frozenset((self.key,))

    def _encode(self, value: T) -> bytes:
        return element(self.key, self._content_of(value))


def table_for(key: int, decoders: tuple[Content | None, Content | None]) -> dict[int, Content]:
    """The table of one tag, from its decoders for primitive and constructed content."""
    primitive, constructed = decoders
    table = {}
    if primitive is not None:
        table[key & ~CONSTRUCTED] = primitive
    if constructed is not None:
        table[key | CONSTRUCTED] = constructed
    return table


class _Mapped(Element[U], Generic[T, U]):
    """`Grammar.map`. It is an `Element` as far as its inner grammar is one: `implicit` looks at `key`."""

    __slots__ = ("_decoded", "_encoded", "_inner")

    def __init__(self, inner: Grammar[T], decoded: Callable[[T], U], encoded: Callable[[U], T]) -> None:
        super().__init__(inner.key if isinstance(inner, Element) else ANY)
        self._inner, self._decoded, self._encoded = inner, decoded, encoded

    def _wrap(self, content: Content | None) -> Content | None:
        if content is None:
            return None
        inner, decoded = content, self._decoded

        def decode(data: bytes, head: int, start: int, stop: int, run: Run) -> U:
            value = inner(data, head, start, stop, run)
            try:
                return decoded(value)
            except (ValueError, OverflowError) as error:
                if isinstance(error, DecodeError):
                    raise
                raise DecodeError(str(error), head) from None

        return decode

    def _compile(self, rules: Rules) -> dict[int, Content]:
        wrapped = {key: self._wrap(content) for key, content in self._inner._table(rules).items()}
        return {key: content for key, content in wrapped.items() if content is not None}

    def _keys(self) -> frozenset[int]:
        return self._inner._keys()

    def _decoders(self, rules: Rules) -> tuple[Content | None, Content | None]:
        assert isinstance(self._inner, Element)
        primitive, constructed = self._inner._decoders(rules)
        return self._wrap(primitive), self._wrap(constructed)

    def _back(self, value: U) -> T:
        try:
            return self._encoded(value)
        except (ValueError, OverflowError) as error:
            if isinstance(error, EncodeError):
                raise
            raise EncodeError(str(error)) from None

    def _content_of(self, value: U) -> bytes:
        assert isinstance(self._inner, Element)
        return self._inner._content_of(self._back(value))

    def _encode(self, value: U) -> bytes:
        return self._inner._encode(self._back(value))

    def _random(self, rng: random.Random, size: int) -> U:
        for _ in range(1000):
            value = self._inner._random(rng, size)
            try:
                return self._decoded(value)
            except (ValueError, OverflowError):
                continue
        raise GrammarError(
            "of 1000 random values none passed the function of map(); give this part a random of its own"
        )


def expected(table: Mapping[int, object]) -> str:
    """The identifiers of a table in words."""
    names = [describe(key) for key in table if key != ANY]
    return " or ".join(names) if len(names) < 5 else f"one of {', '.join(names[:4])}, ..."


def read_one(table: dict[int, Content], reader: Reader) -> Content:
    """A decoder of content that is exactly one element of a table: an explicit tag, an embedded encoding."""
    find, wild = table.get, table.get(ANY)

    def decode(data: bytes, head: int, start: int, stop: int, run: Run) -> Any:
        key, inner, end, after = reader(data, start, stop)
        decoder = find(key) or wild
        if decoder is None:
            raise DecodeError(f"{describe(key)} where {expected(table)} should be", start)
        if after != stop:
            raise DecodeError(f"{stop - after} octets too many after the value", after)
        return decoder(data, start, inner, end, run)

    return decode
