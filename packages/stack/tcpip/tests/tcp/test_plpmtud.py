"""Packetization-layer path MTU discovery: RFC 4821 and RFC 8899, by clause and against every path."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mirage.tcpip.tcp.plpmtud import PathMtuSearch, SearchPhase


def search(size: int = 1280, ceiling: int = 1500, base: int = 1280, enabled: bool = True) -> PathMtuSearch:
    return PathMtuSearch(size, ceiling, base, overhead=60, enabled=enabled)


def settle(found: PathMtuSearch, path: int, now: float = 0.0) -> tuple[int, float]:
    """Probe a path of that MTU until nothing is left to try; the number of probes, and the time."""
    probes = 0
    while found.phase is SearchPhase.SEARCHING:
        now += 2.0
        size = found.next_probe(now)
        if size is None:
            continue
        probes += 1
        assert probes < 80
        found.on_probe_sent(size)
        assert found.next_probe(now) is None
        if size <= path:
            found.on_probe_acked(size, now)
        else:
            found.on_probe_lost(size, now)
    return probes, now


@given(st.integers(1280, 65535), st.integers(1280, 65535))
def test_rfc8899_5_2_every_path_is_found(path: int, ceiling: int) -> None:
    """To within a granule, never above it, with a number of probes that is a logarithm."""
    found = search(ceiling=ceiling)
    probes, _ = settle(found, path)
    best = min(path, ceiling)
    assert best - 32 < found.size <= best
    assert found.mss == found.size - 60
    assert probes <= 3 * 16 + 5


def test_rfc8899_5_3_2_common_sizes_first() -> None:
    """Ethernet's takes one probe, and so do jumbo frames."""
    for path in (1500, 9000):
        found = search(ceiling=path)
        assert settle(found, path)[0] == 1
        assert found.size == path


def test_rfc8899_5_1_3_one_loss_is_no_proof() -> None:
    """A size is given up after three losses in a row; the next probe waits a while."""
    found = search()
    size = found.next_probe(0.0)
    assert size == 1500
    for now in (0.0, 10.0):
        assert found.next_probe(now) == size
        found.on_probe_sent(size)
        found.on_probe_lost(size, now)
        assert found.next_probe(now + 0.5) is None
    assert found.next_probe(20.0) == size
    found.on_probe_sent(size)
    found.on_probe_acked(size, 20.0)
    assert found.size == 1500


def test_rfc8899_5_1_1_the_raise_timer() -> None:
    """A path that became wider is found after ten minutes."""
    found = search(ceiling=9000)
    _, now = settle(found, 1500)
    assert found.size == 1500
    deadline = found.next_deadline()
    assert deadline == now + 600
    assert found.next_probe(deadline - 1) is None
    assert found.next_probe(deadline) is not None
    settle(found, 9000, deadline)
    assert found.size == 9000
    assert found.next_deadline() is None


def test_rfc8899_4_3_black_hole() -> None:
    """Two timeouts of full packets without progress fall back to the base; later the search finds what there is."""
    found = search(size=1500)
    assert not found.on_timeout(1500, 1.0)
    found.on_progress()
    assert not found.on_timeout(1500, 2.0)
    assert found.on_timeout(1500, 3.0)
    assert found.size == 1280
    assert found.next_probe(3.5) is None
    settle(found, 1400, 3.0)
    assert 1368 < found.size <= 1400


def test_rfc4821_7_7_a_proved_size_is_doubted_later() -> None:
    """Where full packets have got through, two timeouts may be loss; six are not."""
    found = search(size=1500)
    for now in (1.0, 2.0, 4.0, 8.0, 16.0):
        assert not found.on_timeout(1500, now, proved=True)
    assert found.on_timeout(1500, 32.0, proved=True)
    assert found.size == 1280


def test_rfc4821_7_7_small_packets_are_no_black_hole() -> None:
    """When packets of the base size are not acknowledged either, the path is broken, not narrow."""
    found = search(size=1500)
    for now in range(10):
        assert not found.on_timeout(1280, float(now))
    assert found.size == 1500
    assert not search().on_black_hole(0.0)


def test_rfc8899_4_6_2_a_packet_too_big_message() -> None:
    """Takes effect at once, and bounds the search; it never goes below the base."""
    found = search(size=1500, ceiling=9000)
    found.on_too_big(1400, 0.0)
    assert found.size == 1400
    settle(found, 1400)
    assert found.size == 1400
    found.on_too_big(600, 0.0)
    assert found.size == 1280


def test_disabled() -> None:
    """No probes; but a black hole is found all the same."""
    found = search(size=1500, ceiling=9000, enabled=False)
    assert found.next_probe(1e6) is None
    found.on_timeout(1500, 1.0)
    assert found.on_timeout(1500, 2.0)
    assert found.size == 1280
    assert found.next_probe(1e6) is None


@pytest.mark.parametrize("size", [1280, 1500])
def test_a_late_answer_changes_nothing(size: int) -> None:
    """The fate of a probe that is no larger than what is known already."""
    found = search(size=1500, ceiling=9000)
    found.on_probe_lost(size, 0.0)
    found.on_probe_acked(size, 0.0)
    assert found.size == 1500
