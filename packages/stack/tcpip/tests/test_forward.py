"""Being a gateway: connections and datagrams for others, in virtual time."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

import pytest
from mirage.tcpip import ConnectionRefused
from mirage.tcpip.forward import Datagrams, TcpForwarder
from mirage.tcpip.tcp.connection import Connection
from mirage.tcpip.tcp.state import State
from mirage.tcpip.testing.simulation import Host, Simulation

ELSEWHERE = {4: "192.0.2.7", 6: "2001:db8::7"}
GATEWAY = {4: "10.0.0.2", 6: "fd00::2"}
EVERYWHERE = {4: ipaddress.IPv4Network("0.0.0.0/0"), 6: ipaddress.IPv6Network("::/0")}


@pytest.fixture
def simulation() -> Iterator[Simulation]:
    with Simulation(seed=3) as simulation:
        yield simulation


def pair(simulation: Simulation) -> tuple[Host, Host]:
    """A guest whose default routes lead to a gateway."""
    network = simulation.network(delay=0.01)
    guest = simulation.host("guest", network, "10.0.0.1/24", "fd00::1/64")
    gateway = simulation.host("gateway", network, "10.0.0.2/24", "fd00::2/64")
    interface = guest.stack.interfaces["eth0"]
    for version in (4, 6):
        hop = ipaddress.ip_address(GATEWAY[version])
        guest.stack.ip.add_route(EVERYWHERE[version], hop, interface)
    return guest, gateway


@pytest.mark.parametrize("version", [4, 6])
def test_a_connection_is_accepted_when_it_is_decided(simulation: Simulation, version: int) -> None:
    """Until then the SYN is not answered; the connection bears the address of who was wanted."""
    guest, gateway = pair(simulation)
    forwarder = TcpForwarder(gateway.stack, gateway.stack.interfaces["eth0"])
    asking = guest.stack.connect(ELSEWHERE[version], 80, now=simulation.now)
    simulation.wait(2.5)  # long enough for the SYN to come again
    assert asking.state is State.SYN_SENT
    request = forwarder.take()
    assert request is not None
    assert forwarder.take() is None
    assert request.destination == (ipaddress.ip_address(ELSEWHERE[version]).packed, 80)
    assert request.source[1] == asking.framer.local_port
    connection = request.accept(simulation.now)
    simulation.run(lambda: asking.state is State.ESTABLISHED and connection.state is State.ESTABLISHED)
    assert connection.framer.path.local == ipaddress.ip_address(ELSEWHERE[version]).packed
    asking.write(b"question")
    simulation.run(lambda: connection.readable == 8)
    connection.write(b"answer")
    simulation.run(lambda: bytes(asking.read()) == b"answer")


@pytest.mark.parametrize("version", [4, 6])
def test_a_connection_is_refused(simulation: Simulation, version: int) -> None:
    """As if nobody listened there."""
    guest, gateway = pair(simulation)
    forwarder = TcpForwarder(gateway.stack, gateway.stack.interfaces["eth0"])
    asking = guest.stack.connect(ELSEWHERE[version], 80, now=simulation.now)
    requests = []
    simulation.run(lambda: bool(requests) or bool((found := forwarder.take()) and not requests.append(found)))
    requests[0].refuse(simulation.now)
    simulation.run(lambda: asking.state is State.CLOSED)
    assert isinstance(asking.error, ConnectionRefused)


def test_listeners_come_first(simulation: Simulation) -> None:
    """What the stack itself listens to is none of the forwarder's; other ports of its own address are."""
    guest, gateway = pair(simulation)
    forwarder = TcpForwarder(gateway.stack, gateway.stack.interfaces["eth0"])
    listener = gateway.stack.listen(80)
    accepted: list[Connection] = []
    guest.stack.connect(GATEWAY[4], 80, now=simulation.now)
    guest.stack.connect(GATEWAY[4], 81, now=simulation.now)
    simulation.run(lambda: bool((found := listener.accept()) and not accepted.append(found)))
    request = forwarder.take()
    assert request is not None
    assert request.destination[1] == 81
    assert forwarder.take() is None


def test_requests_are_limited(simulation: Simulation) -> None:
    """Beyond the limit they are dropped, and a decision makes room for those that come again."""
    guest, gateway = pair(simulation)
    forwarder = TcpForwarder(gateway.stack, gateway.stack.interfaces["eth0"], limit=3)
    for port in range(80, 90):
        guest.stack.connect(ELSEWHERE[4], port, now=simulation.now)
    simulation.wait(0.5)
    requests = [request for _ in range(4) if (request := forwarder.take())]
    assert len(requests) == 3
    assert gateway.stack.counters["tcp.forward-full"] == 7
    for request in requests:
        request.drop()
    simulation.wait(2)
    assert sum(forwarder.take() is not None for _ in range(4)) == 3


def test_without_a_forwarder_nothing_is_taken(simulation: Simulation) -> None:
    """A host is no router (RFC 1122 3.3.4.2)."""
    guest, gateway = pair(simulation)
    asking = guest.stack.connect(ELSEWHERE[4], 80, now=simulation.now)
    simulation.wait(1)
    assert asking.state is State.SYN_SENT
    assert gateway.stack.counters["ip4.not-for-us"] >= 1


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("size", [0, 5, 4001])
def test_datagrams_for_others(simulation: Simulation, version: int, size: int) -> None:
    """They come with who is wanted, whole if they were fragmented, and are answered in that name."""
    guest, gateway = pair(simulation)
    got: list[tuple[bytes, int, bytes, int, bytes]] = []
    datagrams = Datagrams(
        gateway.stack,
        gateway.stack.interfaces["eth0"],
        lambda source, sport, destination, dport, data, _: got.append((source, sport, destination, dport, bytes(data))),
    )
    endpoint = guest.stack.bind(version=version)
    content = bytes(range(256)) * 16
    elsewhere = ipaddress.ip_address(ELSEWHERE[version]).packed
    endpoint.send(content[:size], elsewhere, 9, now=simulation.now)
    simulation.run(lambda: bool(got))
    source, port, destination, wanted, data = got[0]
    assert (destination, wanted, data) == (elsewhere, 9, content[:size])
    assert datagrams.send(destination, wanted, source, port, data + b"!", simulation.now)
    simulation.run(lambda: endpoint.readable)
    answer = endpoint.read()
    assert answer is not None
    assert (answer.source, answer.port, bytes(answer.data)) == (elsewhere, 9, content[:size] + b"!")


def test_peeking_copies_nothing(simulation: Simulation) -> None:
    """`peek` and `skip` give what `read` gives, in any pieces, and the window opens as with `read`."""
    network = simulation.network(delay=0.001)
    here = simulation.host("here", network, "10.0.0.1/24")
    there = simulation.host("there", network, "10.0.0.2/24")
    listener = there.stack.listen(80)
    sending = here.stack.connect("10.0.0.2", 80, now=simulation.now)
    found: list[Connection] = []
    simulation.run(lambda: bool(found) or bool((one := listener.accept()) and not found.append(one)))
    content = simulation.chance.randbytes(6_000_000)
    sending.write(content)
    got = bytearray()

    def take() -> bool:
        connection = found[0]
        while connection.readable:
            octets = b"".join(connection.peek())
            assert len(octets) == connection.readable
            count = simulation.chance.randint(1, len(octets))
            got.extend(octets[:count])
            connection.skip(count)
        return len(got) == len(content)

    simulation.run(take)
    assert bytes(got) == content
