"""Any encoding as a tree, without a grammar: to look at, as `openssl asn1parse` does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ._grammar import DER, Limits, Rules
from ._wire import CONSTRUCTED, describe, read_ber, read_der
from .errors import DecodeError

__all__ = ["Node", "dump", "walk"]


class Node(NamedTuple):
    """One element: how deep it lies, its identifier, and where it begins, where its content begins and ends."""

    depth: int
    key: int
    offset: int
    start: int
    stop: int

    @property
    def constructed(self) -> bool:
        """Whether the content is made of elements."""
        return bool(self.key & CONSTRUCTED)

    @property
    def name(self) -> str:
        """The identifier in words: `SEQUENCE`, `[0]`."""
        return describe(self.key)


def walk(data: bytes, rules: Rules = DER, limits: Limits = Limits()) -> Iterator[Node]:  # noqa: B008  (frozen)
    """Each element, a container before its parts. Raises `DecodeError`."""
    if len(data) > limits.size:
        raise DecodeError(f"{len(data)} octets are more than the {limits.size} allowed (Limits.size)", limits.size)
    reader = read_der if rules is DER else read_ber
    count = limits.count
    # Where each open container's content ends, and where what follows it begins.
    open_: list[tuple[int, int]] = []
    pos, stop = 0, len(data)
    while True:
        while open_ and pos >= stop:
            _, pos = open_.pop()
            stop = open_[-1][0] if open_ else len(data)
        if pos >= stop:
            return
        key, start, end, after = reader(data, pos, stop)
        count -= 1
        if count < 0:
            raise DecodeError("more elements than Limits.count allows", pos)
        yield Node(len(open_), key, pos, start, end)
        if key & CONSTRUCTED:
            if len(open_) >= limits.depth:
                raise DecodeError("a value nested deeper than Limits.depth", pos)
            open_.append((end, after))
            pos, stop = start, end
        else:
            pos = after


def dump(data: bytes, rules: Rules = DER, width: int = 32) -> str:
    """A readable outline: offset, identifier, and the first `width` octets of primitive content in hexadecimal."""
    lines = []
    for node in walk(data, rules):
        content = data[node.start : node.stop]
        shown = content[:width].hex() + ("..." if len(content) > width else "")
        text = "" if node.constructed else f" {shown}"
        lines.append(f"{node.offset:6} {'  ' * node.depth}{node.name} ({len(content)}){text}".rstrip())
    return "\n".join(lines)
