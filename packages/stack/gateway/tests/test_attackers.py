"""A guest that means harm: what it sends costs bounded memory, changes nothing for the others, and is counted."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import Iterable

import dns.message
import dns.rcode
import pytest
from mirage.gateway import Gateway, Plan, parse_publication
from mirage.gateway.frames import icmp6_frame, udp4_frame
from mirage.gateway.testing import Guest, GuestStream
from mirage.net import HEADER_SIZE, build_header
from mirage.tcpip.wire.checksum import ones_sum
from mirage.types import Checksum, FrameMeta
from networks import allow, eventually, network, run, serve_echo

PLAN = Plan()
GATEWAY, GATEWAY4, GATEWAY6 = PLAN.mac(), PLAN.gateway4.packed, PLAN.gateway6.packed
ALL_NODES = b"\xff\x02" + bytes(13) + b"\1"
PUBLISH = [parse_publication("127.0.0.1:0:80")]


class Attacker:
    """A guest without a stack: it sends what it likes, and hears nothing."""

    def __init__(self, gateway: Gateway) -> None:
        self.sock, self.mac = gateway.socket_pair("attacker")
        self.port = gateway.ports[-1]
        self.sock.setblocking(False)
        self.address = PLAN.guest4(self.port.number).packed
        self._sent = 0

    async def send(self, frames: Iterable[bytes], header: bytes = bytes(HEADER_SIZE)) -> None:
        """Send frames, and wait until the gateway has taken them all."""
        for frame in frames:
            while True:
                try:
                    self.sock.send(header + frame)
                    break
                except BlockingIOError:
                    self._drain()
                    await asyncio.sleep(0)
            self._sent += 1
        await eventually(lambda: self._drain() and self.port.received + self.port.dropped >= self._sent)

    def __enter__(self) -> Attacker:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def _drain(self) -> bool:
        try:
            while self.sock.recv(70000):
                pass
        except BlockingIOError:
            pass
        return True


def arp(mac: bytes, claims: bytes, operation: int, asks: bytes) -> bytes:
    """A packet of ARP to all (RFC 826)."""
    head = b"\xff" * 6 + mac + b"\x08\x06" + struct.pack(">HHBBH", 1, 0x0800, 6, 4, operation)
    return head + mac + claims + bytes(6) + asks


def ip4(mac: bytes, source: bytes, destination: bytes, protocol: int, payload: bytes, fragment: int = 0) -> bytes:
    """A packet of IPv4 for the gateway; `fragment` are flags and offset in units of eight octets."""
    total, number = 20 + len(payload), random.Random(payload[:8] + source).randrange(65536)
    head = bytearray(struct.pack(">BBHHHBBH", 0x45, 0, total, number, fragment, 64, protocol, 0) + source + destination)
    head[10:12] = (65535 - ones_sum(head) % 65535).to_bytes(2, "big")
    return GATEWAY + mac + b"\x08\x00" + bytes(head) + payload


def syn(port: int, to: int) -> bytes:
    """A SYN whose checksum is left to the device."""
    return struct.pack(">HHIIBBHHH", port, to, 0, 0, 5 << 4, 2, 65535, 0, 0)


PARTIAL = build_header(FrameMeta(Checksum.PARTIAL, 34, 16))


async def still_served(gateway: Gateway, guest: Guest) -> None:
    """The guest that behaves is reached at the published port, and the gateway answers it."""

    async def answer(stream: GuestStream) -> None:
        await stream.write(b"here")
        stream.close()

    guest.serve(80, answer)
    reader, writer = await asyncio.open_connection(*gateway.published[0].address)
    assert await reader.read() == b"here"
    writer.close()
    question = dns.message.make_query("example.org", "A").to_wire()
    for server in ("10.0.2.3", "fd00::3"):
        endpoint = guest.stack.bind(version=6 if ":" in server else 4)
        reply = await guest.ask(endpoint, question, server, 53)
        assert dns.message.from_wire(bytes(reply.data)).rcode() == dns.rcode.REFUSED


def test_the_gateways_addresses_stay_its_own() -> None:
    """Whoever says that they are his, by ARP or NDP, is contradicted (RFC 5227 2.4) or not heard, and nobody else is
    believed to be a router: no address, no route and no MTU of the gateway's comes from a guest (RFC 4861 6.2.7)."""

    async def test() -> None:
        async with network(publish=PUBLISH) as (gateway, guest):
            with Attacker(gateway) as attacker:
                inside = gateway._inside
                before = set(inside.interface.addresses), inside.interface.mtu, len(inside.stack.ip.routes.all())
                advertisement = b"\x88\0\0\0\x20\0\0\0" + GATEWAY6 + b"\x02\x01" + attacker.mac
                router = struct.pack(">BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0) + b"\x01\x01" + attacker.mac
                router += struct.pack(">BBHI", 5, 1, 0, 1280)
                router += struct.pack(">BBBBIII", 3, 4, 64, 0xC0, 86400, 86400, 0) + b"\x20\x01\x0d\xb8" + bytes(12)
                link_local = b"\xfe\x80" + bytes(13) + b"\x66"
                await attacker.send(
                    [
                        arp(attacker.mac, GATEWAY4, 1, GATEWAY4),
                        arp(attacker.mac, GATEWAY4, 2, GATEWAY4),
                        arp(attacker.mac, PLAN.names4.packed, 2, PLAN.names4.packed),
                        icmp6_frame(attacker.mac, GATEWAY, GATEWAY6, ALL_NODES, advertisement),
                        icmp6_frame(attacker.mac, GATEWAY, link_local, ALL_NODES, advertisement),
                        icmp6_frame(attacker.mac, b"\x33\x33\0\0\0\1", link_local, ALL_NODES, router),
                    ]
                )
                counters = inside.stack.counters
                assert counters["ip4.address-conflicts"] >= 1
                assert (
                    set(inside.interface.addresses),
                    inside.interface.mtu,
                    len(inside.stack.ip.routes.all()),
                ) == before
                # Other guests may have believed him; the gateway's answer to the claim has put that right.
                await still_served(gateway, guest)

    run(test)


def test_frames_in_the_gateways_name_go_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who sends from the gateway's Ethernet address is not learned, not heard and not passed on."""

    async def test() -> None:
        async with network(publish=PUBLISH) as (gateway, guest):
            passed: list[bytes] = []
            send = gateway.ports[0].send

            def record(meta: FrameMeta, parts: list[bytes]) -> None:
                passed.append(b"".join(parts))
                send(meta, parts)

            monkeypatch.setattr(gateway.ports[0], "send", record)
            nobody = PLAN.ipv4[222].packed
            with Attacker(gateway) as attacker:
                await attacker.send([arp(GATEWAY, GATEWAY4, 2, nobody)] * 20)
                assert gateway._inside._table.find(GATEWAY) is None
                await attacker.send([arp(attacker.mac, attacker.address, 1, nobody)])
                await still_served(gateway, guest)
            asked = [frame[6:12] for frame in passed if frame[12:14] == b"\x08\x06" and frame[38:42] == nobody]
            assert asked == [attacker.mac]

    run(test)


@pytest.mark.slow
@pytest.mark.parametrize("permitted", [False, True])
def test_a_flood_of_syns(*, permitted: bool) -> None:
    """Ten thousand, from addresses that are nobody's: neither the stack nor the host's side goes beyond its limits."""
    chance = random.Random(3)

    async def test() -> None:
        async with serve_echo() as port:
            rules = [allow("127.0.0.1")] if permitted else []
            async with network(rules=rules, names=False, publish=PUBLISH, max_connections=40) as (gateway, guest):
                with Attacker(gateway) as attacker:
                    for _ in range(100):
                        sources = [bytes([10, 0, 2, chance.randrange(40, 250)]) for _ in range(100)]
                        await attacker.send(
                            (
                                ip4(attacker.mac, source, GATEWAY4, 6, syn(chance.randrange(1024, 65536), port))
                                for source in sources
                            ),
                            PARTIAL,
                        )
                        assert gateway.connections <= 40
                        assert len(gateway._outwards._connecting) <= 512
                        assert len(list(gateway._inside.stack.tcp.all())) <= 600
                    counters = gateway.counters
                    assert counters["tcp.full" if permitted else "tcp.denied"] > 1000
                    if permitted:  # the flood has all the places, which its silence gives back in time
                        gateway._streams.close()
                    await still_served(gateway, guest)

    run(test)


@pytest.mark.slow
def test_a_flood_of_fragments_and_a_long_question() -> None:
    """Beginnings of packets that never end are kept within 4 MiB; what is whole and no question is not answered."""

    async def test() -> None:
        async with network(publish=PUBLISH) as (gateway, guest):
            with Attacker(gateway) as attacker:
                names = PLAN.names4.packed
                for first in range(0, 4000, 500):
                    beginnings = (
                        ip4(attacker.mac, attacker.address, names, 17, struct.pack(">I", number) + bytes(1436), 0x2000)
                        for number in range(first, first + 500)
                    )
                    await attacker.send(beginnings)
                reassembly = gateway._inside.stack.ip.reassembly
                assert len(reassembly._partial) <= 256
                assert reassembly._octets <= 4 << 20
                long = b"\xff" * 60_000
                endpoint = guest.stack.bind(version=4)
                for _ in range(20):
                    endpoint.send(long, names, 53, now=guest.loop.time())
                guest.soon()
                await still_served(gateway, guest)

    run(test)


@pytest.mark.slow
def test_a_flood_of_hosts() -> None:
    """Addresses made up by the thousand, of Ethernet, IPv4, IPv6 and DHCP: every table has its limit."""
    chance = random.Random(5)

    async def test() -> None:
        async with network(publish=PUBLISH) as (gateway, guest):
            with Attacker(gateway) as attacker:

                def frames() -> Iterable[bytes]:
                    for _ in range(5000):
                        mac = bytes([2]) + chance.randbytes(5)
                        yield arp(mac, bytes([10, 0, 2, chance.randrange(40, 250)]), 1, GATEWAY4)
                        own = PLAN.ipv6.network_address.packed[:8] + chance.randbytes(8)
                        solicitation = b"\x87" + bytes(7) + GATEWAY6 + b"\x01\x01" + mac
                        group = b"\xff\x02" + bytes(9) + b"\1\xff" + GATEWAY6[-3:]
                        yield icmp6_frame(mac, b"\x33\x33\xff" + GATEWAY6[-3:], own, group, solicitation)
                    for _ in range(600):
                        mac = bytes([2]) + chance.randbytes(5)
                        message = struct.pack(">BBBB", 1, 1, 6, 0) + chance.randbytes(4) + bytes(20) + mac + bytes(202)
                        message += b"\x63\x82\x53\x63\x35\x01\x01\xff"
                        yield udp4_frame(mac, b"\xff" * 6, (bytes(4), 68), (b"\xff" * 4, 67), message)

                await attacker.send(frames())
                inside, hosts = gateway._inside, gateway._hosts
                assert len(inside._table) <= 4096
                assert len(hosts.ipv6) <= 4096
                assert len(inside.stack.ip.neighbours.known) <= 1024
                assert len(list(hosts._server.pools[0])) <= PLAN.guests
                await still_served(gateway, guest)

    run(test)


def test_a_question_from_nobody_is_not_answered() -> None:
    """A sender outside of the network, or the gateway itself, costs no question to the host's name servers."""

    async def test() -> None:
        async with network(names=True, publish=PUBLISH) as (gateway, _guest):
            with Attacker(gateway) as attacker:
                question = dns.message.make_query("example.org", "A").to_wire()
                names = PLAN.names4.packed, 53
                await attacker.send(
                    udp4_frame(attacker.mac, GATEWAY, (bytes(source), 99), names, question)
                    for source in ([192, 0, 2, 9], [8, 8, 8, 8])
                )
                assert gateway.counters["udp.spoofed"] == 2
                assert gateway.counters["names.questions"] == 0

    run(test)


def test_descriptors_run_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that gives no more sockets costs what was to be opened; a published port waits, and goes on."""

    async def test() -> None:
        async with serve_echo() as port, network(rules=[allow("127.0.0.1")], publish=PUBLISH) as (gateway, guest):
            published = gateway.published[0]
            accept = published._socket.accept  # type: ignore[union-attr]
            calls = 0

            def full() -> tuple[socket.socket, object]:
                nonlocal calls
                calls += 1
                raise OSError(24, "Too many open files")

            monkeypatch.setattr("mirage.gateway._streams.AGAIN", 0.05)
            monkeypatch.setattr(published, "_socket", _Refusing(published._socket, full))  # type: ignore[union-attr]
            reader, writer = await asyncio.open_connection(*published.address)
            await eventually(lambda: gateway.counters["tcp.accept-failed"] > 0)
            stream = await guest.connect("10.0.2.2", port)  # other things go on meanwhile
            stream.close()
            assert calls < 5
            monkeypatch.setattr(published._socket, "accept", accept)  # type: ignore[union-attr]

            async def answer(stream: GuestStream) -> None:
                stream.close()

            guest.serve(80, answer)
            assert await reader.read() == b""
            writer.close()

    run(test)


class _Refusing:
    """A listening socket with another `accept`."""

    def __init__(self, sock: socket.socket, accept: object) -> None:
        self._sock = sock
        self.accept = accept

    def __getattr__(self, name: str) -> object:
        return getattr(self._sock, name)
