"""Tests against the kernel and other programs, over a TAP in a network namespace of the test's own."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from mirage.net.testing import network_namespace

sys.path.insert(0, str(Path(__file__).parent))


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
