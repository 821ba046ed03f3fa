"""SEQUENCE, SET, SEQUENCE OF and SET OF (X.690 8.9 to 8.12, 10.3, 11.5, 11.6)."""

from __future__ import annotations

import random
from collections.abc import Callable
from operator import attrgetter
from typing import Any, Generic, NamedTuple, TypeVar

from ._grammar import ANY, DER, Content, Element, Grammar, Rules, Run, TooDeep, expected
from ._wire import UNIVERSAL, Reader, describe, key_of, read_ber, read_der
from .errors import DecodeError, EncodeError, GrammarError

__all__ = ["Part", "default", "optional", "sequence", "sequence_of", "set_", "set_of"]

T = TypeVar("T")

SEQUENCE = key_of(16, UNIVERSAL, constructed=True)
SET = key_of(17, UNIVERSAL, constructed=True)

_REQUIRED: Any = object()


class Part(NamedTuple):
    """A part of a sequence or set that may be absent, and the value that it then has."""

    grammar: Grammar[Any]
    absent: Any
    is_default: bool


def optional(grammar: Grammar[Any]) -> Part:
    """A part that may be absent, which is None."""
    return Part(grammar, None, is_default=False)


def default(grammar: Grammar[T], value: T) -> Part:
    """A part that is absent when it has this value, as DER requires (X.690 11.5); BER may spell it out."""
    return Part(grammar, value, is_default=True)


def _spelt_out(offset: int) -> DecodeError:
    return DecodeError("a default value that is spelt out, which DER forbids (X.690 11.5)", offset)


class _Field(NamedTuple):
    name: str
    grammar: Grammar[Any]
    absent: Any
    is_default: bool


def _fields(parts: dict[str, Grammar[Any] | Part]) -> tuple[_Field, ...]:
    return tuple(
        _Field(name, part.grammar, part.absent, part.is_default)
        if isinstance(part, Part)
        else _Field(name, part, _REQUIRED, is_default=False)
        for name, part in parts.items()
    )


class _Fields(Element[T]):
    """What SEQUENCE and SET share: named parts, and the class whose instances hold them."""

    __slots__ = ("_fields", "_get", "_make")

    def __init__(self, key: int, make: Callable[..., T], parts: dict[str, Grammar[Any] | Part]) -> None:
        super().__init__(key)
        self._make = make
        self._fields = _fields(parts)
        names = tuple(parts)
        # attrgetter with one name gives the bare value.
        self._get: Callable[[T], tuple[Any, ...]] = (
            attrgetter(*names) if len(names) > 1 else lambda value: tuple(getattr(value, name) for name in names)
        )

    def _elements(self, value: T) -> list[bytes]:
        try:
            values = self._get(value)
        except AttributeError as error:
            raise EncodeError(f"a {type(value).__name__} is no value of this grammar: {error}") from None
        elements = []
        for (name, grammar, absent, is_default), part in zip(self._fields, values, strict=True):
            if absent is not _REQUIRED and (part is None if not is_default else part == absent):
                continue
            try:
                elements.append(grammar._encode(part))
            except EncodeError as error:
                error.within(name)
                raise
        return elements

    def _random(self, rng: random.Random, size: int) -> T:
        values = []
        for field in self._fields:
            if field.absent is not _REQUIRED and (size <= 0 or rng.random() < 0.5):
                values.append(field.absent)
                continue
            try:
                values.append(field.grammar._random(rng, size - 1))
            except TooDeep:
                if field.absent is _REQUIRED:
                    raise
                values.append(field.absent)
        return self._make(*values)


class _Sequence(_Fields[T]):
    __slots__ = ()

    def _check(self) -> None:
        """X.680 25.6: what may follow an absent part must not look like it."""
        open_keys: dict[int, str] = {}
        for name, grammar, absent, _ in self._fields:
            keys = grammar._keys()
            clash = open_keys.keys() & keys
            if clash or (open_keys and ANY in keys) or (ANY in open_keys):
                other = open_keys[min(clash)] if clash else next(iter(open_keys.values()))
                raise GrammarError(f"{name} cannot be told from {other}, which may be absent; give one of them a tag")
            if absent is _REQUIRED:
                open_keys.clear()
            else:
                open_keys.update(dict.fromkeys(keys, name))

    def _decoders(self, rules: Rules) -> tuple[Content | None, Content | None]:
        self._check()
        make, strict = self._make, rules is DER
        reader: Reader = read_der if strict else read_ber
        # Name, the first key and its decoder, look-up of others, value when absent, default that DER leaves out.
        plan = []
        for f in self._fields:
            table = f.grammar._table(rules)
            first = next(iter(table.items()), (-4, None))
            plan.append((f.name, *first, table.get, f.absent, f.absent if f.is_default and strict else _REQUIRED))

        def decode(data: bytes, head: int, pos: int, stop: int, run: Run) -> T:
            values = []
            key, start, end, after = -2, pos, pos, pos
            name: str = ""
            try:
                for name, likely, decoder, find, absent, forbidden in plan:
                    if key == -2:
                        if pos >= stop:
                            key = -3
                        elif (
                            pos + 1 < stop
                            and (length := data[pos + 1]) < 128
                            and (key := data[pos]) & 31 != 31
                            and (after := pos + 2 + length) <= stop
                        ):
                            # The short forms that nearly every element has; `reader` says what is wrong otherwise.
                            start, end = pos + 2, after
                        else:
                            key = -2
                            key, start, end, after = reader(data, pos, stop)
                    if key != likely:
                        decoder = find(key) or (find(ANY) if key >= 0 else None)
                    if decoder is not None:
                        value = decoder(data, pos, start, end, run)
                        if forbidden is not _REQUIRED and value == forbidden:
                            raise _spelt_out(pos)
                        values.append(value)
                        pos, key = after, -2
                    elif absent is _REQUIRED:
                        raise self._missing(name, key, pos)
                    else:
                        values.append(absent)
            except DecodeError as error:
                error.within(name)
                raise
            if pos != stop:
                raise DecodeError(f"{stop - pos} octets too many at the end of a SEQUENCE", pos)
            return make(*values)

        return None, decode

    def _missing(self, name: str, key: int, pos: int) -> DecodeError:
        found = describe(key) if key >= 0 else "nothing"
        wanted = next(expected(f.grammar._table(DER)) for f in self._fields if f.name == name)
        return DecodeError(f"{found} where {wanted} should be", pos)

    def _content_of(self, value: T) -> bytes:
        return b"".join(self._elements(value))


class _Set(_Fields[T]):
    __slots__ = ()

    def _decoders(self, rules: Rules) -> tuple[Content | None, Content | None]:
        strict = rules is DER
        reader: Reader = read_der if strict else read_ber
        where: dict[int, tuple[int, Content]] = {}
        for index, field in enumerate(self._fields):
            for key, content in field.grammar._table(rules).items():
                if key in where or key == ANY:
                    raise GrammarError(f"{field.name} cannot be told from another part of the SET (X.680 27.3)")
                where[key] = index, content
        fields, make = self._fields, self._make

        def decode(data: bytes, head: int, pos: int, stop: int, run: Run) -> T:
            values = [_REQUIRED] * len(fields)
            before = -1
            while pos < stop:
                key, start, end, after = reader(data, pos, stop)
                index, content = where.get(key, (-1, None))
                if content is None or values[index] is not _REQUIRED:
                    raise DecodeError(f"{describe(key)} in a SET that has no place for it", pos)
                order = (key & 0xC0) << 32 | (key & 31 if key < 256 else key >> 8)
                if strict and order < before:
                    raise DecodeError("parts of a SET that are not in the order of their tags (X.690 10.3)", pos)
                before = order
                try:
                    values[index] = content(data, pos, start, end, run)
                    if strict and fields[index].is_default and values[index] == fields[index].absent:
                        raise _spelt_out(pos)
                except DecodeError as error:
                    error.within(fields[index].name)
                    raise
                pos = after
            for index, field in enumerate(fields):
                if values[index] is _REQUIRED:
                    if field.absent is _REQUIRED:
                        raise DecodeError(f"a SET without its part {field.name}", head)
                    values[index] = field.absent
            return make(*values)

        return None, decode

    def _content_of(self, value: T) -> bytes:
        # X.690 10.3: in the order of the tags; the class is in the top bits of the first octet.
        def order(encoded: Any) -> tuple[int, int]:
            key = read_der(encoded, 0, len(encoded))[0]
            return key & 0xC0, key & 31 if key < 256 else key >> 8

        return b"".join(sorted(self._elements(value), key=order))


class _Of(Element[list[T]], Generic[T]):
    """SEQUENCE OF, SET OF."""

    __slots__ = ("_inner", "_least", "_most")

    def __init__(self, key: int, inner: Grammar[T], least: int, most: int | None) -> None:
        super().__init__(key)
        self._inner, self._least, self._most = inner, least, most

    def _decoders(self, rules: Rules) -> tuple[Content | None, Content | None]:
        table = self._inner._table(rules)
        find, wild = table.get, table.get(ANY)
        reader: Reader = read_der if rules is DER else read_ber
        ordered = rules is DER and self.key == SET
        least, most = self._least, self._most

        def decode(data: bytes, head: int, pos: int, stop: int, run: Run) -> list[T]:
            values: list[T] = []
            before = b""
            while pos < stop:
                if (
                    pos + 1 < stop
                    and (length := data[pos + 1]) < 128
                    and (key := data[pos]) & 31 != 31
                    and (after := pos + 2 + length) <= stop
                ):
                    start, end = pos + 2, after
                else:
                    key, start, end, after = reader(data, pos, stop)
                decoder = find(key) or wild
                if decoder is None:
                    raise DecodeError(f"{describe(key)} where {expected(table)} should be", pos, (len(values),))
                run.count -= 1
                if run.count < 0:
                    raise DecodeError("more elements than Limits.count allows", pos)
                if ordered:
                    element = data[pos:after]
                    if element < before:
                        # X.690 11.6: ascending; Python's comparison pads the shorter in the same way.
                        raise DecodeError("a SET OF that is not in ascending order (X.690 11.6)", pos, (len(values),))
                    before = element
                try:
                    values.append(decoder(data, pos, start, end, run))
                except DecodeError as error:
                    error.within(len(values))
                    raise
                pos = after
            if len(values) < least or (most is not None and len(values) > most):
                raise DecodeError(f"{len(values)} elements, where {self._range()} are allowed", head)
            return values

        return None, decode

    def _range(self) -> str:
        return f"{self._least} to {self._most}" if self._most is not None else f"{self._least} or more"

    def _content_of(self, value: list[T]) -> bytes:
        if len(value) < self._least or (self._most is not None and len(value) > self._most):
            raise EncodeError(f"{len(value)} elements, where {self._range()} are allowed")
        elements = []
        for index, each in enumerate(value):
            try:
                elements.append(self._inner._encode(each))
            except EncodeError as error:
                error.within(index)
                raise
        return b"".join(sorted(elements) if self.key == SET else elements)

    def _random(self, rng: random.Random, size: int) -> list[T]:
        most = max(size, 0) if self._most is None else min(self._most, max(size, 0))
        count = rng.randrange(self._least, max(most, self._least) + 1)
        try:
            values = [self._inner._random(rng, size - 1) for _ in range(count)]
        except TooDeep:
            if self._least:
                raise
            values = []
        # The order in which a decoder would give them.
        return sorted(values, key=self._inner._encode) if self.key == SET else values


def sequence(make: Callable[..., T], **parts: Grammar[Any] | Part) -> Element[T]:
    """SEQUENCE: decoded to ``make(part, ...)`` in the order given, encoded from the attributes with the parts' names.

    `make` is most simply a `typing.NamedTuple` with these fields. Parts are grammars, `optional` or `default`.
    """
    return _Sequence(SEQUENCE, make, parts)


def set_(make: Callable[..., T], **parts: Grammar[Any] | Part) -> Element[T]:
    """SET: as `sequence`, its parts in the order of their tags in DER and in any order in BER."""
    return _Set(SET, make, parts)


def sequence_of(inner: Grammar[T], least: int = 0, most: int | None = None) -> Element[list[T]]:
    """SEQUENCE OF, as a list with `least` to `most` elements."""
    return _Of(SEQUENCE, inner, least, most)


def set_of(inner: Grammar[T], least: int = 0, most: int | None = None) -> Element[list[T]]:
    """SET OF, as a list in ascending order of the encodings (X.690 11.6); encoded from any order."""
    return _Of(SET, inner, least, most)
