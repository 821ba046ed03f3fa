"""Putting a clone's memory back to what its snapshot says, so that the next clone needs no new virtual machine.

Nothing that the last clone wrote may stay. What differs from the snapshot is found without the guest's help: in the
image, the pages that Linux has made private copies of; in the memory, everything outside the snapshot's runs is given
back, and all inside is written again.
"""

from __future__ import annotations

import mmap
import os

from mirage.hvt._kvm import address_of
from mirage.hvt._snapshot import PAGE, Run, copy, regions_of
from mirage.hvt.errors import HostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from mirage.hvt._memory import GuestMemory
    from mirage.hvt._snapshot import Snapshot

_WHOLE = 128
"""Pages of 512: from here on a large region is read anew as a whole."""
# Of an entry of /proc/self/pagemap, bit 63: the page is there, 62: it is swapped out, 61: it is a file's.
_PRIVATE = bytes(bool(octet & 0x40 or octet & 0xA0 == 0x80) for octet in range(256))


def rewind(saved: Snapshot, source: int, guest: GuestMemory) -> bool:
    """Make image, memory and tables those of a snapshot again; says whether the page tables were others.

    Raises `HostError`.
    """
    image, memory, tables = saved.runs
    before = _page_tables(saved, guest)
    for first, pages in without(list(_private(guest.image)), image):
        guest.image.madvise(mmap.MADV_DONTNEED, first * PAGE, pages * PAGE)  # the image's own page comes back
    copy(source, saved.places[0], image, guest.image)
    if saved.maps_memory:
        guest.ram.madvise(mmap.MADV_DONTNEED)
    else:
        _rewind_memory(source, saved.places[1], memory, guest.ram)
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


def _rewind_memory(source: int, at: int, runs: list[Run], ram: mmap.mmap) -> None:
    used = regions_of(runs)
    whole = [(region * 512, 512) for region, pages in sorted(used.items()) if pages >= _WHOLE]
    for first, pages in without([(0, len(ram) // PAGE)], whole):
        ram.madvise(mmap.MADV_DONTNEED, first * PAGE, pages * PAGE)
    copy(source, at, whole, ram)  # holes of the file are zeros
    copy(source, at, [run for run in _split(runs) if used[run[0] // 512] < _WHOLE], ram)


def _split(runs: list[Run]) -> Iterator[Run]:
    """The runs, none of which is in two regions."""
    for first, pages in runs:
        end = first + pages
        while first < end:
            stop = min(end, (first // 512 + 1) * 512)
            yield first, stop - first
            first = stop


def without(runs: list[Run], others: list[Run]) -> Iterator[Run]:
    """What of some runs is in none of the others; both are in order."""
    rest = iter(others)
    start, length = next(rest, (1 << 64, 0))
    for first, pages in runs:
        end = first + pages
        while first < end:
            while start + length <= first:
                start, length = next(rest, (1 << 64, 0))
            if start > first:
                yield first, min(start, end) - first
            first = max(first, min(end, start + length)) if start < end else end


def _private(mapping: mmap.mmap) -> Iterator[Run]:
    """The runs of pages of which this process has a copy of its own."""
    count = len(mapping) // PAGE
    try:
        file = os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise HostError(f"a clone cannot be rewound without /proc/self/pagemap: {error.strerror}") from None
    try:
        entries = os.pread(file, 8 * count, address_of(mapping) // PAGE * 8)
    finally:
        os.close(file)
    if len(entries) != 8 * count:
        raise HostError("a clone cannot be rewound: /proc/self/pagemap is cut short")
    flags = entries[7::8].translate(_PRIVATE)
    end = 0
    while (first := flags.find(1, end)) >= 0:
        end = flags.find(0, first)
        end = count if end < 0 else end
        yield first, end - first
