"""smoltcp's benchmark: some cells in short, and what is checked in of all of them."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from mirage.tcpip.testing.netsim import BUFFERS, LOSSES, SMOLTCP, SMOLTCP_FAIRNESS, cell, shares

PACKAGE = Path(__file__).parents[2]
DATA = json.loads((PACKAGE / "benchmarks" / "netsim.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("buffer", "loss", "congestion"),
    [(1024, 0.02, "cubic"), (2048, 0.1, "cubic"), (4096, 0.3, "cubic"), (16384, 0.02, "westwood")],
)
def test_a_cell_carries_what_smoltcp_does(buffer: int, loss: float, congestion: str) -> None:
    """At least, with a few hundred windows; `test_all_cells` is about all of it."""
    assert cell(buffer, loss, congestion, octets=min(200 * buffer, 1 << 20)) >= SMOLTCP[buffer][LOSSES.index(loss)]


def test_a_cell_is_a_function_of_its_seed() -> None:
    """Equal seeds give equal figures, to the last digit."""
    first = cell(4096, 0.1, octets=100_000, seed=3)
    assert first == cell(4096, 0.1, octets=100_000, seed=3)
    assert first != cell(4096, 0.1, octets=100_000, seed=4)


@pytest.mark.slow
def test_two_flows_share() -> None:
    """Neither starves the other, and together they carry more than one."""
    alone, both = shares(1, octets=1 << 20), shares(2, octets=1 << 20)
    assert alone.fairness == 1.0
    assert both.fairness > 0.9
    assert both.together > alone.together
    assert both.together > SMOLTCP_FAIRNESS[2][0]


def test_all_cells() -> None:
    """Of what is checked in: Westwood is nowhere below smoltcp, and CUBIC nowhere where a window is a few segments."""
    for buffer in BUFFERS:
        rows = zip(DATA["matrix"]["westwood"][str(buffer)], SMOLTCP[buffer], strict=True)
        assert all(ours >= theirs for ours, theirs in rows), buffer
        if buffer <= 4096:
            rows = zip(DATA["matrix"]["cubic"][str(buffer)], SMOLTCP[buffer], strict=True)
            assert all(ours >= theirs for ours, theirs in rows), buffer


def test_the_chart_is_drawn_from_the_data() -> None:
    """So that neither is changed without the other."""
    spec = importlib.util.spec_from_file_location("netsim_chart", PACKAGE / "benchmarks" / "_chart.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    drawn = module.chart(DATA["matrix"])
    assert (PACKAGE.parents[2] / "site" / "diagrams" / "tcpip-loss.svg").read_text() == drawn
