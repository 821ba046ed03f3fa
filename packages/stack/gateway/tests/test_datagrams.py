"""UDP through the gateway, both ways, and what bounds it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from mirage.gateway import parse_publication
from networks import allow, eventually, network, run

GATEWAY = {4: "10.0.2.2", 6: "fd00::2"}
LOOPBACK = {4: "127.0.0.1", 6: "::1"}


class Echo(asyncio.DatagramProtocol):
    """A server of the host that says again what it hears."""

    transport: asyncio.DatagramTransport

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.transport.sendto(b"echo " + data, addr)


@contextlib.asynccontextmanager
async def serve_echo(host: str) -> AsyncIterator[int]:
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Echo, local_addr=(host, 0))
    try:
        yield transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


@pytest.mark.parametrize("version", [4, 6])
def test_out_to_a_server_of_the_host(version: int) -> None:
    """The answer comes from whom was asked."""

    async def test() -> None:
        async with (
            serve_echo(LOOPBACK[version]) as port,
            network(rules=[allow(f"[{LOOPBACK[version]}]:{port}")]) as (gateway, guest),
        ):
            endpoint = guest.stack.bind(version=version)
            for words in (b"one", b"two"):
                answer = await guest.ask(endpoint, words, GATEWAY[version], port)
                assert bytes(answer.data) == b"echo " + words
                assert answer.port == port
            assert gateway.counters["udp.out"] == 1  # both are one flow
            assert gateway.octets == (16, 6)

    run(test)


def test_the_policy_is_kept() -> None:
    """What no rule permits is dropped, and counted."""

    async def test() -> None:
        async with (
            serve_echo("127.0.0.1") as port,
            network(rules=[allow(f"127.0.0.1:{port}")]) as (gateway, guest),
        ):
            endpoint = guest.stack.bind(version=4)
            for address, wanted in (("10.0.2.2", port + 1), ("192.0.2.1", port)):
                with pytest.raises(TimeoutError):
                    await guest.ask(endpoint, b"hello", address, wanted, timeout=0.05)
            assert gateway.counters["udp.denied"] == 2
            assert gateway.counters["udp.out"] == 0

    run(test)


def test_in_to_a_published_port() -> None:
    """The guest sees each client as another port of the gateway, and its answers find the right one."""

    async def test() -> None:
        async with network(publish=[parse_publication("127.0.0.1:0:53/udp")]) as (gateway, guest):
            endpoint = guest.stack.bind(53, version=4)
            seen = set()

            class Server:
                def news(self) -> None:
                    while (datagram := endpoint.read()) is not None:
                        seen.add(datagram.port)
                        endpoint.send(
                            bytes(datagram.data) + b"!", datagram.source, datagram.port, now=guest.loop.time()
                        )
                        guest.soon()

            endpoint.owner = Server()
            address = gateway.published[0].address
            with socket.socket(type=socket.SOCK_DGRAM) as one, socket.socket(type=socket.SOCK_DGRAM) as two:
                for client, words in ((one, b"one"), (two, b"two"), (one, b"three")):
                    client.setblocking(False)
                    client.sendto(words, address)
                    assert await guest.loop.sock_recv(client, 100) == words + b"!"
            assert len(seen) == 2
            assert gateway.counters["udp.in"] == 2

    run(test)


def test_flows_are_limited() -> None:
    """The least recently used makes room: a guest that asks everybody costs no more than the limit."""

    async def test() -> None:
        async with serve_echo("127.0.0.1") as port, network(rules=[allow("127.0.0.1")]) as (gateway, guest):
            flows = gateway._flows
            flows._limit = 8
            for _ in range(40):
                answer = await guest.ask(guest.stack.bind(version=4), b"x", "10.0.2.2", port)
                assert bytes(answer.data) == b"echo x"
            assert len(flows._flows) == 8
            assert gateway.counters["udp.full"] == 32

    run(test)


def test_nobody_answers() -> None:
    """An ICMP error of the host's is counted, and the next datagram goes out all the same."""

    async def test() -> None:
        with socket.socket(type=socket.SOCK_DGRAM) as closed:
            closed.bind(("127.0.0.1", 0))
            port = closed.getsockname()[1]
        async with network(rules=[allow("127.0.0.1")]) as (gateway, guest):
            endpoint = guest.stack.bind(version=4)
            for _ in range(2):
                with pytest.raises(TimeoutError):
                    await guest.ask(endpoint, b"hello", "10.0.2.2", port, timeout=0.05)
            await eventually(lambda: gateway.counters["udp.errors"] + gateway.counters["udp.dropped"] >= 1)

    run(test)
