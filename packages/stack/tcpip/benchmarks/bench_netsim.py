"""The loss x buffer matrix that smoltcp publishes, and its fairness run, in virtual time.

``bench_netsim.py`` takes a tenth of the octets and a minute. ``--write`` takes all of them, and writes what is checked
in: ``netsim.json`` beside this file, and the chart ``site/diagrams/tcpip-loss.svg`` drawn from it.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from _chart import chart
from mirage.tcpip.testing.netsim import BUFFERS, FLOWS, LOSSES, SMOLTCP, SMOLTCP_FAIRNESS, cell, shares

FOLDER = Path(__file__).parent
DATA = FOLDER / "netsim.json"
CHART = FOLDER.parents[3] / "site" / "diagrams" / "tcpip-loss.svg"
CONTROLS = ("cubic", "westwood")
OCTETS = 10 << 20
WINDOWS = 8192
"""Of a small buffer so many windows say as much as the whole: where packets are lost, no more are sent."""


def _cell(job: tuple[str, int, float, int]) -> float:
    control, buffer, loss, octets = job
    return round(cell(buffer, loss, control, min(octets, WINDOWS * buffer) if loss else octets), 2)


def _shares(job: tuple[str, int]) -> dict[str, float]:
    control, flows = job
    return {name: round(value, 4) for name, value in dataclasses.asdict(shares(flows, control)).items()}


def measure(octets: int, flows: tuple[int, ...]) -> dict[str, object]:
    """Every cell, and the fairness runs, on all processors."""
    cells = [(control, buffer, loss, octets) for control in CONTROLS for buffer in BUFFERS for loss in LOSSES]
    runs = [(control, number) for number in reversed(flows) for control in CONTROLS]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        # The long ones first.
        sharing = list(pool.map(_shares, runs, chunksize=1))
        throughput = list(pool.map(_cell, cells, chunksize=1))
    width = len(LOSSES)
    matrix: dict[str, dict[str, list[float]]] = {control: {} for control in CONTROLS}
    for at in range(0, len(cells), width):
        control, buffer, _, _ = cells[at]
        matrix[control][str(buffer)] = throughput[at : at + width]
    fairness: dict[str, list[dict[str, float]]] = {control: [] for control in CONTROLS}
    for (control, _), found in sorted(zip(runs, sharing, strict=True), key=lambda pair: pair[0][1]):
        fairness[control].append(found)
    return {"octets": octets, "losses": list(LOSSES), "matrix": matrix, "fairness": fairness}


def show(found: dict[str, object]) -> None:
    """The ratios to smoltcp's figures, as tables."""
    matrix, fairness = found["matrix"], found["fairness"]
    assert isinstance(matrix, dict)
    assert isinstance(fairness, dict)
    for control in CONTROLS:
        print(f"\n{control}: octets per second, and their ratio to smoltcp's")
        print("buffer" + "".join(f"{loss:>18.1%}" for loss in LOSSES))
        for buffer in BUFFERS:
            row = zip(matrix[control][str(buffer)], SMOLTCP[buffer], strict=True)
            print(f"{buffer:>6}" + "".join(f"{ours:>12.2f} {ours / theirs:>5.2f}" for ours, theirs in row))
    for control in CONTROLS:
        print(f"\n{control}: flows that share 200 Mbit/s with a queue of 64 KiB; octets per second of all together")
        print("flows     together    fairness   dropped     smoltcp: the same, without congestion control")
        for run in fairness[control]:
            theirs = SMOLTCP_FAIRNESS[int(run["flows"])]
            print(
                f"{int(run['flows']):>5} {run['together']:>12.0f} {run['fairness']:>11.4f} {run['dropped']:>9.4f}"
                f"{theirs[0]:>16.2f}{theirs[1]:>10.4f}{theirs[2]:>10.4f}"
            )


def figures(found: dict[str, object]) -> list[dict[str, object]]:
    """The worst cells, in the form that the bench session collects."""
    matrix = found["matrix"]
    assert isinstance(matrix, dict)
    told = []
    for control in CONTROLS:
        cells = [
            (ours / theirs, ours, theirs, buffer, loss)
            for buffer in BUFFERS
            for ours, theirs, loss in zip(matrix[control][str(buffer)], SMOLTCP[buffer], LOSSES, strict=True)
        ]
        large = [entry for entry in cells if entry[3] == 32768 and entry[4] >= 0.05]
        for what, chosen, target in (
            ("worst of 72 cells", cells, ">= 1"),
            ("worst at 32 KiB and 5-30 %", large, ">= 1.5"),
        ):
            ratio, ours, theirs, buffer, loss = min(chosen)
            told.append(
                {
                    "figure": f"{control}, {what}, B/s ({buffer} octets, {loss:.1%})",
                    "ours": ours,
                    "peer": "smoltcp",
                    "theirs": theirs,
                    "ratio": ratio,
                    "target": target,
                }
            )
    return told


def main() -> None:
    """Measure, show, and write where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="all octets; write what is checked in")
    parser.add_argument("--draw", action="store_true", help="draw the chart from what is checked in")
    parser.add_argument("--json", type=Path, help="where the bench session wants the figures")
    options = parser.parse_args()
    if options.draw:
        found = json.loads(DATA.read_text())
    else:
        started = time.monotonic()
        found = measure(OCTETS if options.write else OCTETS // 10, FLOWS if options.write else FLOWS[:4])
        print(f"{time.monotonic() - started:.0f} s")
    if options.write:
        DATA.write_text(json.dumps(found, indent=1) + "\n")
    if options.write or options.draw:
        CHART.write_text(chart(found["matrix"], found["fairness"]))
    show(found)
    if options.json:
        options.json.write_text(json.dumps({"figures": figures(found), "rows": []}, indent=2) + "\n")


if __name__ == "__main__":
    main()
