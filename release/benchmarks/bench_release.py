"""Planning a train over 60 packages: from git and the sources to the page and its drawing, in CPU seconds.

The tree is made up in a folder of its own, with a history: every package has been released. Measured are a train in
which ten packages changed and one in which all did; a package has 400 lines in four modules, and as many in its tests.
Each that changes has a new name, which those that need it and change too use in their tests, so that their floors rise.
git's time is counted too.
Run: ``./noxw -s bench -- release``, which measures the index (60 packages with 20 releases each) beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from release import gate, graph, page, plan, survey
from release.git import Git
from release.index_data import FOLDER

PACKAGES, MODULES, FUNCTIONS = 60, 4, 20

PYPROJECT = """\
[project]
name = "mirage-p{n:02}"
version = "0.1.0"
description = "The package {n}"
requires-python = ">=3.11"
dependencies = [{needs}]
"""
FUNCTION = '''
def function_{m}_{i}(first: int, second: str = "x", *rest: bytes) -> dict[str, int]:
    """What it does with the first and the second."""
    return {{second: first + len(rest)}}
'''


TEST = """
def test_{m}_{i}() -> None:
    found = package.function_{m}_{i}(first={i}, second="y")
    assert found["y"] == {i}
"""


def make(root: Path) -> None:
    """The tree at its last release."""
    for n in range(PACKAGES):
        place = root / "packages" / "core" / f"p{n:02}"
        source = place / "src" / "mirage" / f"p{n:02}"
        source.mkdir(parents=True)
        needs = ", ".join(f'"mirage-p{m:02}>=0.1,<0.2"' for m in (n - 1, n - 2) if m >= 0)
        (place / "pyproject.toml").write_text(PYPROJECT.format(n=n, needs=needs))
        (place / "README.md").write_text("A package.\n")
        listed = [f"function_{m}_{i}" for m in range(MODULES) for i in range(FUNCTIONS)]
        lines = [
            f"from ._m{m} import {', '.join(f'function_{m}_{i}' for i in range(FUNCTIONS))}" for m in range(MODULES)
        ]
        lines += [f"from mirage.p{m:02} import function_0_0 as _{m}" for m in (n - 1, n - 2) if m >= 0]
        (source / "__init__.py").write_text("\n".join([*lines, f"__all__ = {listed!r}", ""]))
        for m in range(MODULES):
            text = "".join(FUNCTION.format(m=m, i=i) for i in range(FUNCTIONS))
            (source / f"_m{m}.py").write_text(text)
        tests = [TEST.format(m=m, i=i) for m in range(MODULES) for i in range(FUNCTIONS)]
        (place / "tests").mkdir()
        (place / "tests" / "test_all.py").write_text("".join([f"import mirage.p{n:02} as package\n", *tests]))
    commit(root, "released")
    releases: list[dict[str, Any]] = [
        {"name": f"mirage-p{n:02}", "version": "0.1.0", "commit": Git(root).head(), "yanked": None, "files": []}
        for n in range(PACKAGES)
    ]
    (root / FOLDER).mkdir(parents=True)
    (root / FOLDER / "releases.json").write_text(json.dumps(releases))
    commit(root, "the index")


def change(root: Path, count: int) -> None:
    """A change with its fragment in each of some packages, and a name that is new; every fifth breaks its users."""
    for n in range(count):
        place = root / "packages" / "core" / f"p{n:02}"
        file = place / "src" / "mirage" / f"p{n:02}" / "_m1.py"
        old, new = ("first: int", "first: int, other: int") if n % 5 == 0 else ("What it does", "What it really does")
        file.write_text(file.read_text().replace(old, new, 1) + FUNCTION.format(m=f"new_{count}", i=n))
        test = place / "tests" / "test_all.py"
        uses = [f"package.function_new_{count}_{m}(2)\n" for m in (n - 1, n - 2) if m >= 0]
        test.write_text("".join([test.read_text(), *uses]))
        (place / "changes.d").mkdir(exist_ok=True)
        (place / "changes.d" / "x.fixed.md").write_text("It is better.\n")
    commit(root, f"{count} changes")


def commit(root: Path, message: str) -> None:
    """Everything, as somebody."""
    who = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    for command in (["init", "--quiet"], ["add", "--all"], [*who, "commit", "--quiet", "-m", message]):
        subprocess.run(["git", *command], cwd=root, check=True)


def planned(root: Path) -> int:
    """Plan, down to the page and the drawing; how many packages are released."""
    made = plan.plan(survey.survey(root))
    assert not gate.refusals(made, Git(root).dirty(), [])
    assert any("function_new" in bound.why for bound in made.bounds)
    page.page(made, "bench", "2026-11-25")
    graph.svg(made.packages, "bench")
    return len(made.packages)


def spent(work: Callable[[], object], runs: int) -> float:
    """CPU seconds of the fastest of some runs, those of the programs that it ran included."""
    found = []
    for _ in range(runs):
        before = sum(os.times()[:4])
        work()
        found.append(sum(os.times()[:4]) - before)
    return min(found)


def figure(what: str, ours: float, budget: float, target: str) -> dict[str, Any]:
    """One figure in the form that the bench session collects, printed at once."""
    print(f"{what:52} {ours:8.3f}  budget {budget:8.3f}  {ours / budget:6.2f}", flush=True)
    ratio = ours / budget
    return {"figure": what, "ours": ours, "peer": "budget", "theirs": budget, "ratio": ratio, "target": target}


def main() -> None:
    """Measure, print, and leave the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    chosen = parser.parse_args()
    figures = []
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        make(root)
        for count, target in ((10, "<= 1"), (PACKAGES, "")):
            change(root, count)
            released = planned(root)
            what = f"plan over {PACKAGES} packages, {count} changed, {released} released, CPU s"
            figures.append(figure(what, spent(lambda: planned(root), chosen.runs), 2.0, target))
    if chosen.json:
        chosen.json.write_text(json.dumps({"figures": figures, "rows": []}, indent=1))


if __name__ == "__main__":
    main()
