"""Programs written for asyncio's own loop, on two hosts in virtual time."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import socket

import pytest
from mirage.runtime import StackSocket, installed
from mirage.runtime.testing import SimHost, SimLoop
from sockets import connected, listening


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("address", ["10.0.0.1", "fd00::1", "server"])
def test_streams(loop: SimLoop, hosts: tuple[SimHost, SimHost], address: str) -> None:
    """What is written comes back, over both versions of IP, and by name."""
    server, client = hosts

    async def serve() -> asyncio.Server:
        return await asyncio.start_server(echo, None, 7)

    async def ask() -> bytes:
        reader, writer = await asyncio.open_connection(address, 7)
        writer.write(b"hello")
        writer.write_eof()
        data = await reader.read()
        writer.close()
        await writer.wait_closed()
        return data

    listening = loop.run_until_complete(server.spawn(serve()))
    assert [s.getsockname()[:2] for s in listening.sockets] == [("0.0.0.0", 7), ("::", 7)]
    assert loop.run_until_complete(client.spawn(ask())) == b"hello"


def test_refused(loop: SimLoop, hosts: tuple[SimHost, SimHost]) -> None:
    """Where nobody listens, the error is the one that asyncio's own loop gives."""

    async def ask() -> None:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("10.0.0.1", 9)

    loop.run_until_complete(hosts[1].spawn(ask()))


@pytest.mark.parametrize("loss", [0.0, 0.03])
@pytest.mark.slow
def test_bulk(loss: float) -> None:
    """Megabytes both ways at once arrive as they were sent, also where frames are lost."""
    data = bytes(range(251)) * 8000

    with SimLoop(seed=5) as loop:
        network = loop.network(delay=0.005, loss=loss)
        server = loop.host("server", network, "10.0.0.1/24")
        client = loop.host("client", network, "10.0.0.2/24")

        async def serve() -> None:
            await asyncio.start_server(echo, None, 7)

        async def ask() -> bytes:
            reader, writer = await asyncio.open_connection("server", 7)

            async def send() -> None:
                for start in range(0, len(data), 100_000):
                    writer.write(data[start : start + 100_000])
                    await writer.drain()
                writer.write_eof()

            sending = asyncio.create_task(send())
            received = await reader.read()
            await sending
            writer.close()
            return received

        loop.run_until_complete(server.spawn(serve()))
        received = loop.run_until_complete(client.spawn(ask()))
        assert hashlib.sha256(received).digest() == hashlib.sha256(data).digest()


def test_datagrams(loop: SimLoop, hosts: tuple[SimHost, SimHost]) -> None:
    """A datagram is answered, over both versions of IP."""
    server, client = hosts

    class Answer(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
            self.transport = transport

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            self.transport.sendto(data[::-1], addr)

    class Ask(asyncio.DatagramProtocol):
        def __init__(self) -> None:
            self.answer = asyncio.get_running_loop().create_future()

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            self.answer.set_result((data, addr))

    async def serve() -> None:
        for address in addresses:
            await asyncio.get_running_loop().create_datagram_endpoint(Answer, address)

    async def ask(address: tuple[str, int]) -> tuple[bytes, tuple[str, int]]:
        transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(Ask, None, address)
        assert transport.get_extra_info("peername")[:2] == address
        transport.sendto(b"abc")
        return await protocol.answer

    addresses = [("10.0.0.1", 53), ("fd00::1", 5353)]
    loop.run_until_complete(server.spawn(serve()))
    for address in addresses:
        data, source = loop.run_until_complete(client.spawn(ask(address)))
        assert data == b"cba"
        assert source[:2] == address


def test_sockets(loop: SimLoop, hosts: tuple[SimHost, SimHost]) -> None:
    """`loop.sock_*` work on a StackSocket at both ends."""

    server, client = hosts

    async def serve() -> bytes:
        listener = StackSocket(loop, socket.AF_INET, socket.SOCK_STREAM)
        listener.setblocking(False)
        listener.bind(("", 80))
        listener.listen()
        ready.set()
        connection, address = await loop.sock_accept(listener)
        assert address[0] == "10.0.0.2"
        data = b""
        while part := await loop.sock_recv(connection, 1000):
            data += part
        await loop.sock_sendall(connection, data.upper())
        connection.close()
        listener.close()
        return data

    async def ask() -> bytes:
        await ready.wait()
        sock = StackSocket(loop, socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        await loop.sock_connect(sock, ("10.0.0.1", 80))
        assert sock.getpeername() == ("10.0.0.1", 80)
        await loop.sock_sendall(sock, b"x" * 500_000)
        sock.shutdown(socket.SHUT_WR)
        buffer = bytearray(600_000)
        size = 0
        while count := await loop.sock_recv_into(sock, memoryview(buffer)[size:]):
            size += count
        sock.close()
        return bytes(buffer[:size])

    ready = asyncio.Event()
    serving = server.spawn(serve())
    assert loop.run_until_complete(client.spawn(ask())) == b"X" * 500_000
    assert loop.run_until_complete(serving) == b"x" * 500_000


def test_corks(loop: SimLoop, hosts: tuple[SimHost, SimHost]) -> None:
    """What TCP_CORK holds back comes in one piece when it is taken out; what MSG_MORE does, with what follows."""

    server, client = hosts

    async def serve() -> tuple[asyncio.Server, asyncio.Queue[tuple[float, bytes]]]:
        arrived: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(65536):
                arrived.put_nowait((asyncio.get_running_loop().time(), data))
            writer.close()

        return await asyncio.start_server(note, "10.0.0.1", 7), arrived

    async def ask() -> float:
        inside = asyncio.get_running_loop()
        sock = StackSocket(loop, socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        await inside.sock_connect(sock, ("10.0.0.1", 7))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        for piece in (b"a", b"b"):
            assert sock.send(piece) == 1
            await asyncio.sleep(0.05)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)
        out = inside.time()
        await asyncio.sleep(0.05)
        sock.send(b"c", socket.MSG_MORE)
        await asyncio.sleep(0.05)
        sock.send(b"d")
        await asyncio.sleep(0.05)
        sock.close()
        await asyncio.sleep(1)  # until the server has closed as well
        return out

    _, arrived = loop.run_until_complete(server.spawn(serve()))
    out = loop.run_until_complete(client.spawn(ask()))
    (first, both), (second, others) = arrived.get_nowait(), arrived.get_nowait()
    assert (both, others) == (b"ab", b"cd")
    assert first == pytest.approx(out + 0.01, abs=0.002)
    assert second == pytest.approx(out + 0.11, abs=0.002)


def test_rfc6724_the_addresses_of_a_name_in_order(loop: SimLoop) -> None:
    """A host that has no IPv6 to speak of is not sent there first, whatever comes first in the table."""
    network = loop.network(delay=0.01)
    host = loop.host("client", network, "10.0.0.2/24")
    loop.resolver.add_host("both", ["2001:db8::1", "10.0.0.1"])
    loop.resolver.add_host("near", ["fe80::1"])

    async def test() -> None:
        infos = await loop.getaddrinfo("both", 80, type=socket.SOCK_STREAM)
        assert [info[4][0] for info in infos] == ["10.0.0.1", "2001:db8::1"]
        with installed(loop):
            assert socket.getaddrinfo("both", 80, type=socket.SOCK_STREAM) == infos
        infos = await loop.getaddrinfo(None, 80, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        assert [info[4][0] for info in infos] == ["0.0.0.0", "::"]
        [near] = await loop.getaddrinfo("fe80::1%eth0", 80, type=socket.SOCK_STREAM)
        assert near[4] == ("fe80::1", 80, 0, 1)

    loop.run_until_complete(host.spawn(test()))


def test_files_of_sockets(loop: SimLoop, hosts: tuple[SimHost, SimHost]) -> None:
    """Lines in and out; the connection ends when the socket and its last file are closed, in either order."""
    server, client = hosts
    ready = asyncio.Event()

    async def serve() -> bytes:
        listener = listening(loop)
        ready.set()
        sock, _ = await loop.sock_accept(listener)
        await loop.sock_sendall(sock, b"first\nsecond\nthird")
        sock.shutdown(socket.SHUT_WR)
        received = b""
        while data := await loop.sock_recv(sock, 100):
            received += data
        return received

    async def ask() -> None:
        await ready.wait()
        sock = await connected(loop)
        await asyncio.sleep(1)
        reads, writes = sock.makefile("rb"), sock.makefile("w", encoding="ascii")
        sock.close()
        assert sock.fileno() >= 0
        assert [reads.readline(), *reads] == [b"first\n", b"second\n", b"third"]
        writes.write("answer")
        writes.close()
        assert not sock.closed
        reads.close()
        assert sock.closed
        with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
            sock.makefile()

    serving = server.spawn(serve())
    loop.run_until_complete(client.spawn(ask()))
    assert loop.run_until_complete(serving) == b"answer"
