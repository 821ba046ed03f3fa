"""What the network does for its hosts: DHCP, router advertisements, names, pings, and each other."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import struct
import subprocess
from pathlib import Path

import dns.message
import dns.rcode
import pytest
from mirage.dhcp import Bound, Client
from mirage.dhcp import Settings as DhcpSettings
from mirage.dns import Hosts, Settings
from mirage.gateway import Gateway, HostUnavailable, Plan
from mirage.gateway.capture import Capture
from mirage.gateway.frames import icmp6_frame, udp4_frame
from mirage.gateway.testing import Guest
from mirage.net import HEADER_SIZE
from mirage.tcpip.wire.checksum import ones_sum
from mirage.types.testing import SeededRandom
from networks import allow, network, run

PLAN = Plan()
ALL_ROUTERS = ipaddress.ip_address("ff02::2").packed


async def receive(sock: socket.socket, kind: bytes, protocol: int) -> bytes:
    """The next frame of this kind, from a socket that no guest drives."""
    loop = asyncio.get_running_loop()
    sock.setblocking(False)
    while True:
        frame = (await loop.sock_recv(sock, 70000))[HEADER_SIZE:]
        if frame[12:14] == kind and frame[23 if kind == b"\x08\0" else 20] == protocol:
            return frame


def test_dhcp() -> None:
    """The client of `mirage.dhcp` is given the address that the plan has for its guest, and is told of everything."""

    async def test() -> None:
        gateway = Gateway()
        sock, mac = gateway.socket_pair()
        client = Client(DhcpSettings(hardware=mac), SeededRandom(1, predictable=True))
        bound = None
        now = 0.0
        client.start(now)
        while bound is None:
            now = max(now, client.next_deadline() or now)
            for datagram in client.poll(now):
                source = datagram.source.packed, datagram.source_port
                destination = datagram.destination.packed, datagram.destination_port
                sock.send(bytes(HEADER_SIZE) + udp4_frame(mac, b"\xff" * 6, source, destination, datagram.payload))
                frame = await receive(sock, b"\x08\0", 17)
                assert ones_sum(frame[14:34]) == 0
                client.input(frame[42:], now)
            for event in client.take_events():
                if isinstance(event, Bound):
                    bound = event
        lease = bound.lease
        assert lease.address == PLAN.guest4()
        assert lease.routers == (PLAN.gateway4,)
        assert lease.dns_servers == (PLAN.names4,)
        await gateway.close()
        sock.close()

    run(test)


def test_router_advertisements() -> None:
    """Who asks is told of the router, the prefix and the name server (RFC 4861 4.2, RFC 8106 5.1)."""

    async def test() -> None:
        gateway = Gateway()
        sock, mac = gateway.socket_pair()
        solicitation = icmp6_frame(mac, b"\x33\x33\0\0\0\2", bytes(16), ALL_ROUTERS, b"\x85" + bytes(7))
        sock.send(bytes(HEADER_SIZE) + solicitation)
        frame = await receive(sock, b"\x86\xdd", 58)
        assert frame[21] == 255
        assert frame[54] == 134
        body = frame[54:]
        assert (ones_sum(frame[22:54]) + 58 + len(body) + ones_sum(body)) % 65535 == 0
        assert struct.unpack_from(">H", body, 6)[0] > 0
        assert PLAN.ipv6.network_address.packed in body
        assert PLAN.names6.packed in body
        await gateway.close()
        sock.close()

    run(test)


def test_a_guest_is_known_by_ipv6_once_it_has_an_address() -> None:
    """Duplicate address detection (RFC 4862 5.4.2) tells of it; then published ports lead there over IPv6."""

    async def test() -> None:
        gateway = Gateway()
        sock, mac = gateway.socket_pair()
        hosts = gateway._hosts
        assert hosts.guest(6) == PLAN.guest4().packed

        async def probe(address: bytes, then: bytes, sent: int) -> None:
            group = bytes.fromhex("ff0200000000000000000001ff") + address[13:]
            to = b"\x33\x33\xff" + address[13:]
            sock.send(bytes(HEADER_SIZE) + icmp6_frame(mac, to, bytes(16), group, b"\x87" + bytes(7) + address))
            async with asyncio.timeout(5):
                while hosts.guest(6) != then or gateway.ports[0].received < sent:
                    await asyncio.sleep(0.001)

        stable, temporary, again = (PLAN.ipv6[number].packed for number in (0xABCD, 0x1234, 0x9999))
        link_local = ipaddress.ip_address("fe80::1:2").packed
        for sent, (address, then) in enumerate(
            [(stable, stable), (temporary, stable), (link_local, PLAN.guest4().packed), (again, again)], 1
        ):
            await probe(address, then, sent)
        assert hosts.guest(4) == PLAN.guest4().packed
        await gateway.close()
        sock.close()

    run(test)


def question(name: str, kind: str = "A") -> bytes:
    return dns.message.make_query(name, kind).to_wire()


@pytest.mark.parametrize("server", ["10.0.2.3", "fd00::3"])
def test_names(server: str) -> None:
    """Over UDP and TCP, with either version of IP, for who may reach anybody; the host's own names count."""

    async def test() -> None:
        settings = Settings(hosts=Hosts({"db.example.": ["192.0.2.5"]}))
        async with network(names=settings) as (gateway, guest):
            version = 6 if ":" in server else 4
            datagram = await guest.ask(guest.stack.bind(version=version), question("db.example"), server, 53)
            assert dns.message.from_wire(bytes(datagram.data)).answer[0][0].address == "192.0.2.5"
            stream = await guest.connect(server, 53)
            octets = question("db.example")
            framed = len(octets).to_bytes(2, "big") + octets
            for part in (framed[:7], framed[7:] + framed):  # two questions, cut where nobody expects it
                await stream.write(part)
                await asyncio.sleep(0)
            stream.shutdown()
            answers = await stream.read_all()
            assert len(answers) == 2 * (2 + int.from_bytes(answers[:2], "big"))
            assert dns.message.from_wire(answers[2 : len(answers) // 2]).answer[0][0].address == "192.0.2.5"
            stream.close()
            assert gateway.counters["names.questions"] == 3

    run(test)


def test_names_are_refused_where_nobody_may_be_reached() -> None:
    """Questions would be a way out."""

    async def test() -> None:
        async with network() as (_, guest):
            datagram = await guest.ask(guest.stack.bind(version=4), question("example.org"), "10.0.2.3", 53)
            assert dns.message.from_wire(bytes(datagram.data)).rcode() == dns.rcode.REFUSED

    run(test)


def test_guests_reach_each_other() -> None:
    """Through the switch, whether or not they take super-frames; the gateway is not asked."""

    async def test() -> None:
        async with network() as (gateway, first):
            sock, mac = gateway.socket_pair()
            second = Guest(sock, mac, number=1, offload=False)
            content = bytes(range(256)) * 4000

            async def send(stream: object) -> None:
                await stream.write(content)  # type: ignore[attr-defined]
                stream.close()  # type: ignore[attr-defined]

            for server, client in ((first, second), (second, first)):
                server.serve(7, send)
                stream = await client.connect(str(server.ipv4), 7)
                assert await stream.read_all() == content
                stream.close()
            assert not gateway.counters
            second.close()

    run(test)


def test_a_guest_that_leaves_is_forgotten() -> None:
    """Its port goes, the network stays."""

    async def test() -> None:
        async with network() as (gateway, _):
            sock, _mac = gateway.socket_pair()
            assert len(gateway.ports) == 2
            sock.close()
            async with asyncio.timeout(5):
                while len(gateway.ports) > 1:
                    await asyncio.sleep(0.001)

    run(test)


def test_rubbish_from_a_guest_changes_nothing() -> None:
    """Messages of any length and content: counted, dropped, and the others are served."""
    import random

    chance = random.Random(11)

    async def test() -> None:
        async with network(rules=[allow("127.0.0.1")]) as (gateway, guest):
            sock, mac = gateway.socket_pair()
            real = udp4_frame(mac, gateway.plan.mac(), (b"\x0a\0\2\x10", 5), (b"\x0a\0\2\2", 67), bytes(300))
            for _ in range(3000):
                header = chance.randbytes(HEADER_SIZE) if chance.random() < 0.5 else bytes(HEADER_SIZE)
                frame = bytearray(real if chance.random() < 0.7 else chance.randbytes(chance.randrange(80)))
                for _ in range(chance.randrange(4) if frame else 0):
                    frame[chance.randrange(len(frame))] = chance.randrange(256)
                sock.send((header + frame)[chance.randrange(20) if chance.random() < 0.1 else 0 :] or b"x")
                if chance.random() < 0.05:
                    await asyncio.sleep(0)
            answer = await guest.ask(guest.stack.bind(version=4), question("example.org"), "10.0.2.3", 53)
            assert answer.port == 53
            assert len(gateway.ports) == 2
            sock.close()

    run(test)


def test_only_addresses_of_the_network_are_forwarded() -> None:
    """A guest that lies about its address reaches nobody (RFC 2827), whatever the rules say."""

    async def test() -> None:
        async with network(everything=True) as (gateway, guest):
            for source in ("192.0.2.9", "127.0.0.1", "10.0.2.2"):
                sender = ipaddress.ip_address(source).packed
                guest.device.send([udp4_frame(guest.device.mac, PLAN.mac(), (sender, 5), (b"\xc0\0\2\1", 9), b"lies")])
            refused = gateway._inside.stack.counters  # what claims to be from the gateway ends in its IP
            async with asyncio.timeout(5):
                while gateway.counters["udp.spoofed"] + refused["ip.spoofed"] + refused["ip4.bad-source"] < 3:
                    await asyncio.sleep(0.001)
            assert gateway.counters["udp.out"] == 0

    run(test)


@pytest.mark.tool("tcpdump")
def test_a_capture_of_it_all(tmp_path: Path) -> None:
    """tcpdump reads what passed."""

    async def test() -> None:
        async with network(capture=tmp_path / "all.pcapng") as (_, guest):
            await guest.ask(guest.stack.bind(version=4), question("example.org"), "10.0.2.3", 53)

    run(test)
    command = ["tcpdump", "-nr", str(tmp_path / "all.pcapng")]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "A? example.org" in told
    assert "10.0.2.3.53 > 10.0.2.15" in told


def test_a_capture_on_a_disk_that_is_full(tmp_path: Path) -> None:
    """It ends, and is counted; the network goes on. One that cannot begin is said at once."""
    with pytest.raises(HostUnavailable, match="/dev/full cannot be written: No space left"):
        Capture(Path("/dev/full"))

    async def test() -> None:
        async with network(capture=tmp_path / "all.pcapng") as (gateway, guest):
            assert gateway._capture is not None
            gateway._capture._file.close()
            gateway._capture._file = open("/dev/full", "wb", buffering=0)  # noqa: SIM115 - the capture closes it
            for _ in range(2):
                answer = await guest.ask(guest.stack.bind(version=4), question("example.org"), "10.0.2.3", 53)
                assert answer.port == 53
            gateway.flush()
            assert gateway.counters["capture.dropped"] > 2

    run(test)


@pytest.mark.tool("tcpdump")
def test_a_capture_is_bounded(tmp_path: Path) -> None:
    """In its file is what fits, blocks that name a port included, and it can be read while it grows."""
    capture = Capture(tmp_path / "some.pcapng", limit=1000)
    for number in range(100):
        capture.frame(f"guest{number}", (bytes(60),), sent=False)
    capture.flush()
    assert (tmp_path / "some.pcapng").stat().st_size < 1200
    told = subprocess.run(["tcpdump", "-nr", str(tmp_path / "some.pcapng")], capture_output=True, text=True, check=True)
    assert 0 < len(told.stdout.splitlines()) == 100 - capture.dropped
    capture.close()
