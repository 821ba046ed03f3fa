"""Connections whose way goes: an address that is taken away, a neighbour that is there no more."""

from __future__ import annotations

import pytest
from mirage.net.testing import VirtualNetwork
from mirage.tcpip import ConnectionTimedOut, Settings
from mirage.tcpip.tcp.connection import Connection
from mirage.tcpip.tcp.state import State
from mirage.tcpip.testing import Host, Simulation

SETTINGS = Settings(user_timeout=60.0)


def connected(simulation: Simulation, network: VirtualNetwork) -> tuple[Host, Connection, Connection]:
    client = simulation.host("client", network, "10.0.0.1/24", "fd00::1/64", settings=SETTINGS)
    server = simulation.host("server", network, "10.0.0.2/24", "fd00::2/64", settings=SETTINGS)
    listener = server.stack.listen(80)
    connection = client.stack.connect("10.0.0.2", 80, now=simulation.now)
    accepted: list[Connection] = []

    def done() -> bool:
        if (new := listener.accept()) is not None:
            accepted.append(new)
        return bool(accepted)

    simulation.run(done)
    return client, connection, accepted[0]


def test_the_local_address_is_taken_away() -> None:
    """What is written after that is tried for as long as the user timeout allows; then the error says why."""
    with Simulation(seed=7) as simulation:
        client, connection, _ = connected(simulation, simulation.network(delay=0.01))
        client.stack.ip.remove_address(client.stack.interfaces["eth0"], b"\x0a\0\0\1")
        connection.write(b"into the void")
        simulation.wait(200)
        assert connection.state is State.CLOSED
        assert isinstance(connection.error, ConnectionTimedOut)
        assert "address" in str(connection.error)


@pytest.mark.parametrize("back_after", [5.0, 30.0])
def test_a_neighbour_goes_and_comes_back(back_after: float) -> None:
    """While it does not answer it is asked for again and again; what waits arrives once it is there."""
    with Simulation(seed=8) as simulation:
        network = simulation.network(delay=0.01)
        client, connection, other = connected(simulation, network)
        simulation.wait(60)
        network.loss = 1.0
        connection.write(b"are you there?")
        simulation.wait(back_after)
        assert other.readable == 0
        assert client.stack.counters["neighbours.unreachable"] > 0 or back_after < 10
        network.loss = 0.0
        simulation.run(lambda: other.readable == 14)
        assert connection.error is None
