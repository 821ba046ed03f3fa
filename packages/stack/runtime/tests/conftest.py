"""Properties are tested without a wall clock: a busy machine is no failure."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from mirage.net.testing import namespace_or


@pytest.fixture
def namespace() -> Iterator[None]:
    """The test runs in a network namespace of its own."""
    with namespace_or(pytest.skip):
        yield
