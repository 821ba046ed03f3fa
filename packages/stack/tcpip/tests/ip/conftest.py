"""The tests of IP import their helpers from beside them, and run in network namespaces of their own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from mirage.net.testing import namespace_or

sys.path.insert(0, str(Path(__file__).parent))

settings.register_profile("mirage", deadline=None)
settings.load_profile("mirage")


@pytest.fixture
def namespace() -> Iterator[None]:
    """The test runs in a network namespace of its own, without a way out."""
    with namespace_or(pytest.skip):
        yield
