"""For tests of what is built on grammars: BER that says the same as some DER."""

from __future__ import annotations

import random

from ._wire import CONSTRUCTED, element, read_der

__all__ = ["loosen"]

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
