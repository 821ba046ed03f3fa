"""The benchmarks of the tree: which there are, and one table of what they found.

A benchmark is a program ``packages/FAMILY/NAME/benchmarks/bench_TOPIC.py``. It prints tables of its own, and with
``--json FILE`` writes ``{"figures": [...], "rows": [...]}``: `rows` is its table, and each of `figures` is a `Figure`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .tree import Package


@dataclass(frozen=True)
class Figure:
    """Something measured beside a named peer in the same run: the ratio is what travels from machine to machine."""

    figure: str
    """What was measured, with its unit."""
    ours: float
    peer: str
    """The other program, or the budget, that it is held against."""
    theirs: float
    ratio: float
    """What the target speaks of."""
    target: str
    """Such as ``>= 5`` or ``<= 1.5``; empty for a figure that is only shown."""

    @property
    def met(self) -> bool:
        """Whether the ratio is on the target's right side."""
        if not self.target:
            return True
        sign, _, bound = self.target.partition(" ")
        return {">=": self.ratio >= float(bound), "<=": self.ratio <= float(bound)}[sign]


def scripts(packages: list[Package]) -> list[Path]:
    """The benchmark programs of packages, in order."""
    return [script for package in packages for script in sorted((package.path / "benchmarks").glob("bench_*.py"))]


def results(script: Path, folder: Path) -> Path:
    """Where a benchmark leaves its figures."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{script.parent.parent.name}-{script.stem.removeprefix('bench_')}.json"


def summary(files: Iterable[Path], compiled: Iterable[Path] = ()) -> str:
    """Every figure in one table; what compiled wheels had in the same run stands beside it."""
    figures, others = _figures(files), _figures(compiled)
    table = [("figure", "ours", "peer", "theirs", "ratio", *(["compiled", "ratio"] if others else []), "target", "")]
    waiting = list(others)
    for figure in figures:
        # Several bear one name, such as "the same, CPU": in both runs they come in the same order.
        other = next((o for o in waiting if (o.figure, o.peer) == (figure.figure, figure.peer)), None)
        if other is not None:
            waiting.remove(other)
        beside = (f"{other.ours:,.6g}", f"{other.ratio:.2f}") if other else ("", "")
        last = other or figure
        table.append(
            (
                figure.figure,
                f"{figure.ours:,.6g}",
                figure.peer,
                f"{figure.theirs:,.6g}",
                f"{figure.ratio:.2f}",
                *(beside if others else ()),
                figure.target,
                "" if last.met else "MISSED",
            )
        )
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    left = {0, 2, len(widths) - 1}
    lines = [
        "  ".join(
            cell.ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in table
    ]
    missed = f"{len(figures)} figures, {sum(not f.met for f in figures)} missed"
    if others:
        missed += f"; compiled {sum(not f.met for f in others)} missed of {len(others)}"
    return "\n".join([*(line.rstrip() for line in lines), "", missed])


def _figures(files: Iterable[Path]) -> list[Figure]:
    return [Figure(**figure) for file in files for figure in json.loads(file.read_text())["figures"]]
