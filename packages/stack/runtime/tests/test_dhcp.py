"""The DHCP client of an interface against our own server, on one link in virtual time."""

from __future__ import annotations

import asyncio
import contextvars
import ipaddress

import pytest
from mirage import dhcp
from mirage.runtime._dhcp import DhcpClient
from mirage.runtime.testing import SimHost, SimLoop
from mirage.types.testing import SeededRandom


class Served:
    """The owner of a host's port 67: what a server that listens there does."""

    def __init__(self, loop: SimLoop, host: SimHost, **options: int) -> None:
        self.context = contextvars.copy_context()
        self.server = dhcp.Server(
            [
                dhcp.Network(
                    network=ipaddress.IPv4Network("10.0.0.0/24"),
                    server=ipaddress.IPv4Address("10.0.0.1"),
                    ranges=((ipaddress.IPv4Address("10.0.0.50"), ipaddress.IPv4Address("10.0.0.52")),),
                    options={dhcp.Option.MTU: options["mtu"].to_bytes(2, "big")} if options else {},
                )
            ]
        )
        self._loop = loop
        self._endpoint = host.stack.bind(dhcp.SERVER_PORT)
        self._endpoint.broadcast = True
        self._endpoint.owner = self

    def news(self) -> None:
        """A message has come."""
        now = self._loop.time()
        while (datagram := self._endpoint.read()) is not None:
            self.server.input(datagram.data, now)
        for answer in self.server.poll(now):
            self._endpoint.send(answer.payload, answer.destination.packed, answer.destination_port, now=now)


@pytest.fixture
def host(loop: SimLoop) -> SimHost:
    """A host without an address, and a server beside it."""
    network = loop.network(delay=0.001)
    loop.host("server", network, "10.0.0.1/24")
    loop.host("thief", network, "10.0.0.50/24")
    return loop.host("client", network)


def client(loop: SimLoop, host: SimHost) -> DhcpClient:
    return DhcpClient(loop, host.stack, host.stack.interfaces["eth0"], SeededRandom(3, predictable=True))


def addresses(host: SimHost) -> list[str]:
    interface = host.stack.interfaces["eth0"]
    return [str(ipaddress.ip_address(octets)) for octets in interface.addresses if len(octets) == 4]


def test_rfc2131_3_1_5_an_address_that_somebody_has_is_declined(loop: SimLoop, host: SimHost) -> None:
    """The stack finds out (RFC 5227), the server hears of it, and there is another lease."""
    served = Served(loop, loop.hosts[0])

    async def test() -> DhcpClient:
        await asyncio.sleep(20)  # the thief has made sure of his address
        asking = client(loop, host)
        await asyncio.sleep(60)
        return asking

    asking = loop.run_until_complete(host.spawn(test()))
    assert addresses(host) == ["10.0.0.51"]
    assert asking.bound.is_set()
    assert asking.client.lease is not None
    assert str(asking.client.lease.address) == "10.0.0.51"
    assert served.server.counters["received.decline"] == 1
    asking.close()
    assert host.stack.ip.on_duplicate == []


def test_rfc2132_5_1_the_mtu_of_the_link(loop: SimLoop, host: SimHost) -> None:
    """A cloud's network may carry less than its device: what a lease says of that holds, and goes with it."""
    Served(loop, loop.hosts[0], mtu=1400)
    asking = client(loop, host)
    interface = host.stack.interfaces["eth0"]

    async def test() -> int:
        await asyncio.sleep(60)
        return host.stack.ip.path(bytes([10, 0, 0, 1]), loop.time()).mtu

    assert loop.run_until_complete(host.spawn(test())) == 1400
    asking.close()
    assert interface.mtu == 1500
