"""Sectors in memory. Only those that were written take room."""

from __future__ import annotations

from mirage.types import Buffer, DeviceClosed, DeviceError

from ._sectors import check_range, check_size, whole_sectors

__all__ = ["MemoryBlock"]


class MemoryBlock:
    """A device that forgets everything when it is closed. Fits `Block`.

    `image` is its first content, zeros following; with `writable=False` that is all it will ever hold.
    """

    def __init__(self, sectors: int, *, image: Buffer = b"", sector_size: int = 512, writable: bool = True) -> None:
        """Raises `OutOfRange` for an image that is larger than the device or ends within a sector, `ValueError`."""
        if sectors < 0:
            raise ValueError(f"{sectors} sectors: a device has none or more")
        self._sector_size = check_size(sector_size)
        self._sectors = sectors
        self._written: dict[int, bytes] = {}
        self._zeros = bytes(sector_size)
        self._closed = False
        self._writable = True
        self.write(0, image)
        self._writable = writable

    @property
    def sector_size(self) -> int:
        """Octets in a sector."""
        self._check_open()
        return self._sector_size

    @property
    def sectors(self) -> int:
        """How many sectors there are."""
        self._check_open()
        return self._sectors

    @property
    def writable(self) -> bool:
        """Whether `write` is permitted."""
        self._check_open()
        return self._writable

    def read(self, sector: int, count: int = 1) -> bytes:
        """The content of `count` sectors from `sector` on."""
        self._check_open()
        check_range("the memory device", sector, count, self._sectors)
        written, zeros = self._written, self._zeros
        return b"".join([written.get(number, zeros) for number in range(sector, sector + count)])

    def write(self, sector: int, data: Buffer) -> None:
        """Write whole sectors from `sector` on. Sectors of zeros take no room."""
        self._check_open()
        octets, count = whole_sectors("the memory device", data, self._sector_size)
        check_range("the memory device", sector, count, self._sectors)
        if not self._writable:
            raise DeviceError("the memory device was made with writable=False")
        for number in range(count):
            content = bytes(octets[number * self._sector_size : (number + 1) * self._sector_size])
            if content == self._zeros:
                self._written.pop(sector + number, None)
            else:
                self._written[sector + number] = content

    def flush(self) -> None:
        """Return at once: memory survives no loss of power, whatever is done."""
        self._check_open()

    def close(self) -> None:
        """Forget the content."""
        self._closed = True
        self._written.clear()

    def _check_open(self) -> None:
        if self._closed:
            raise DeviceClosed("the memory device was closed")
