"""Many connections, a flood, and idleness: nothing is left, nothing grows. The whole numbers are in the module."""

from __future__ import annotations

import os

import pytest
from mirage.tcpip.settings import Settings
from mirage.tcpip.testing.endurance import flood, idle, open_and_close

WHOLE = os.environ.get("MIRAGE_ENDURANCE") == "all"
BUDGET = 4096


@pytest.mark.slow
def test_connections_leave_nothing() -> None:
    """10,000 connections opened and closed (or a million): not one object more than before, but for some slack."""
    seen = open_and_close(1_000_000 if WHOLE else 10_000)
    print(seen)
    assert seen.connections == 0
    assert seen.objects < 200


@pytest.mark.slow
def test_a_flood_of_syns() -> None:
    """100,000 SYNs a second: bounded memory, and every real client is served meanwhile."""
    seen = flood(10.0 if WHOLE else 0.3)
    print(seen)
    assert seen.syns == (1_000_000 if WHOLE else 30_000)
    assert seen.served == (500 if WHOLE else 15)
    assert seen.half_open <= Settings().max_half_open
    assert seen.cookies > seen.syns * 0.9
    assert seen.objects < 200


@pytest.mark.slow
def test_idle_connections_are_small() -> None:
    """At most 4 KiB each."""
    size = idle(10_000 if WHOLE else 1000)
    print(f"{size:.0f} octets")
    assert size <= BUDGET
