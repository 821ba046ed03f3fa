"""A snapshot's file: a guest's processor state, and what its memory holds that its image does not.

Three parts stand in the file as they stand in the guest: the image, the memory, its page tables. A page of the image
that the guest has not changed is a hole, and so is a page of zeros elsewhere. An index of what is no hole follows:
three counts, then for each run of pages the first one's number and how many there are.

The image itself is not in the file. It is known by its path, and by its SHA-256 where size or time are others.
"""

from __future__ import annotations

import mmap
import os
import struct

from mirage.hvt._format import HEADER_SIZE, Header
from mirage.hvt._kvm import STATE_SIZE
from mirage.hvt._memory import anonymous, map_rest, prefer_large
from mirage.hvt._over import lay_over
from mirage.hvt._runs import PAGE, REGION, Run, regions, without
from mirage.hvt.errors import ImageError
from mirage.libos import layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

MAGIC = b"MIRAGE-SNAPSHOT\3"
_WORDS = struct.Struct("<16s5Q24s2Q32sH")
_FRONT = 3 * PAGE  # words, image header, processor state and the image's path, before the parts
_STATE = _WORDS.size + HEADER_SIZE
_PATH = _STATE + STATE_SIZE
_CHUNK = 64 * PAGE
_COPIED = 32 << 20
"""Octets of a guest's memory up to which it is copied rather than mapped."""
_DENSE = 448
"""Pages of 512: from here on a large page takes little more memory than those that are used."""
_MOST_MAPPED = 4096
"""Runs up to which they are mapped: Linux gives a process 65,530 mappings."""
_NO_LARGE_PAGES = getattr(mmap, "MADV_NOHUGEPAGE", 15)


class Base:
    """The image that a guest was booted from, as it is in its file."""

    def __init__(self, path: str, size: int, time: int, digest: bytes = b"") -> None:
        self.path, self.size, self.time, self._digest = path, size, time, digest
        self._pages: mmap.mmap | None = None

    @classmethod
    def of(cls, image: str | os.PathLike[str], file: int) -> Base:
        """An image that is open, for a guest that may be saved. Nothing is opened later."""
        import hashlib  # noqa: F401 - once the tender is confined it can import nothing

        status = os.fstat(file)
        base = cls(os.path.abspath(image), status.st_size, status.st_mtime_ns)
        base._pages = mmap.mmap(file, status.st_size, mmap.MAP_PRIVATE, mmap.PROT_READ)
        return base

    def pages(self, start: int, end: int) -> bytes:
        """The octets from one place to another."""
        assert self._pages is not None
        return self._pages[start:end]

    def digest(self) -> bytes:
        """The SHA-256 of the image's file."""
        if not self._digest:
            import hashlib

            assert self._pages is not None
            self._digest = hashlib.sha256(self._pages).digest()
        return self._digest

    def open(self, instead: str | os.PathLike[str] | None) -> int:
        """A descriptor of the image, or of a copy of it elsewhere. Raises `ImageError` where it is another."""
        path = self.path if instead is None else os.fspath(instead)
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise ImageError(f"the snapshot's image, {path}: {error.strerror}; say where it is now (--image)") from None
        status = os.fstat(file)
        if (status.st_size, status.st_mtime_ns) != (self.size, self.time):
            import hashlib

            with os.fdopen(os.dup(file), "rb") as copy:
                same = status.st_size == self.size and hashlib.file_digest(copy, "sha256").digest() == self._digest
            if not same:
                os.close(file)
                raise ImageError(f"{path} is not the image that the snapshot was taken of")
        return file

    def close(self) -> None:
        """Give the pages back."""
        if self._pages is not None:
            self._pages.close()


class Snapshot:
    """What is saved beside the pages. `image`, `ram`, `tables`: the sizes of the parts in octets."""

    def __init__(
        self,
        header: Header,
        sizes: tuple[int, int, int],
        period: int,
        monotonic: int,
        state: bytes,
        features: bytes,
        base: Base,
        runs: tuple[list[Run], list[Run], list[Run]] = ([], [], []),
    ) -> None:
        self.header = header
        self.image, self.ram, self.tables = self._sizes = sizes
        self.period = period
        self.monotonic = monotonic
        self.state = state
        self.features = features
        self.base = base
        self.runs = runs
        """What of each part is in the file."""
        self.places = _FRONT, _FRONT + self.image, _FRONT + self.image + self.ram
        """Where the parts are in the file."""
        self._maps_memory = sum(pages for _, pages in runs[1]) * PAGE > _COPIED
        used = regions(runs[1])
        full = {n for n, pages in used.items() if pages >= _DENSE and not self._maps_memory}
        self.dense: list[Run] = [(n * REGION, REGION) for n in used if n in full]
        """The regions of the memory that a guest begins with in large pages of its own."""
        self.sparse: list[Run] = [(n * REGION, REGION) for n in used if n not in full]
        """The other regions of which anything is in the file."""

    def write(self, file: int | str | os.PathLike[str], image: mmap.mmap, ram: mmap.mmap, tables: mmap.mmap) -> None:
        """Write the file, whole or not at all; or to an empty one that is open, its first words last."""
        if isinstance(file, int):
            self._write(file, (image, ram, tables))
            return
        scratch = f"{os.fspath(file)}.{os.getpid()}.part"
        try:
            with open(scratch, "wb") as out:
                self._write(out.fileno(), (image, ram, tables))
            os.replace(scratch, file)
        except BaseException:
            if os.path.exists(scratch):
                os.unlink(scratch)
            raise

    def _write(self, out: int, parts: tuple[mmap.mmap, mmap.mmap, mmap.mmap]) -> None:
        os.ftruncate(out, 0)
        at, counts, index = _FRONT, [], []
        for part in parts:
            found = list(_changed(part, self.base if part is parts[0] else None))
            with memoryview(part) as view:
                for first, pages in found:
                    _write_all(out, view[first * PAGE : (first + pages) * PAGE], at + first * PAGE)
            counts.append(len(found))
            index += found
            at += len(part)
        os.ftruncate(out, at)
        numbers = [number for run in index for number in run]
        _write_all(out, memoryview(struct.pack(f"<{3 + len(numbers)}I", *counts, *numbers)), at)
        base, path = self.base, os.fsencode(self.base.path)
        words = _WORDS.pack(
            *(MAGIC, *self._sizes, self.period, self.monotonic, self.features),
            *(base.size, base.time, base.digest(), len(path)),
        )
        os.pwrite(out, words + self.header.pack() + self.state + path, 0)

    @classmethod
    def read(cls, file: str | os.PathLike[str]) -> Snapshot:
        """Read all but the pages. Raises `ImageError`."""
        with open(file, "rb") as source:
            front = source.read(_FRONT)
            if len(front) < _FRONT or front[:16] != MAGIC:
                raise ImageError(f"{os.fspath(file)} is no snapshot of this version of mirage-hvt")
            _, image, ram, tables, period, monotonic, features, size, time, digest, path = _WORDS.unpack_from(front)
            header = Header.unpack(front[_WORDS.size :])
            limits = layout()["IMAGE_LIMIT"], layout()["RAM_LIMIT"], layout()["IMAGE_LIMIT"]
            sizes = (image, ram, tables)
            good = all(0 < n <= limit and n % PAGE == 0 for n, limit in zip(sizes, limits, strict=True))
            good = good and image == header.end - layout()["IMAGE_BASE"] and image <= size and path <= _FRONT - _PATH
            runs = None
            if good:
                source.seek(_FRONT + sum(sizes))
                runs = _read_runs(source.read(), sizes)
        if runs is None:
            raise ImageError(f"{os.fspath(file)} is damaged; take the snapshot again")
        base = Base(os.fsdecode(front[_PATH : _PATH + path]), size, time, digest)
        return cls(header, sizes, period, monotonic, front[_STATE:_PATH], features, base, runs)

    def map(
        self, source: int, image: str | os.PathLike[str] | None = None, share: bool = False
    ) -> tuple[mmap.mmap, mmap.mmap, mmap.mmap, mmap.mmap | None]:
        """The three parts for a guest to change, and what follows the image's pages, None when nothing does.

        The image is a copy-on-write mapping that all guests share. What the guest has had in its memory it is likely to
        need, so it is copied at once: a page costs a tenth of what it costs when the guest first touches it. With
        `share` only the regions of 2 MiB that it has filled are copied, into large pages; the rest is mapped
        copy-on-write as well. So is a large memory, of which it may use a part. Raises `ImageError`.
        """
        original = self.base.open(image)
        try:
            pages = mmap.mmap(original, self.image, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
            prefer_large(pages)
            (_lay if share else copy)(source, self.places[0], self.runs[0], pages)
            ram = anonymous(self.ram)
            copy(source, self.places[1], self.dense, ram)
            if share or self._maps_memory:
                _lay(source, self.places[1], self.sparse, ram)
            else:
                _small_pages(ram, self.sparse)
                copy(source, self.places[1], list(without(self.runs[1], self.dense)), ram)
            tables = mmap.mmap(-1, self.tables, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            copy(source, self.places[2], self.runs[2], tables)
            return pages, ram, tables, map_rest(original, self.header)
        finally:
            os.close(original)


def _write_all(out: int, data: memoryview, at: int) -> None:
    """`os.pwrite`, to the end: Linux writes 2 GiB at most."""
    done = 0
    while done < len(data):
        done += os.pwrite(out, data[done:], at + done)


def _changed(part: mmap.mmap, base: Base | None) -> Iterator[Run]:
    """The runs of pages that are not the image's, or, where there is no image, not zeros."""
    zeros, first, length = bytes(_CHUNK), 0, 0
    for at in range(0, len(part), _CHUNK):
        end = min(at + _CHUNK, len(part))
        ours, theirs = part[at:end], base.pages(at, end) if base is not None else zeros[: end - at]
        if ours == theirs:
            continue
        for page in range(at, end, PAGE):
            if ours[page - at : page - at + PAGE] == theirs[page - at : page - at + PAGE]:
                continue
            if first + length != page // PAGE:
                if length:
                    yield first, length
                first, length = page // PAGE, 0
            length += 1
    if length:
        yield first, length


def _read_runs(data: bytes, sizes: tuple[int, int, int]) -> tuple[list[Run], list[Run], list[Run]] | None:
    """The index, for parts of these sizes; None when it is damaged."""
    if len(data) < 12:
        return None
    counts = struct.unpack_from("<3I", data)
    if len(data) != 12 + 8 * sum(counts):
        return None
    numbers = iter(struct.unpack_from(f"<{2 * sum(counts)}I", data, 12))
    found: list[list[Run]] = []
    for count, size in zip(counts, sizes, strict=True):
        runs, least = [], 0
        for _ in range(count):
            first, pages = next(numbers), next(numbers)
            if first < least or not pages or first + pages > size // PAGE:
                return None
            least = first + pages
            runs.append((first, pages))
        found.append(runs)
    return found[0], found[1], found[2]


def copy(source: int, at: int, runs: list[Run], part: mmap.mmap) -> None:
    """Copy a part's runs out of the file. Raises `ImageError` where the file ends too early."""
    with memoryview(part) as view:
        for first, pages in runs:
            wanted = view[first * PAGE : (first + pages) * PAGE]
            done = 0
            while done < len(wanted) and (some := os.preadv(source, [wanted[done:]], at + first * PAGE + done)):
                done += some
            if done < len(wanted):
                raise ImageError("the snapshot was cut short while it was read; take it again")


def _lay(source: int, at: int, runs: list[Run], part: mmap.mmap) -> None:
    """Map a part's runs out of the file; copy them where that cannot be. Raises `ImageError`."""
    pieces = (((first * PAGE, pages * PAGE), at + first * PAGE) for first, pages in runs)
    if len(runs) > _MOST_MAPPED or not all(lay_over(part, run, source, place) for run, place in pieces):
        copy(source, at, runs, part)


def _small_pages(ram: mmap.mmap, sparse: list[Run]) -> None:
    """Have no large page where the guest uses but a part of one: each clone would pay for the whole."""
    for first, pages in sparse:
        try:
            ram.madvise(_NO_LARGE_PAGES, first * PAGE, pages * PAGE)
        except OSError:
            return  # a kernel without large pages
