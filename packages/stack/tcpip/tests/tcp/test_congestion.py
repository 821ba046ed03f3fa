"""The congestion controllers, clause by clause: RFC 5681, 6928, 8511, 9438, 9406."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mirage.tcpip.tcp.congestion import UNLIMITED, CongestionControl, controller
from mirage.tcpip.tcp.cubic import Cubic
from mirage.tcpip.tcp.hystart import HyStart, Phase
from mirage.tcpip.tcp.reno import Reno
from mirage.tcpip.tcp.westwood import Westwood

MSS = 1000
BOTH = pytest.mark.parametrize("kind", [Reno, Cubic])
ALL = pytest.mark.parametrize("kind", [Reno, Cubic, Westwood])


class Flow:
    """A sender that always has data and whose window arrives whole, one acknowledgement per segment."""

    def __init__(self, cc: CongestionControl, rtt: float = 0.1) -> None:
        self.cc, self.rtt, self.now, self.una = cc, rtt, 0.0, 0

    def round(self, rtt: float | None = None) -> None:
        """One round trip."""
        rtt = self.rtt if rtt is None else rtt
        segments = self.cc.cwnd // self.cc.mss
        end = self.una + segments * self.cc.mss
        for n in range(segments):
            self.now += rtt / segments
            self.una += self.cc.mss
            flight = self.cc.cwnd
            self.cc.on_ack(self.cc.mss, self.now, rtt, rtt, flight, True, self.una, end + n * self.cc.mss)

    def lose(self) -> None:
        """A loss event at a full window."""
        self.cc.on_congestion(self.now, self.cc.cwnd)


def avoiding(kind: type[CongestionControl], segments: int = 100) -> Flow:
    """A flow in congestion avoidance right after a loss at `segments`."""
    flow = Flow(kind(MSS))
    flow.cc.cwnd = segments * MSS
    flow.lose()
    return flow


@BOTH
def test_rfc6928_2_initial_window(kind: type[CongestionControl]) -> None:
    """min(10 MSS, max(2 MSS, 14600)), with ssthresh out of reach (RFC 5681 3.1)."""
    assert [kind(mss).cwnd for mss in (536, 1460, 8960, 65495)] == [5360, 14600, 17920, 130990]
    assert kind(1460).ssthresh == UNLIMITED


@BOTH
def test_rfc5681_3_1_slow_start(kind: type[CongestionControl]) -> None:
    """The window doubles each round trip."""
    flow = Flow(kind(MSS))
    for expected in (20, 40, 80):
        flow.round()
        assert flow.cc.cwnd == expected * MSS


@BOTH
def test_rfc5681_3_1_timeout(kind: type[CongestionControl]) -> None:
    """One segment; ssthresh is set by the first expiry and left by those that follow."""
    flow = Flow(kind(MSS))
    flow.cc.cwnd = 100 * MSS
    flow.cc.on_timeout(1.0, 100 * MSS, True)
    first = flow.cc.ssthresh
    assert flow.cc.cwnd == MSS
    assert 50 * MSS <= first <= 70 * MSS
    flow.cc.on_timeout(3.0, MSS, False)
    assert (flow.cc.cwnd, flow.cc.ssthresh) == (MSS, first)


@BOTH
def test_rfc5681_3_1_at_least_two_segments(kind: type[CongestionControl]) -> None:
    """However small the flight was."""
    cc = kind(MSS)
    cc.on_congestion(0.0, MSS)
    assert cc.ssthresh == cc.cwnd == 2 * MSS


@BOTH
def test_the_flight_is_the_measure_of_a_loss(kind: type[CongestionControl]) -> None:
    """RFC 5681 3.1, equation 4: a window that was not used is not what gets halved."""
    cc = kind(MSS)
    cc.cwnd = 1000 * MSS
    cc.on_congestion(0.0, 20 * MSS)
    assert cc.cwnd <= 14 * MSS


@BOTH
def test_a_full_window_is_the_measure_of_a_loss(kind: type[CongestionControl]) -> None:
    """RFC 9438 4.6: what of a full window is less than a segment cannot be in flight, and is not lost either."""
    cc, whole = kind(MSS), kind(MSS)
    cc.cwnd, whole.cwnd = 10 * MSS + MSS // 2, 10 * MSS
    for each in (cc, whole):
        each.on_congestion(0.0, 10 * MSS)
    assert cc.cwnd == pytest.approx(whole.cwnd * 1.05, abs=1)


@BOTH
def test_rfc9438_5_8_no_growth_when_limited_by_the_application(kind: type[CongestionControl]) -> None:
    """Neither in slow start nor above."""
    cc = kind(MSS)
    cc.on_ack(MSS, 0.1, 0.1, 0.1, MSS, False, 1000, 2000)
    assert cc.cwnd == 10 * MSS
    flow = avoiding(kind)
    before = flow.cc.cwnd
    for n in range(1000):
        flow.cc.on_ack(MSS, n / 10, 0.1, 0.1, MSS, False, 0, MSS)
    assert flow.cc.cwnd == before


@BOTH
def test_rfc8511_3_a_mark_is_milder_than_a_loss(kind: type[CongestionControl]) -> None:
    """And both leave more than nothing and less than all."""
    loss, mark = kind(MSS), kind(MSS)
    for cc in (loss, mark):
        cc.cwnd = 100 * MSS
    loss.on_congestion(0.0, 100 * MSS)
    mark.on_congestion(0.0, 100 * MSS, ecn=True)
    assert 50 * MSS <= loss.cwnd < mark.cwnd < 100 * MSS


@BOTH
def test_rfc3522_undo_restores_the_windows_once(kind: type[CongestionControl]) -> None:
    """A false alarm costs nothing; what was committed stays."""
    flow = avoiding(kind)
    for _ in range(3):
        flow.round()
    before = flow.cc.cwnd, flow.cc.ssthresh
    flow.cc.commit()
    flow.cc.on_timeout(flow.now, flow.cc.cwnd, True)
    flow.cc.on_timeout(flow.now + 1, flow.cc.mss, False)
    flow.cc.undo()
    assert (flow.cc.cwnd, flow.cc.ssthresh) == before
    flow.lose()
    flow.cc.commit()
    after = flow.cc.cwnd, flow.cc.ssthresh
    flow.cc.undo()
    assert (flow.cc.cwnd, flow.cc.ssthresh) == after


@BOTH
def test_rfc5681_4_1_restart_after_idle(kind: type[CongestionControl]) -> None:
    """Halved for each timeout of silence, down to the restart window; less than one changes nothing."""
    cc = kind(MSS)
    cc.cwnd, cc.ssthresh = 160 * MSS, 50 * MSS
    cc.on_idle(0.9, 1.0)
    assert cc.cwnd == 160 * MSS
    cc.on_idle(2.5, 1.0)
    assert cc.cwnd == 40 * MSS
    assert cc.ssthresh == 120 * MSS
    cc.on_idle(1e9, 1.0)
    assert cc.cwnd == 10 * MSS


@BOTH
def test_a_smaller_segment_keeps_the_number_of_segments(kind: type[CongestionControl]) -> None:
    """RFC 8201 5.4: a smaller path MTU does not mean a larger number of packets at once."""
    cc = kind(1000)
    cc.set_mss(500)
    assert cc.cwnd == 5000
    cc.set_mss(8000)
    assert cc.cwnd == 16000


def test_rfc5681_3_1_reno_avoidance() -> None:
    """One segment more each round trip, after half was lost; and octets are what counts (RFC 3465)."""
    flow = avoiding(Reno)
    assert flow.cc.cwnd == 50 * MSS
    for expected in (51, 52, 53):
        flow.round()
        assert flow.cc.cwnd == expected * MSS
    flow.cc.on_ack(530 * MSS, flow.now, 0.1, 0.1, 530 * MSS, True, flow.una, flow.una)
    assert flow.cc.cwnd == 63 * MSS


def test_rfc9438_4_6_beta() -> None:
    """A loss leaves seven tenths."""
    assert avoiding(Cubic).cc.cwnd == 70 * MSS


def test_rfc9438_4_2_back_at_the_plateau_after_k() -> None:
    """W(t) = C (t-K)**3 + W_max: at K the window is what it was at the loss, flat there and convex beyond."""
    flow = avoiding(Cubic, 2000)
    k = (600 / 0.4) ** (1 / 3)
    sizes = {}
    while flow.now < 2 * k:
        flow.round()
        sizes[flow.now] = flow.cc.cwnd / MSS
    for now, size in sizes.items():
        aim = 0.4 * (now + flow.rtt - k) ** 3 + 2000
        assert size == pytest.approx(aim, rel=0.02)
    assert max(size for now, size in sizes.items() if now < k - 1) < 2000
    assert flow.cc.cwnd / MSS > 2500


def test_rfc9438_4_3_friendly_to_reno_on_short_paths() -> None:
    """Where the cubic curve is slower than Reno, Reno's average window is the measure."""
    cubic, seconds = avoiding(Cubic, 100), 3.0
    cubic.rtt = 0.002
    while cubic.now < seconds:
        cubic.round()
    rounds = seconds / cubic.rtt
    assert 0.4 * (seconds - (30 / 0.4) ** (1 / 3)) ** 3 + 100 < 110
    # alpha 0.53 until it is back at 100 segments, 1 from there on.
    expected = 100 + (rounds - 30 / (0.9 / 1.7))
    assert cubic.cc.cwnd / MSS == pytest.approx(expected, rel=0.05)


def test_rfc9438_4_7_fast_convergence() -> None:
    """A loss below the last plateau gives up part of it."""
    flow = avoiding(Cubic, 1000)
    flow.lose()
    assert isinstance(flow.cc, Cubic)
    assert flow.cc._w_max == pytest.approx(700 * 1.7 / 2)
    flow.cc.cwnd = 900 * MSS
    flow.lose()
    assert flow.cc._w_max == pytest.approx(900)


def test_rfc9438_5_8_time_without_sending_does_not_count() -> None:
    """An hour in which the application sent little does not make the window explode."""
    flow, twin = avoiding(Cubic, 500), avoiding(Cubic, 500)
    for _ in range(10):
        flow.round()
        twin.round()
    flow.cc.on_ack(MSS, flow.now, 0.1, 0.1, MSS, False, flow.una, flow.una)
    flow.now += 3600
    flow.round()
    twin.round()
    assert flow.cc.cwnd == pytest.approx(twin.cc.cwnd, rel=0.02)


def test_rfc9438_4_8_after_a_timeout() -> None:
    """Slow start up to ssthresh, and from there to the old plateau, not beyond it at once."""
    flow = avoiding(Cubic, 400)
    flow.cc.on_timeout(flow.now, flow.cc.cwnd, True)
    while flow.cc.in_slow_start:
        flow.round()
    assert flow.cc.ssthresh <= flow.cc.cwnd < 1.2 * flow.cc.ssthresh
    for _ in range(5):
        flow.round()
    assert flow.cc.cwnd < 400 * MSS


def test_rfc9406_4_2_a_growing_round_trip_ends_slow_start() -> None:
    """After five conservative rounds, with ssthresh at the window; growth in them is a quarter."""
    flow = Flow(Cubic(MSS))
    flow.round(0.1)
    flow.round(0.1)
    flow.round(0.1)
    rounds = []
    while flow.cc.in_slow_start:
        before = flow.cc.cwnd
        flow.round(0.13)
        rounds.append(flow.cc.cwnd / before)
        assert len(rounds) < 12
    assert 5 <= len(rounds) <= 8
    assert rounds[3] == pytest.approx(1.25, abs=0.02)
    assert flow.cc.ssthresh <= flow.cc.cwnd


def test_rfc9406_4_2_a_steady_round_trip_does_not() -> None:
    """The window doubles for as long as the round trip varies less than the threshold."""
    flow = Flow(Cubic(MSS))
    for n in range(8):
        flow.round(0.1 + 0.005 * (n % 2))
    assert flow.cc.cwnd == 2560 * MSS


def test_rfc9406_4_2_a_false_alarm_resumes_slow_start() -> None:
    """When the round trip falls below the one that raised the alarm."""
    hystart, at = HyStart(), 0
    phases = []
    for rtt in (0.1, 0.1, 0.15, 0.15, 0.1, 0.1):
        for _ in range(10):
            hystart.growth(MSS, rtt, at, at + 10 * MSS)
            at += MSS
        phases.append(hystart.phase)
    assert phases[0] is phases[1] is Phase.SLOW_START
    assert Phase.CONSERVATIVE in phases[2:4]
    assert phases[-1] is Phase.SLOW_START


def test_rfc9406_4_2_few_samples_decide_nothing() -> None:
    """Fewer than eight in a round are no evidence."""
    hystart, at = HyStart(), 0
    for rtt in (0.1, 0.1, 0.3, 0.3, 0.3):
        for _ in range(7):
            hystart.growth(MSS, rtt, at, at + 7 * MSS)
            at += MSS
    assert hystart.phase is Phase.SLOW_START


def westwood(segments: int, rounds: int = 20) -> Flow:
    """A flow that has carried so many segments each round trip for a while."""
    flow = Flow(Westwood(MSS))
    flow.cc.cwnd = segments * MSS
    flow.cc.ssthresh = segments * MSS
    for _ in range(rounds):
        flow.round()
        flow.cc.cwnd = segments * MSS
    return flow


def test_westwood_a_chance_loss_costs_little() -> None:
    """The window stays at what was delivered, where Reno's is halved."""
    flow = westwood(100)
    flow.lose()
    assert flow.cc.cwnd == pytest.approx(100 * MSS, rel=0.06)
    flow.cc.on_timeout(flow.now, flow.cc.cwnd, True)
    assert flow.cc.cwnd == MSS
    assert flow.cc.ssthresh == pytest.approx(100 * MSS, rel=0.06)


def test_westwood_a_full_queue_costs_its_length() -> None:
    """Delivered at the same rate with twice the round trip: half of the window stood in the queue."""
    flow = westwood(100)
    for _ in range(15):
        flow.cc.cwnd = 200 * MSS
        flow.round(0.2)
    flow.cc.cwnd = 200 * MSS
    flow.lose()
    assert flow.cc.cwnd == pytest.approx(100 * MSS, rel=0.06)


def test_westwood_before_any_sample_is_reno() -> None:
    """Nothing is known yet, so half it is; and never more than there was."""
    cc = Westwood(MSS)
    cc.on_congestion(0.0, 10 * MSS)
    assert cc.cwnd == 5 * MSS
    flow = westwood(100)
    flow.cc.cwnd = 20 * MSS
    flow.lose()
    assert flow.cc.cwnd == 20 * MSS


def test_westwood_counts_what_a_recovery_delivers() -> None:
    """The rate does not sink while losses are mended."""
    flow = westwood(100)
    assert isinstance(flow.cc, Westwood)
    before = flow.cc.rate
    for _ in range(1500):
        flow.now += 0.001
        flow.cc.on_delivered(MSS, flow.now, 0.1)
    assert flow.cc.rate == pytest.approx(before, rel=0.06)


def test_names() -> None:
    """Settings name them."""
    assert controller("cubic") is Cubic
    assert controller("reno") is Reno
    assert controller("westwood") is Westwood
    with pytest.raises(ValueError, match="vegas"):
        controller("vegas")


EVENTS = st.lists(
    st.tuples(st.sampled_from(["ack", "limited", "loss", "mark", "timeout", "again", "undo", "idle", "mss"]),
              st.integers(1, 70000), st.floats(0, 100)),
    max_size=120,
)  # fmt: skip


@ALL
@given(events=EVENTS)
def test_windows_stay_sane(kind: type[CongestionControl], events: list[tuple[str, int, float]]) -> None:
    """Whatever happens: never below one segment, never above the limit, and of octets."""
    cc = kind(1460, limit=1 << 22)
    now, una = 0.0, 0
    for what, size, gap in events:
        now += gap
        una += size
        flight = min(size, cc.cwnd)
        if what in ("ack", "limited"):
            cc.on_ack(size, now, gap or None, max(gap, 0.001), flight, what == "ack", una, una + flight)
        elif what in ("loss", "mark"):
            cc.on_congestion(now, flight, ecn=what == "mark")
        elif what in ("timeout", "again"):
            cc.on_timeout(now, flight, what == "timeout")
        elif what == "undo":
            cc.undo()
        elif what == "idle":
            cc.on_idle(gap, 0.3)
        else:
            cc.set_mss(max(88, size % 9000))
        assert cc.mss <= cc.cwnd <= max(1 << 22, 2 * cc.mss)
        assert cc.ssthresh >= 2 * 88
        assert type(cc.cwnd) is type(cc.ssthresh) is int
