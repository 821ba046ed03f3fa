"""The table of the benchmarks: what was found, with and without compiled wheels."""

from __future__ import annotations

import json
from pathlib import Path

from tasks.bench import summary


def found(path: Path, *figures: tuple[str, float, float, str]) -> Path:
    """A benchmark's file with figures: what, ours, the peer's, and the target of the ratio."""
    rows = [
        {"figure": what, "ours": ours, "peer": "the kernel", "theirs": theirs, "ratio": ours / theirs, "target": target}
        for what, ours, theirs, target in figures
    ]
    path.write_text(json.dumps({"figures": rows, "rows": []}))
    return path


def test_a_figure_is_met_or_missed(tmp_path: Path) -> None:
    """By its ratio, on either side of a bound; one without a target is only shown."""
    file = found(
        tmp_path / "a.json", ("rate", 9, 10, ">= 0.9"), ("time", 13, 10, "<= 1.2"), ("time of all", 13, 10, "")
    )
    lines = summary([file]).splitlines()
    assert lines[0].split() == ["figure", "ours", "peer", "theirs", "ratio", "target"]
    assert [line.endswith("MISSED") for line in lines[1:4]] == [False, True, False]
    assert lines[-1] == "3 figures, 1 missed"


def test_compiled_figures_stand_beside(tmp_path: Path) -> None:
    """Each beside its own, whatever their order; the verdict is on what is compiled, where something is."""
    plain = found(tmp_path / "a.json", ("rate", 5, 10, ">= 0.9"), ("time", 9, 10, "<= 1.2"), ("alone", 1, 2, ">= 1"))
    compiled = found(tmp_path / "b.json", ("time", 13, 10, "<= 1.2"), ("rate", 10, 10, ">= 0.9"))
    lines = summary([plain], [compiled]).splitlines()
    assert lines[0].split() == ["figure", "ours", "peer", "theirs", "ratio", "compiled", "ratio", "target"]
    assert lines[1].split() == ["rate", "5", "the", "kernel", "10", "0.50", "10", "1.00", ">=", "0.9"]
    assert lines[2].split() == ["time", "9", "the", "kernel", "10", "0.90", "13", "1.30", "<=", "1.2", "MISSED"]
    assert lines[3].split() == ["alone", "1", "the", "kernel", "2", "0.50", ">=", "1", "MISSED"]
    assert lines[-1] == "3 figures, 2 missed; compiled 1 missed of 2"


def test_figures_of_one_name_are_told_apart(tmp_path: Path) -> None:
    """By their order: "the same, CPU" stands behind more than one figure."""
    plain = found(tmp_path / "a.json", ("the same", 1, 1, ""), ("the same", 2, 1, ""))
    compiled = found(tmp_path / "b.json", ("the same", 3, 1, ""), ("the same", 4, 1, ""))
    lines = summary([plain], [compiled]).splitlines()
    assert [line.split()[-2:] for line in lines[1:3]] == [["3", "3.00"], ["4", "4.00"]]
    assert lines[-1] == "2 figures, 0 missed; compiled 0 missed of 2"
