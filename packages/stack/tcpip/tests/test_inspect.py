"""What a stack tells of itself is what happened to it, and JSON can hold it."""

from __future__ import annotations

import json

from mirage.tcpip import inspect
from mirage.tcpip.testing import Simulation


def test_what_happened_is_told() -> None:
    """Interfaces, connections, datagrams, neighbours, routes and counters, of both ends of an exchange."""
    with Simulation(seed=5) as simulation:
        network = simulation.network(delay=0.01)
        client = simulation.host("client", network, "10.0.0.1/24", "fd00::1/64")
        server = simulation.host("server", network, "10.0.0.2/24", "fd00::2/64")
        listener = server.stack.listen(80, version=6)
        here = client.stack.connect("fd00::2", 80, now=simulation.now)
        client.stack.bind(53)
        simulation.run(lambda: listener.waiting > 0)
        there = listener.accept()
        assert there is not None
        here.write(bytes(5000))
        simulation.run(lambda: there.receiver.readable == 5000)

        stack, now = server.stack, simulation.now
        told = json.loads(json.dumps(inspect.connections(stack, now)))
        assert told["total"] == {"listeners": 1, "tcp": 1, "udp": 0}
        assert told["listeners"] == [{"local": "[*]:80", "half-open": 0, "waiting": 0, "backlog": 128}]
        [one] = told["tcp"]
        assert one["local"] == "[fd00::2]:80"
        assert one["remote"] == f"[fd00::1]:{here.framer.local_port}"
        assert (one["state"], one["unread"], one["info"]["bytes_received"]) == ("ESTABLISHED", 5000, 5000)
        [udp] = inspect.connections(client.stack, now)["udp"]
        assert udp == {"local": "*:53", "remote": None, "waiting": 0}

        [loopback, eth0] = inspect.interfaces(stack, now)
        assert loopback["in"]["frames"] == 0
        assert {own["address"] for own in eth0["addresses"]} >= {"10.0.0.2/24", "fd00::2/64"}
        sent = inspect.interfaces(client.stack, now)[1]["out"]
        assert eth0["in"]["octets"] >= 5000 + 4 * 54
        assert eth0["in"] == sent  # nothing was lost
        [peer] = [one for one in inspect.neighbours(stack) if one["address"] == "fd00::1"]
        assert peer["mac"] == next(iter(client.stack.interfaces.values())).mac.hex(":")
        assert "10.0.0.0/24" in {route["to"] for route in inspect.routes(stack, now)}
        server.stack.counters["tcp.no-listener"] += 0
        assert all(inspect.counters(stack).values())
        json.dumps([inspect.interfaces(stack, now), inspect.neighbours(stack), inspect.routes(stack, now)])


def test_what_is_told_is_bounded() -> None:
    """Of many connections the first are told, and how many there are."""
    with Simulation(seed=6) as simulation:
        network = simulation.network()
        client = simulation.host("client", network, "10.0.0.1/24")
        server = simulation.host("server", network, "10.0.0.2/24")
        listener = server.stack.listen(80)
        for _ in range(20):
            client.stack.connect("10.0.0.2", 80, now=simulation.now)
        simulation.run(lambda: listener.waiting == 20)
        told = inspect.connections(server.stack, simulation.now, limit=3)
        assert told["total"]["tcp"] == 20
        assert len(told["tcp"]) == 3


def test_time_wait_is_told() -> None:
    """Who closed first is in TIME-WAIT, of which little is left to tell."""
    with Simulation(seed=7) as simulation:
        network = simulation.network()
        client = simulation.host("client", network, "10.0.0.1/24")
        server = simulation.host("server", network, "10.0.0.2/24")
        listener = server.stack.listen(80)
        here = client.stack.connect("10.0.0.2", 80, now=simulation.now)
        simulation.run(lambda: listener.waiting == 1)
        there = listener.accept()
        assert there is not None
        here.close()
        simulation.run(lambda: not there.receiver.readable and there.state.value == "CLOSE-WAIT")
        there.close()
        simulation.run(lambda: there.state.value == "CLOSED")
        [one] = inspect.connections(client.stack, simulation.now)["tcp"]
        assert (one["state"], one["remote"]) == ("TIME-WAIT", "10.0.0.2:80")
