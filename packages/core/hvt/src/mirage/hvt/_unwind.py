"""Where the functions of an ELF file are: what `.eh_frame` tells an unwinder, stripped files included.

Each description (FDE) has a function's first address, its length, and where its landing pads are listed. (LSB 5.0,
chapter 10.6; the Itanium C++ ABI for the lists.) Addresses are those of the file laid out from 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mirage.hvt.errors import BuildError

PT_GNU_EH_FRAME = 0x6474E550
_OMITTED = 0xFF
_ULEB, _RELATIVE, _TO_TABLE, _INDIRECT = 0x01, 0x10, 0x30, 0x80
_SIZES = {0x00: 8, 0x02: 2, 0x03: 4, 0x04: 8, 0x0A: 2, 0x0B: 4, 0x0C: 8}


@dataclass(frozen=True, slots=True)
class Function:
    """A range of code, and the places in it where a thrown exception may land."""

    start: int
    end: int
    landings: tuple[int, ...]


class _Reader:
    """Reads numbers one after the other. Raises `BuildError` where they end too early or are encoded as none knows."""

    def __init__(self, data: bytes | bytearray, at: int, table: int = 0) -> None:
        self.data, self.at, self._table = data, at, table

    def number(self, size: int, signed: bool = False) -> int:
        part = self.data[self.at : self.at + size]
        if len(part) < size or self.at < 0:
            raise BuildError("its unwind tables end too early")
        self.at += size
        return int.from_bytes(part, "little", signed=signed)

    def uleb(self) -> int:
        value = shift = 0
        while shift < 64:
            octet = self.number(1)
            value |= (octet & 0x7F) << shift
            if octet < 0x80:
                return value
            shift += 7
        raise BuildError("its unwind tables hold a number without an end")

    def text(self) -> bytes:
        end = self.data.find(b"\0", self.at, self.at + 16)
        if end < 0:
            raise BuildError("its unwind tables hold a text without an end")
        found = bytes(self.data[self.at : end])
        self.at = end + 1
        return found

    def encoded(self, encoding: int, relative: bool = True) -> int:
        """A number or an address in an encoding of DWARF."""
        here = self.at
        if encoding == _OMITTED:
            return 0
        if encoding & 0x0F == _ULEB:
            value = self.uleb()
        elif encoding & 0x0F in _SIZES:
            value = self.number(_SIZES[encoding & 0x0F], bool(encoding & 8))
        else:
            raise BuildError(f"its unwind tables have the encoding {encoding:#x}, which is unknown here")
        base = encoding & 0x70
        if base not in {0, _RELATIVE, _TO_TABLE} or encoding & _INDIRECT:
            raise BuildError(f"its unwind tables have the encoding {encoding:#x}, which is unknown here")
        if not relative or not value:
            return value
        return value + (here if base == _RELATIVE else self._table if base == _TO_TABLE else 0)


def functions(data: bytes | bytearray, header: int) -> Iterator[Function]:
    """Every function that the table at `header` (PT_GNU_EH_FRAME) knows. Raises `BuildError`."""
    reader = _Reader(data, header, header)
    version, first, counted, listed = (reader.number(1) for _ in range(4))
    if version != 1 or _OMITTED in {counted, listed}:
        raise BuildError("its unwind tables have no index")
    reader.encoded(first)
    count = reader.encoded(counted)
    if count > len(data) // 8:
        raise BuildError("its unwind tables end too early")
    for _ in range(count):
        reader.encoded(listed)
        yield _function(data, reader.encoded(listed))


def _function(data: bytes | bytearray, at: int) -> Function:
    reader = _Reader(data, at)
    if reader.number(4) == 0xFFFFFFFF:
        raise BuildError("its unwind tables are of the 64-bit format, which is unknown here")
    here = reader.at
    common = _Reader(data, here - reader.number(4))
    common.number(8)  # length and the zero of a common part
    common.number(1)
    augmentation = common.text()
    common.uleb()
    common.uleb()
    common.uleb()
    pointers, lists = 0, _OMITTED
    if augmentation[:1] == b"z":
        common.uleb()
        for letter in augmentation[1:]:
            if letter == ord("R"):
                pointers = common.number(1)
            elif letter == ord("L"):
                lists = common.number(1)
            elif letter == ord("P"):
                common.encoded(common.number(1) & ~_INDIRECT)
            elif letter != ord("S"):
                raise BuildError("its unwind tables have an augmentation that is unknown here")
    elif augmentation:
        raise BuildError("its unwind tables have an augmentation that is unknown here")
    start = reader.encoded(pointers)
    end = start + reader.encoded(pointers, relative=False)
    landings: tuple[int, ...] = ()
    if augmentation[:1] == b"z" and lists != _OMITTED:
        reader.uleb()
        if where := reader.encoded(lists):
            landings = tuple(_landings(data, where, start))
    return Function(start, end, landings)


def _landings(data: bytes | bytearray, at: int, start: int) -> Iterator[int]:
    reader = _Reader(data, at)
    base = reader.number(1)
    base = start if base == _OMITTED else reader.encoded(base)
    if reader.number(1) != _OMITTED:
        reader.uleb()
    encoding = reader.number(1)
    end = reader.uleb()
    end += reader.at
    while reader.at < end:
        reader.encoded(encoding)
        reader.encoded(encoding)
        if landing := reader.encoded(encoding):
            yield base + landing
        reader.uleb()
