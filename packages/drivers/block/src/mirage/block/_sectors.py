"""The arithmetic of sectors, in one place: what is in range, and what is said when something is not."""

from __future__ import annotations

from mirage.types import Buffer, OutOfRange

__all__ = ["check_range", "check_size", "whole_sectors"]


def check_size(sector_size: int) -> int:
    """`sector_size`, if it can be one. Raises `ValueError`."""
    if sector_size < 512 or sector_size & (sector_size - 1):
        raise ValueError(f"sectors of {sector_size} octets: their size is a power of two, at least 512")
    return sector_size


def check_range(name: str, sector: int, count: int, sectors: int) -> None:
    """Raise `OutOfRange` unless `count` sectors from `sector` on lie in a device of `sectors`."""
    if sector < 0 or count < 0 or sector + count > sectors:
        raise OutOfRange(f"{name} has {sectors} sectors: there are no {count} from number {sector} on")


def whole_sectors(name: str, data: Buffer, sector_size: int) -> tuple[memoryview, int]:
    """The octets of `data` and how many sectors they fill. Raises `OutOfRange` when the last is not full."""
    octets = memoryview(data).cast("B")
    count, rest = divmod(len(octets), sector_size)
    if rest:
        raise OutOfRange(f"{name}: {len(octets)} octets are no whole number of sectors of {sector_size}; pad the last")
    return octets, count
