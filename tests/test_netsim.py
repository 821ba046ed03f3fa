"""The record of smoltcp's benchmark that is checked in, and the chart that is drawn from it."""

from __future__ import annotations

import importlib.util
import json

from mirage.tcpip.testing.netsim import BUFFERS, SMOLTCP

from tasks.tree import ROOT

BENCHMARKS = ROOT / "packages" / "stack" / "tcpip" / "benchmarks"
DATA = json.loads((BENCHMARKS / "netsim.json").read_text())


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
    spec = importlib.util.spec_from_file_location("netsim_chart", BENCHMARKS / "_chart.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    drawn = module.chart(DATA["matrix"], DATA["fairness"])
    assert (ROOT / "site" / "diagrams" / "tcpip-loss.svg").read_text() == drawn
