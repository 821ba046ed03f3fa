"""A guest beside the same interpreter run natively: booting, resuming, computing, system calls, sizes, memory.

Each figure is the least of many runs, and the two sides take turns: for seconds a shared machine may be half as fast.
`PARTS` lists what is measured: a part takes a `Bench` and yields figures.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from _compute import compute
from _figures import Bench, Figure
from _sizes import builds, clones, memory
from _starts import boot, resume

PARTS: dict[str, Callable[[Bench], Iterator[Figure]]] = {
    part.__name__: part for part in (boot, resume, compute, builds, memory, clones)
}


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"what to measure: {', '.join(PARTS)} (default: all)")
    parser.add_argument("--runs", type=int, default=40, help="how often each is timed (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file, too")
    chosen = parser.parse_args()
    if unknown := set(chosen.parts) - PARTS.keys():
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    found: list[Figure] = []
    print(f"{'':50} {'guest':>10} {'peer':>10} {'ratio':>7}")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), chosen.runs)
        for name in chosen.parts or PARTS:
            for figure in PARTS[name](bench):
                row = f"{figure.figure:50} {figure.ours:10.3f} {figure.theirs:10.3f} {figure.ratio:7.2f}"
                print(f"{row}  {figure.target}".rstrip(), flush=True)
                found.append(figure)
    if chosen.json:
        entries = [figure.entry() for figure in found]
        chosen.json.write_text(json.dumps({"figures": entries, "rows": entries}, indent=1) + "\n")


if __name__ == "__main__":
    main()
