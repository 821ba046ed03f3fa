"""Every file of the tree says what its package's description says."""

from __future__ import annotations

from mirage.assemblage import drift

from tasks.tree import ROOT


def test_nothing_has_drifted() -> None:
    """`mirage-assemblage check` finds nothing; what it finds is shown as a diff."""
    found = drift(ROOT)
    assert not found, "\n".join(found)
