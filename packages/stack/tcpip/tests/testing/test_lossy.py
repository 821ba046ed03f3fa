"""Bulk with the default settings over a path of 20 ms that loses a third, both ways."""

from __future__ import annotations

import math

import pytest
from mirage.tcpip.settings import Settings
from mirage.tcpip.tcp.connection import Connection
from mirage.tcpip.testing.exchange import Exchange, serve
from mirage.tcpip.testing.simulation import Simulation

OCTETS = 200_000


@pytest.mark.slow
@pytest.mark.parametrize("control", ["cubic", "westwood"])
@pytest.mark.parametrize("seed", [2, 4, 11])
def test_a_third_is_lost(control: str, seed: int) -> None:
    """All arrives, nobody gives up, and no silence is taken for a round trip: timeouts double, but begin short."""
    settings = Settings(congestion_control=control)
    with Simulation(seed) as simulation:
        network = simulation.network(delay=0.01, loss=0.3)
        sink = simulation.host("sink", network, "10.0.0.1/24", settings=settings)
        source = simulation.host("source", network, "10.0.0.2/24", settings=settings)
        ends: list[Exchange] = []

        def accepted(connection: Connection) -> None:
            ends.append(Exchange(simulation, sink, connection, 0))

        serve(sink.stack.listen(1), accepted)
        sender = Exchange(simulation, source, source.stack.connect("10.0.0.1", 1), OCTETS, seed=seed)
        first = longest = 0.0

        def arrived() -> bool:
            nonlocal first, longest
            smoothed = sender.connection.sender.rtt.srtt
            first, longest = first or smoothed, max(longest, smoothed)
            return sender.connection.error is not None or (bool(ends) and ends[0].received_octets == OCTETS)

        simulation.run(arrived, patience=math.inf)
        assert sender.connection.error is None
        # The first counts from when the SYN began to wait for the neighbour, which is asked again each second.
        assert longest <= max(first, 0.5)
