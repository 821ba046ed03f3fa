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


def summary(files: Iterable[Path]) -> str:
    """Every figure in one table."""
    figures = [Figure(**figure) for file in files for figure in json.loads(file.read_text())["figures"]]
    table = [("figure", "ours", "peer", "theirs", "ratio", "target", "")]
    table += [
        (f.figure, f"{f.ours:,.6g}", f.peer, f"{f.theirs:,.6g}", f"{f.ratio:.2f}", f.target, "" if f.met else "MISSED")
        for f in figures
    ]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    left = {0, 2, 6}
    lines = [
        "  ".join(
            cell.ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in table
    ]
    missed = sum(not f.met for f in figures)
    return "\n".join([*(line.rstrip() for line in lines), "", f"{len(figures)} figures, {missed} missed"])
