"""Tail loss probes (RFC 8985 7): what they say about the network, and what they do not."""

from __future__ import annotations

import pytest
from mirage.tcpip.tcp.reno import Reno
from mirage.tcpip.tcp.rtt import RttEstimator
from mirage.tcpip.tcp.sender import Sender, Timer

MSS = 1000
OUT = 2 * MSS


@pytest.fixture
def sender() -> Sender:
    """One that has two segments under way, and whose probe timer has run out."""
    made = Sender(0, MSS, Reno(MSS), RttEstimator())
    made.sack = True
    made.edge = 1 << 20
    made.rtt.sample(0.01, 0.0)
    for _ in range(2):
        made.put(memoryview(bytes(MSS)))
        made.take(MSS, False, 0.0)
    made.arm(0.0)
    assert made.timer is Timer.PROBE
    return made


def _ack(sender: Sender, ack: int, now: float, blocks: list[tuple[int, int]] | None = None) -> None:
    sender.on_ack(ack, blocks or [], not blocks and ack == sender.una, None, False, False, now)


def test_a_probe_of_new_data_says_nothing_of_loss(sender: Sender) -> None:
    """It was no retransmission, so that it is acknowledged mends nothing (TLP.is_retrans)."""
    before = sender.congestion.cwnd
    sender.put(memoryview(bytes(MSS)))
    assert sender.on_probe_timer(0.22) is None
    sender.take(MSS, False, 0.22)
    _ack(sender, OUT + MSS, 0.23)
    assert sender.probe_end is None
    assert sender.congestion.cwnd >= before


def test_original_and_probe_both_arrive(sender: Sender) -> None:
    """The acknowledgment of the original comes late; a DSACK then says that the probe was not needed."""
    before = sender.congestion.cwnd
    assert sender.on_probe_timer(0.22) is not None
    _ack(sender, OUT, 0.225)
    assert sender.probe_end == OUT  # not known yet
    _ack(sender, OUT, 0.23, [(MSS, OUT)])
    assert sender.probe_end is None
    assert sender.congestion.cwnd >= before


def test_a_duplicate_settles_it_where_there_is_no_dsack(sender: Sender) -> None:
    """RFC 8985 7.4.2, case 2."""
    before = sender.congestion.cwnd
    sender.on_probe_timer(0.22)
    _ack(sender, OUT, 0.225)
    _ack(sender, OUT, 0.23)
    assert sender.probe_end is None
    assert sender.congestion.cwnd >= before


def test_the_probe_mended_a_loss(sender: Sender) -> None:
    """Later data is acknowledged, and nobody has said that the segment came twice: it was lost once."""
    before = sender.congestion.cwnd
    sender.on_probe_timer(0.22)
    _ack(sender, OUT, 0.225)
    sender.put(memoryview(bytes(MSS)))
    sender.take(MSS, False, 0.23)
    _ack(sender, OUT + MSS, 0.24)
    assert sender.probe_end is None
    assert sender.congestion.cwnd < before
