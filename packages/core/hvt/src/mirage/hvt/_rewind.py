"""Putting a clone's memory back to what its snapshot says, so that the next clone needs no new virtual machine.

Nothing that the last clone wrote may stay. What differs from the snapshot is found without the guest's help: in what is
mapped, the pages that Linux has made private copies of; the regions of the memory that were copied are copied again.
What the snapshot has is written over those pages rather than mapped anew, so that neither Linux nor KVM has to find
them again; all else is given back.
"""

from __future__ import annotations

import mmap
import os

from mirage.hvt._kvm import address_of
from mirage.hvt._runs import PAGE, Run, without
from mirage.hvt._snapshot import copy
from mirage.hvt.errors import HostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from mirage.hvt._memory import GuestMemory
    from mirage.hvt._snapshot import Snapshot

# Of an entry of /proc/self/pagemap, bit 63: the page is there, 62: it is swapped out, 61: it is a file's.
_PRIVATE = bytes(bool(octet & 0x40 or octet & 0xA0 == 0x80) for octet in range(256))


def rewind(saved: Snapshot, source: int, guest: GuestMemory) -> bool:
    """Make image, memory and tables those of a snapshot again; says whether the page tables were others.

    Raises `HostError`.
    """
    image, _, tables = saved.runs
    before = _page_tables(saved, guest)
    _rewind_mapped(source, saved.places[0], image, guest.image, list(_private(guest.image)))
    _rewind_memory(source, saved, guest.ram)
    new = list(without(list(_private(guest.tables)), tables))
    for first, pages in new:
        guest.tables.madvise(mmap.MADV_DONTNEED, first * PAGE, pages * PAGE)
    copy(source, saved.places[2], tables, guest.tables)
    return bool(new) or _page_tables(saved, guest) != before


def _page_tables(saved: Snapshot, guest: GuestMemory) -> bytes:
    """All that decides what the guest may touch: the tables in the image before its files, and those of the memory.

    Of the latter what the snapshot has; the guest adds others, and `rewind` looks for these.
    """
    header, (base, image), (_, _), (_, tables) = saved.header, *guest.regions
    runs = [tables[first * PAGE : (first + pages) * PAGE] for first, pages in saved.runs[2]]
    return image[header.gdt - base : header.files - base] + b"".join(runs)


def _rewind_mapped(source: int, at: int, runs: list[Run], part: mmap.mmap, private: list[Run]) -> None:
    """What is private of the runs as the file has it; the rest of what is private given back."""
    others = list(without(private, runs))
    for first, pages in others:
        part.madvise(mmap.MADV_DONTNEED, first * PAGE, pages * PAGE)
    copy(source, at, list(without(private, others)), part)


def _rewind_memory(source: int, saved: Snapshot, ram: mmap.mmap) -> None:
    at, dense, sparse = saved.places[1], saved.dense, saved.sparse
    for first, pages in without([(0, len(ram) // PAGE)], sorted(dense + sparse)):
        ram.madvise(mmap.MADV_DONTNEED, first * PAGE, pages * PAGE)
    copy(source, at, dense, ram)  # holes of the file are zeros
    for region in sparse:
        copy(source, at, list(_private(ram, *region)), ram)


def _private(mapping: mmap.mmap, first: int = 0, count: int | None = None) -> Iterator[Run]:
    """The runs of pages, of so many from the first on, of which this process has a copy of its own."""
    count = len(mapping) // PAGE if count is None else count
    try:
        file = os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise HostError(f"a clone cannot be rewound without /proc/self/pagemap: {error.strerror}") from None
    try:
        entries = os.pread(file, 8 * count, (address_of(mapping) // PAGE + first) * 8)
    finally:
        os.close(file)
    if len(entries) != 8 * count:
        raise HostError("a clone cannot be rewound: /proc/self/pagemap is cut short")
    flags = entries[7::8].translate(_PRIVATE)
    end = 0
    while (start := flags.find(1, end)) >= 0:
        end = flags.find(0, start)
        end = count if end < 0 else end
        yield first + start, end - start
