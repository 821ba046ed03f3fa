"""The plan as a page that a person reads before anything happens: `release/trains/NAME.md`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

from .model import Bound, Fragment, Plan, Planned

__all__ = ["as_data", "from_data", "page", "table"]


def page(plan: Plan, train: str, date: str) -> str:
    """The page, in Markdown; the drawing lies beside it."""
    return "\n".join([*_lines(plan, train, date), ""])


def _lines(plan: Plan, train: str, date: str) -> Iterator[str]:
    count = len(plan.packages)
    yield f"# The train {train}"
    yield ""
    counted = "1 package" if count == 1 else f"{count} packages"
    yield f"Planned on {date}: {counted} to release, {plan.others} stay as they are."
    yield ""
    if plan.refusals:
        yield "## What stands in its way"
        yield ""
        yield from (f"- {refusal}" for refusal in plan.refusals)
        yield ""
    yield "| package | from | to | why is this bumped |"
    yield "|---|---|---|---|"
    for p in plan.packages:
        yield f"| {p.name} | {p.old or '-'} | {p.new} | {'; '.join(p.reasons)} |".replace("\n", " ")
    yield ""
    yield "The order is that of release: each package comes after those that it needs."
    yield ""
    yield f"![Which planned package needs which]({train}.svg)"
    yield ""
    if plan.bounds:
        yield "## Bounds that move"
        yield ""
        yield from (f"- `{b.file}`: `{b.old}` becomes `{b.new}`: {b.why}" for b in plan.bounds)
        yield ""
    for p in plan.packages:
        yield from _package(p)


def _package(p: Planned) -> Iterator[str]:
    yield f"## {p.name} {p.new}"
    yield ""
    yield f"{p.summary}."
    yield ""
    if p.breaks:
        yield "Of its public API, this breaks:"
        yield ""
        yield from (f"- `{gone}`" for gone in p.breaks)
        yield ""
    yield from (f"- {f.kind}: {f.text}" for f in p.fragments)
    if p.fragments:
        yield ""


def table(plan: Plan) -> str:
    """The plan in short, for a terminal."""
    rows = [("package", "from", "to", "why")]
    rows += [(p.name, p.old or "-", p.new, "; ".join(p.reasons)) for p in plan.packages]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    lines = ["  ".join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[3]]) for row in rows]
    lines += [f"bound: {b.file}: {b.old} -> {b.new} ({b.why})" for b in plan.bounds]
    return "\n".join([*lines, *(f"REFUSED: {r}" for r in plan.refusals)])


def as_data(plan: Plan) -> dict[str, Any]:
    """What the journal keeps of the plan."""
    found: dict[str, Any] = json.loads(json.dumps(asdict(replace(plan, refusals=()))))
    return found


def from_data(data: Mapping[str, Any]) -> Plan:
    """The plan that a journal keeps."""
    packages = tuple(
        Planned(**{**p, **{k: tuple(p[k]) for k in ("reasons", "breaks", "needs")}, "fragments": _fragments(p)})
        for p in data["packages"]
    )
    return Plan(packages, tuple(Bound(**b) for b in data["bounds"]), (), data["others"])


def _fragments(package: Mapping[str, Any]) -> tuple[Fragment, ...]:
    return tuple(Fragment(**f) for f in package["fragments"])
