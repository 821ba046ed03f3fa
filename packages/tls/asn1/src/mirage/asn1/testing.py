"""For tests of what is built on grammars: BER that says the same as some DER. And for fuzzing: grammars of every kind.

`targets()` is what the package's own tests and `./noxw -s fuzz` run over. Each function raises nothing but
`DecodeError`, whatever it is given, and `AssertionError` where what was read does not come out again.
"""

from __future__ import annotations

import contextlib
import random
from collections import namedtuple
from collections.abc import Callable
from functools import cache, partial
from typing import Any

from ._constructed import Part, default, optional, sequence, sequence_of, set_, set_of
from ._grammar import BER, DER, Grammar
from ._oid import oid, relative_oid
from ._primitive import bit_flags, bit_string, boolean, enumerated, integer, null, octet_string
from ._strings import (
    bmp_string,
    general_string,
    ia5_string,
    numeric_string,
    printable_string,
    teletex_string,
    universal_string,
    utf8_string,
    visible_string,
)
from ._tagging import (
    any_,
    choice,
    explicit,
    implicit,
    in_bit_string,
    in_octet_string,
    octets_of,
    recursive,
    with_octets,
)
from ._times import generalized_time, utc_time
from ._tree import dump, walk
from ._wire import CONSTRUCTED, element, read_der
from .errors import DecodeError

__all__ = ["Target", "loosen", "targets"]

Target = tuple[bytes, Callable[[bytes], object]]
"""Good octets, and a function that reads octets and uses what was read."""

_STRINGS = frozenset((3, 4, 12, 18, 19, 20, 22, 26, 27, 28, 30))


def loosen(der: bytes, rng: random.Random) -> bytes:
    """A BER encoding of the same value: longer and indefinite lengths, strings in parts, other forms of true."""
    out, pos = [], 0
    while pos < len(der):
        key, start, stop, after = read_der(der, pos, len(der))
        out.append(_loosen(key, der[start:stop], rng))
        pos = after
    return b"".join(out)


def _loosen(key: int, content: bytes, rng: random.Random) -> bytes:
    if key & CONSTRUCTED:
        content = loosen(content, rng)
    elif key == 1 and content == b"\xff":
        content = bytes((rng.randrange(1, 256),))
    elif key in _STRINGS and rng.random() < 0.4:
        content, key = _parts(key, content, rng), key | CONSTRUCTED
    head = element(key, b"")[:-1]
    if key & CONSTRUCTED and rng.random() < 0.4:
        return head + b"\x80" + content + b"\x00\x00"
    if rng.random() < 0.4:
        count = rng.randrange(max(1, (len(content).bit_length() + 7) // 8), 6)
        return head + bytes((128 | count,)) + len(content).to_bytes(count, "big") + content
    return element(key, content)


def _parts(key: int, content: bytes, rng: random.Random) -> bytes:
    if key == 3:
        unused, octets = content[:1], content[1:]
        cut = rng.randrange(len(octets) + 1)
        if cut == len(octets):
            return element(3, content)
        return element(3, b"\x00" + octets[:cut]) + element(3, unused + octets[cut:])
    cut = rng.randrange(len(content) + 1)
    return element(key, content[:cut]) + _loosen(key, content[cut:], rng)


def _record(**parts: Grammar[Any] | Part) -> Grammar[Any]:
    return sequence(namedtuple("Parts", list(parts)), **parts)


def _grammars() -> dict[str, Grammar[Any]]:
    texts = choice(
        bmp=bmp_string,
        general=general_string,
        ia5=ia5_string,
        numeric=numeric_string,
        printable=printable_string,
        teletex=teletex_string,
        universal=universal_string,
        utf8=utf8_string,
        visible=visible_string,
    )
    numbers = _record(
        truth=boolean,
        number=integer,
        kind=enumerated(first=0, second=1, large=1000),
        nothing=optional(null),
        version=default(explicit(0, integer), 0),
        bits=implicit(1, bit_string),
        flags=bit_flags("first", "second", "third"),
    )
    return {
        "numbers": numbers,
        "texts": sequence_of(texts),
        "times": sequence_of(choice(utc=utc_time, generalized=generalized_time)),
        "identifiers": _record(absolute=oid, relative=relative_oid),
        "sets": _record(
            of=set_of(octet_string), parts=set_(namedtuple("Pair", "a b"), a=implicit(0, integer), b=implicit(1, oid))
        ),
        "a tree": recursive(lambda tree: choice(leaf=integer, node=sequence_of(tree))),
        "wrapped": _record(octets=in_octet_string(numbers), bits=in_bit_string(sequence_of(integer))),
        "kept": _record(whole=with_octets(sequence_of(integer)), some=octets_of(set_of(integer)), rest=any_),
    }


def _use(grammar: Grammar[Any], data: bytes) -> None:
    """What DER gives comes out as it went in, and BER gives the same; what only BER takes is written as DER."""
    with contextlib.suppress(DecodeError):
        written = grammar.encode(grammar.decode(data, BER))
        assert grammar.encode(grammar.decode(written, DER)) == written
    value = grammar.decode(data, DER)
    assert grammar.encode(value) == data
    assert grammar.decode(data, BER) == value


def _outline(data: bytes) -> None:
    with contextlib.suppress(DecodeError):
        for _ in walk(data, BER):
            pass
    dump(data)


@cache
def targets() -> dict[str, Target]:
    """All of them, by name."""
    found: dict[str, Target] = {}
    for name, grammar in _grammars().items():
        rng = random.Random(name)  # noqa: S311 - the same octets every time
        good = max((grammar.encode(grammar.random(rng, 20)) for _ in range(10)), key=len)
        found[name] = (good, partial(_use, grammar))
    found["any outline"] = (found["numbers"][0], _outline)
    return found
