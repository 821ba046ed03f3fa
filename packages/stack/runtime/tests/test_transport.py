"""What asyncio promises of transports and servers, on two hosts in virtual time."""

from __future__ import annotations

import asyncio
import contextvars
import errno
import io
import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from mirage.runtime import StackSocket, installed
from mirage.runtime.testing import SimHost, SimLoop


class Recorder(asyncio.Protocol):
    """Writes down what it is called with."""

    keep_open = False

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.received = b""
        self.lost: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.calls.append("made")

    def data_received(self, data: bytes) -> None:
        assert type(data) is bytes
        self.received += data

    def eof_received(self) -> bool:
        self.calls.append("eof")
        return self.keep_open

    def pause_writing(self) -> None:
        self.calls.append("pause")

    def resume_writing(self) -> None:
        self.calls.append("resume")

    def connection_lost(self, exc: BaseException | None) -> None:
        self.calls.append("lost")
        self.lost.set_result(exc)  # raises if it is called twice


class HalfOpen(Recorder):
    keep_open = True


class Net:
    """Two hosts, a connection between them, and both protocols."""

    def __init__(self, loop: SimLoop) -> None:
        self.loop = loop
        self.network = loop.network(delay=0.01)
        self.server: SimHost = loop.host("server", self.network, "10.0.0.1/24", "fd00::1/64")
        self.client: SimHost = loop.host("client", self.network, "10.0.0.2/24", "fd00::2/64")

    def run(
        self,
        test: Callable[[Any, Any, asyncio.Server], Awaitable[Any]],
        ours: Callable[[], Any] = Recorder,
        theirs: Callable[[], Any] = Recorder,
    ) -> Any:
        """Connect, and give the test the client's protocol, the server's, and the server."""

        async def serve() -> tuple[asyncio.Server, list[Any]]:
            made: list[Any] = []

            def factory() -> Any:
                made.append(theirs())
                return made[-1]

            return await asyncio.get_running_loop().create_server(factory, None, 80), made

        async def main(server: asyncio.Server, made: list[Any]) -> Any:
            _, protocol = await asyncio.get_running_loop().create_connection(ours, "server", 80)
            await asyncio.sleep(0.1)
            return await test(protocol, made[0], server)

        listening, made = self.loop.run_until_complete(self.server.spawn(serve()))
        return self.loop.run_until_complete(self.client.spawn(main(listening, made)))


@pytest.fixture
def net() -> Iterator[Net]:
    with SimLoop(seed=2) as loop:
        yield Net(loop)


@pytest.mark.slow
def test_close_flushes(net: Net) -> None:
    """`close` sends all that was written, far more than any window, and both sides are told once, without an error."""
    data = bytes(range(256)) * 8000

    async def test(client: Recorder, server: Recorder, _: asyncio.Server) -> None:
        client.transport.write(data)
        client.transport.close()
        assert client.transport.is_closing()
        client.transport.write(b"lost")
        assert await client.lost is None
        assert await server.lost is None
        assert server.received == data
        assert server.calls == ["made", "eof", "lost"]
        assert client.calls == ["made", "pause", "lost"]

    net.run(test)


def test_abort_resets(net: Net) -> None:
    """`abort` with much still to be sent resets the connection: the peer does not take what it has for the whole."""

    async def test(client: Recorder, server: Recorder, _: asyncio.Server) -> None:
        client.transport.write(bytes(5_000_000))
        client.transport.abort()
        assert await client.lost is None
        assert isinstance(await server.lost, ConnectionResetError)

    net.run(test)


def test_pauses_writing(net: Net) -> None:
    """Beyond the high-water mark the protocol is told to pause, and to resume below the low one, in turns."""

    async def test(client: Recorder, server: Recorder, _: asyncio.Server) -> None:
        assert client.transport.get_write_buffer_limits() == (16384, 65536)
        client.transport.write(bytes(1000))
        assert client.transport.get_write_buffer_size() == 0
        client.transport.write(bytes(1_000_000))
        assert client.calls[1:] == ["pause"]
        assert client.transport.get_write_buffer_size() > 65536
        await asyncio.sleep(10)
        assert client.calls[1:] == ["pause", "resume"]
        assert client.transport.get_write_buffer_size() == 0
        assert len(server.received) == 1_001_000
        client.transport.close()

    net.run(test)


@pytest.mark.slow
def test_pauses_reading(net: Net) -> None:
    """While reading is paused nothing is delivered, the peer's window closes, and all comes after."""
    data = bytes(range(256)) * 8000

    async def test(client: Recorder, server: Recorder, _: asyncio.Server) -> None:
        server.transport.pause_reading()
        assert not server.transport.is_reading()
        client.transport.write(data)
        await asyncio.sleep(60)
        assert server.received == b""
        assert client.transport.get_write_buffer_size() > 0
        server.transport.resume_reading()
        client.transport.write_eof()
        await server.lost
        assert server.received == data

    net.run(test)


def test_half_close(net: Net) -> None:
    """After `write_eof` the other direction goes on, if the peer's protocol wants it so."""

    async def test(client: Recorder, server: Recorder, _: asyncio.Server) -> None:
        assert client.transport.can_write_eof()
        client.transport.write(b"question")
        client.transport.write_eof()
        with pytest.raises(RuntimeError, match="write_eof"):
            client.transport.write(b"more")
        await asyncio.sleep(1)
        assert server.calls == ["made", "eof"]
        server.transport.write(b"answer")
        server.transport.close()
        await client.lost
        assert (server.received, client.received) == (b"question", b"answer")

    net.run(test, theirs=HalfOpen)


class Buffered(asyncio.BufferedProtocol):
    """Takes what comes into a small buffer of its own."""

    def __init__(self) -> None:
        self.buffer = bytearray(1000)
        self.received = b""
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.received += self.buffer[:nbytes]

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost.set_result(exc)


def test_buffered_protocol(net: Net) -> None:
    """A `BufferedProtocol` is filled piece by piece."""
    data = bytes(range(251)) * 400

    async def test(client: Recorder, server: Buffered, _: asyncio.Server) -> None:
        client.transport.writelines([data[:7], bytearray(data[7:]), memoryview(b"")])
        client.transport.close()
        await server.lost
        assert server.received == data

    net.run(test, theirs=Buffered)


def test_a_protocol_that_fails(net: Net) -> None:
    """An exception in a callback ends its connection and nothing else, and the loop's handler hears of it."""
    failures: list[dict[str, Any]] = []
    net.loop.set_exception_handler(lambda loop, context: failures.append(context))

    class Bad(Recorder):
        def data_received(self, data: bytes) -> None:
            raise ZeroDivisionError

    async def test(client: Recorder, server: Recorder, _: asyncio.Server) -> None:
        client.transport.write(b"x")
        assert isinstance(await server.lost, ZeroDivisionError)
        await client.lost
        assert [type(failure["exception"]) for failure in failures] == [ZeroDivisionError]
        _, again = await asyncio.get_running_loop().create_connection(Recorder, "server", 80)
        again.transport.close()
        await again.lost

    net.run(test, theirs=Bad)


def test_the_peer_vanishes(net: Net) -> None:
    """Whoever waits for an acknowledgment that never comes is told, after the user timeout."""

    async def test(client: Recorder, server: Recorder, _: asyncio.Server) -> None:
        sock = client.transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 20_000)
        net.network.loss = 1.0
        start = net.loop.time()
        client.transport.write(b"anybody?")
        error = await client.lost
        assert isinstance(error, TimeoutError)
        assert 15 < net.loop.time() - start < 90

    net.run(test)


def test_connect_fails(net: Net) -> None:
    """No route, no listener and no answer are different errors, with their numbers."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for address, number in (("192.0.2.1", errno.ENETUNREACH), ("10.0.0.1", errno.ECONNREFUSED)):
            with pytest.raises(OSError, match="onnect") as caught:
                await loop.create_connection(Recorder, address, 81)
            assert caught.value.errno == number
        with pytest.raises((TimeoutError, OSError)):
            await loop.create_connection(Recorder, "10.0.0.77", 81)
        with pytest.raises(socket.gaierror):
            await loop.create_connection(Recorder, "nobody", 81)

    net.loop.run_until_complete(net.client.spawn(main()))


def test_happy_eyeballs(net: Net) -> None:
    """Where IPv6 leads nowhere, IPv4 is tried after the delay, and wins (RFC 8305)."""

    async def test(client: Recorder, server: Recorder, _: asyncio.Server) -> None:
        net.network.choose = lambda port, frame: frame[12:14] != b"\x86\xdd"
        start = net.loop.time()
        transport, _protocol = await asyncio.get_running_loop().create_connection(
            Recorder, "server", 80, happy_eyeballs_delay=0.25
        )
        assert transport.get_extra_info("peername") == ("10.0.0.1", 80)
        assert net.loop.time() - start < 0.5
        transport.close()

    net.run(test)


def test_local_address(net: Net) -> None:
    """A connection goes out from the address and port that were asked for."""

    async def test(client: Recorder, server: Recorder, _: asyncio.Server) -> None:
        transport, _protocol = await asyncio.get_running_loop().create_connection(
            Recorder, "10.0.0.1", 80, local_addr=("10.0.0.2", 5555)
        )
        assert transport.get_extra_info("sockname") == ("10.0.0.2", 5555)
        with pytest.raises(OSError, match="bind"):
            await asyncio.get_running_loop().create_connection(Recorder, "10.0.0.1", 80, local_addr=("10.0.0.9", 1))
        transport.close()

    net.run(test)


def test_server_closes(net: Net) -> None:
    """A closed server refuses, its connections go on, and it can be started again at the same port."""

    async def test(client: Recorder, server: Recorder, listening: asyncio.Server) -> None:
        loop = asyncio.get_running_loop()
        assert listening.is_serving()
        assert len({sock.getsockname()[1] for sock in listening.sockets}) == 1
        listening.close()
        assert not listening.is_serving()
        with pytest.raises(ConnectionRefusedError):
            await loop.create_connection(Recorder, "10.0.0.1", 80)
        client.transport.write(b"still there")
        await asyncio.sleep(1)
        assert server.received == b"still there"
        client.transport.close()
        await client.lost
        await server.lost
        await listening.wait_closed()

    net.run(test)

    async def again() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Recorder, ["10.0.0.1", "fd00::1"], 80, start_serving=False)
        await server.start_serving()
        with pytest.raises(OSError, match="bind"):
            await loop.create_server(Recorder, "10.0.0.1", 80)
        server.close()
        with pytest.raises(OSError, match="bind"):
            await loop.create_server(Recorder, "10.0.0.9", 80)

    net.loop.run_until_complete(net.server.spawn(again()))


def test_context(net: Net) -> None:
    """Protocols run in the context in which their server or connection was made."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    seen: list[str] = []

    class Look(Recorder):
        def data_received(self, data: bytes) -> None:
            seen.append(variable.get())

    async def serve() -> None:
        variable.set("server")
        await asyncio.get_running_loop().create_server(Look, None, 90)

    async def main() -> None:
        variable.set("client")
        transport, _ = await asyncio.get_running_loop().create_connection(Recorder, "server", 90)
        transport.write(b"x")
        await asyncio.sleep(1)
        transport.close()

    net.loop.run_until_complete(net.server.spawn(serve()))
    net.loop.run_until_complete(net.client.spawn(main()))
    assert seen == ["server"]


def test_sendfile(net: Net) -> None:
    """`loop.sendfile` reads and writes, since there is no kernel to do it."""

    async def test(client: Recorder, server: Recorder, _: asyncio.Server) -> None:
        await asyncio.get_running_loop().sendfile(client.transport, io.BytesIO(b"0123456789" * 10_000), 5, 50_000)
        client.transport.close()
        await server.lost
        assert server.received == (b"0123456789" * 10_000)[5:50_005]

    net.run(test)


def test_readers_and_writers(net: Net) -> None:
    """`loop.add_reader` and `add_writer` call for a socket of the stack as long as it is ready."""

    async def test(client: Recorder, server: Recorder, _: asyncio.Server) -> None:
        loop = asyncio.get_running_loop()
        with installed(net.loop):
            sock = socket.socket()
            assert isinstance(sock, socket.socket)
        assert isinstance(sock, StackSocket)
        sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            sock.connect(("10.0.0.1", 80))
        writable = loop.create_future()
        loop.add_writer(sock, writable.set_result, None)
        await writable
        loop.remove_writer(sock.fileno())
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        calls = []
        loop.add_reader(sock.fileno(), lambda: calls.append(sock.recv(2)))
        with pytest.raises(BlockingIOError):
            sock.recv(1)
        await asyncio.sleep(0.1)  # the server has it too
        net.loop.call_later(1, made[-1].transport.write, b"abcdef")
        await asyncio.sleep(2)
        assert calls == [b"ab", b"cd", b"ef"]
        assert loop.remove_reader(sock)
        assert not loop.remove_reader(sock)
        sock.close()
        assert sock.fileno() == -1
        with pytest.raises(OSError, match="descriptor"):
            sock.recv(1)

    made: list[Recorder] = []

    def keep() -> Recorder:
        made.append(Recorder())
        return made[-1]

    net.run(test, theirs=keep)


def test_a_failure_tells_its_seed(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes wrong in a simulation names the seed, and where its last frames are."""
    monkeypatch.setenv("MIRAGE_CAPTURES", str(tmp_path))

    def fail() -> None:
        with SimLoop(seed=4711) as loop:
            Net(loop).run(check)

    async def check(client: Recorder, server: Recorder, _: asyncio.Server) -> None:
        raise AssertionError("wrong")

    with pytest.raises(AssertionError) as caught:
        fail()
    assert any("seed 4711" in note for note in caught.value.__notes__)
    assert [path.suffix for path in tmp_path.iterdir()] == [".pcapng"]


@pytest.mark.slow
def test_equal_seeds_equal_histories() -> None:
    """A lossy run ends at the very same nanosecond when it is run again, and at another with another seed."""

    def once(seed: int) -> float:
        async def test(client: Recorder, server: Recorder, _: asyncio.Server) -> float:
            net.network.loss = 0.05
            client.transport.write(bytes(300_000))
            client.transport.close()
            await server.lost
            return net.loop.time()

        with SimLoop(seed=seed, capture=None) as loop:
            net = Net(loop)
            return float(net.run(test))

    assert once(1) == once(1)
    assert once(1) != once(2)
