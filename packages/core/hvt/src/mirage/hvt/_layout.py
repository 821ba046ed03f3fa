"""Memory of a new image: where the parts lie, descriptor tables and page tables.

The map is the identity: a page's address in the guest is its place in the file plus `IMAGE_BASE`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from mirage.hvt._elf import PT_LOAD, Elf
from mirage.hvt.errors import BuildError
from mirage.libos import layout

L = layout()
PAGE = L["PAGE"]
BASE = L["IMAGE_BASE"]
LARGE = 512 * PAGE

PRESENT, WRITE, USER, ACCESSED, DIRTY, LARGE_PAGE = 1, 2, 4, 0x20, 0x40, 0x80
NO_EXECUTE = 1 << 63

READ, READ_WRITE, READ_EXECUTE = 0x10, 0x30, 0x50
"""What ring 3 may do with a page: the PROT bits of the library OS."""

ENTRY = struct.Struct("<IIIIIIQQQ")
LAID_OUT = 1
NO_ENTRY = 0xFFFFFFFF
S_IFDIR, S_IFREG, S_IFLNK = 0o040000, 0o100000, 0o120000
MODIFIED = 10**18
"""Every file's time of modification, in nanoseconds: an image does not depend on when its files were written."""


def pages(octets: int) -> int:
    """How many pages hold so many octets."""
    return -(-octets // PAGE)


@dataclass(slots=True)
class Node:
    """A file or directory of the tree. `runs`: first page, pages, protection; the rest may be read."""

    path: str
    data: bytes | None
    mode: int
    flags: int = 0
    runs: list[tuple[int, int, int]] = field(default_factory=list)
    address: int = 0
    elf: Elf | None = None


def lay_out(elf: Elf) -> tuple[bytes, list[tuple[int, int, int]]]:
    """A shared library with its segments at their places, and the protection of its pages."""
    loaded = elf.loaded
    if elf.kind != 3 or not loaded or loaded[0].address != 0 or loaded[0].offset != 0:
        raise BuildError(f"{elf.name} is not position-independent; the guest needs a PIE or a shared library")
    size = max(s.address + s.memory_size for s in loaded)
    out = bytearray(pages(size) * PAGE)
    runs: list[tuple[int, int, int]] = []
    covered = 0
    for segment in loaded:
        out[segment.address : segment.address + segment.file_size] = elf.data[
            segment.offset : segment.offset + segment.file_size
        ]
        if segment.flags & 3 == 3:
            raise BuildError(f"{elf.name} has a segment that is writable and executable")
        protection = 0
        for flag, bit in ((4, 0x10), (2, 0x30), (1, 0x50)):
            protection |= bit if segment.flags & flag else 0
        first, last = segment.address // PAGE, pages(segment.address + segment.memory_size)
        if first > covered:
            runs.append((covered, first - covered, 0))
        runs.append((first, last - first, protection))
        covered = last
    _close_up(elf, out)
    return bytes(out), runs


def _close_up(elf: Elf, out: bytearray) -> None:
    """Rewrite the program headers so that each segment reaches to the next, on pages of the ordinary size.

    Where there is a hole between two segments, ld.so takes all pages from there on away and maps each segment anew;
    here they lie at their places already. A larger alignment would make it reserve more and move the library. What
    ring 3 may do with a page comes from the real segments, so a hole stays out of reach.
    """
    indices = [i for i, segment in enumerate(elf.segments) if segment.kind == PT_LOAD]
    following = [elf.segments[i].address // PAGE * PAGE for i in indices[1:]]
    for i, end in zip(indices, [*following, 0], strict=True):
        segment, at = elf.segments[i], elf.header_offset + 56 * i
        size = max(segment.memory_size, end - segment.address)
        struct.pack_into("<QQQ", out, at + 32, size, size, PAGE)


def descriptor_tables(task: int, stack: int, vectors: int) -> tuple[bytes, bytes, bytes]:
    """The pages of the global descriptor table, the interrupt descriptor table and the task segment."""
    limit = L["PAGE"] * 3 - 1
    task_low = (
        (limit & 0xFFFF) | (task & 0xFFFFFF) << 16 | 0x89 << 40 | (limit >> 16 & 15) << 48 | (task >> 24 & 0xFF) << 56
    )
    segments = [0, 0, 0x00AF9B000000FFFF, 0x00CF93000000FFFF, 0x00CFFB000000FFFF, 0x00CFF3000000FFFF]
    segments += [0x00AFFB000000FFFF, 0x00CFF3000000FFFF, task_low, task >> 32]
    gates = bytearray()
    for vector in range(32):
        handler = vectors + 16 * vector
        kind = 0xEE if vector == 3 else 0x8E  # a breakpoint is an instruction, so its gate is open to ring 3
        gates += struct.pack(
            "<HHBBHII", handler & 0xFFFF, L["KERNEL_CS"], 1, kind, handler >> 16 & 0xFFFF, handler >> 32, 0
        )
    # Every vector runs on interrupt stack 1. After 0x68 octets follows the I/O bitmap, whose zeros permit: kvm_pvm
    # drops IOPL and looks there.
    state = bytearray(3 * PAGE)
    struct.pack_into("<Q", state, 4, stack)
    struct.pack_into("<Q", state, 36, stack)
    struct.pack_into("<H", state, 102, 0x68)
    return struct.pack("<10Q", *segments), bytes(gates), bytes(state)


def entry_bits(protection: int) -> int:
    """The bits of a page-table entry for what ring 3 may do."""
    if not protection:
        return 0
    bits = PRESENT | USER | ACCESSED | DIRTY
    if protection & 0x20:
        bits |= WRITE
    if not protection & 0x40:
        bits |= NO_EXECUTE
    return bits


class Memory:
    """The image under construction: pages and who may do what with them."""

    def __init__(self) -> None:
        self.parts: list[tuple[int, bytes]] = []
        self.protections = bytearray()
        self.privileged: set[int] = set()
        """Pages that only ring 0 may read and write."""

    @property
    def end(self) -> int:
        """The next free address."""
        return BASE + len(self.protections) * PAGE

    def add(self, data: bytes, protection: int, size: int | None = None, privileged: bool = False) -> int:
        """Append whole pages; returns their address."""
        address = self.end
        count = pages(size if size is not None else len(data))
        if privileged:
            self.privileged.update(range(len(self.protections), len(self.protections) + count))
        self.parts.append((address - BASE, data))
        self.protections += bytes([protection]) * count
        if self.end - BASE > L["IMAGE_LIMIT"]:
            raise BuildError("the image is larger than 1 GiB; leave something out")
        return address

    def skip_to(self, address: int) -> None:
        """Leave pages of zeros, so that the next part lies there. They may be read, as what lies beside them."""
        self.protections += bytes([READ]) * ((address - self.end) // PAGE)

    def protect(self, address: int, count: int, protection: int) -> None:
        """Set what ring 3 may do with pages."""
        first = (address - BASE) // PAGE
        self.protections[first : first + count] = bytes([protection]) * count

    def write(self, address: int, data: bytes) -> None:
        """Octets that later parts decide; they replace what was there."""
        self.parts.append((address - BASE, data))

    def page_table_entries(self) -> bytes:
        """One entry for each page so far."""
        bits = {p: entry_bits(p) for p in set(self.protections)}
        entries = [
            (BASE + i * PAGE) | bits[protection] if protection else 0 for i, protection in enumerate(self.protections)
        ]
        for i in self.privileged:
            entries[i] = (BASE + i * PAGE) | PRESENT | WRITE | ACCESSED | DIRTY | NO_EXECUTE
        return struct.pack(f"<{len(entries)}Q", *entries)

    def directory_entries(self, tables: int, files: int) -> bytes:
        """One entry for each 2 MiB: the page table, or a large page where all pages from `files` on are alike.

        None that may be written is large, for it may have to become read-only page by page (entry.S, the seal).
        """
        entries = []
        for first in range(0, len(self.protections), 512):
            address, alike = BASE + first * PAGE, self.protections[first : first + 512]
            if address >= files and alike[0] in {READ, READ_EXECUTE} and alike == alike[:1] * 512:
                entries.append(address | entry_bits(alike[0]) | LARGE_PAGE)
            else:
                entries.append(tables + first * 8 | PRESENT | WRITE | USER)
        return struct.pack(f"<{len(entries)}Q", *entries)


def tree_table(nodes: list[Node]) -> tuple[bytes, bytes]:
    """The table of entries and their strings. `nodes` are sorted by path; each directory's entries are linked."""
    index = {node.path: i for i, node in enumerate(nodes)}
    child: dict[str, int] = {}
    following: dict[str, int] = {}
    for node in reversed(nodes):
        if node.path != "/":
            parent = node.path.rpartition("/")[0] or "/"
            following[node.path] = child.get(parent, NO_ENTRY)
            child[parent] = index[node.path]
    table, strings = bytearray(), bytearray()
    for node in nodes:
        name = node.path.encode()
        size = len(node.data) if node.data is not None else PAGE
        table += ENTRY.pack(
            *(len(strings), len(name), node.mode, node.flags),
            *(child.get(node.path, NO_ENTRY), following.get(node.path, NO_ENTRY)),
            *(size, node.address, MODIFIED),
        )
        strings += name
    return bytes(table), bytes(strings)
