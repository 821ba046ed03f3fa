"""What it costs to read octets from outside, in numbers that are the same on every machine."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any

from ..errors import MirageError

__all__ = ["Cost", "cost"]


@dataclass(frozen=True, slots=True)
class Cost:
    """What a call took. It stands for its time and memory, and depends on neither the machine nor its other work."""

    calls: int
    """Functions that were called, those of Python and those that are built in; types that are called do not count."""
    octets: int
    """The most memory that was taken at once, on top of what there was."""


def cost(function: Callable[[], object]) -> Cost:
    """Call a function, and count. What it raises below `MirageError` is an answer too; the rest goes through."""
    calls = 0

    def count(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal calls
        if event in ("call", "c_call"):
            calls += 1

    before = sys.getprofile()
    tracemalloc.start()
    try:
        sys.setprofile(count)
        try:
            function()
        except MirageError:
            pass
        finally:
            sys.setprofile(before)
        return Cost(calls, tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()
