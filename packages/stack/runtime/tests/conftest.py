"""Properties are tested without a wall clock: a busy machine is no failure."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from mirage.net.testing import namespace_or
from mirage.runtime.testing import SimHost, SimLoop

sys.path.insert(0, str(Path(__file__).parent))  # where `sockets` and `dnsmasq` are


@pytest.fixture
def namespace() -> Iterator[None]:
    """The test runs in a network namespace of its own."""
    with namespace_or(pytest.skip):
        yield


@pytest.fixture
def loop() -> Iterator[SimLoop]:
    """Virtual time."""
    with SimLoop(seed=1) as loop:
        yield loop


@pytest.fixture
def hosts(loop: SimLoop) -> tuple[SimHost, SimHost]:
    """A server and a client on one link, with an address of each version."""
    network = loop.network(delay=0.01)
    return (
        loop.host("server", network, "10.0.0.1/24", "fd00::1/64"),
        loop.host("client", network, "10.0.0.2/24", "fd00::2/64"),
    )
