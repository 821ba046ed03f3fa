"""The tests of IP import their helpers from beside them, and run in network namespaces of their own."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from mirage.net.testing import network_namespace

sys.path.insert(0, str(Path(__file__).parent))

settings.register_profile("mirage", deadline=None)
settings.load_profile("mirage")


@pytest.fixture
def namespace() -> Iterator[None]:
    """The test runs in a network namespace of its own, without a way out."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(network_namespace())
        except PermissionError:
            pytest.skip("root may make no network namespace here: in a container, docker run --privileged")
        if not os.path.exists("/dev/net/tun"):
            pytest.skip("needs /dev/net/tun: modprobe tun")
        yield
