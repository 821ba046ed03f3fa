"""What every test of the tree shares: the marks that say what a machine must have, each skipped with its mend."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from tasks.machine import missing

try:
    from hypothesis import settings
except ImportError:  # not every package's tests use it
    pass
else:
    settings.register_profile("mirage", deadline=None)  # how fast a machine is, is no property of the code
    settings.load_profile("mirage")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose program, right or device is missing, saying what would provide it."""
    for mark in item.iter_markers("tool"):
        for program in mark.args:
            if lack := missing(program):
                pytest.skip(lack)
    if item.get_closest_marker("root") and os.geteuid() != 0:
        pytest.skip("needs root: sudo ./noxw -s tests")
    if item.get_closest_marker("kvm") and not os.access("/dev/kvm", os.R_OK | os.W_OK):
        pytest.skip("needs /dev/kvm: modprobe kvm_intel (or kvm_amd), and be in the group kvm")
