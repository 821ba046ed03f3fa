"""How long `mirage build` takes, and how long its artifact takes to start.

Builds a copy of an application (the website, where the tree has one) with an empty cache, again unchanged, and again
with one line changed, each as the command line does it; the peer is shiv, where it is installed, which packs the same
files. Starting is measured on ``--help``: it ends when the program has been imported whole.

Seconds are wall time with the processor time of all processes in brackets, best of the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

HELLO = Path(__file__).parents[1] / "examples" / "hello"
SITE = Path(__file__).parents[4] / "site"


@dataclass
class Row:
    """One figure."""

    what: str
    wall: float
    processor: float
    peer: str = ""
    ratio: float | None = None


def measure(command: list[str], folder: Path, cache: Path) -> tuple[float, float]:
    """Wall and processor seconds of a command that must succeed."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    result = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "XDG_CACHE_HOME": str(cache)},
        capture_output=True,
        text=True,
        check=False,
    )
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if result.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{result.stdout}{result.stderr}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def best(rounds: int, once: Callable[[int], tuple[float, float]]) -> tuple[float, float]:
    """The fastest of several rounds."""
    return min(once(number) for number in range(rounds))


def benchmark(source: Path, rounds: int, work: Path) -> list[Row]:
    """All figures for one application."""
    root = work / "tree"
    skipped = shutil.ignore_patterns("_build", ".venv", ".git", ".nox", ".noxw", "__pycache__", ".*_cache")
    shutil.copytree(source.parent if source == SITE else source, root, ignore=skipped)
    folder = root / source.name if source == SITE else root
    mirage = [sys.executable, "-m", "mirage.tool.cli"]
    artifact = subprocess.run([*mirage, "query", "artifact"], cwd=folder, capture_output=True, text=True, check=True)
    pyz = folder / artifact.stdout.strip()

    def cold(number: int) -> tuple[float, float]:
        shutil.rmtree(pyz.parent, ignore_errors=True)
        return measure([*mirage, "build"], folder, work / f"cold{number}")

    def changed(number: int) -> tuple[float, float]:
        modules = subprocess.run([*mirage, "query", "modules"], cwd=folder, capture_output=True, text=True, check=True)
        with (folder / modules.stdout.splitlines()[0]).open("a") as file:
            file.write(f"\n# change {number}\n")
        return measure([*mirage, "build"], folder, work / "cold0")

    rows = [
        Row("mirage build, cold", *best(rounds, cold)),
        Row("mirage build, one line changed", *best(rounds, changed)),
        Row(
            "mirage build, unchanged", *best(rounds, lambda number: measure([*mirage, "build"], folder, work / "cold0"))
        ),
        Row(
            "start of the artifact",
            *best(3 * rounds, lambda number: measure([sys.executable, str(pyz), "--help"], folder, work)),
        ),
        Row(
            "start of Python", *best(3 * rounds, lambda number: measure([sys.executable, "-I", "-c", ""], folder, work))
        ),
    ]
    if shutil.which("shiv", path=str(Path(sys.executable).parent)):
        rows += peers(rows, folder, rounds, work)
    return rows


def peers(rows: list[Row], folder: Path, rounds: int, work: Path) -> list[Row]:
    """shiv on the same program and packages, as they lie in wheels; it neither resolves nor builds nor renders here."""
    from mirage.tool.build import plan
    from mirage.tool.distributions import files_of
    from mirage.tool.project import open_application

    inputs = plan(open_application(folder / "config.py").decide())
    site = work / "site-packages"
    packages = [files_of(one, key) for one, key in zip(inputs.distributions, inputs.fingerprints, strict=True)]
    for files in (inputs.own, *packages):
        for path, content in files.items():
            (site / path).parent.mkdir(parents=True, exist_ok=True)
            (site / path).write_bytes(content)
    out = work / "shiv.pyz"
    command = [sys.executable, "-m", "shiv", "--site-packages", str(site), "-e", "main:run", "-o", str(out)]
    packed = best(rounds, lambda number: measure(command, work, work))
    start = best(3 * rounds, lambda number: measure([sys.executable, str(out), "--help"], work, work))
    for row, wall in ((rows[1], packed[0]), (rows[3], start[0])):
        row.peer, row.ratio = "shiv", row.wall / wall
    return [Row("shiv, packing only", *packed), Row("shiv, start (unpacked before)", *start)]


def figures(rows: list[Row]) -> list[dict[str, object]]:
    """What has a target, in the form that the bench session collects."""
    budgets = {"build, cold": 10.0, "build, unchanged": 1.0}
    return [
        {
            "figure": f"{row.what}, s",
            "ours": row.wall,
            "peer": "budget",
            "theirs": budgets[row.what],
            "ratio": row.wall / budgets[row.what],
            "target": "<= 1",
        }
        for row in rows
        if row.what in budgets
    ]


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = SITE if (SITE / "config.py").exists() else HELLO
    parser.add_argument("--application", type=Path, default=default, help="its folder (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="of each figure (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file, too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        rows = benchmark(options.application.resolve(), options.rounds, Path(work))
    print(f"{'':<36} {'wall s':>8} {'(cpu s)':>9}   ratio to peer")
    for row in rows:
        ratio = f"{row.ratio:.2f} x {row.peer}" if row.ratio is not None else ""
        print(f"{row.what:<36} {row.wall:>8.3f} {f'({row.processor:.3f})':>9}   {ratio}".rstrip())
    if options.json:
        found = {"figures": figures(rows), "rows": [asdict(row) for row in rows]}
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
