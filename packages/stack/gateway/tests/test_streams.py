"""TCP through the gateway: both ways, ends, resets, refusals, back-pressure, limits."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
import socket
import struct
from pathlib import Path

import pytest
from mirage.gateway import parse_publication
from mirage.gateway.testing import GuestStream
from mirage.tcpip import ConnectionRefused, ConnectionReset
from mirage.tcpip.tcp.state import State
from networks import allow, eventually, network, run, serve_echo

GATEWAY = {4: "10.0.2.2", 6: "fd00::2"}
LOOPBACK = {4: "127.0.0.1", 6: "::1"}
PUBLISH = [parse_publication("0:80")]


async def echo(stream: GuestStream) -> None:
    """Say again what is heard, up to the end of it."""
    while data := await stream.read():
        await stream.write(data)
    stream.close()


async def connect_and_read(address: tuple[str, int]) -> bytes:
    """As a client that is reset finds out: perhaps before it has seen that it is connected."""
    reader, writer = await asyncio.open_connection(*address)
    with contextlib.closing(writer):
        return await reader.read()


@pytest.mark.parametrize("offload", [True, False], ids=["offload", "plain"])
@pytest.mark.parametrize("version", [4, 6])
def test_out_to_a_server_of_the_host(version: int, offload: bool) -> None:
    """With either version of IP; half-close is carried over both ways, and every octet is there."""
    content = random.Random(version).randbytes(3_000_000)

    async def test() -> None:
        async with serve_echo(LOOPBACK[version]) as port:
            rule = allow(f"[{LOOPBACK[version]}]:{port}")
            async with network(rules=[rule], offload=offload) as (gateway, guest):
                stream = await guest.connect(GATEWAY[version], port)
                reading = asyncio.ensure_future(stream.read_all())
                await stream.write(content)
                stream.shutdown()
                assert hashlib.sha256(await reading).digest() == hashlib.sha256(content).digest()
                stream.close()
                await eventually(lambda: gateway.connections == 0)
                assert gateway.counters["tcp.out"] == 1
                assert gateway.octets == (len(content), len(content))

    run(test)


@pytest.mark.parametrize("offload", [True, False], ids=["offload", "plain"])
def test_in_to_a_published_port(offload: bool) -> None:
    """With either version of IP on the host's side."""
    content = random.Random(5).randbytes(2_000_000)

    async def test() -> None:
        async with network(publish=PUBLISH, offload=offload) as (gateway, guest):
            guest.serve(80, echo)
            guest.serve(80, echo, version=6)
            for published in gateway.published:
                reader, writer = await asyncio.open_connection(*published.address)
                reading = asyncio.ensure_future(reader.read())
                writer.write(content)
                writer.write_eof()
                assert await reading == content
                writer.close()
            await eventually(lambda: gateway.connections == 0)
            assert gateway.counters["tcp.in"] == 2

    run(test)


def test_in_by_a_file(tmp_path: Path) -> None:
    """A socket of the file system leads in as a port does, and goes when the gateway does."""
    path = tmp_path / "in"

    async def test() -> None:
        async with network(publish=[parse_publication(f"unix:{path}:80")]) as (gateway, guest):
            guest.serve(80, echo)
            assert gateway.published[0].address == (str(path), 0)
            reader, writer = await asyncio.open_unix_connection(str(path))
            writer.write(bytes(300_000))
            writer.write_eof()
            assert await reader.read() == bytes(300_000)
            writer.close()
            await eventually(lambda: gateway.connections == 0)
        assert not path.exists()

    run(test)


def test_the_policy_is_kept() -> None:
    """What no rule permits is refused with RST at once, and the host hears nothing of it."""

    async def test() -> None:
        async with serve_echo() as port, network(rules=[allow(f"127.0.0.1:{port}")]) as (gateway, guest):
            for address, wanted in (("10.0.2.2", port + 1), ("192.0.2.1", port), ("fd00::2", port)):
                with pytest.raises(ConnectionRefused):
                    await guest.connect(address, wanted)
            assert gateway.counters["tcp.denied"] == 3
            assert gateway.counters["tcp.out"] == 0

    run(test)


def test_a_refusal_of_the_host_is_the_guests_too() -> None:
    """The host's side is connected first: a SYN to a port where nobody listens gets RST, not a connection."""

    async def test() -> None:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            port = closed.getsockname()[1]
            async with network(rules=[allow("127.0.0.1")]) as (gateway, guest):
                with pytest.raises(ConnectionRefused):
                    await guest.connect(GATEWAY[4], port)
                assert gateway.counters["tcp.refused"] == 1

    run(test)


def test_a_refusal_of_the_guest_resets_the_hosts_client() -> None:
    """The kernel has accepted already; a reset is the next best."""

    async def test() -> None:
        async with network(publish=PUBLISH) as (gateway, _guest):
            with pytest.raises(ConnectionResetError):
                await connect_and_read(gateway.published[0].address)
            assert gateway.connections == 0

    run(test)


def test_resets_are_carried_over() -> None:
    """From the guest to the host, and from the host to the guest."""

    async def test() -> None:
        accepted: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        server = await asyncio.start_server(lambda *pair: accepted.put_nowait(pair), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with network(rules=[allow("127.0.0.1")]) as (gateway, guest):
            first = await guest.connect(GATEWAY[4], port)
            reader, writer = await accepted.get()
            first.abort()
            with pytest.raises(ConnectionResetError):
                await reader.read()
            writer.close()
            second = await guest.connect(GATEWAY[4], port)
            _, writer = await accepted.get()
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            with pytest.raises(ConnectionReset):
                await second.read()
            await eventually(lambda: gateway.connections == 0)
        server.close()

    run(test)


def test_each_direction_ends_by_itself() -> None:
    """The host has said its last; the guest goes on for as long as it likes."""

    async def test() -> None:
        got = bytearray()

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"all that I have")
            writer.write_eof()
            got.extend(await reader.read())
            writer.close()

        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        async with network(rules=[allow("127.0.0.1")]) as (gateway, guest):
            stream = await guest.connect(GATEWAY[4], server.sockets[0].getsockname()[1])
            assert await stream.read_all() == b"all that I have"
            for _ in range(10):
                await stream.write(b"x" * 1000)
                await asyncio.sleep(0)
            stream.close()
            await eventually(lambda: len(got) == 10_000 and gateway.connections == 0)
        server.close()

    run(test)


def test_a_slow_reader_of_the_host_stops_the_guest() -> None:
    """What waits on the way is bounded, and goes through once it is read."""

    async def test() -> None:
        accepted: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        server = await asyncio.start_server(lambda *pair: accepted.put_nowait(pair), "127.0.0.1", 0, limit=1024)
        async with network(rules=[allow("127.0.0.1")]) as (gateway, guest):
            stream = await guest.connect(GATEWAY[4], server.sockets[0].getsockname()[1])
            reader, writer = await accepted.get()
            total = 64 << 20
            stream.connection.write(bytes(total))
            guest.soon()
            before = -1
            while before != gateway.octets[1]:  # until nothing moves any more
                before = gateway.octets[1]
                await asyncio.sleep(0.05)
            waiting = stream.connection.queued
            assert 0 < waiting < total
            assert gateway.octets[1] < 16 << 20
            stream.shutdown()
            received = 0
            while data := await reader.read(1 << 20):
                received += len(data)
            assert received == total
            writer.close()
        server.close()

    run(test)


def test_a_slow_reader_in_the_guest_stops_the_host() -> None:
    """The same the other way: the kernel's buffers fill, and `send` blocks."""

    async def test() -> None:
        async with network(publish=PUBLISH) as (gateway, guest):
            streams: list[GuestStream] = []

            async def hold(stream: GuestStream) -> None:
                stream.paused = True
                streams.append(stream)

            guest.serve(80, hold)
            total = 64 << 20
            with socket.create_connection(gateway.published[0].address) as client:
                client.setblocking(False)
                piece, sent, quiet = bytes(1 << 16), 0, 0
                while sent < total and quiet < 20:
                    try:
                        sent += client.send(piece)
                        quiet = 0
                    except BlockingIOError:
                        quiet += 1
                        await asyncio.sleep(0.01)
                assert sent < total
                assert gateway.octets[0] < 16 << 20
                client.shutdown(socket.SHUT_WR)
                streams[0].paused = False
                streams[0].news()
                assert len(await streams[0].read_all()) == sent

    run(test)


@pytest.mark.slow
def test_many_connections_at_once() -> None:
    """Four hundred, each with its own words; none is left over."""

    async def test() -> None:
        async with serve_echo() as port, network(rules=[allow("127.0.0.1")], publish=PUBLISH) as (gateway, guest):
            guest.serve(80, echo)
            address = gateway.published[0].address

            async def out(number: int) -> None:
                stream = await guest.connect(GATEWAY[4], port)
                await stream.write(b"out %d" % number)
                stream.shutdown()
                assert await stream.read_all() == b"out %d" % number
                stream.close()

            async def into(number: int) -> None:
                reader, writer = await asyncio.open_connection(*address)
                writer.write(b"in %d" % number)
                writer.write_eof()
                assert await reader.read() == b"in %d" % number
                writer.close()

            await asyncio.gather(*(out(n) for n in range(200)), *(into(n) for n in range(200)))
            await eventually(lambda: gateway.connections == 0)
            assert gateway.counters["tcp.out"] == gateway.counters["tcp.in"] == 200

    run(test)


def test_connections_are_limited() -> None:
    """Beyond the limit guests wait unanswered, and clients of the host are reset."""

    async def test() -> None:
        async with (
            serve_echo() as port,
            network(rules=[allow("127.0.0.1")], publish=PUBLISH, max_connections=2) as (gateway, guest),
        ):
            held = [await guest.connect(GATEWAY[4], port) for _ in range(2)]
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(guest.connect(GATEWAY[4], port), 0.1)
            with pytest.raises(ConnectionResetError):
                await connect_and_read(gateway.published[0].address)
            assert gateway.counters["tcp.full"] == 2
            assert all(stream.connection.state is State.ESTABLISHED for stream in held)

    run(test)


def test_idle_connections_end() -> None:
    """After `idle` seconds without an octet."""

    async def test() -> None:
        async with serve_echo() as port, network(rules=[allow("127.0.0.1")], idle=0.3) as (gateway, guest):
            stream = await guest.connect(GATEWAY[4], port)
            with pytest.raises(ConnectionReset):
                await stream.read()
            assert gateway.counters["tcp.idle"] == 1

    run(test)


def test_the_end_of_the_gateway_resets_everything() -> None:
    """Nobody is left waiting."""

    async def test() -> None:
        async with network(publish=PUBLISH) as (gateway, guest):
            guest.serve(80, echo)
            reader, writer = await asyncio.open_connection(*gateway.published[0].address)
            writer.write(b"hello")
            assert await reader.read(5) == b"hello"
            address = gateway.published[0].address
            await gateway.close()
            with pytest.raises(ConnectionResetError):
                await reader.read()
            writer.close()
            with socket.socket() as again, pytest.raises(ConnectionRefusedError):
                again.connect(address)

    run(test)
