"""A block device, a console and a source of predictable octets, in memory."""

from __future__ import annotations

import random
from typing import Literal

from mirage.types.devices import Buffer
from mirage.types.errors import DeviceClosed, DeviceError, OutOfRange

__all__ = ["MemoryBlock", "MemoryConsole", "SeededRandom"]


class MemoryBlock:
    """Sectors in memory, all zero at first. Fits `Block`.

    Remembers what `flush` has made durable: `lose_power()` goes back to it, so that a file system's recovery can be
    tested. `fail_after(n)` makes every write after the n-th from now raise `DeviceError`.
    """

    def __init__(self, sectors: int, *, sector_size: int = 512, writable: bool = True) -> None:
        if sector_size < 512 or sector_size & (sector_size - 1) or sectors < 0:
            raise ValueError(f"{sectors} sectors of {sector_size} octets: the size is a power of two, at least 512")
        self._sector_size = sector_size
        self._writable = writable
        self._data = bytearray(sectors * sector_size)
        self._durable = bytes(self._data)
        self._closed = False
        self._writes_left: int | None = None

    @property
    def sector_size(self) -> int:
        """Octets in a sector."""
        self._check_open()
        return self._sector_size

    @property
    def sectors(self) -> int:
        """How many sectors there are."""
        self._check_open()
        return len(self._data) // self._sector_size

    @property
    def writable(self) -> bool:
        """Whether `write` is permitted."""
        self._check_open()
        return self._writable

    def read(self, sector: int, count: int = 1) -> bytes:
        """The content of `count` sectors from `sector` on."""
        start = self._offset(sector, count)
        return bytes(self._data[start : start + count * self._sector_size])

    def write(self, sector: int, data: Buffer) -> None:
        """Write whole sectors from `sector` on."""
        octets = bytes(data)
        count, rest = divmod(len(octets), self._sector_size)
        if rest:
            raise OutOfRange(f"{len(octets)} octets are no whole number of sectors of {self._sector_size}")
        start = self._offset(sector, count)
        if not self._writable:
            raise DeviceError("the memory block device was made read-only")
        if self._writes_left is not None:
            if not self._writes_left:
                raise DeviceError("the memory block device fails, as fail_after() asked")
            self._writes_left -= 1
        self._data[start : start + len(octets)] = octets

    def flush(self) -> None:
        """Make everything written so far survive `lose_power`."""
        self._check_open()
        self._durable = bytes(self._data)

    def close(self) -> None:
        """Flush and release the device."""
        if not self._closed:
            self.flush()
            self._closed = True

    def lose_power(self) -> None:
        """Forget what was written since the last `flush`; the device is then open again."""
        self._data[:] = self._durable
        self._closed = False

    def fail_after(self, writes: int | None) -> None:
        """Let `writes` more writes succeed and the later ones fail; None ends that."""
        self._writes_left = writes

    def _offset(self, sector: int, count: int) -> int:
        self._check_open()
        total = len(self._data) // self._sector_size
        if sector < 0 or count < 0 or sector + count > total:
            raise OutOfRange(f"sectors {sector} to {sector + count} of a device of {total}")
        return sector * self._sector_size

    def _check_open(self) -> None:
        if self._closed:
            raise DeviceClosed("the memory block device was closed")


class MemoryConsole:
    """Keeps what is written. Fits `Console`."""

    def __init__(self) -> None:
        self.output = bytearray()
        """Everything written so far."""

    def write(self, data: Buffer) -> None:
        """Write all of `data`."""
        self.output += data

    @property
    def lines(self) -> list[str]:
        """What was written so far, as lines of text."""
        return self.output.decode("utf-8", "backslashreplace").splitlines()


class SeededRandom:
    """The same octets for the same seed, on every machine. Fits `Random`, and is worthless as one.

    So that it cannot slip into a program that needs secrets, it can only be made by saying what it is:
    ``SeededRandom(seed, predictable=True)``. Its attribute `predictable` lets a program that
    assembles devices refuse it.
    """

    predictable: Literal[True] = True

    def __init__(self, seed: int, *, predictable: Literal[True]) -> None:
        if predictable is not True:
            raise ValueError("SeededRandom is predictable: say predictable=True, or use a real source of randomness")
        self._random = random.Random(seed)  # noqa: S311 - being predictable is the point

    def generate(self, size: int) -> bytes:
        """`size` octets that everybody who knows the seed can predict. Raises `ValueError` for a negative size."""
        return self._random.randbytes(size)

    def __repr__(self) -> str:
        return "<SeededRandom: PREDICTABLE, for tests only>"
