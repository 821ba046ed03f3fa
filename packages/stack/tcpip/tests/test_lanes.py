"""The fast lane of `Stack.input` is only faster: what goes out is the same, frame by frame."""

from __future__ import annotations

import pytest
from mirage.net.testing import VirtualPort
from mirage.tcpip.stack import Stack
from mirage.tcpip.tcp.connection import Connection
from mirage.tcpip.testing import Exchange, Simulation, serve


@pytest.mark.parametrize("address", ["10.0.0.2", "fd00::2"])
def test_both_lanes_have_the_same_history(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data both ways with losses, corruption, repetition and reordering, once with the lane and once without."""

    def history(fast: bool) -> tuple[list[bytes], list[str]]:
        monkeypatch.setattr(Stack, "fast", fast)
        sent: list[bytes] = []
        with Simulation(seed=3, capture=None) as simulation:
            network = simulation.network(delay=0.005, loss=0.02, corrupt=0.02, duplicate=0.02, reorder=0.02)
            client = simulation.host("client", network, "10.0.0.1/24", "fd00::1/64")
            server = simulation.host("server", network, "10.0.0.2/24", "fd00::2/64")

            def see(port: VirtualPort, frame: bytes, fate: str) -> None:
                if fate == "sent":
                    sent.append(bytes(frame))

            network.watch = see
            ends: list[Exchange] = []

            def accepted(connection: Connection) -> None:
                ends.append(Exchange(simulation, server, connection, 50_000, seed=1))

            serve(server.stack.listen(80, version=6 if ":" in address else 4), accepted)
            connection = client.stack.connect(address, 80, now=simulation.now)
            here = Exchange(simulation, client, connection, 100_000, seed=2)
            simulation.run(lambda: here.finished and bool(ends) and ends[0].finished)
            assert (ends[0].received, here.received) == (here.sent, ends[0].sent)
            return sent, [here.received, ends[0].received]

    with_lane, without = history(True), history(False)
    assert with_lane == without
    assert len(with_lane[0]) > 150
