"""Super-segments: records of several segments, which the device cuts, or the framer where the device does not."""

from __future__ import annotations

import pytest
from mirage.tcpip.stack import Stack
from mirage.tcpip.tcp.connection import Connection
from mirage.tcpip.tcp.reno import Reno
from mirage.tcpip.tcp.rtt import RttEstimator
from mirage.tcpip.tcp.sender import Sender
from mirage.tcpip.testing import Simulation, serve

MSS = 1000
SIZE = 10 * MSS


def _sender() -> Sender:
    """One that has sent ten segments at 0 seconds, as one record."""
    made = Sender(0, MSS, Reno(MSS), RttEstimator())
    made.sack = True
    made.edge = 1 << 20
    made.put(memoryview(bytes(SIZE)))
    made.take(SIZE, False, 0.0)
    made.arm(0.0)
    return made


@pytest.mark.parametrize("fast", [True, False])
def test_a_part_that_is_acknowledged_tells_the_round_trip(fast: bool) -> None:
    """All octets of a record went out at once, so the acknowledgment of any of them is a sample (RFC 6298 3)."""
    sender = _sender()
    if fast:
        sender.acknowledge(2 * MSS, 0.25)
    else:
        sender.on_ack(2 * MSS, [], False, None, False, False, 0.25)
    assert sender.rtt.srtt == pytest.approx(0.25)
    assert (sender.una, sender.nxt) == (2 * MSS, SIZE)
    assert [(record.start, record.end) for record in sender.sent] == [(2 * MSS, SIZE)]


def test_a_part_that_was_sent_again_tells_nothing() -> None:
    """Karn's algorithm (RFC 6298 3)."""
    sender = _sender()
    sender.sent[0].times = 2
    sender.on_ack(2 * MSS, [], False, None, False, False, 0.25)
    assert sender.rtt.srtt == 0.0  # none yet


def test_both_ways_leave_the_same_state() -> None:
    """Also what RACK goes by (RFC 8985 6.2)."""
    states = []
    for fast in (True, False):
        sender = _sender()
        for segments, now in ((2, 0.2), (5, 0.3), (10, 0.4)):
            if fast:
                sender.acknowledge(segments * MSS, now)
            else:
                sender.on_ack(segments * MSS, [], False, None, False, False, now)
        states.append((sender._rack_time, sender._rack_end, sender._rack_rtt, sender.rtt.srtt, sender.congestion.cwnd))
    assert states[0] == states[1]


def _records(loss: float, seed: int = 1) -> tuple[list[int], list[int], bool]:
    """Sizes of the records under way, and of the frames, when 200,000 octets are written over a device that cuts
    nothing; and whether anything was sent again."""
    sizes: list[int] = []
    frames: list[int] = []
    with Simulation(seed=seed, capture=None) as simulation:
        network = simulation.network(delay=0.005, loss=loss)
        client = simulation.host("client", network, "10.0.0.1/24")
        server = simulation.host("server", network, "10.0.0.2/24")
        network.watch = lambda _, frame, fate: frames.append(len(frame))
        ends: list[Connection] = []
        serve(server.stack.listen(80), ends.append)
        stack: Stack = client.stack
        connection = stack.connect("10.0.0.2", 80, now=simulation.now)
        simulation.run(lambda: connection.state.may_write and bool(ends))
        connection.write(bytes(200_000))

        def done() -> bool:
            sizes.extend(record.end - record.start for record in connection.sender.sent)
            ends[0].read()
            return not connection.sender.queued and not connection.sender.sent

        simulation.run(done)
        return sizes, frames, connection.sender.retransmissions > 0


def test_what_goes_out_at_once_is_one_record() -> None:
    """It is cut into frames that the link carries."""
    sizes, frames, again = _records(0.0)
    assert not again
    assert max(sizes) > 5 * 1448
    assert max(frames) == 1514


def test_where_segments_get_lost_each_is_a_record() -> None:
    """As soon as one had to be sent again."""
    sizes, frames, again = _records(0.1)
    assert again
    assert min(sizes) <= 1448
    assert sum(size > 1448 for size in sizes) < len(sizes) / 2
    assert max(frames) == 1514
