"""Two authorities: one that the tests trust, one that they do not."""

from __future__ import annotations

import pytest
from mirage.conduit.testing import Authority


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The one that is trusted."""
    return Authority("good", tmp_path_factory.mktemp("good"))


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """One that is not."""
    return Authority("strange", tmp_path_factory.mktemp("strange"))
