"""Tags, CHOICE, open types, encodings kept as octets, and recursion."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

from ._grammar import (
    ANY,
    DER,
    Content,
    Element,
    Grammar,
    Rules,
    Run,
    TooDeep,
    read_one,
)
from ._primitive import Bits, BitString, Octets
from ._wire import CONSTRUCTED, CONTEXT, describe, element, key_of, read_ber, read_der
from .errors import DecodeError, EncodeError, GrammarError

__all__ = [
    "Chosen",
    "WithOctets",
    "any_",
    "choice",
    "explicit",
    "implicit",
    "in_bit_string",
    "in_octet_string",
    "octets_of",
    "recursive",
    "with_octets",
]

T = TypeVar("T")


class _Implicit(Element[T]):
    __slots__ = ("_inner",)

    def __init__(self, key: int, inner: Element[T]) -> None:
        super().__init__(key)
        self._inner = inner

    def _decoders(self, rules: Rules) -> tuple[Content | None, Content | None]:
        return self._inner._decoders(rules)

    def _content_of(self, value: T) -> bytes:
        return self._inner._content_of(value)

    def _random(self, rng: random.Random, size: int) -> T:
        return self._inner._random(rng, size)


class _Explicit(Element[T]):
    __slots__ = ("_inner",)

    def __init__(self, key: int, inner: Grammar[T]) -> None:
        super().__init__(key)
        self._inner = inner

    def _decoders(self, rules: Rules) -> tuple[Content | None, Content | None]:
        return None, read_one(self._inner._table(rules), read_der if rules is DER else read_ber)

    def _content_of(self, value: T) -> bytes:
        return self._inner._encode(value)

    def _random(self, rng: random.Random, size: int) -> T:
        return self._inner._random(rng, size)


def implicit(number: int, inner: Grammar[T], class_: int = CONTEXT) -> Element[T]:
    """``[number] IMPLICIT``: the tag takes the place of the inner one. Raises `GrammarError` where there is not one."""
    if not isinstance(inner, Element) or inner.key == ANY:
        # X.680 31.2.7: such a tag would be explicit in any module.
        raise GrammarError("a choice or an open type has no tag of its own to replace; use explicit()")
    return _Implicit(key_of(number, class_, bool(inner.key & CONSTRUCTED)), inner)


def explicit(number: int, inner: Grammar[T], class_: int = CONTEXT) -> Element[T]:
    """``[number] EXPLICIT``: an element around the inner one."""
    return _Explicit(key_of(number, class_, constructed=True), inner)


class Chosen(NamedTuple):
    """A value of a `choice`: which alternative, and its value."""

    name: str
    value: Any


class _Choice(Grammar[Chosen]):
    __slots__ = ("_alternatives",)

    def __init__(self, alternatives: dict[str, Grammar[Any]]) -> None:
        super().__init__()
        self._alternatives = alternatives

    def _compile(self, rules: Rules) -> dict[int, Content]:
        table: dict[int, Content] = {}
        for name, grammar in self._alternatives.items():
            for key, content in grammar._table(rules).items():
                if key in table:
                    raise GrammarError(f"{name} cannot be told from another alternative; give it a tag (X.680 29.3)")
                table[key] = self._named(name, content)
        return table

    @staticmethod
    def _named(name: str, content: Content) -> Content:
        def decode(data: bytes, head: int, start: int, stop: int, run: Run) -> Chosen:
            try:
                return Chosen(name, content(data, head, start, stop, run))
            except DecodeError as error:
                error.within(name)
                raise

        return decode

    def _keys(self) -> frozenset[int]:
        return frozenset().union(*(grammar._keys() for grammar in self._alternatives.values()))

    def _encode(self, value: Chosen) -> bytes:
        name, inner = value
        if name not in self._alternatives:
            raise EncodeError(f"{name!r} is none of {', '.join(self._alternatives)}")
        try:
            return self._alternatives[name]._encode(inner)
        except EncodeError as error:
            error.within(name)
            raise

    def _random(self, rng: random.Random, size: int) -> Chosen:
        names = list(self._alternatives)
        rng.shuffle(names)
        for name in names:
            try:
                return Chosen(name, self._alternatives[name]._random(rng, size))
            except TooDeep:
                continue
        raise TooDeep


def choice(**alternatives: Grammar[Any]) -> Grammar[Chosen]:
    """CHOICE, as a `Chosen`: ``Chosen("dns", "example.org")``."""
    return _Choice(alternatives)


class _Kept(Grammar[bytes]):
    """The octets of an element, for all keys or for those of a grammar; its content is not looked at."""

    __slots__ = ("_like",)

    def __init__(self, like: Grammar[Any] | None) -> None:
        super().__init__()
        self._like = like

    def _compile(self, rules: Rules) -> dict[int, Content]:
        if rules is DER:

            def decode(data: bytes, head: int, start: int, stop: int, run: Run) -> bytes:
                return data[head:stop]
        else:

            def decode(data: bytes, head: int, start: int, stop: int, run: Run) -> bytes:
                # With an indefinite length the element ends two octets after its content.
                return data[head : read_ber(data, head, len(data))[3]]

        return dict.fromkeys(self._keys_under(rules), decode)

    def _keys_under(self, rules: Rules) -> list[int]:
        return [ANY] if self._like is None else list(self._like._table(rules))

    def _encode(self, value: bytes) -> bytes:
        try:
            key, _, _, after = read_der(value, 0, len(value))
        except DecodeError as error:
            raise EncodeError(f"these octets are no element: {error.problem}") from None
        keys = self._keys_under(DER)
        if after != len(value) or (key not in keys and ANY not in keys):
            raise EncodeError("these octets are not one element of the right tag")
        return value

    def _random(self, rng: random.Random, size: int) -> bytes:
        if self._like is not None:
            return self._like._encode(self._like._random(rng, size))
        return element(rng.choice((2, 4, 12, 0x80, 0x9E)), b"\x01" + rng.randbytes(max(size, 0)))


class WithOctets(NamedTuple, Generic[T]):
    """A value, and the octets that encode it, which a signature may be over."""

    value: T
    octets: bytes


class _WithOctets(Grammar[WithOctets[T]]):
    __slots__ = ("_inner",)

    def __init__(self, inner: Grammar[T]) -> None:
        super().__init__()
        self._inner = inner

    def _compile(self, rules: Rules) -> dict[int, Content]:
        return {key: self._both(content, rules) for key, content in self._inner._table(rules).items()}

    @staticmethod
    def _both(content: Content, rules: Rules) -> Content:
        strict = rules is DER

        def decode(data: bytes, head: int, start: int, stop: int, run: Run) -> WithOctets[Any]:
            end = stop if strict else read_ber(data, head, len(data))[3]
            return WithOctets(content(data, head, start, stop, run), data[head:end])

        return decode

    def _keys(self) -> frozenset[int]:
        return self._inner._keys()

    def _encode(self, value: WithOctets[T]) -> bytes:
        encoded = self._inner._encode(value.value)
        if value.octets and value.octets != encoded:
            raise EncodeError("the octets are not the encoding of the value; give b'' to have it made")
        return encoded

    def _random(self, rng: random.Random, size: int) -> WithOctets[T]:
        value = self._inner._random(rng, size)
        return WithOctets(value, self._inner._encode(value))


any_: Grammar[bytes] = _Kept(None)
"""ANY, an open type: the octets of whatever element is there."""


def octets_of(grammar: Grammar[Any]) -> Grammar[bytes]:
    """An element that begins as one of `grammar`, kept as octets and not decoded until someone asks."""
    return _Kept(grammar)


def with_octets(grammar: Grammar[T]) -> Grammar[WithOctets[T]]:
    """A value together with its octets."""
    return _WithOctets(grammar)


class _Embedded(Element[T]):
    """An OCTET STRING or BIT STRING whose content is itself an encoding."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, outer: Octets | Bits, inner: Grammar[T]) -> None:
        super().__init__(outer.key)
        self._outer, self._inner = outer, inner

    def _decoders(self, rules: Rules) -> tuple[Content | None, Content | None]:
        one = read_one(self._inner._table(rules), read_der if rules is DER else read_ber)
        skip = 1 if isinstance(self._outer, Bits) else 0

        def decode(data: bytes, head: int, start: int, stop: int, run: Run) -> T:
            if skip and (start == stop or data[start] != 0):
                raise DecodeError("a BIT STRING around an encoding has whole octets", head)
            value: T = one(data, start, start + skip, stop, run)
            return value

        def joined(data: bytes, head: int, start: int, stop: int, run: Run) -> T:
            _, constructed = self._outer._decoders(rules)
            assert constructed is not None
            parts = constructed(data, head, start, stop, run)
            octets = bytes(skip) + parts.octets if isinstance(parts, BitString) else parts
            try:
                return decode(octets, 0, 0, len(octets), run)
            except DecodeError as error:
                raise DecodeError(error.problem, head, error.path) from None

        return decode, None if rules is DER else joined

    def _content_of(self, value: T) -> bytes:
        encoded = self._inner._encode(value)
        return b"\x00" + encoded if isinstance(self._outer, Bits) else encoded

    def _random(self, rng: random.Random, size: int) -> T:
        return self._inner._random(rng, size)


def in_octet_string(grammar: Grammar[T]) -> Element[T]:
    """OCTET STRING CONTAINING: the string's octets are the encoding of the value."""
    return _Embedded(Octets(4), grammar)


def in_bit_string(grammar: Grammar[T]) -> Element[T]:
    """BIT STRING CONTAINING: as `in_octet_string`."""
    return _Embedded(Bits(3), grammar)


class _Recursive(Grammar[T]):
    __slots__ = ("_build", "_busy", "_inner")

    def __init__(self, build: Callable[[Grammar[T]], Grammar[T]]) -> None:
        super().__init__()
        self._build = build
        self._inner: Grammar[T] | None = None
        self._busy = False

    def _whole(self) -> Grammar[T]:
        if self._inner is None:
            self._inner = self._build(self)
        return self._inner

    def _keys(self) -> frozenset[int]:
        if self._busy:
            raise GrammarError("a recursive grammar that begins with itself; something with a tag must come first")
        self._busy = True
        try:
            return self._whole()._keys()
        finally:
            self._busy = False

    def _compile(self, rules: Rules) -> dict[int, Content]:
        # The inner table may need this one, so its decoders are looked up when they are first run.
        keys = self._keys()
        if rules is not DER:
            keys |= {key ^ CONSTRUCTED for key in keys if key != ANY}
        return {key: self._enter(key, rules) for key in keys}

    def _enter(self, key: int, rules: Rules) -> Content:
        def decode(data: bytes, head: int, start: int, stop: int, run: Run) -> T:
            content = self._whole()._table(rules).get(key)
            if content is None:
                raise DecodeError(f"{describe(key)} has no place here", head)
            run.depth -= 1
            if run.depth < 0:
                raise DecodeError("a value nested deeper than Limits.depth", head)
            value: T = content(data, head, start, stop, run)
            run.depth += 1
            return value

        return decode

    def _encode(self, value: T) -> bytes:
        try:
            return self._whole()._encode(value)
        except RecursionError:
            raise EncodeError("a value nested deeper than Python's stack allows") from None

    def _random(self, rng: random.Random, size: int) -> T:
        if size < 0:
            raise TooDeep
        return self._whole()._random(rng, size // 2 - 1)


def recursive(build: Callable[[Grammar[T]], Grammar[T]]) -> Grammar[T]:
    """A grammar that contains itself: ``recursive(lambda tree: choice(leaf=integer, node=sequence_of(tree)))``."""
    return _Recursive(build)
