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


def test_the_local_address_is_taken_away_while_the_window_is_closed() -> None:
    """Probes have no way to go either, and count as lost."""
    with Simulation(seed=9) as simulation:
        client, connection, other = connected(simulation, simulation.network(delay=0.01))
        connection.write(bytes(1 << 22))
        simulation.wait(5)
        assert other.readable > 0
        client.stack.ip.remove_address(client.stack.interfaces["eth0"], b"\x0a\0\0\1")
        simulation.wait(200)
        assert client.stack.counters["tcp.window-probes"] > 2
        assert isinstance(connection.error, ConnectionTimedOut)
        assert "address" in str(connection.error)


def test_the_local_address_is_taken_away_while_nothing_is_said() -> None:
    """A connection that is kept alive ends when its probes come to nothing."""
    with Simulation(seed=10) as simulation:
        client, connection, _ = connected(simulation, simulation.network(delay=0.01))
        connection.keepalive, connection.keepalive_idle = True, 10.0
        connection.keepalive_interval, connection.keepalive_limit = 5.0, 3
        connection.write(b"hello")
        simulation.wait(1)
        client.stack.ip.remove_address(client.stack.interfaces["eth0"], b"\x0a\0\0\1")
        simulation.wait(200)
        assert isinstance(connection.error, ConnectionTimedOut)


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
