"""Reading blobs. See `_format` for how they are laid out.

Invariants: no octet outside the buffer is touched, and every offset that comes from the blob is checked before it is
used. A blob that opened with ``verify=True`` is a tree as `crunch` makes it: every later error is the caller's.
"""

from __future__ import annotations

import contextlib
import itertools
import mmap
import os
import struct
from collections.abc import Sequence
from typing import Literal

from mirage.types import (
    Buffer,
    DeviceClosed,
    DeviceError,
    DirectoryExpected,
    Info,
    InvalidKey,
    Kind,
    NotFound,
    OutOfRange,
    ValueExpected,
    check_key,
    value_digest,
)

from ._format import (
    DIRECTORY,
    HEADER,
    INDEX_DIGEST_SIZE,
    MAGIC,
    NO_TIME,
    RECORD,
    VALUE,
    Header,
    Record,
    hash_key,
    index_digest,
    slot,
)
from .errors import CorruptBlob

__all__ = ["CrunchStore"]

_U64 = struct.Struct("<Q")
_U32 = struct.Struct("<I")


class CrunchStore:
    """The tree in a blob. Fits `KeyValueRO`; its values never change, and any thread may read them.

    The buffer is not copied, and must not change. With `verify` every octet is checked once, here: raises
    `CorruptBlob` for anything that `crunch` did not make. Without, only header and index are (which is quick however
    large the values are); a damaged value is then handed out as it is.
    """

    immutable: Literal[True] = True

    def __init__(self, buffer: Buffer | mmap.mmap, *, verify: bool = True) -> None:
        self._map: mmap.mmap | None = None
        self._view: memoryview | None = memoryview(buffer).cast("B").toreadonly()
        self._header = header = _read_header(self._view)
        self._records = HEADER.size + 8 * header.buckets
        self._children = self._records + RECORD.size * header.records
        self._strings = self._children + 4 * header.children
        self._data = self._strings + header.strings
        self._data += -self._data % 16
        _check_index(self._view, header, self._data)
        if verify:
            self._verify()

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], *, verify: bool = True) -> CrunchStore:
        """Map a file that holds a blob. Raises `CorruptBlob`, and `DeviceError` when it cannot be read.

        Nobody may truncate the file while it is mapped: the operating system would end the process.
        """
        try:
            with open(path, "rb") as file:
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise DeviceError(f"cannot read the blob {os.fspath(path)!r}: {error.strerror}") from error
        except ValueError:
            raise CorruptBlob(f"{os.fspath(path)!r} is empty, not a blob") from None
        try:
            store = cls(mapped, verify=verify)
        except CorruptBlob:
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

    def __enter__(self) -> CrunchStore:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<CrunchStore of {self._header.records} keys in {self._header.total} octets>"

    # Reading.

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
        record = self._value(key)
        return self._buffer[record.start : record.start + record.size]

    def info(self, key: str) -> Info:
        """What the key names."""
        record = self._find(key)
        if record.kind == DIRECTORY:
            return Info(Kind.DIRECTORY, 0)
        return Info(Kind.VALUE, record.size, None if record.modified == NO_TIME else record.modified / 1e9)

    def list(self, key: str = "") -> list[tuple[str, Kind]]:
        """The segments directly below a directory, sorted, with what each names."""
        record = self._find(key)
        if record.kind == VALUE:
            raise DirectoryExpected(key, f"{key!r} is a value and has no listing")
        found: list[tuple[str, Kind]] = []
        for place in range(record.start, record.start + record.size):
            child = self._record(self._child(place))
            parent, _, name = _text(self._key(child)).rpartition("/")
            # In a forged blob a directory could list itself, or a child twice; whoever walks it would never end.
            if parent != key or not name or (found and name <= found[-1][0]):
                raise CorruptBlob(f"the directory {key!r} lists {name!r}, which is not its next child")
            found.append((name, Kind.VALUE if child.kind == VALUE else Kind.DIRECTORY))
        return found

    def digest(self, key: str) -> str:
        """`mirage.types.value_digest` of the value, as reckoned when the blob was made."""
        return self._value(key).digest.hex()

    # The index.

    @property
    def _buffer(self) -> memoryview:
        if self._view is None:
            raise DeviceClosed("the blob was closed")
        return self._view

    def _value(self, key: str) -> Record:
        record = self._find(key)
        if record.kind == DIRECTORY:
            raise ValueExpected(key, f"{key!r} is a directory, not a value")
        return record

    def _find(self, key: str) -> Record:
        """The record of a key, found with one probe."""
        record = self._probe(check_key(key).encode())
        if record is None:
            self._explain_missing(key)
            raise NotFound(key, f"nothing is stored at {key!r}")
        return record

    def _probe(self, key: bytes) -> Record | None:
        record = self._record(self._slot(key))
        return record if self._key(record) == key else None

    def _slot(self, key: bytes) -> int:
        header = self._header
        b, f, g = hash_key(key, header.salt)
        (displacement,) = _U64.unpack_from(self._buffer, HEADER.size + 8 * (b % header.buckets))
        return slot(f, g, displacement, header.records)

    def _explain_missing(self, key: str) -> None:
        """Raise `DirectoryExpected` if a part of a missing key is a value."""
        end = key.find("/")
        while end >= 0:
            record = self._probe(key[:end].encode())
            if record is None:
                return
            if record.kind == VALUE:
                raise DirectoryExpected(key, f"{key[:end]!r} is a value: nothing is below it")
            end = key.find("/", end + 1)

    def _record(self, number: int) -> Record:
        record = Record(*RECORD.unpack_from(self._buffer, self._records + RECORD.size * number))
        header = self._header
        if record.key_start + record.key_size > header.strings:
            raise CorruptBlob(f"record {number} has its key outside the blob's strings")
        if record.kind == VALUE:
            if record.start < self._data or record.start + record.size > header.total:
                raise CorruptBlob(f"record {number} has its value outside the blob's data")
        elif record.kind != DIRECTORY or record.start + record.size > header.children:
            raise CorruptBlob(f"record {number} is neither a value nor a directory of this blob")
        return record

    def _key(self, record: Record) -> bytes:
        start = self._strings + record.key_start
        return bytes(self._buffer[start : start + record.key_size])

    def _child(self, place: int) -> int:
        (number,) = _U32.unpack_from(self._buffer, self._children + 4 * place)
        if number >= self._header.records:
            raise CorruptBlob(f"the child at place {place} has no record")
        return int(number)

    # Checking everything once. Each sum below is what keeps a hostile blob from costing more than its length.

    def _verify(self) -> None:
        header = self._header
        records = [self._record(number) for number in range(header.records)]
        if sum(record.key_size for record in records) != header.strings:
            raise CorruptBlob("the keys are not as long together as the blob's strings")
        if sum(record.size for record in records if record.kind == DIRECTORY) != header.children:
            raise CorruptBlob("the directories have not as many children together as the blob")
        keys = [_text(self._key(record)) for record in records]
        for number, key in enumerate(keys):
            try:
                check_key(key)
            except InvalidKey as error:
                raise CorruptBlob(f"record {number}: {error}") from None
            if self._slot(key.encode()) != number:
                raise CorruptBlob(f"the perfect hash does not lead to {key!r}")
        if "" not in keys or records[keys.index("")].kind != DIRECTORY:
            raise CorruptBlob("the blob has no root directory")
        self._verify_children(records, keys)
        self._verify_values(records, keys)

    def _verify_children(self, records: Sequence[Record], keys: Sequence[str]) -> None:
        for key, record in zip(keys, records, strict=True):
            if record.kind == VALUE:
                continue
            children = [keys[self._child(place)] for place in range(record.start, record.start + record.size)]
            if any(not child or child.rpartition("/")[0] != key for child in children):
                raise CorruptBlob(f"the directory {key!r} lists what is not in it")
            if any(one >= other for one, other in itertools.pairwise(children)):
                raise CorruptBlob(f"the directory {key!r} is not in order")
            if key and not children:
                raise CorruptBlob(f"the directory {key!r} is empty")

    def _verify_values(self, records: Sequence[Record], keys: Sequence[str]) -> None:
        places: dict[tuple[int, int], bytes] = {}
        room = self._header.total - self._data
        for key, record in zip(keys, records, strict=True):
            if record.kind == DIRECTORY:
                continue
            place = (record.start, record.size)
            if place not in places:
                room -= record.size
                if room < 0:
                    raise CorruptBlob("values overlap")
                digest = value_digest(self._buffer[record.start : record.start + record.size])
                places[place] = bytes.fromhex(digest)
            if places[place] != record.digest:
                raise CorruptBlob(f"the value of {key!r} is not the one that was stored")


def _read_header(view: memoryview) -> Header:
    if len(view) < HEADER.size or view[: len(MAGIC)] != MAGIC:
        raise CorruptBlob(f"{len(view)} octets that do not start as a blob of this version does ({MAGIC!r})")
    header = Header(*HEADER.unpack_from(view))
    if header.total != len(view):
        raise CorruptBlob(f"the blob should have {header.total} octets and has {len(view)}")
    if not header.buckets or not header.records or header.children != header.records - 1:
        raise CorruptBlob("the blob has no root, or not one entry in its directories for each key")
    return header


def _check_index(view: memoryview, header: Header, data: int) -> None:
    if data > len(view):
        raise CorruptBlob(f"the index of {data} octets does not fit into {len(view)}")
    start = bytes(view[: HEADER.size - INDEX_DIGEST_SIZE])
    if index_digest(start, view[HEADER.size : data]) != header.index_digest:
        raise CorruptBlob("header or index are damaged: their digest is not the one that was stored")


def _text(key: bytes) -> str:
    try:
        return key.decode()
    except UnicodeDecodeError:
        raise CorruptBlob(f"the key {key!r} is not UTF-8") from None
