"""Runs of pages, and which regions of 2 MiB they fill: what of a guest's memory is in a snapshot's file, or private."""

from __future__ import annotations

from mirage.libos import layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = layout()["PAGE"]
REGION = 512
"""Pages of a large page."""

Run = tuple[int, int]
"""The number of a first page, and how many pages."""


def regions(runs: list[Run]) -> dict[int, int]:
    """How many pages of each region are in the runs, in order; no region of which none is."""
    used: dict[int, int] = {}
    for first, pages in runs:
        for region in range(first // REGION, (first + pages - 1) // REGION + 1):
            there = min(first + pages, (region + 1) * REGION) - max(first, region * REGION)
            used[region] = used.get(region, 0) + there
    return used


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
