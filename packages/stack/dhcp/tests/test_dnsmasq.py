"""The client against dnsmasq, over a TAP in a network namespace of the test's own.

The packets are real and are waited for; the client's clock is moved by hand, so that hours pass at once.
"""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

import pytest
from mirage.dhcp import Bound, Client, Event, Lost, MessageType, Renewed, Settings, State
from mirage.dhcp.testing import DatagramLink
from mirage.net import TapNetwork
from mirage.types.testing import SeededRandom

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.tool("ip"),
    pytest.mark.tool("dnsmasq"),
    pytest.mark.usefixtures("namespace"),
]

PATIENCE = 20.0
"""Seconds that a peer gets for an answer."""


class Peer:
    """A client on a TAP whose other end is the kernel's, with dnsmasq on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tap = TapNetwork("test%d")
        self.link = DatagramLink(self.tap)
        for words in (["address", "add", "10.9.0.1/24", "dev", self.tap.name], ["link", "set", self.tap.name, "up"]):
            subprocess.run(["ip", *words], check=True)
        self.now = 1000.0
        self.server: subprocess.Popen[bytes] | None = None
        self.types: list[MessageType | None] = []

    def serve(self, *options: str) -> None:
        """(Re)start dnsmasq, and wait until it listens."""
        self.stop()
        words = [
            "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--user=root", "--no-ping",
            f"--interface={self.tap.name}", "--bind-interfaces", "--log-dhcp", "--log-facility=-",
            f"--dhcp-leasefile={self.folder}/leases", f"--pid-file={self.folder}/pid", *options,
        ]  # fmt: skip
        with (self.folder / "log").open("wb") as log:
            self.server = subprocess.Popen(words, stdout=log, stderr=log)
        self.until(lambda: b"started" in (self.folder / "log").read_bytes())

    def stop(self) -> None:
        if self.server is not None:
            self.server.kill()
            self.server.wait()
            self.server = None

    def until(self, reached: Callable[[], bool], client: Client | None = None) -> None:
        """Carry datagrams until it is so."""
        patience = time.monotonic() + PATIENCE
        while not reached():
            assert time.monotonic() < patience, (self.folder / "log").read_text()
            if client is not None:
                for datagram in client.poll(self.now):
                    self.link.send(datagram)
            select.select([self.tap], [], [], 0.02)
            for received in self.link.receive():
                if client is not None and received.destination_port == 68:
                    client.input(received.payload, self.now)

    def events(self, client: Client, kind: type[Event]) -> list[Event]:
        """Go on until there is such an event."""
        found: list[Event] = []

        def reached() -> bool:
            found.extend(client.take_events())
            return any(isinstance(event, kind) for event in found)

        self.until(reached, client)
        if client.lease is not None:
            self.link.address = client.lease.address
        return found


@pytest.fixture
def peer(namespace: None, tmp_path: Path) -> Iterator[Peer]:
    made = Peer(tmp_path)
    yield made
    made.stop()
    made.tap.close()


def make(peer: Peer, **settings: object) -> Client:
    random = SeededRandom(os.getpid(), predictable=True)
    return Client(Settings(hardware=peer.tap.mac, host_name="unikernel", **settings), random)  # type: ignore[arg-type]


RANGE = "--dhcp-range=10.9.0.50,10.9.0.90,255.255.255.0,1h"


def test_lease_renew_rebind_reboot_release(peer: Peer) -> None:
    """A whole life, with every option that we read."""
    peer.serve(
        RANGE,
        "--dhcp-option=option:router,10.9.0.1",
        "--dhcp-option=option:dns-server,10.9.0.1,10.9.0.2",
        "--dhcp-option=option:domain-search,a.example,b.a.example",
        "--dhcp-option=option:mtu,1400",
        "--dhcp-option=option:ntp-server,10.9.0.3",
        "--dhcp-option=121,0.0.0.0/0,10.9.0.1,172.16.0.0/12,10.9.0.9",
        "--domain=example.org",
    )
    client = make(peer)
    client.start(peer.now)
    (event,) = peer.events(client, Bound)
    assert isinstance(event, Bound)
    lease = event.lease
    assert lease.interface.network == IPv4Interface("10.9.0.1/24").network
    assert IPv4Address("10.9.0.50") <= lease.address <= IPv4Address("10.9.0.90")
    assert lease.server == IPv4Address("10.9.0.1")
    assert [str(a) for a in lease.dns_servers] == ["10.9.0.1", "10.9.0.2"]
    assert lease.search == ("a.example", "b.a.example")
    assert (lease.domain, lease.mtu) == ("example.org", 1400)
    assert [(str(to), str(by)) for to, by in lease.routes] == [("0.0.0.0/0", "10.9.0.1"), ("172.16.0.0/12", "10.9.0.9")]
    assert [str(a) for a in lease.ntp_servers] == ["10.9.0.3"]
    assert 3500 < lease.expires - lease.begins <= 3600
    held = (peer.folder / "leases").read_text()
    assert str(lease.address) in held
    assert "unikernel" in held
    assert peer.tap.mac[-4:].hex(":") in held  # the association of our client identifier

    peer.now = lease.renew_at
    (event,) = peer.events(client, Renewed)
    assert client.counters["sent.request"] == 2

    assert client.lease is not None
    peer.now = client.lease.rebind_at + 1
    (event,) = peer.events(client, Renewed)
    assert client.lease is not None
    assert client.lease.address == lease.address

    again = make(peer)
    again.start(peer.now, reboot=lease.address)
    (event,) = peer.events(again, Bound)
    assert again.counters["sent.discover"] == 0

    again.release(peer.now)
    peer.until(lambda: str(lease.address) not in (peer.folder / "leases").read_text(), again)


def test_an_address_of_another_network_is_refused(peer: Peer) -> None:
    """INIT-REBOOT on the wrong network: NAK, and a lease of this one."""
    peer.serve(RANGE, "--dhcp-authoritative")
    client = make(peer)
    client.start(peer.now, reboot=IPv4Address("192.168.77.5"))
    peer.events(client, Bound)
    assert client.counters["received.nak"] == 1
    assert client.lease is not None
    assert client.lease.interface.network == IPv4Interface("10.9.0.1/24").network


def test_a_lease_that_the_server_refuses_to_renew(peer: Peer) -> None:
    """The server was set up anew with another range and remembers nothing: NAK, then a new lease."""
    peer.serve(RANGE)
    client = make(peer)
    client.start(peer.now)
    peer.events(client, Bound)
    assert client.lease is not None
    old = client.lease.address
    peer.stop()
    (peer.folder / "leases").unlink()
    peer.serve("--dhcp-range=10.9.0.100,10.9.0.110,255.255.255.0,1h", "--dhcp-authoritative")
    peer.now = client.lease.rebind_at + 1
    events = peer.events(client, Lost)
    peer.events(client, Bound)
    assert client.lease is not None
    assert client.lease.address != old
    assert len(events) == 1


def test_declined(peer: Peer) -> None:
    """An address that is in use is declined; the server gives another."""
    peer.serve(RANGE)
    client = make(peer, check=True)
    client.start(peer.now)
    peer.until(lambda: client.state is State.CHECKING, client)
    (check,) = client.take_events()
    client.decline(peer.now)
    peer.until(lambda: b"DHCPDECLINE" in (peer.folder / "log").read_bytes(), client)
    peer.now += 10
    peer.until(lambda: client.state is State.CHECKING, client)
    (another,) = client.take_events()
    assert another != check
    client.confirm(peer.now)
    peer.events(client, Bound)


def test_a_server_that_is_gone(peer: Peer) -> None:
    """Nobody answers until the lease ends."""
    peer.serve(RANGE)
    client = make(peer)
    client.start(peer.now)
    peer.events(client, Bound)
    peer.stop()
    assert client.lease is not None
    end = client.lease.expires
    while client.lease is not None:
        peer.now = client.next_deadline() or 0.0
        for datagram in client.poll(peer.now):
            peer.link.send(datagram)
    assert peer.now == end
    assert client.counters["sent.request"] > 4
