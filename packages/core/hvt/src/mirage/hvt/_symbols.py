"""Names of the functions in an image: collected when it is built, looked up when a guest has faulted.

They follow the manifest in the image's file, in one block that is never loaded into the guest: `_HEAD`; one `_FILE` for
each ELF file, by address; one `_FUNCTION` for each of their functions, by file and place; the strings. The tender reads
it without JSON or anything else that would have to be imported then, when files may no longer be opened. An image may
come from anywhere, so nothing in the block is trusted: what does not add up is no symbol.
"""

from __future__ import annotations

import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mirage.hvt._elf import Elf

    Placed = tuple[str, int, int, Elf]
    """Path in the guest, address, size in octets there, and the file."""

MAGIC = b"MIRAGE-S"
_HEAD = struct.Struct("<8sIIII")  # magic, files, functions, Python's version (major, minor)
_FILE = struct.Struct("<QQQQIIII")  # address, end, text and its end; first function, functions; path and its length
_FUNCTION = struct.Struct("<IIII")  # place in the file, size, name and its length
_NAME = 200
_PAGE = 4096
_DATA = ("_PyRuntime", "image", "thread_count", "threads")
"""What is not a function and is wanted all the same: CPython's state, and the library OS's."""


def pack_symbols(files: Iterable[Placed], version: tuple[int, int]) -> bytes:
    """The block for ELF files that lie at these addresses."""
    table, functions, strings = bytearray(), bytearray(), bytearray()
    count = 0
    for path, address, size, elf in sorted(files, key=lambda file: file[1]):
        found = dict.fromkeys(elf.functions(*_DATA))
        end = max(s.address + s.memory_size for s in elf.loaded) - elf.loaded[0].address
        if size - end >= _PAGE:  # see `_rewrite`
            found[elf.loaded[0].address + -(-end // _PAGE) * _PAGE, size, "rewritten system calls"] = None
        first = len(functions) // _FUNCTION.size
        base = address - elf.loaded[0].address
        for value, extent, name in sorted(found):
            text = name.encode()[:_NAME]
            functions += _FUNCTION.pack(base + value - address, min(extent, 0xFFFFFFFF), len(strings), len(text))
            strings += text
        text_segments = [s for s in elf.loaded if s.flags & 1]
        low = min((s.address for s in text_segments), default=0)
        high = max((s.address + s.memory_size for s in text_segments), default=0)
        name_octets = path.encode()
        table += _FILE.pack(
            *(address, address + size, base + low, base + high, first, len(functions) // _FUNCTION.size - first),
            *(len(strings), len(name_octets)),
        )
        strings += name_octets
        count += 1
    head = _HEAD.pack(MAGIC, count, len(functions) // _FUNCTION.size, *version)
    return head + table + functions + strings


class Symbols:
    """The block of one image. An image without one has no symbols."""

    def __init__(self, block: bytes) -> None:
        self._block = block
        self.version = (0, 0)
        self._files = self._functions = 0
        if len(block) >= _HEAD.size and block[:8] == MAGIC:
            _, files, functions, *version = _HEAD.unpack_from(block)
            if _HEAD.size + files * _FILE.size + functions * _FUNCTION.size <= len(block):
                self._files, self._functions, self.version = files, functions, (version[0], version[1])
        self._functions_at = _HEAD.size + self._files * _FILE.size
        self._strings_at = self._functions_at + self._functions * _FUNCTION.size

    def _text(self, at: int, length: int) -> str:
        octets = self._block[self._strings_at + at : self._strings_at + at + min(length, _NAME)]
        return "".join(c if c.isprintable() else "?" for c in octets.decode(errors="replace"))

    def files(self) -> Iterator[tuple[str, int, int]]:
        """Path, address and end of each ELF file."""
        for i in range(self._files):
            low, high, *_, path, length = _FILE.unpack_from(self._block, _HEAD.size + i * _FILE.size)
            yield self._text(path, length), low, high

    def _file(self, address: int) -> tuple[int, ...] | None:
        for i in range(self._files):
            file = _FILE.unpack_from(self._block, _HEAD.size + i * _FILE.size)
            if file[0] <= address < file[1]:
                return file
        return None

    def is_text(self, address: int) -> bool:
        """Whether an address lies where an ELF file has its code."""
        file = self._file(address)
        return file is not None and file[2] <= address < file[3]

    def describe(self, address: int) -> str:
        """`FILE: FUNCTION+OFFSET`, `FILE+OFFSET` where no function is near, empty outside every file."""
        file = self._file(address)
        if file is None:
            return ""
        path, offset = self._text(file[6], file[7]), address - file[0]
        low, high = file[4], min(file[4] + file[5], self._functions)
        while low < high:  # the last function that begins at or before it
            middle = (low + high) // 2
            if _FUNCTION.unpack_from(self._block, self._functions_at + middle * _FUNCTION.size)[0] <= offset:
                low = middle + 1
            else:
                high = middle
        if low <= file[4]:
            return f"{path}+{offset:#x}"
        place, size, at, length = _FUNCTION.unpack_from(self._block, self._functions_at + (low - 1) * _FUNCTION.size)
        near = f"{self._text(at, length)}+{offset - place:#x}"
        return f"{path}: {near}" if not size or offset < place + size else f"{path}+{offset:#x} (after {near})"

    def address(self, name: str, file: int | None = None) -> int | None:
        """The address of a symbol, in the file that begins there if one is given; None when there is none."""
        for j in range(self._files):
            low, _, _, _, first, count, _, _ = _FILE.unpack_from(self._block, _HEAD.size + j * _FILE.size)
            if file is not None and low != file:
                continue
            for i in range(first, min(first + count, self._functions)):
                place, _, at, length = _FUNCTION.unpack_from(self._block, self._functions_at + i * _FUNCTION.size)
                if length == len(name) and self._text(at, length) == name:
                    return int(low) + int(place)
        return None
