"""A snapshot's file: a guest's processor state and its three mappings, whose zeros are holes in the file.

What followed the pages in the image's file, manifest and symbols, follows the mappings here.
"""

from __future__ import annotations

import mmap
import os
import struct

from mirage.hvt._format import HEADER_SIZE, Header
from mirage.hvt._kvm import STATE_SIZE
from mirage.hvt.errors import ImageError
from mirage.libos import layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

PAGE = layout()["PAGE"]
MAGIC = b"MIRAGE-SNAPSHOT\2"
_WORDS = struct.Struct("<16s5Q24s")
_FRONT = 2 * PAGE  # words, image header and processor state, before the mappings
_CHUNK = 64 * PAGE


class Snapshot:
    """What is saved beside the mappings. `image`, `ram`, `tables`: their sizes in octets."""

    def __init__(
        self,
        header: Header,
        image: int,
        ram: int,
        tables: int,
        period: int,
        monotonic: int,
        state: bytes,
        features: bytes,
    ) -> None:
        self.header = header
        self.image, self.ram, self.tables = image, ram, tables
        self.period = period
        self.monotonic = monotonic
        self.state = state
        self.features = features

    def write(self, file: int | str | os.PathLike[str], mappings: Iterable[mmap.mmap], rest: bytes = b"") -> None:
        """Write the file, whole or not at all; or to an empty one that is open, its first words last."""
        if isinstance(file, int):
            self._write(file, mappings, rest)
            return
        scratch = f"{os.fspath(file)}.{os.getpid()}.part"
        try:
            with open(scratch, "wb") as out:
                self._write(out.fileno(), mappings, rest)
            os.replace(scratch, file)
        except BaseException:
            if os.path.exists(scratch):
                os.unlink(scratch)
            raise

    def _write(self, out: int, mappings: Iterable[mmap.mmap], rest: bytes = b"") -> None:
        os.ftruncate(out, 0)
        zeros = bytes(_CHUNK)
        at = _FRONT
        for mapping in mappings:
            with memoryview(mapping) as view:
                for offset in range(0, len(view), _CHUNK):
                    chunk = view[offset : offset + _CHUNK]
                    if chunk != zeros[: len(chunk)]:
                        os.pwrite(out, chunk, at + offset)
                at += len(view)
        os.ftruncate(out, at)
        os.pwrite(out, rest, at)
        words = _WORDS.pack(MAGIC, self.image, self.ram, self.tables, self.period, self.monotonic, self.features)
        os.pwrite(out, words + self.header.pack() + self.state, 0)

    @classmethod
    def read(cls, file: str | os.PathLike[str]) -> Snapshot:
        """Read all but the mappings. Raises `ImageError`."""
        with open(file, "rb") as source:
            front = source.read(_FRONT)
            size = os.fstat(source.fileno()).st_size
        if len(front) < _FRONT or front[:16] != MAGIC:
            raise ImageError(f"{os.fspath(file)} is no snapshot of this version of mirage-hvt")
        _, image, ram, tables, period, monotonic, features = _WORDS.unpack_from(front)
        header = Header.unpack(front[_WORDS.size :])
        at = _WORDS.size + HEADER_SIZE
        limits = layout()["IMAGE_LIMIT"], layout()["RAM_LIMIT"], layout()["IMAGE_LIMIT"]
        sizes = (image, ram, tables)
        good = all(0 < n <= limit and n % PAGE == 0 for n, limit in zip(sizes, limits, strict=True))
        if not good or size < _FRONT + sum(sizes) or image != header.end - layout()["IMAGE_BASE"]:
            raise ImageError(f"{os.fspath(file)} is damaged; take the snapshot again")
        return cls(header, image, ram, tables, period, monotonic, front[at : at + STATE_SIZE], features)

    def map(self, file: str | os.PathLike[str]) -> tuple[mmap.mmap, mmap.mmap, mmap.mmap, mmap.mmap | None]:
        """The three mappings, copy-on-write, and the rest, None when there is none."""
        with open(file, "rb") as source:
            at, found = _FRONT, []
            for size in (self.image, self.ram, self.tables):
                protection = mmap.PROT_READ | mmap.PROT_WRITE
                found.append(mmap.mmap(source.fileno(), size, mmap.MAP_PRIVATE, protection, offset=at))
                at += size
            length = os.fstat(source.fileno()).st_size - at
            rest = (
                mmap.mmap(source.fileno(), length, mmap.MAP_PRIVATE, mmap.PROT_READ, offset=at) if length > 0 else None
            )
        return found[0], found[1], found[2], rest
