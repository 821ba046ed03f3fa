"""Proportional Rate Reduction, after the examples and rules of RFC 9937 (and RFC 6937, whose figures they are)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from mirage.tcpip.tcp.prr import ProportionalRateReduction

MSS = 1000


def run(lost: set[int], flight: int = 20, ssthresh: int = 10) -> tuple[list[int], int]:
    """Segments sent on each acknowledgement of a window of which `lost` never arrive, and the pipe in the end.

    The recovery begins at the third duplicate acknowledgement, as in the RFC's figures; each sent segment is taken
    for a retransmission first and new data after it. None of what is sent in it arrives within the round trip.
    """
    prr = ProportionalRateReduction()
    arrive = [n for n in range(flight) if n not in lost]
    sent: list[int] = []
    out = 0
    prr.start(flight * MSS, ssthresh * MSS, MSS)
    pipe = 0
    for count, _ in enumerate(arrive, 1):
        if count < 3:
            continue
        delivered = (3 if count == 3 else 1) * MSS
        pipe = (flight - len(lost) - count + out) * MSS
        segments = prr.on_ack(delivered, pipe, MSS, False) // MSS
        prr.on_sent(segments * MSS)
        out += segments
        sent.append(segments)
    return sent, pipe + sent[-1] * MSS


def test_rfc6937_figure_1_one_loss() -> None:
    """The first retransmission at once, then one segment for every two acknowledgements; in flight in the end is
    ssthresh."""
    sent, pipe = run({0})
    assert sent[0] >= 1
    assert set(sent[1:]) <= {0, 1}
    assert sum(sent) in (9, 10)
    assert pipe == 10 * MSS


def test_rfc6937_figure_2_a_burst_of_losses() -> None:
    """With the pipe below ssthresh, each acknowledgement lets one segment out: no silence, no burst."""
    sent, _ = run(set(range(15)))
    assert sent[0] == 3
    assert sent[1:] == [1, 1]


def test_rfc9937_6_a_safe_acknowledgement_adds_one_segment() -> None:
    """SSRB: the pipe is refilled by one segment each, up to ssthresh and no further."""
    prr = ProportionalRateReduction()
    prr.start(20 * MSS, 10 * MSS, MSS)
    assert prr.on_ack(MSS, 3 * MSS, MSS, safe_ack=True) == 2 * MSS
    prr.on_sent(2 * MSS)
    assert prr.on_ack(MSS, 4 * MSS, MSS, safe_ack=False) == MSS
    prr.on_sent(MSS)
    assert prr.on_ack(MSS, 9 * MSS + 900, MSS, safe_ack=True) == 100


def test_rfc9937_6_nothing_for_nothing() -> None:
    """A duplicate acknowledgement that delivers nothing sends nothing, not even the first retransmission."""
    prr = ProportionalRateReduction()
    prr.start(20 * MSS, 10 * MSS, MSS)
    assert prr.on_ack(0, 3 * MSS, MSS, safe_ack=False) == 0
    assert prr.on_ack(MSS, 19 * MSS, MSS, safe_ack=False) == MSS


@given(
    st.integers(4, 200),
    st.integers(2, 140),
    st.data(),
)
def test_never_more_than_was_delivered_and_a_bound(flight: int, ssthresh: int, data: st.DataObject) -> None:
    """What is sent in a recovery is at most what was delivered and a segment for each acknowledgement, and the pipe
    never grows by more than a segment above ssthresh."""
    ssthresh = min(ssthresh, flight)
    prr = ProportionalRateReduction()
    prr.start(flight * MSS, ssthresh * MSS, MSS)
    pipe, delivered, sent = flight * MSS, 0, 0
    for acks in range(1, flight + 1):
        arrived = data.draw(st.integers(0, min(3, pipe // MSS))) * MSS
        lost = data.draw(st.integers(0, max(0, (pipe - arrived) // MSS))) * MSS if acks % 5 == 0 else 0
        before = pipe
        pipe -= arrived + lost
        delivered += arrived
        may = prr.on_ack(arrived, pipe, MSS, lost == 0 and arrived > 0)
        assert may >= 0
        may -= may % MSS
        assert pipe + may <= max(before + MSS, ssthresh * MSS)
        prr.on_sent(may)
        pipe += may
        sent += may
        assert sent <= delivered + acks * MSS
