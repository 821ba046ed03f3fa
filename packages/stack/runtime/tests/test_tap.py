"""The loop on a TAP, with the kernel's TCP at the other end, in a network namespace of the test's own."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ipaddress
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from mirage.net import TapNetwork
from mirage.runtime import StackEventLoop, installed
from mirage.types import Offload

pytestmark = [pytest.mark.root, pytest.mark.tool("ip"), pytest.mark.slow, pytest.mark.usefixtures("namespace")]

KERNEL = {4: "10.9.0.1", 6: "fd00::1"}
OURS = {4: "10.9.0.2", 6: "fd00::2"}
SIZE = 30_000_000


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


@pytest.fixture(params=[True, False], ids=["offload", "plain"])
def loop(request: pytest.FixtureRequest, namespace: None) -> Iterator[StackEventLoop]:
    """A loop on a TAP that is up, with an address of each version."""
    loop = StackEventLoop()
    tap = TapNetwork("test%d")
    Path(f"/proc/sys/net/ipv6/conf/{tap.name}/accept_dad").write_text("0")
    ip("address", "add", f"{KERNEL[4]}/24", "dev", tap.name)
    ip("-6", "address", "add", f"{KERNEL[6]}/64", "dev", tap.name, "nodad")
    ip("link", "set", tap.name, "up")
    everything = Offload.CHECKSUM | Offload.TSO4 | Offload.TSO6 | Offload.ECN
    interface = loop.attach(tap, offload=everything if request.param else Offload.NONE)
    for version, length in ((4, 24), (6, 64)):
        loop.stack.ip.add_address(interface, ipaddress.ip_address(OURS[version]).packed, length)
    yield loop
    loop.close()
    tap.close()


async def kernel(program: str, *words: str) -> bytes:
    """What a Python program prints that has the kernel's sockets."""
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", program, *words, stdout=asyncio.subprocess.PIPE)
    output, _ = await asyncio.wait_for(child.communicate(), 60)
    assert child.returncode == 0
    return output


CLIENT = """
import hashlib, random, socket, sys, threading
host, port, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
data = random.Random(1).randbytes(size)
connection = socket.create_connection((host, port))
connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")
def send():
    connection.sendall(data)
    connection.shutdown(socket.SHUT_WR)
threading.Thread(target=send).start()
received = hashlib.sha256()
while part := connection.recv(1 << 20):
    received.update(part)
print(hashlib.sha256(data).hexdigest(), received.hexdigest())
"""

SERVER = """
import socket, sys
with socket.create_server((sys.argv[1], 7), family=socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET) as server:
    print("ready", flush=True)
    connection, _ = server.accept()
    while part := connection.recv(1 << 20):
        connection.sendall(part)
    connection.close()
"""


@pytest.mark.parametrize("version", [4, 6])
def test_bulk_from_the_kernel(loop: StackEventLoop, version: int) -> None:
    """What the kernel sends comes back to it unharmed, as our SHA-256 of it says too, both ways at once."""
    seen = hashlib.sha256()
    done = loop.create_future()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while part := await reader.read(1 << 20):
            seen.update(part)
            writer.write(part)
            await writer.drain()
        writer.close()
        await writer.wait_closed()
        done.set_result(None)

    async def main() -> None:
        server = await asyncio.start_server(echo, None, 0)
        port = server.sockets[0].getsockname()[1]
        sent, received = (await kernel(CLIENT, OURS[version], str(port), str(SIZE))).decode().split()
        await done
        assert sent == received == seen.hexdigest()
        server.close()
        await server.wait_closed()

    loop.run_until_complete(main())


@pytest.mark.parametrize("version", [4, 6])
def test_bulk_to_the_kernel(loop: StackEventLoop, version: int) -> None:
    """The same, connecting from here to a server of the kernel's."""

    async def main() -> None:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", SERVER, KERNEL[version], stdout=asyncio.subprocess.PIPE
        )
        assert child.stdout is not None
        assert await child.stdout.readline() == b"ready\n"
        reader, writer = await asyncio.open_connection(KERNEL[version], 7)
        data = bytes(range(256)) * (SIZE // 256)

        async def send() -> None:
            for start in range(0, len(data), 1 << 18):
                writer.write(data[start : start + (1 << 18)])
                await writer.drain()
            writer.write_eof()

        sending = asyncio.create_task(send())
        received = hashlib.sha256()
        while part := await asyncio.wait_for(reader.read(1 << 20), 30):
            received.update(part)
        await sending
        writer.close()
        await writer.wait_closed()
        assert received.hexdigest() == hashlib.sha256(data).hexdigest()
        assert await child.wait() == 0

    loop.run_until_complete(main())


class Page(asyncio.Protocol):
    """Answers every request of HTTP alike."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello\n" * data.count(b"\r\n\r\n"))


@pytest.mark.tool("curl")
def test_curl(loop: StackEventLoop, tmp_path: Path) -> None:
    """curl gets a page over both versions of IP, keeps the connection, and is told when nobody listens."""

    async def curl(*words: str) -> tuple[int | None, bytes]:
        child = await asyncio.create_subprocess_exec(
            "curl", "-sS", "--max-time", "20", *words,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        output, _ = await child.communicate()
        return child.returncode, output

    async def main() -> None:
        await loop.create_server(Page, None, 8000)
        for host in (OURS[4], f"[{OURS[6]}]"):
            url = f"http://{host}:8000/"
            assert await curl(url, url) == (0, b"hello\nhello\n")
        code, _ = await curl(f"http://{OURS[4]}:8001/")
        assert code == 7  # "Failed to connect to host": refused, not timed out

    loop.run_until_complete(main())


def test_urllib(loop: StackEventLoop, tmp_path: Path) -> None:
    """The standard library's blocking client, from within a coroutine: it drives the stack while it waits."""
    data = bytes(range(256)) * 4000
    (tmp_path / "page").write_bytes(data)

    async def main() -> None:
        words = ["-u", "-m", "http.server", "8000", "--bind", KERNEL[4], "--directory", str(tmp_path)]
        server = await asyncio.create_subprocess_exec(
            sys.executable, *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        try:
            assert server.stdout is not None
            await server.stdout.readline()  # it says that it serves
            with installed(loop):
                for _ in range(2):
                    with urllib.request.urlopen(f"http://{KERNEL[4]}:8000/page", timeout=30) as answer:
                        assert answer.read() == data
                with pytest.raises(urllib.error.URLError, match="refused"):
                    urllib.request.urlopen(f"http://{KERNEL[4]}:8001/", timeout=30)
        finally:
            server.terminate()
            await server.wait()

    loop.run_until_complete(main())


@pytest.mark.tool("wrk")
def test_wrk(loop: StackEventLoop) -> None:
    """A hundred connections at once, over both versions of IP: every request is answered, and with 200."""

    async def wrk(host: str) -> str:
        words = ["wrk", "-t1", "-c100", "-d1s", "--timeout", "20s", f"http://{host}:8000/"]
        child = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
        output, _ = await child.communicate()
        return output.decode()

    async def main() -> None:
        await loop.create_server(Page, None, 8000)
        for host in (OURS[4], f"[{OURS[6]}]"):
            said = await wrk(host)
            answered = re.search(r"(\d+) requests in", said)
            assert answered is not None
            assert int(answered[1]) >= 100, said
            assert "Non-2xx" not in said
            assert "Socket errors" not in said

    loop.run_until_complete(main())


@pytest.mark.tool("redis-server")
def test_redis(loop: StackEventLoop, tmp_path: Path) -> None:
    """redis-py talks to the real server: values large and small, a pipeline, and messages to subscribers."""
    from redis.asyncio import Redis
    from redis.exceptions import ConnectionError as RedisConnectionError

    async def main() -> None:
        words = ["--bind", KERNEL[4], "--protected-mode", "no", "--save", "", "--dir", str(tmp_path)]
        server = await asyncio.create_subprocess_exec("redis-server", *words, stdout=asyncio.subprocess.DEVNULL)
        try:
            client = Redis(host=KERNEL[4])
            for _ in range(100):
                with contextlib.suppress(ConnectionError, RedisConnectionError):
                    await client.ping()
                    break
                await asyncio.sleep(0.05)
            value = bytes(range(256)) * 20_000
            await client.set("large", value)
            assert await client.get("large") == value
            async with client.pipeline() as pipeline:
                for number in range(1000):
                    pipeline.incrby("sum", number)
                assert (await pipeline.execute())[-1] == sum(range(1000))
            async with client.pubsub() as subscriber:
                await subscriber.subscribe("news")
                await client.publish("news", "extra")
                messages = [message async for message in _some(subscriber, 2)]
            assert messages[1]["data"] == b"extra"
            await client.aclose()
        finally:
            server.terminate()
            await server.wait()

    with installed(loop):
        loop.run_until_complete(main())


async def _some(subscriber: Any, count: int) -> AsyncIterator[Any]:
    """The first messages of a subscription."""
    async for message in subscriber.listen():
        yield message
        count -= 1
        if not count:
            return
