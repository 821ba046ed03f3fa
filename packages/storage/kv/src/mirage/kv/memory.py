"""A tree of values in memory.

Invariant: every directory but the root holds something, because a directory goes with its last value.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from typing import TypeAlias

from mirage.types import (
    Buffer,
    DirectoryExpected,
    Info,
    InvalidKey,
    Kind,
    NotFound,
    OutOfRange,
    ValueExpected,
    WallClock,
    split_key,
    value_digest,
)

__all__ = ["MemoryStore"]


class _Value:
    __slots__ = ("digest", "modified", "octets")

    def __init__(self, octets: bytes, modified: float | None) -> None:
        self.octets = octets
        self.modified = modified
        self.digest: str | None = None


_Directory: TypeAlias = "dict[str, _Value | _Directory]"


class MemoryStore:
    """Values in memory. Fits `KeyValueRW`; any method may be called while an iteration over `list` goes on.

    `values` are what it holds at first. With a `clock`, values bear the time of their last change.
    """

    def __init__(self, values: Mapping[str, Buffer] | None = None, *, clock: WallClock | None = None) -> None:
        self._root: _Directory = {}
        self._clock = clock
        for key, value in (values or {}).items():
            self.set(key, value)

    def get(self, key: str) -> bytes:
        """The whole value."""
        return self._value(key).octets

    def get_partial(self, key: str, offset: int, length: int) -> bytes:
        """At most `length` octets of the value from `offset` on."""
        value = self._value(key)
        if offset < 0 or length < 0:
            raise OutOfRange(f"{length} octets from offset {offset} of {key!r}: neither may be negative")
        return value.octets[offset : offset + length]

    def info(self, key: str) -> Info:
        """What the key names."""
        node = self._node(key)
        if isinstance(node, dict):
            return Info(Kind.DIRECTORY, 0)
        return Info(Kind.VALUE, len(node.octets), node.modified)

    def list(self, key: str = "") -> list[tuple[str, Kind]]:
        """The segments directly below a directory, sorted, with what each names."""
        node = self._node(key)
        if not isinstance(node, dict):
            raise DirectoryExpected(key, f"{key!r} is a value and has no listing")
        return sorted(
            ((name, Kind.DIRECTORY if isinstance(child, dict) else Kind.VALUE) for name, child in node.items()),
            key=lambda entry: entry[0],
        )

    def digest(self, key: str) -> str:
        """`mirage.types.value_digest` of the value, reckoned once."""
        value = self._value(key)
        if value.digest is None:
            value.digest = value_digest(value.octets)
        return value.digest

    def set(self, key: str, value: Buffer) -> None:
        """Store a value, making the directories above it."""
        segments = split_key(key)
        if not segments:
            raise ValueExpected(key, "the root is a directory and cannot become a value")
        if isinstance(self._find(segments), dict):
            raise ValueExpected(key, f"{key!r} is a directory; remove it before making it a value")
        self._put(key, segments, _Value(bytes(value), self._now()))

    def set_partial(self, key: str, offset: int, data: Buffer) -> None:
        """Overwrite a part of an existing value, extending it where `data` passes its end."""
        old = self._value(key).octets
        if not 0 <= offset <= len(old):
            raise OutOfRange(f"offset {offset} in {key!r}, which has {len(old)} octets")
        self.set(key, old[:offset] + bytes(data) + old[offset + len(data) :])

    def remove(self, key: str) -> None:
        """Remove a value, or a directory and all below it."""
        self._node(key)
        if not key:
            raise InvalidKey(key, "the root cannot be removed; remove what is below it")
        self._cut(split_key(key))

    def rename(self, source: str, dest: str) -> None:
        """Move a value or a directory."""
        if not source:
            raise InvalidKey(source, "the root cannot be moved")
        node = self._node(source)
        segments = split_key(dest)
        if source == dest:
            return
        if not segments or isinstance(self._find(segments), dict) or dest.startswith(source + "/"):
            if isinstance(node, _Value) and dest.startswith(source + "/"):
                raise DirectoryExpected(dest, f"{source!r} is a value: nothing can be moved below it")
            raise ValueExpected(dest, f"{source!r} cannot be moved to {dest!r}: there is, or would be, a directory")
        if isinstance(node, dict) and self._find(segments) is not None:
            raise DirectoryExpected(dest, f"the directory {source!r} cannot replace the value {dest!r}")
        self._check_parents(dest, segments)
        self._cut(split_key(source))
        self._put(dest, segments, node)

    # The tree.

    def _find(self, segments: tuple[str, ...]) -> _Value | _Directory | None:
        node: _Value | _Directory | None = self._root
        for segment in segments:
            if not isinstance(node, dict):
                return None
            node = node.get(segment)
        return node

    def _node(self, key: str) -> _Value | _Directory:
        node: _Value | _Directory = self._root
        for segment in split_key(key):
            if not isinstance(node, dict):
                raise DirectoryExpected(key, f"{key!r}: a part of it before {segment!r} is a value, not a directory")
            child = node.get(segment)
            if child is None:
                raise NotFound(key, f"nothing is stored at {key!r}")
            node = child
        return node

    def _value(self, key: str) -> _Value:
        node = self._node(key)
        if isinstance(node, dict):
            raise ValueExpected(key, f"{key!r} is a directory, not a value")
        return node

    def _check_parents(self, key: str, segments: tuple[str, ...]) -> None:
        for depth in range(1, len(segments)):
            if isinstance(self._find(segments[:depth]), _Value):
                raise DirectoryExpected(key, f"{'/'.join(segments[:depth])!r} is a value: nothing can be below it")

    def _put(self, key: str, segments: tuple[str, ...], node: _Value | _Directory) -> None:
        self._check_parents(key, segments)
        directory = self._root
        for segment in segments[:-1]:
            child = directory.setdefault(segment, {})
            assert isinstance(child, dict)
            directory = child
        directory[segments[-1]] = node

    def _cut(self, segments: tuple[str, ...]) -> None:
        path = [self._root]
        for segment in segments[:-1]:
            child = path[-1][segment]
            assert isinstance(child, dict)
            path.append(child)
        for directory, segment in zip(reversed(path), reversed(segments), strict=True):
            del directory[segment]
            if directory:
                break

    def _now(self) -> float | None:
        return None if self._clock is None else self._clock.now_ns() / 1e9

    def __repr__(self) -> str:
        names: builtins.list[str] = [name for name, _ in self.list()]
        return f"<MemoryStore {names[:8]}>"
