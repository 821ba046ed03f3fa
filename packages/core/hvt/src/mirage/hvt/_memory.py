"""A running guest's memory as the tender sees it: three mappings, and checked access to them.

Virtual and physical addresses are the same in the guest, so an address that the guest names is a place in one of these
mappings or nowhere. Nothing else in the tender turns a guest's word into a place.
"""

from __future__ import annotations

import mmap
import os

from mirage.hvt import _over
from mirage.hvt.errors import ImageError
from mirage.libos import layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mirage.hvt._format import Header
    from mirage.hvt._symbols import Symbols

L = layout()
PAGE = L["PAGE"]
LARGE = 512 * PAGE
_LARGE_ENTRY = 0x80  # of an entry of a page directory
IMAGE_BASE, RAM_BASE, TABLES_BASE = L["IMAGE_BASE"], L["RAM_BASE"], L["TABLES_BASE"]


_COPIED = 48 << 20
"""Octets of an image up to which they are copied rather than mapped: a tenth of a millisecond for each MiB."""


def map_image(file: int, size: int, header: Header) -> mmap.mmap:
    """The image's pages, for this guest to change.

    What the guest has in large pages is mapped copy-on-write, where this maps large pages of the file too; all guests
    share it. The rest is copied into large pages, for a page of a mapped file costs a fault of its own when the guest
    first touches it, and one of copied memory an eighth of that. Where there is much of that, of which a guest uses a
    part, it is mapped as well. Raises `ImageError` when the file has become shorter.
    """
    large = _large_runs(file, size, header)
    if size - sum(length for _, length in large) > _COPIED:
        return mmap.mmap(file, size, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
    memory = anonymous((size + LARGE - 1) // LARGE * LARGE)  # Linux aligns whole large pages only
    memory.resize(size)
    at = 0
    for start, length in [*_over.map_large(memory, file, large), (size, 0)]:
        _copy(file, memory, at, start)
        at = start + length
    return memory


def _large_runs(file: int, size: int, header: Header) -> list[tuple[int, int]]:
    """The parts of the image that its guest has in large pages: where each begins, and its octets."""
    directory = os.pread(file, PAGE, header.directory - IMAGE_BASE)
    if len(directory) < PAGE:
        raise ImageError("the image was cut short while it was read; build it again")
    runs: list[tuple[int, int]] = []
    for n, low in enumerate(directory[: 8 * (size // LARGE) : 8]):
        if low & _LARGE_ENTRY:
            start, length = runs.pop() if runs and sum(runs[-1]) == n * LARGE else (n * LARGE, 0)
            runs.append((start, length + LARGE))
    return runs


def _copy(file: int, memory: mmap.mmap, start: int, end: int) -> None:
    with memoryview(memory) as view:
        while start < end and (some := os.preadv(file, [view[start:end]], start)):
            start += some
    if start < end:
        raise ImageError("the image was cut short while it was read; build it again")


def anonymous(size: int) -> mmap.mmap:
    """Zeros, in large pages where there are some, that cost nothing until they are touched."""
    memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0x4000))
    prefer_large(memory)
    return memory


def prefer_large(memory: mmap.mmap) -> None:
    """Have Linux take large pages where it can."""
    try:  # noqa: SIM105 - contextlib takes two milliseconds to import, a tenth of a guest's start
        memory.madvise(mmap.MADV_HUGEPAGE)
    except OSError:
        pass  # a kernel without them


def map_rest(file: int, header: Header) -> mmap.mmap | None:
    """What follows the last page in an image's file, None when nothing does."""
    start = header.end - IMAGE_BASE
    length = os.fstat(file).st_size - start
    return mmap.mmap(file, length, mmap.MAP_PRIVATE, mmap.PROT_READ, offset=start) if length > 0 else None


class GuestMemory:
    """The image, the memory, and the page tables of the memory.

    `rest` is what follows the last page in the image's file: manifest and symbols.
    """

    def __init__(
        self, header: Header, image: mmap.mmap, ram: mmap.mmap, tables: mmap.mmap, rest: mmap.mmap | None
    ) -> None:
        self.header = header
        self.image, self.ram, self.tables = image, ram, tables
        self._rest = rest

    @property
    def regions(self) -> tuple[tuple[int, mmap.mmap], ...]:
        """Every mapping with its address in the guest."""
        return (IMAGE_BASE, self.image), (RAM_BASE, self.ram), (TABLES_BASE, self.tables)

    def view(self, address: int, length: int, write: bool = False) -> memoryview | None:
        """The guest's octets there; None when any of them is outside the image and the memory.

        Nothing is written below the image's files: there lie the page tables, which the guest may not have changed.
        """
        for base, mapping in ((RAM_BASE, self.ram), (IMAGE_BASE, self.image)):
            lowest = self.header.files if write and base == IMAGE_BASE else base
            if lowest <= address and length <= len(mapping) and address - base <= len(mapping) - length:
                return memoryview(mapping)[address - base : address - base + length]
        return None

    def read(self, address: int, length: int) -> bytes | None:
        """A copy of the octets there; None when any of them is outside."""
        view = self.view(address, length)
        if view is None:
            return None
        with view:
            return bytes(view)

    def symbols(self) -> Symbols:
        """The names of the image's functions; none when the image has none."""
        from mirage.hvt._symbols import Symbols

        return Symbols(self._rest[self.header.manifest_size :] if self._rest is not None else b"")

    def close(self) -> None:
        """Give the mappings back; may be called again."""
        for _, mapping in self.regions:
            mapping.close()
        if self._rest is not None:
            self._rest.close()
