"""The gate: what must hold before a train leaves."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from .model import Plan

__all__ = ["refusals"]


def refusals(plan: Plan, dirty: Sequence[str], pins: Collection[str]) -> list[str]:
    """Everything that keeps the train in the station, each with what to do; none where it may leave.

    A stage that failed is held back by the train itself: no stage starts before the one in front of it is done.
    """
    found = []
    if dirty:
        more = f" and {len(dirty) - 3} more" if len(dirty) > 3 else ""
        found.append(f"the tree is not clean: {', '.join(dirty[:3])}{more}; commit or stash them")
    found += [f"{name} is pinned; ./noxw -s pin -- remove {name}" for name in sorted(pins)]
    found += plan.refusals
    if not plan.packages:
        found.append("nothing has changed since the last release of every package")
    return found
