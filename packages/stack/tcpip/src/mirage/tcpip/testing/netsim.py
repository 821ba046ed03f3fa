"""The benchmark that smoltcp publishes, in virtual time: throughput for 9 buffers x 8 rates of loss, and fairness.

Ten MiB go one way over a path of 100 ms whose both directions lose packets at random, through buffers of 128 octets to
32 KiB at both ends; then 1 to 64 flows share 200 Mbit/s with a queue of 64 KiB. `SMOLTCP` and
`SMOLTCP_FAIRNESS` hold the figures of the snapshots in smoltcp's tree (`tests/snapshots/`, of August 2026), which its
own test `tests/netsim.rs` checks against.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random as Chance
from typing import Final

from mirage.net.testing import Bottleneck

from ..settings import Settings
from ..tcp.connection import Connection
from .exchange import Exchange, serve
from .simulation import Host, Simulation

__all__ = ["BUFFERS", "FLOWS", "LOSSES", "SMOLTCP", "SMOLTCP_FAIRNESS", "Shares", "cell", "shares"]

BUFFERS: Final = (128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768)
"""Octets of the receive buffer, and with it of the largest window."""
LOSSES: Final = (0.0, 0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3)
FLOWS: Final = (1, 2, 4, 16, 32, 64)

_RTT: Final = 0.1
_OCTETS: Final = 10 << 20

SMOLTCP: Final = {
    128: (1279.98, 1255.76, 1054.15, 886.36, 538.66, 227.84, 33.99, 7.18),
    256: (2559.91, 2507.27, 2100.03, 1770.30, 1070.71, 468.24, 66.71, 14.35),
    512: (5119.63, 5011.95, 4172.36, 3531.57, 2098.73, 942.38, 144.73, 29.45),
    1024: (10238.50, 10023.19, 8340.90, 7084.25, 4003.34, 1869.94, 290.74, 60.92),
    2048: (17535.11, 17171.82, 14093.50, 11963.68, 7399.06, 3416.41, 690.50, 126.57),
    4096: (35062.41, 33859.80, 26937.41, 21886.99, 14073.67, 7870.66, 1603.60, 401.79),
    8192: (77374.28, 72992.18, 58490.74, 46527.73, 29421.45, 15515.23, 3737.20, 710.80),
    16384: (161842.28, 159310.62, 127090.53, 104233.16, 55319.33, 27269.28, 7654.51, 1277.32),
    32768: (322944.88, 314779.73, 219670.76, 166587.86, 76626.48, 37774.62, 6079.34, 1156.40),
}
"""Octets per second, by buffer, in the order of `LOSSES`."""
SMOLTCP_FAIRNESS: Final = {
    1: (3449.54, 1.0000, 0.4467),
    2: (6966.98, 0.9999, 0.4427),
    4: (12848.40, 0.9997, 0.4430),
    16: (52408.19, 0.9913, 0.4364),
    32: (94342.76, 0.9759, 0.4379),
    64: (167823.63, 0.9866, 0.4548),
}
"""By number of flows: octets per second of all together, Jain's index, and the share of packets that were dropped.

The unit is ours, octets and seconds: `netsim.rs` divides the octets received by the seconds of virtual time. One flow
takes ten minutes for its 2 MiB because its test is built with smoltcp's default features, which have no congestion
control: each window of 256 KiB goes at once into a queue of 64 KiB, nearly half of all packets are dropped, and what
was dropped waits for timeouts that double. The flows hardly meet each other, and that is why they are so equal.
"""


def cell(buffer: int, loss: float, congestion: str = "cubic", octets: int = _OCTETS, seed: int = 0) -> float:
    """Octets per second of one cell, from the first SYN to the last octet."""
    # smoltcp's sockets never give up, and neither may ours: at 30 % loss a silence of minutes happens.
    settings = Settings(
        receive_buffer=buffer, send_buffer=buffer, congestion_control=congestion, user_timeout=math.inf, syn_retries=99
    )
    simulation = Simulation(seed, capture=None)
    network = simulation.network(delay=_RTT / 2, loss=loss)
    sink = simulation.host("sink", network, "10.0.0.1/24", settings=settings)
    source = simulation.host("source", network, "10.0.0.2/24", settings=settings)
    ends: list[Exchange] = []
    serve(sink.stack.listen(1), _sink(simulation, sink, ends))
    Exchange(simulation, source, source.stack.connect("10.0.0.1", 1), octets)
    simulation.run(lambda: bool(ends) and ends[0].received_octets >= octets, patience=math.inf)
    return octets / ends[0].last_at


@dataclass(frozen=True, slots=True)
class Shares:
    """What flows got of a bottleneck; rates in octets per second."""

    flows: int
    together: float
    least: float
    most: float
    fairness: float
    """Jain's index: 1 when all got the same, 1/flows when one got all."""
    dropped: float
    """Of the packets offered to the bottlenecks."""


def shares(
    flows: int, congestion: str = "cubic", octets: int = 2 << 20, rate: int = 25_000_000, queue: int = 65536,
    seed: int = 0,
) -> Shares:  # fmt: skip
    """The fairness run: each flow has two hosts and a delay of its own, 50 to 150 ms there and back, and all share one
    bottleneck in each direction. It ends when every flow has had `octets`; then each is as good as what it got."""
    settings = Settings(receive_buffer=256 * 1024, send_buffer=256 * 1024, congestion_control=congestion)
    simulation = Simulation(seed, capture=None)
    chance = Chance(seed)  # noqa: S311 - it decides on delays
    there, back = Bottleneck(rate, queue), Bottleneck(rate, queue)
    sinks: list[list[Exchange]] = []
    endless = 1 << 40
    for number in range(flows):
        network = simulation.network(delay=_RTT / 2 * chance.uniform(0.5, 1.5))
        sink = simulation.host(f"sink{number}", network, "10.0.0.1/24", settings=settings)
        source = simulation.host(f"source{number}", network, "10.0.0.2/24", settings=settings)
        source.port().bottleneck, sink.port().bottleneck = there, back
        ends: list[Exchange] = []
        sinks.append(ends)
        serve(sink.stack.listen(1), _sink(simulation, sink, ends))
        Exchange(simulation, source, source.stack.connect("10.0.0.1", 1), endless)
    simulation.run(lambda: all(ends and ends[0].received_octets >= octets for ends in sinks), patience=100_000.0)
    got = [float(ends[0].received_octets) for ends in sinks]
    seconds = simulation.now
    total = sum(got)
    return Shares(
        flows,
        total / seconds,
        min(got) / seconds,
        max(got) / seconds,
        total * total / (flows * sum(x * x for x in got)),
        (there.dropped + back.dropped) / (there.offered + back.offered),
    )


def _sink(simulation: Simulation, host: Host, ends: list[Exchange]) -> Callable[[Connection], None]:
    def accepted(connection: Connection) -> None:
        ends.append(Exchange(simulation, host, connection, 0))

    return accepted
