"""An upstream on loopback, and a family of packages on it, for each test that wants them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bots.is_broken.testing import Upstream
from bots.is_broken.testing.family import Family


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """An index with nothing on it."""
    with Upstream() as upstream:
        yield upstream


@pytest.fixture
def family(upstream: Upstream, tmp_path: Path) -> Family:
    """Four members and a project, with a good night behind them."""
    family = Family(tmp_path, upstream)
    night = family.night()
    assert [result.outcome.value for result in night.results] == ["good"]
    return family
