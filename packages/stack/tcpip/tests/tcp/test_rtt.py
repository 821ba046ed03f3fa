"""The retransmission timeout, clause by clause of RFC 6298."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mirage.tcpip.tcp.rtt import RttEstimator


def test_rfc6298_2_1_initial() -> None:
    """Until a round trip was measured, the timeout is one second; another may be chosen, within the bounds."""
    assert RttEstimator().rto == 1.0
    assert RttEstimator(0.1, 0.2, 60).rto == 0.2
    assert RttEstimator(100, 0.2, 60).rto == 60


def test_rfc6298_2_2_first_sample() -> None:
    """SRTT is the sample, RTTVAR half of it, RTO both and four times."""
    rtt = RttEstimator(1, 0.001, 60)
    rtt.sample(0.5)
    assert (rtt.srtt, rtt.rttvar, rtt.rto) == (0.5, 0.25, 1.5)


def test_rfc6298_2_3_later_samples() -> None:
    """RTTVAR with beta of a quarter and the old SRTT, then SRTT with alpha of an eighth."""
    rtt = RttEstimator(1, 0.001, 60)
    rtt.sample(0.5)
    rtt.sample(0.9)
    assert rtt.rttvar == pytest.approx(0.75 * 0.25 + 0.25 * 0.4)
    assert rtt.srtt == pytest.approx(0.875 * 0.5 + 0.125 * 0.9)
    assert rtt.rto == pytest.approx(rtt.srtt + 4 * rtt.rttvar)


def test_rfc6298_2_4_floor_under_the_variance() -> None:
    """A steady path's timeout stays the floor above its round trip."""
    rtt = RttEstimator(1, 0.2, 60)
    for _ in range(200):
        rtt.sample(0.5)
    assert rtt.rto == pytest.approx(0.7)


def test_rfc6298_2_5_ceiling() -> None:
    """However slow the path, the timeout has a maximum."""
    rtt = RttEstimator(1, 0.2, 60)
    rtt.sample(50)
    assert rtt.rto == 60


def test_rfc6298_5_5_back_off_and_karn() -> None:
    """The timeout doubles each time, and is what it was once new data are acknowledged or a round trip is measured."""
    rtt = RttEstimator(1, 0.2, 60)
    seen = []
    for _ in range(8):
        seen.append(rtt.rto)
        rtt.back_off()
    assert seen == [1, 2, 4, 8, 16, 32, 60, 60]
    assert rtt.backoff == 8
    rtt.reset_backoff()
    assert (rtt.rto, rtt.backoff) == (1, 0)
    rtt.back_off()
    rtt.sample(0.1)
    assert rtt.backoff == 0
    assert rtt.rto == pytest.approx(0.3)


def test_rfc6298_5_7_after_a_lost_syn() -> None:
    """Data after a SYN that timed out begin with three seconds, unless a round trip is known."""
    rtt = RttEstimator()
    rtt.back_off()
    rtt.established(syn_retransmitted=True)
    assert rtt.rto == 3
    known = RttEstimator()
    known.sample(0.1)
    known.established(syn_retransmitted=True)
    assert known.rto == pytest.approx(0.3)
    clean = RttEstimator()
    clean.established(syn_retransmitted=False)
    assert clean.rto == 1


@given(st.lists(st.tuples(st.floats(0.001, 5), st.floats(0.001, 3)), min_size=1, max_size=80))
def test_the_minimum_is_of_the_window(steps: list[tuple[float, float]]) -> None:
    """It is never below the least of the last ten seconds, is one of the samples, and is exact while they only fall
    or all are within a window."""
    rtt = RttEstimator()
    now, seen = 0.0, []
    for value, gap in steps:
        now += gap
        rtt.sample(value, now)
        seen.append((now, value))
        recent = [v for t, v in seen if now - t <= 10]
        assert rtt.min_rtt(now) in recent
        if len(recent) == len(seen):
            assert rtt.min_rtt(now) == min(recent)


@given(st.lists(st.one_of(st.floats(-1, 200), st.none()), max_size=60))
def test_always_within_bounds(events: list[float | None]) -> None:
    """Whatever is measured, clocks that jump included, and however often the timer expires."""
    rtt = RttEstimator(1, 0.2, 60)
    for event in events:
        if event is None:
            rtt.back_off()
        else:
            rtt.sample(event)
        assert 0.2 <= rtt.rto <= 60
        assert rtt.srtt >= 0
        assert rtt.rttvar >= 0
