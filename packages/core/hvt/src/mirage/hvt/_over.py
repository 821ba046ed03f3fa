"""Mapping a file over a part of a mapping: `mmap` of Python takes no address.

In large pages, where that can be: Linux maps 2 MiB of a file by one entry where its page cache holds them in one piece.
Some file systems do that (ext4 since Linux 6.16, XFS, tmpfs if told so), for files that were written or read in large
pieces. So it is tried, and the kernel is asked what has become of it (PAGEMAP_SCAN, since Linux 6.7):
`Documentation/admin-guide/mm/pagemap.rst`.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct

from mirage.hvt._kvm import address_of

_MAP_FIXED, _MAP_NORESERVE = 0x10, 0x4000
_MADV_POPULATE_READ = 22
_PAGEMAP_SCAN = 0xC0606610
_ARGUMENT = struct.Struct("<12Q")
_REGION = struct.Struct("<3Q")
_IS_HUGE = 1 << 6

Run = tuple[int, int]
"""Where something begins, and its octets."""


def map_large(memory: mmap.mmap, file: int, runs: list[Run]) -> list[Run]:
    """Map runs of the file over the same places of anonymous memory, where Linux takes large pages for them.

    Returns those runs; the places of the others stay anonymous.
    """
    if not runs:
        return []
    try:
        pages = os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return []
    try:
        return [run for run in runs if _try(memory, file, run, pages)]
    finally:
        os.close(pages)


def _try(memory: mmap.mmap, file: int, run: Run, pages: int) -> bool:
    start, length = run
    if not lay_over(memory, run, file, start):
        return False
    try:
        memory.madvise(mmap.MADV_HUGEPAGE, start, length)
        memory.madvise(_MADV_POPULATE_READ, start, length)
        good = _all_large(pages, address_of(memory) + start, length)
    except OSError:
        good = False  # a kernel that lacks one of these
    if not good:
        _map_at(address_of(memory) + start, length, mmap.MAP_ANONYMOUS | _MAP_NORESERVE, -1, 0)
        memory.madvise(mmap.MADV_HUGEPAGE, start, length)
    return good


def _all_large(pages: int, address: int, length: int) -> bool:
    """Whether a part of this process's memory is mapped in large pages. Raises `OSError`."""
    found = bytearray(_REGION.size)
    words = (_ARGUMENT.size, 0, address, address + length, 0, address_of(found), 1, 0, 0, _IS_HUGE, 0, _IS_HUGE)
    count = fcntl.ioctl(pages, _PAGEMAP_SCAN, bytearray(_ARGUMENT.pack(*words)))
    return bool(count) and _REGION.unpack(found)[:2] == (address, address + length)


def lay_over(memory: mmap.mmap, run: Run, file: int, offset: int) -> bool:
    """Map a file's octets from an offset on over a part of a mapping, copy-on-write; whether Linux did."""
    start, length = run
    return _map_at(address_of(memory) + start, length, 0, file, offset)


def _map_at(address: int, length: int, flags: int, file: int, offset: int) -> bool:
    """`mmap` at an address, private and writable; whether it did."""
    import _ctypes  # its C half is all that is needed

    class Word(_ctypes._SimpleCData):  # type: ignore[type-arg]
        _type_ = "L"

    function = _ctypes.dlsym(_ctypes.dlopen(None, 0), "mmap")  # type: ignore[arg-type] # None: this program itself
    protection = mmap.PROT_READ | mmap.PROT_WRITE
    words = Word(address), Word(length), protection, mmap.MAP_PRIVATE | _MAP_FIXED | flags, file, Word(offset)
    # What comes back is cut to 32 bits, which are those of -1 for no address of a page.
    return bool(_ctypes.call_function(function, words) != -1)
