"""How the window grows with what is acknowledged, however the acknowledgments come."""

from __future__ import annotations

import pytest
from mirage.tcpip.tcp.congestion import CongestionControl
from mirage.tcpip.tcp.cubic import Cubic
from mirage.tcpip.tcp.reno import Reno
from mirage.tcpip.tcp.rtt import RttEstimator
from mirage.tcpip.tcp.sender import Sender

MSS = 1000
WINDOW = 10
RTT = 0.1


def _sender(congestion: CongestionControl, segments: int) -> Sender:
    made = Sender(0, MSS, congestion, RttEstimator())
    made.sack = True
    made.edge = 1 << 20
    _send(made, segments, 0.0)
    return made


def _send(sender: Sender, segments: int, now: float) -> None:
    for _ in range(segments):
        sender.put(memoryview(bytes(MSS)))
        sender.take(MSS, False, now)


def _acknowledge(sender: Sender, ack: int, now: float, lane: bool) -> None:
    if lane:
        sender.acknowledge(ack, now)
    else:
        sender.on_ack(ack, [], False, None, False, False, now)


@pytest.mark.parametrize("lane", [True, False])
def test_rfc5681_3_1_acknowledgments_in_one_turn_all_count(lane: bool) -> None:
    """A window that was full is doubled by the acknowledgments of all of it, though nothing is sent between them."""
    sender = _sender(Reno(MSS), WINDOW)
    for segment in range(2, WINDOW + 1, 2):
        _acknowledge(sender, segment * MSS, RTT, lane)
    assert sender.congestion.cwnd == 2 * WINDOW * MSS


@pytest.mark.parametrize("lane", [True, False])
def test_rfc9438_5_8_acknowledgments_in_one_turn_are_no_pause(lane: bool) -> None:
    """In congestion avoidance too: CUBIC's clock does not stop, as it does where the application sends too little."""
    together, apart = Cubic(MSS), Cubic(MSS)
    for congestion, batch in ((together, True), (apart, False)):
        congestion.cwnd = congestion.ssthresh = WINDOW * MSS
        sender = _sender(congestion, WINDOW)
        for number in range(1, 41):
            first = sender.una
            window = sender.nxt - first
            for at in range(MSS, window + 1, MSS):
                _acknowledge(sender, first + at, number * RTT, lane)
                if not batch:
                    _send(sender, (congestion.cwnd - sender.in_flight) // MSS, number * RTT)
            _send(sender, (congestion.cwnd - sender.in_flight) // MSS, number * RTT)
    assert together.cwnd == pytest.approx(apart.cwnd, rel=0.02)
    assert together.cwnd > 3 * WINDOW * MSS


@pytest.mark.parametrize("lane", [True, False])
def test_rfc7661_4_3_a_window_that_was_never_full_does_not_grow(lane: bool) -> None:
    """However many acknowledgments come."""
    sender = _sender(Reno(MSS), WINDOW // 2)
    for segment in range(1, WINDOW // 2 + 1):
        _acknowledge(sender, segment * MSS, RTT, lane)
    assert sender.congestion.cwnd == WINDOW * MSS


@pytest.mark.parametrize("lane", [True, False])
def test_rfc7661_4_3_what_was_full_once_is_not_for_ever(lane: bool) -> None:
    """Later the application sends half of it: then it stays."""
    sender = _sender(Reno(MSS), WINDOW)
    _acknowledge(sender, WINDOW * MSS, RTT, lane)
    grown = sender.congestion.cwnd
    _send(sender, WINDOW // 2, RTT)
    _acknowledge(sender, (WINDOW + WINDOW // 2) * MSS, 2 * RTT, lane)
    assert sender.congestion.cwnd == grown == 2 * WINDOW * MSS
