"""As much of ELF64 for x86-64 as the image builder needs: segments, the libraries a file wants, symbols."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from mirage.hvt.errors import BuildError

PT_LOAD, PT_DYNAMIC, PT_INTERP, PT_PHDR = 1, 2, 3, 6
ET_DYN = 3
_DT_NEEDED, _DT_STRTAB, _DT_SONAME, _DT_RPATH, _DT_RUNPATH = 1, 5, 14, 15, 29
_SHT_SYMTAB, _SHT_DYNSYM = 2, 11
_STT_NOTYPE, _STT_FUNC, _STT_GNU_IFUNC = 0, 2, 10


@dataclass(frozen=True, slots=True)
class Segment:
    """One program header. `flags`: 1 execute, 2 write, 4 read."""

    kind: int
    flags: int
    offset: int
    address: int
    file_size: int
    memory_size: int
    align: int


class Elf:
    """A parsed file. Raises `BuildError`, which names the file, when it is not ELF for this kind of machine."""

    def __init__(self, name: str, data: bytes) -> None:
        self.name = name
        self.data = data
        if data[:4] != b"\x7fELF":
            raise BuildError(f"{name} is not an ELF file")
        if len(data) < 64 or data[4] != 2 or data[5] != 1 or struct.unpack_from("<H", data, 18)[0] != 62:
            raise BuildError(f"{name} is built for another architecture than x86-64; the guest cannot load it")
        self.kind, _, _, self.entry, self.header_offset, self._sections = struct.unpack_from("<HHIQQQ", data, 16)
        self._header_size, self.header_count, self._section_size, self._section_count = struct.unpack_from(
            "<HHHH", data, 54
        )
        try:
            self.segments = [
                Segment(*(f[i] for i in (0, 1, 2, 3, 5, 6, 7)))
                for f in struct.iter_unpack(
                    "<IIQQQQQQ", data[self.header_offset : self.header_offset + 56 * self.header_count]
                )
            ]
        except struct.error:
            raise BuildError(f"{name} is damaged: its program headers end too early") from None

    @property
    def loaded(self) -> list[Segment]:
        """The segments that are loaded."""
        return [s for s in self.segments if s.kind == PT_LOAD]

    @property
    def interpreter(self) -> str | None:
        """The path of the program interpreter, None for a shared library."""
        for segment in self.segments:
            if segment.kind == PT_INTERP:
                return self.data[segment.offset : segment.offset + segment.file_size].rstrip(b"\0").decode()
        return None

    def _file_offset(self, address: int) -> int:
        for segment in self.loaded:
            if segment.address <= address < segment.address + segment.file_size:
                return address - segment.address + segment.offset
        raise BuildError(f"{self.name} is damaged: no segment holds address {address:#x}")

    def _string(self, at: int) -> str:
        return self.data[at : self.data.index(b"\0", at)].decode()

    @cached_property
    def _dynamic(self) -> list[tuple[int, int]]:
        for segment in self.segments:
            if segment.kind == PT_DYNAMIC:
                part = self.data[segment.offset : segment.offset + segment.file_size]
                return [(tag, value) for tag, value in struct.iter_unpack("<QQ", part[: len(part) // 16 * 16])]
        return []

    def _dynamic_strings(self, *tags: int) -> list[str]:
        strings = next((self._file_offset(value) for tag, value in self._dynamic if tag == _DT_STRTAB), None)
        if strings is None:
            return []
        return [self._string(strings + value) for tag, value in self._dynamic if tag in tags]

    @property
    def needed(self) -> list[str]:
        """The names of the libraries that the dynamic linker must find for it."""
        return self._dynamic_strings(_DT_NEEDED)

    @property
    def soname(self) -> str:
        """The name that a shared library gives itself; empty where it gives none."""
        return next(iter(self._dynamic_strings(_DT_SONAME)), "")

    @property
    def search_path(self) -> list[str]:
        """The folders it asks to be searched; `$ORIGIN` is its own."""
        return [part for text in self._dynamic_strings(_DT_RUNPATH, _DT_RPATH) for part in text.split(":") if part]

    def _symbol_tables(self, *kinds: int) -> Iterator[tuple[int, int, int, int, int]]:
        """Place of the name, kind, section, value and size of each symbol in the tables of these kinds."""
        for i in range(self._section_count):
            at = self._sections + i * self._section_size
            try:
                kind, offset, size, link = struct.unpack_from("<4xI16xQQI", self.data, at)
                if kind not in kinds:
                    continue
                strings = struct.unpack_from("<24xQ", self.data, self._sections + link * self._section_size)[0]
                for name, info, _, section, value, extent in struct.iter_unpack(
                    "<IBBHQQ", self.data[offset : offset + size]
                ):
                    if name:
                        yield strings + name, info & 15, section, value, extent
            except struct.error:
                raise BuildError(f"{self.name} is damaged: its symbols end too early") from None

    @cached_property
    def symbols(self) -> dict[str, int]:
        """The symbol table; empty in a stripped file."""
        return {self._string(at): value for at, _, _, value, _ in self._symbol_tables(_SHT_SYMTAB)}

    def functions(self, *others: str) -> Iterator[tuple[int, int, str]]:
        """Address, size and name of each function, and of the other symbols named; of a stripped file, its exports."""
        low, high = self.loaded[0].address, max(s.address + s.memory_size for s in self.loaded)
        for at, kind, section, value, size in self._symbol_tables(_SHT_SYMTAB, _SHT_DYNSYM):
            if section and low <= value < high:
                name = self._string(at)
                if kind in {_STT_FUNC, _STT_GNU_IFUNC} or name in others or (kind == _STT_NOTYPE and low):
                    yield value, size, name  # the assembly of the library OS, which begins at its address, has no types
