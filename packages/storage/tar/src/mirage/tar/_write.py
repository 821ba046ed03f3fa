"""Writing a store as an archive: ustar headers, and pax records for what those have no room for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, Protocol

from mirage.types import DeviceError, KeyValueRO, walk

from ._wire import BLOCK, Entry, push_entry, push_pax

__all__ = ["tar_chunks", "write_tar"]

_RECORD = 20 * BLOCK
_CHUNK = 1 << 20


class _Writer(Protocol):
    def write(self, data: bytes, /) -> object: ...


def write_tar(store: KeyValueRO, out: _Writer, *, modified: float | Literal["keep"] | None = "keep") -> int:
    """Write an archive of a store to a file; how many octets it has. See `tar_chunks`."""
    total = 0
    for chunk in tar_chunks(store, modified=modified):
        out.write(chunk)
        total += len(chunk)
    return total


def tar_chunks(store: KeyValueRO, *, modified: float | Literal["keep"] | None = "keep") -> Iterator[bytes]:
    """An archive of a store in chunks of at most 1 MiB, read as they are drawn.

    The same store gives the same octets: entries come in the order of `walk`, owned by user and group 0, with mode
    0644. `modified` is "keep" for the times of the store, None for none (1970), or one time for all. Raises what
    reading the store raises, and `DeviceError` when a value changes its size meanwhile.
    """
    total = 0
    for key in walk(store):
        info = store.info(key)
        time = info.modified if modified == "keep" else modified
        for chunk in _value(store, key, info.size, time or 0):
            total += len(chunk)
            yield chunk
    # "At the end of the archive file there shall be two 512-octet logical records filled with binary zeros"
    yield bytes(2 * BLOCK + -(total + 2 * BLOCK) % _RECORD)


def _value(store: KeyValueRO, key: str, size: int, modified: float) -> Iterator[bytes]:
    yield b"".join(_headers(key, size, modified))
    offset = 0
    while offset < size:
        chunk = store.get_partial(key, offset, min(_CHUNK, size - offset))
        if not chunk:
            raise DeviceError(f"{key!r} ended after {offset} of {size} octets while the archive was written")
        offset += len(chunk)
        yield chunk
    yield bytes(-size % BLOCK)


def _headers(key: str, size: int, modified: float) -> Iterator[bytes]:
    name, records = key.encode(), {}
    whole = int(modified)
    if not key.isascii():
        records["path"] = key
    if modified != whole or whole < 0:
        records["mtime"] = f"{modified:.9f}"
        whole = max(whole, 0)
    header = push_entry(Entry(name, size, whole, b"0"))
    if header is None:
        records["path"] = key
        if push_entry(Entry(b"", size, 0, b"0")) is None:
            records["size"] = str(size)
        if push_entry(Entry(b"", 0, whole, b"0")) is None:
            records["mtime"] = f"{modified:.9f}"
            whole = 0
        header = push_entry(Entry(name[-100:], 0 if "size" in records else size, whole, b"0"))
        assert header is not None
    if records:
        content = push_pax(records)
        extended = push_entry(Entry(b"pax/" + name[-90:], len(content), whole, b"x"))
        assert extended is not None
        yield extended + content + bytes(-len(content) % BLOCK)
    yield header
