"""Expressions: immutable trees that are written with functions and operators and compile to a `re.Pattern`.

Interface: the functions and constants of `__all__`. `a + b` is a followed by b, `a | b` is either; a plain string among
the operands stands for that literal text. `Re.compile()` is the only way out, and the only place where the standard
library's `re` is asked.

Invariants: an expression never changes; `pattern` is a function of the tree alone; every part guards its own
precedence, so that composing never changes what a part means.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, reduce

from ._ambiguity import ANYTHING, Charset, Shape, find_ambiguity
from .errors import CatastrophicPattern, InvalidPattern

__all__ = [
    "ANY",
    "DIGIT",
    "END",
    "LETTER",
    "LINE_END",
    "LINE_START",
    "SPACE",
    "START",
    "WORD",
    "WORD_EDGE",
    "Re",
    "again",
    "ahead",
    "any_of",
    "atomic",
    "behind",
    "between",
    "either",
    "group",
    "ignore_case",
    "none_of",
    "not_ahead",
    "not_behind",
    "optional",
    "raw",
    "repeated",
    "sequence",
    "text",
]

_LAST = 0x10FFFF


class Re:
    """A regular expression. Made by the functions of this module, never directly."""

    @property
    def pattern(self) -> str:
        """The same expression in the syntax of the standard library's `re`."""
        raise NotImplementedError

    @property
    def shape(self) -> Shape:
        """What the check for exponential matching sees. Made anew each time: a part that occurs twice is two places."""
        raise NotImplementedError

    def compile(self, *, allow_exponential: bool = False) -> re.Pattern[str]:
        """The compiled pattern.

        Raises `InvalidPattern` where `re` refuses the pattern, and `CatastrophicPattern` where some text would take
        time exponential in its length; `allow_exponential` is for texts that are short or trusted.
        """
        compiled = self._compiled
        if self._culprit is not None and not allow_exponential:
            raise CatastrophicPattern(
                f"{self.pattern!r} can match {self._culprit} in exponentially many ways, so that a text which almost "
                "matches would keep it busy for ever: make the repeated part begin or end with something that its "
                "neighbours cannot match, or wrap the inner repetition in atomic(...)"
            )
        return compiled

    @cached_property
    def _culprit(self) -> str | None:
        return find_ambiguity(self.shape)

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        return compile_pattern(self.pattern)

    def __add__(self, other: Re | str) -> Re:
        return sequence(self, other)

    def __radd__(self, other: str) -> Re:
        return sequence(other, self)

    def __or__(self, other: Re | str) -> Re:
        return either(self, other)

    def __ror__(self, other: str) -> Re:
        return either(other, self)

    def __repr__(self) -> str:
        return f"<Re {self.pattern}>"


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Compile the syntax of `re`, or raise `InvalidPattern` that points at the offending character."""
    try:
        return re.compile(pattern)
    except re.error as error:
        line = pattern.replace("\n", "\N{SYMBOL FOR NEWLINE}")
        pointer = " " * (error.pos or 0) + "^"
        raise InvalidPattern(f"{error.msg}, at character {error.pos or 0}:\n  {line}\n  {pointer}") from None
    except (RecursionError, OverflowError) as error:
        raise InvalidPattern(f"the expression is nested or repeated beyond what re can compile: {error}") from None


@dataclass(frozen=True, eq=True, repr=False)
class _Text(Re):
    content: str

    @property
    def pattern(self) -> str:
        return re.escape(self.content)

    @property
    def shape(self) -> Shape:
        return Shape.sequence([Shape.one(((ord(c), ord(c)),), c) for c in self.content])


@dataclass(frozen=True, eq=True, repr=False)
class _Class(Re):
    """One character out of ranges; `negated` takes all the others."""

    ranges: Charset
    negated: bool = False

    @property
    def pattern(self) -> str:
        inside = "".join(
            _escape(low) if low == high else f"{_escape(low)}-{_escape(high)}" for low, high in self.ranges
        )
        return f"[{'^' * self.negated}{inside}]"

    @property
    def shape(self) -> Shape:
        return Shape.one(_complement(self.ranges) if self.negated else self.ranges, self.pattern)


@dataclass(frozen=True, eq=True, repr=False)
class _Raw(Re):
    """A piece of `re` syntax; `chars` is what it may match, or None for what the check should not look into."""

    source: str
    chars: Charset | None = None
    guard: bool = True

    @property
    def pattern(self) -> str:
        return f"(?:{self.source})" if self.guard else self.source

    @property
    def shape(self) -> Shape:
        return Shape.empty() if self.chars is None else Shape.one(self.chars, self.source)


@dataclass(frozen=True, eq=True, repr=False)
class _Sequence(Re):
    parts: tuple[Re, ...]

    @property
    def pattern(self) -> str:
        return "".join(f"(?:{p.pattern})" if isinstance(p, _Either) else p.pattern for p in self.parts)

    @property
    def shape(self) -> Shape:
        return Shape.sequence([part.shape for part in self.parts])


@dataclass(frozen=True, eq=True, repr=False)
class _Either(Re):
    parts: tuple[Re, ...]

    @property
    def pattern(self) -> str:
        return "|".join(part.pattern for part in self.parts)

    @property
    def shape(self) -> Shape:
        return reduce(Shape.either, (part.shape for part in self.parts))


@dataclass(frozen=True, eq=True, repr=False)
class _Repeated(Re):
    part: Re
    at_least: int
    at_most: int | None
    suffix: str

    @property
    def pattern(self) -> str:
        counts = {(0, None): "*", (1, None): "+", (0, 1): "?"}
        count = counts.get((self.at_least, self.at_most))
        if count is None:
            count = f"{{{self.at_least},{'' if self.at_most is None else self.at_most}}}"
        return f"(?:{self.part.pattern}){count}{self.suffix}"

    @property
    def shape(self) -> Shape:
        shape = self.part.shape.repeated(self.at_least, self.at_most)
        return shape.atomic(self.pattern) if self.suffix == "+" else shape


@dataclass(frozen=True, eq=True, repr=False)
class _Wrapped(Re):
    """Something within `(` ... `)` that says what the parenthesis does."""

    opening: str
    part: Re
    kind: str = "plain"

    @property
    def pattern(self) -> str:
        return f"({self.opening}{self.part.pattern})"

    @property
    def shape(self) -> Shape:
        if self.kind == "atomic":
            return self.part.shape.atomic(self.pattern)
        return self.part.shape.aside() if self.kind == "look" else self.part.shape


def _complement(ranges: Charset) -> Charset:
    gaps = []
    start = 0
    for low, high in sorted(ranges):
        if low > start:
            gaps.append((start, low - 1))
        start = max(start, high + 1)
    if start <= _LAST:
        gaps.append((start, _LAST))
    return tuple(gaps)


def _escape(code: int) -> str:
    """One character, safe inside brackets."""
    char = chr(code)
    if char.isascii() and (char.isalnum() or char == " "):
        return char
    if code < 0x21 or code == 0x7F:
        return f"\\x{code:02x}"
    return f"\\{char}" if char.isascii() else char


def _as_re(part: Re | str) -> Re:
    return _Text(part) if isinstance(part, str) else part


def text(content: str) -> Re:
    """Exactly this text; nothing in it is special."""
    return _Text(content)


def raw(pattern: str) -> Re:
    """A piece in the syntax of `re`, kept together. Raises `InvalidPattern`. The check does not look into it."""
    compile_pattern(pattern)
    return _Raw(pattern)


def sequence(*parts: Re | str) -> Re:
    """One part after another; the same as `a + b`."""
    flat: list[Re] = []
    for part in map(_as_re, parts):
        flat.extend(part.parts if isinstance(part, _Sequence) else (part,))
    return _Sequence(tuple(flat))


def either(*parts: Re | str) -> Re:
    """The first of the parts that leads to a match; the same as `a | b`."""
    if not parts:
        raise InvalidPattern("either() needs at least one part: it would match nothing at all")
    flat: list[Re] = []
    for part in map(_as_re, parts):
        flat.extend(part.parts if isinstance(part, _Either) else (part,))
    return _Either(tuple(flat))


def any_of(characters: str) -> Re:
    """One of these characters."""
    if not characters:
        raise InvalidPattern("any_of() needs at least one character")
    return _Class(_ranges(map(ord, characters)))


def none_of(characters: str) -> Re:
    """One character that is none of these; a line feed is a character too."""
    if not characters:
        raise InvalidPattern("none_of() needs at least one character; ANY matches every one")
    return _Class(_ranges(map(ord, characters)), negated=True)


def between(first: str, last: str) -> Re:
    """One character whose code point is between these two, both included."""
    if len(first) != 1 or len(last) != 1 or first > last:
        raise InvalidPattern(f"between({first!r}, {last!r}) needs two characters, the lower one first")
    return _Class(((ord(first), ord(last)),))


def _ranges(codes: Iterable[int]) -> Charset:
    return tuple((code, code) for code in sorted(set(codes)))


def optional(part: Re | str) -> Re:
    """The part, or nothing; the part is tried first."""
    return _Repeated(_as_re(part), 0, 1, "")


def repeated(
    part: Re | str, at_least: int = 0, at_most: int | None = None, *, shortest: bool = False, possessive: bool = False
) -> Re:
    """The part again and again, as often as possible, or as rarely as possible with `shortest`.

    `possessive` never gives back what it took, which is fast, and safe within another repetition.
    """
    if at_least < 0 or (at_most is not None and at_most < at_least):
        raise InvalidPattern(f"repeated(at_least={at_least}, at_most={at_most}): the counts need 0 <= least <= most")
    if shortest and possessive:
        raise InvalidPattern("repeated() is either shortest or possessive: what gives nothing back takes the most")
    return _Repeated(_as_re(part), at_least, at_most, "?" if shortest else "+" if possessive else "")


def group(name: str, part: Re | str) -> Re:
    """The part, its text kept under a name, which is an identifier and unique in the expression."""
    if not (name.isidentifier() and name.isascii()):
        raise InvalidPattern(f"group({name!r}): the name of a group is an ASCII identifier, as in group('year', ...)")
    return _Wrapped(f"?P<{name}>", _as_re(part))


def again(name: str) -> Re:
    """The text that the group of this name matched, once more."""
    if not (name.isidentifier() and name.isascii()):
        raise InvalidPattern(f"again({name!r}): the name of a group is an ASCII identifier, as in again('quote')")
    return _Raw(f"(?P={name})", guard=False)


def atomic(part: Re | str) -> Re:
    """The part as it first matches; nothing is given back when what follows fails."""
    return _Wrapped("?>", _as_re(part), "atomic")


def ahead(part: Re | str) -> Re:
    """Here, where the part comes next; it is not consumed."""
    return _Wrapped("?=", _as_re(part), "look")


def not_ahead(part: Re | str) -> Re:
    """Here, where the part does not come next."""
    return _Wrapped("?!", _as_re(part), "look")


def behind(part: Re | str) -> Re:
    """Here, where the part, which must have one fixed length, came just before."""
    return _Wrapped("?<=", _as_re(part), "look")


def not_behind(part: Re | str) -> Re:
    """Here, where the part, which must have one fixed length, did not come just before."""
    return _Wrapped("?<!", _as_re(part), "look")


def ignore_case(part: Re | str) -> Re:
    """The part with upper and lower case taken as equal."""
    return _Wrapped("?i:", _as_re(part))


ANY: Re = _Raw(r"(?s:.)", ANYTHING, guard=False)
"""Any one character, line feeds too."""
DIGIT: Re = _Class(((0x30, 0x39),))
"""One of 0 to 9; no other script's digits."""
LETTER: Re = _Class(((0x41, 0x5A), (0x61, 0x7A)))
"""One of A to Z and a to z."""
WORD: Re = _Class(((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A)))
"""An ASCII letter, digit or underscore."""
SPACE: Re = _Class(((0x09, 0x0D), (0x20, 0x20)))
"""ASCII white space: blank, tab, line feed, carriage return, vertical tab, form feed."""
START: Re = _Raw(r"\A", guard=False)
"""The start of the text."""
END: Re = _Raw(r"\Z", guard=False)
"""The end of the text; unlike "$" not before a last line feed."""
LINE_START: Re = _Raw(r"(?m:^)", guard=False)
"""The start of a line."""
LINE_END: Re = _Raw(r"(?m:$)", guard=False)
"""The end of a line, before its line feed."""
WORD_EDGE: Re = _Raw(r"(?a:\b)", guard=False)
"""Between an ASCII word character and anything else."""
