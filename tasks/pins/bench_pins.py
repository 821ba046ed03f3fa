"""How soon a pin's environment is ready once its branch was fetched: this tree's packages, one of them from a branch.

CPU seconds of uv and of all that it starts, so that a busy machine measures the same; the shortest of some runs counts,
each with a revision that was never installed before. The environment holds the tree's packages already, as a session's
does. Run: ``./noxw -s bench -- pins``.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from tasks import tree
from tasks.pins import apply
from tasks.pins.model import GitPin, Pins
from tasks.pins.source import Repository

BUDGET = 1.0
NAME, PLACE = "mirage-kv", "packages/storage/kv"
REF = "refs/heads/bench"


def used(*command: str) -> float:
    """CPU seconds that a command took."""
    plain = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "VIRTUAL_ENV"}} | {"UV_NO_SOURCES": "1"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, env=plain, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def commit(fork: Path, text: str) -> str:
    """A new revision of the branch, which changes the package; its name."""
    (fork / PLACE / "src" / "mirage" / "kv" / "bench.py").write_text(text)
    who = ["git", "-C", str(fork), "-c", "user.name=bench", "-c", "user.email=bench@example.org"]
    subprocess.run([*who, "add", "-A"], check=True)
    subprocess.run([*who, "commit", "-qm", "bench"], check=True)
    return subprocess.run([*who, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()


def main() -> None:
    """Measure, print, and leave the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    chosen = parser.parse_args()
    packages = tree.packages()
    with tempfile.TemporaryDirectory() as scratch:
        here, fork = Path(scratch) / "root", Path(scratch) / "fork"
        for place in (here, fork):
            subprocess.run(["git", "clone", "--quiet", "--shared", str(tree.ROOT), str(place)], check=True)
        subprocess.run(["git", "-C", str(fork), "checkout", "--quiet", "-b", "bench"], check=True)
        python = Path(scratch) / "env" / "bin" / "python"
        install = [
            "uv",
            "pip",
            "install",
            "--quiet",
            "--python",
            str(python),
            "--constraint",
            str(tree.ROOT / "ci.lock.txt"),
        ]
        used("uv", "venv", "--quiet", "--python", sys.executable, str(python.parent.parent))
        used(*install, *apply.arguments(packages, Pins()))
        found = []
        for run in range(chosen.runs):
            rev = commit(fork, f"RUN = {run}\n")
            Repository(here).fetch(str(fork), REF)
            pins = apply.fetched(packages, Pins(git={NAME: GitPin(NAME, str(fork), REF, rev, PLACE, "0.1.0")}), here)
            options = apply.constraint_files(pins, Path(scratch) / "pins")
            found.append(used(*install, *apply.arguments(packages, pins), *options))
            shown = subprocess.run(
                [str(python), "-I", "-c", "import mirage.kv.bench; print(mirage.kv.bench.RUN)"],
                check=True,
                capture_output=True,
                text=True,
            )
            assert shown.stdout == f"{run}\n", "what is installed is not what was pinned"
    ours = min(found)
    print(f"a pin's environment of {len(packages)} packages: {ours:.3f} CPU s, of {BUDGET:g}")
    what = "a pin's environment after its fetch, CPU s"
    figure = {
        "figure": what,
        "ours": ours,
        "peer": "budget",
        "theirs": BUDGET,
        "ratio": ours / BUDGET,
        "target": "<= 1",
    }
    if chosen.json:
        chosen.json.write_text(json.dumps({"figures": [figure], "rows": []}, indent=2) + "\n")


if __name__ == "__main__":
    main()
