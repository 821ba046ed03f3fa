"""Bounds on pinned distributions."""

from __future__ import annotations

import pytest
from mirage.tool.distributions import closure
from mirage.tool.errors import BuildError

WANTED = [("mirage-types>=7", "the application")]


def test_a_pin_beats_the_bounds_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what is named may be outside its bounds."""
    monkeypatch.delenv("MIRAGE_PINNED", raising=False)
    with pytest.raises(BuildError, match="needs mirage-types>=7"):
        closure(WANTED)
    monkeypatch.setenv("MIRAGE_PINNED", "mirage-hvt")
    with pytest.raises(BuildError, match="needs mirage-types>=7"):
        closure(WANTED)
    monkeypatch.setenv("MIRAGE_PINNED", "mirage-hvt Mirage_Types")
    assert [d.name for d in closure(WANTED)] == ["mirage-types"]
