"""Properties are tested without a wall clock: a busy machine is no failure."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import pytest
from mirage.net.testing import network_namespace


@pytest.fixture
def namespace() -> Iterator[None]:
    """The test runs in a network namespace of its own."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(network_namespace())
        except PermissionError:
            pytest.skip("root may make no network namespace here: in a container, docker run --privileged")
        if not os.path.exists("/dev/net/tun"):
            pytest.skip("needs /dev/net/tun: modprobe tun")
        yield
