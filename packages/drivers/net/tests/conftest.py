"""Properties are tested without a wall clock: a busy machine is no failure."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings
from mirage.net.testing import namespace_or

settings.register_profile("mirage", deadline=None)
settings.load_profile("mirage")


@pytest.fixture
def namespace() -> Iterator[None]:
    """The test runs in a network namespace of its own."""
    with namespace_or(pytest.skip):
        yield
