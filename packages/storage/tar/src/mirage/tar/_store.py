"""The store over an archive's index. Nothing is copied out of the archive before it is asked for."""

from __future__ import annotations

import contextlib
import mmap
import os
from typing import Literal

from mirage.types import (
    Buffer,
    DeviceClosed,
    DeviceError,
    DirectoryExpected,
    Info,
    Kind,
    NotFound,
    OutOfRange,
    ValueExpected,
    split_key,
    value_digest,
)

from ._index import Tree, Value, read_index
from .errors import CorruptArchive

__all__ = ["TarStore"]


class TarStore:
    """The values of a tar archive. Fits `KeyValueRO`; they never change.

    Reads ustar, pax, GNU and older archives, not compressed. Hard links are values; symbolic links, devices and pipes
    are left out; directories without values are seen. An entry replaces an earlier one of the same name. The whole
    index is read here: raises `CorruptArchive`, `HostileName` for a name that is no key, and `UnsupportedArchive` (for
    sparse files, several volumes and compressed archives). The buffer is not copied and must not change.
    """

    immutable: Literal[True] = True

    def __init__(self, buffer: Buffer | mmap.mmap) -> None:
        self._map: mmap.mmap | None = None
        self._view: memoryview | None = memoryview(buffer).cast("B").toreadonly()
        self._root: Tree = read_index(self._view)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> TarStore:
        """Map a file that is an archive. Raises also `DeviceError` when it cannot be read.

        Nobody may truncate the file while it is mapped: the operating system would end the process.
        """
        try:
            with open(path, "rb") as file:
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise DeviceError(f"cannot read the archive {os.fspath(path)!r}: {error.strerror}") from error
        except ValueError:
            raise CorruptArchive(f"{os.fspath(path)!r} is empty, not a tar archive") from None
        try:
            store = cls(mapped)
        except DeviceError:
            with contextlib.suppress(BufferError):  # the traceback may still hold a view
                mapped.close()
            raise
        store._map = mapped
        return store

    def close(self) -> None:
        """Let go of the buffer. Views that were handed out keep a mapped file alive until they go."""
        view, self._view = self._view, None
        if view is not None:
            view.release()
        if self._map is not None:
            with contextlib.suppress(BufferError):
                self._map.close()
            self._map = None

    def __enter__(self) -> TarStore:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def get(self, key: str) -> bytes:
        """The whole value."""
        return bytes(self.view(key))

    def get_partial(self, key: str, offset: int, length: int) -> bytes:
        """At most `length` octets of the value from `offset` on."""
        view = self.view(key)
        if offset < 0 or length < 0:
            raise OutOfRange(f"{length} octets from offset {offset} of {key!r}: neither may be negative")
        return bytes(view[offset : offset + length])

    def view(self, key: str) -> memoryview:
        """The whole value, not copied. Raises what `get` raises."""
        value = self._value(key)
        assert self._view is not None
        return self._view[value.start : value.start + value.size]

    def info(self, key: str) -> Info:
        """What the key names."""
        node = self._node(key)
        return Info(Kind.DIRECTORY, 0) if isinstance(node, dict) else Info(Kind.VALUE, node.size, node.modified)

    def list(self, key: str = "") -> list[tuple[str, Kind]]:
        """The segments directly below a directory, sorted, with what each names."""
        node = self._node(key)
        if isinstance(node, Value):
            raise DirectoryExpected(key, f"{key!r} is a value and has no listing")
        return sorted(
            ((name, Kind.DIRECTORY if isinstance(child, dict) else Kind.VALUE) for name, child in node.items()),
            key=lambda entry: entry[0],
        )

    def digest(self, key: str) -> str:
        """`mirage.types.value_digest` of the value, reckoned once."""
        value = self._value(key)
        if value.digest is None:
            value.digest = value_digest(self.view(key))
        return value.digest

    def _node(self, key: str) -> Value | Tree:
        segments = split_key(key)
        if self._view is None:
            raise DeviceClosed("the archive was closed")
        node: Value | Tree = self._root
        for segment in segments:
            if isinstance(node, Value):
                raise DirectoryExpected(key, f"{key!r}: a part of it before {segment!r} is a value, not a directory")
            child = node.get(segment)
            if child is None:
                raise NotFound(key, f"nothing is stored at {key!r}")
            node = child
        return node

    def _value(self, key: str) -> Value:
        node = self._node(key)
        if isinstance(node, dict):
            raise ValueExpected(key, f"{key!r} is a directory, not a value")
        return node
