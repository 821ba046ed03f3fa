"""The event loop on a TAP beside asyncio's own on the kernel's sockets, in the same run.

Runs in a network namespace of its own, so it needs root and disturbs nothing. The peer is the kernel each time: over
the TAP for us, over its loopback for asyncio. The server is a process of its own; what it spends is read from /proc.
Rounds alternate between the two, and of each the best counts.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mirage.net.testing import network_namespace

KERNEL, OURS = "10.9.0.1", "10.9.0.2"
PORTS = {"http": 8000, "echo": 8001, "sink": 8002, "source": 8003}
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\nContent-Type: text/plain\r\n\r\nHello, world!"
BLOCK = bytes(range(256)) * 256
BULK = 1 << 30
PLAIN = 1 << 27
"""The same without offloads."""
IDLE = 1000
TICK = 1 / os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


# The server


class Http(asyncio.Protocol):
    """Answers every request."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to write."""
        self.transport: Any = transport

    def data_received(self, data: bytes) -> None:
        """One answer for each request."""
        self.transport.write(ANSWER * data.count(b"\r\n\r\n"))


class Echo(Http):
    """Sends everything back."""

    def data_received(self, data: bytes) -> None:
        """The same octets."""
        self.transport.write(data)


class Sink(Http):
    """Counts, and tells the sum at the end."""

    count = 0

    def data_received(self, data: bytes) -> None:
        """Add up."""
        self.count += len(data)

    def eof_received(self) -> None:
        """Say how much it was."""
        self.transport.write(b"%d" % self.count)


class Source(Http):
    """Sends `BULK` octets as fast as they are taken."""

    left = BULK
    paused = False
    pushing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        super().connection_made(transport)
        self.push()

    def push(self) -> None:
        """Write until told to wait."""
        if self.pushing:
            return
        self.pushing = True
        while not self.paused and self.left > 0:
            self.left -= len(BLOCK)
            self.transport.write(BLOCK)
        self.pushing = False
        if self.left <= 0 and not self.transport.is_closing():
            self.transport.close()

    def pause_writing(self) -> None:
        """Wait."""
        self.paused = True

    def resume_writing(self) -> None:
        """Go on, but not from within: asyncio's own transport does not bear a `close` there."""
        self.paused = False
        asyncio.get_running_loop().call_soon(self.push)


async def application(scope: Any, receive: Any, send: Any) -> None:
    """An ASGI application."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"13")]})
    await send({"type": "http.response.body", "body": b"Hello, world!"})


async def serve(name: str) -> None:
    """Serve, and go on until the parent closes the pipe."""
    loop = asyncio.get_running_loop()
    if name == "aiohttp":
        from aiohttp import web

        async def hello(request: web.Request) -> web.Response:
            return web.Response(text="Hello, world!")

        app = web.Application()
        app.router.add_get("/", hello)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "0.0.0.0", PORTS["http"]).start()
    elif name == "uvicorn":
        import uvicorn

        config = uvicorn.Config(
            application,
            host="0.0.0.0",
            port=PORTS["http"],
            log_config=None,
            access_log=False,
            http="h11",
            lifespan="off",
        )
        task = asyncio.create_task(uvicorn.Server(config)._serve())
        await asyncio.sleep(1)
        assert not task.done()
    else:
        for protocol, port in ((Http, "http"), (Echo, "echo"), (Sink, "sink"), (Source, "source")):
            await loop.create_server(protocol, "0.0.0.0", PORTS[port], backlog=1024)
    print("ready", flush=True)
    end = loop.create_future()
    loop.add_reader(sys.stdin.fileno(), lambda: end.done() or end.set_result(None))
    await end


def child(side: str, name: str) -> None:
    """The server's process."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (8192, 8192))
    if side == "kernel":
        with contextlib.suppress(asyncio.CancelledError):
            asyncio.run(serve(name))
        os._exit(0)
    from mirage.net import TapNetwork
    from mirage.runtime import run
    from mirage.types import Offload

    class Plain(TapNetwork):
        """A device that cuts no segments and completes no checksums."""

        def enable_offload(self, wanted: Offload) -> Offload:
            return super().enable_offload(Offload.NONE)

    tap = TapNetwork("bench0") if side == "stack" else Plain("bench0")
    Source.left = BULK if side == "stack" else PLAIN
    subprocess.run(["ip", "address", "add", f"{KERNEL}/24", "dev", "bench0"], check=True)
    subprocess.run(["ip", "link", "set", "bench0", "up"], check=True)
    run(serve(name), tap, ipv4=f"{OURS}/24")
    os._exit(0)


@contextlib.contextmanager
def server(side: str, name: str) -> Iterator[tuple[str, int]]:
    """A server that runs: its address and its process."""
    words = [sys.executable, __file__, "--serve", side, name]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        if process.stdout.readline() != b"ready\n":
            raise SystemExit(f"the server {name} on {side} did not start")
        try:
            yield ("127.0.0.1" if side == "kernel" else OURS), process.pid
        finally:
            process.stdin.close()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


# What is measured


def cpu(pid: int) -> float:
    """Seconds of CPU that a process has spent, the kernel's share included."""
    user, system = spent(pid)
    return user + system


def spent(pid: int) -> tuple[float, float]:
    """The same by who has spent it: the program, and the kernel for it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) * TICK, int(fields[12]) * TICK


def resident(pid: int) -> int:
    """Octets of memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE


def connect(host: str, port: str) -> socket.socket:
    """A connection of the kernel's, with congestion control that does not pace."""
    sock = socket.create_connection((host, PORTS[port]))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def requests(host: str, pid: int) -> dict[str, float]:
    """Requests per second, and CPU time of the server for each."""
    before = cpu(pid)
    words = ["wrk", "-t1", "-c32", "-d3s", f"http://{host}:{PORTS['http']}/"]
    output = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    found = re.search(r"(\d+) requests in", output)
    rate = re.search(r"Requests/sec:\s*([\d.]+)", output)
    assert found is not None
    assert rate is not None
    return {"rate": float(rate[1]), "cpu": (cpu(pid) - before) / int(found[1]) * 1e6}


def round_trip(host: str, pid: int, count: int = 3000) -> dict[str, float]:
    """Microseconds of an echo, the median."""
    times = []
    with connect(host, "echo") as sock:
        for _ in range(count):
            start = time.perf_counter()
            sock.send(b"x" * 64)
            sock.recv(100)
            times.append(time.perf_counter() - start)
    return {"time": statistics.median(times) * 1e6}


def bulk_in(host: str, pid: int, size: int = BULK) -> dict[str, float]:
    """Octets per second towards the server, and its CPU time for 64 KiB."""
    with connect(host, "sink") as sock:
        before, start = spent(pid), time.perf_counter()
        for _ in range(size // len(BLOCK)):
            sock.sendall(BLOCK)
        sock.shutdown(socket.SHUT_WR)
        assert int(sock.recv(100)) == size
        return moved(size, time.perf_counter() - start, before, spent(pid))


def moved(size: int, seconds: float, before: tuple[float, float], after: tuple[float, float]) -> dict[str, float]:
    """Octets per second, and microseconds of CPU for 64 KiB: in all, and the kernel's."""
    each = 1e6 / (size >> 16)
    return {"rate": size / seconds, "cpu": (sum(after) - sum(before)) * each, "system": (after[1] - before[1]) * each}


def bulk_out(host: str, pid: int, size: int = BULK) -> dict[str, float]:
    """The same from the server."""
    buffer, received = bytearray(1 << 20), 0
    before, start = spent(pid), time.perf_counter()
    with connect(host, "source") as sock:
        while count := sock.recv_into(buffer):
            received += count
    assert received == size
    return moved(size, time.perf_counter() - start, before, spent(pid))


def idle(host: str, pid: int) -> dict[str, float]:
    """Octets of the server's memory for a connection on which nothing happens."""
    warm = [connect(host, "echo") for _ in range(50)]
    before = resident(pid)
    held = [connect(host, "echo") for _ in range(IDLE)]
    held[-1].send(b"x")
    held[-1].recv(1)
    size = (resident(pid) - before) / IDLE
    for sock in warm + held:
        sock.close()
    return {"size": size}


MEASURES: list[tuple[str, str, Callable[[str, int], dict[str, float]]]] = [
    ("http", "raw", requests),
    ("aiohttp", "aiohttp", requests),
    ("uvicorn", "uvicorn", requests),
    ("round trip", "raw", round_trip),
    ("bulk in", "raw", bulk_in),
    ("bulk out", "raw", bulk_out),
    ("idle", "raw", idle),
]
HIGHER = {"rate"}
SAID: dict[tuple[str, str], tuple[str, str]] = {
    ("http", "rate"): ("HTTP of a raw protocol, requests/s", ">= 0.9"),
    ("http", "cpu"): ("the same, CPU us a request", ""),
    ("aiohttp", "rate"): ("HTTP of aiohttp, requests/s", ">= 0.9"),
    ("aiohttp", "cpu"): ("the same, CPU us a request", ""),
    ("uvicorn", "rate"): ("HTTP of uvicorn, requests/s", ">= 0.9"),
    ("uvicorn", "cpu"): ("the same, CPU us a request", ""),
    ("round trip", "time"): ("echo of 64 octets, us", "<= 1.2"),
    ("bulk in", "rate"): ("bulk in, octets/s", ">= 0.5"),
    ("bulk in", "cpu"): ("the same, CPU us for 64 KiB", ""),
    ("bulk out", "rate"): ("bulk out, octets/s", ">= 0.5"),
    ("bulk out", "cpu"): ("the same, CPU us for 64 KiB", ""),
}


def measure(rounds: int) -> dict[tuple[str, str, str], float]:
    """The best of each figure, by measure, figure and side."""
    best: dict[tuple[str, str, str], float] = {}

    def note(name: str, side: str, values: dict[str, float]) -> None:
        for figure, value in values.items():
            choose = max if figure in HIGHER else min
            best[name, figure, side] = choose(best.get((name, figure, side), value), value)

    with network_namespace():
        for _ in range(rounds):
            for name, program, function in MEASURES:
                for side in ("kernel", "stack"):
                    with server(side, program) as (host, pid):
                        note(name, side, function(host, pid))
            for name, bulk in (("bulk in", bulk_in), ("bulk out", bulk_out)):
                with server("plain", "raw") as (host, pid):
                    note(name, "plain", bulk(host, pid, PLAIN))
    return best


def compare(best: dict[tuple[str, str, str], float]) -> list[dict[str, Any]]:
    """Every figure beside its peer's."""
    figures: list[dict[str, Any]] = []

    def add(said: str, ours: float, peer: str, theirs: float, target: str) -> None:
        figures.append(
            {"figure": said, "ours": ours, "peer": peer, "theirs": theirs, "ratio": ours / theirs, "target": target}
        )

    for (name, figure), (said, target) in SAID.items():
        add(said, best[name, figure, "stack"], "asyncio on the kernel's sockets", best[name, figure, "kernel"], target)
    for direction in ("bulk in", "bulk out"):
        said = f"{direction}, CPU us for 64 KiB"
        add(said, best[direction, "cpu", "stack"], "the budget", 12.0, "<= 1")
        add(f"{said}, in the kernel alone", best[direction, "system", "stack"], "the budget", 12.0, "")
    for direction in ("bulk in", "bulk out"):
        said = f"{direction}, MSS 1460 without offloads, octets/s"
        add(said, best[direction, "rate", "plain"], "the goal", 100e6, ">= 1")
    said = "memory of an idle connection with its transport, octets"
    add(said, best["idle", "size", "stack"], "the budget", 4096.0, "<= 1")
    return figures


def main() -> None:
    """Print the table, and write it where it is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        child(*options.serve)
        return
    if os.geteuid() or shutil.which("wrk") is None:
        raise SystemExit("this needs root, for a network namespace, and wrk (apt install wrk)")
    figures = compare(measure(options.rounds))
    for each in figures:
        print(
            f"{each['figure']:<58}{each['ours']:>16,.1f}{each['theirs']:>16,.1f}{each['ratio']:>8.2f}  {each['target']}"
        )
    if options.json:
        options.json.write_text(json.dumps({"figures": figures, "rows": [list(map(str, f.values())) for f in figures]}))


if __name__ == "__main__":
    main()
