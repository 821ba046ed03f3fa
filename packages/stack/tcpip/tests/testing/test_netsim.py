"""smoltcp's benchmark: some cells in short; `tests/test_netsim.py` of the tree is about all that is checked in."""

from __future__ import annotations

import pytest
from mirage.tcpip.testing.netsim import LOSSES, SMOLTCP, SMOLTCP_FAIRNESS, cell, shares


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
