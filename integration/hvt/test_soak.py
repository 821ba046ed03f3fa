"""The soak in small: a third of a minute of it, and that it would notice."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from . import soak

FLAT = [soak.Sample(2.0 * i, 300, 30 << 20, 8, 50 << 20, 12) for i in range(1, 31)]


@pytest.mark.kvm
@pytest.mark.tool("gcc")
@pytest.mark.slow
def test_a_third_of_a_minute_is_flat(tmp_path: Path) -> None:
    """Timers fire, threads end, memory comes and goes, and at the end there is no more of it than before."""
    samples = soak.run(22 / 60, tmp_path)
    assert soak.complaints(samples) == [], soak.table(samples)


@pytest.mark.parametrize("name", ["guest_used", "guest_descriptors", "tender", "tender_descriptors"])
def test_growth_is_noticed(name: str) -> None:
    """A little more in every round is said, with both figures."""
    step = 1 if "descriptors" in name else 1 << 20
    grown = [dataclasses.replace(s, **{name: getattr(s, name) + i * step}) for i, s in enumerate(FLAT)]
    assert soak.complaints(FLAT) == []
    assert len(soak.complaints(grown)) == 1
    assert "grew from" in soak.complaints(grown)[0]


def test_too_short_a_soak_is_refused() -> None:
    """Two rounds show nothing."""
    with pytest.raises(ValueError, match="says nothing"):
        soak.complaints(FLAT[:2])
