"""A process behind the gateway, and the same program on the kernel's sockets, in the same run.

Both are one asyncio program in a process of its own, reached over the host's loopback: requests by wrk, and bulk data
in and out. Behind the gateway each octet passes three stacks in three processes, and the client is a fourth, so on two
processors a third is what can be hoped for. CPU time is the gateway's own, for 64 KiB carried. Of several rounds the
best.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import resource
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from mirage.gateway import Gateway, parse_publication

OCTETS = 256 << 20
PIECE = bytes(range(256)) * 1024
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello\n"
HTTP, SINK, SOURCE = 80, 81, 82
FIGURES = {
    "requests": "HTTP requests/s, wrk -t1 -c32",
    "in": "bulk in, MB/s",
    "out": "bulk out, MB/s",
}


class Web(asyncio.Protocol):
    """The least that wrk takes for a web server."""

    def connection_made(self, transport: Any) -> None:
        """See `asyncio`."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """As many answers as questions."""
        self.transport.write(ANSWER * data.count(b"\r\n\r\n"))


async def sink(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Hear it all."""
    while await reader.read(1 << 18):
        pass
    writer.write(b"done")
    writer.close()


async def source(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say it all."""
    for _ in range(OCTETS // len(PIECE)):
        writer.write(PIECE)
        await writer.drain()
    writer.close()


async def serve(host: str, *, free: bool) -> None:
    """The program; `free`: at ports that are free, which it prints."""
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(Web, host, 0 if free else HTTP)]
    for handle, port in ((sink, SINK), (source, SOURCE)):
        servers.append(await asyncio.start_server(handle, host, 0 if free else port))
    print("ready", *(server.sockets[0].getsockname()[1] for server in servers), flush=True)
    await asyncio.Event().wait()


def child(network: str) -> None:
    """The process that serves."""
    if network == "kernel":
        asyncio.run(serve("127.0.0.1", free=True))
        return
    from mirage.net import SocketNetwork
    from mirage.runtime import run

    run(serve("", free=False), network=SocketNetwork.parse(network))


def requests(port: int) -> float:
    """Requests per second."""
    words = ["wrk", "-t1", "-c32", "-d3s", f"http://127.0.0.1:{port}/"]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    found = re.search(r"Requests/sec:\s+([\d.]+)", said)
    assert found is not None, said
    return float(found[1])


def bulk(port: int, *, out: bool) -> float:
    """MB/s."""
    buffer = memoryview(bytearray(1 << 18))
    with socket.create_connection(("127.0.0.1", port)) as client:
        began = time.perf_counter()
        if out:
            while client.recv_into(buffer):
                pass
        else:
            for _ in range(OCTETS // len(PIECE)):
                client.sendall(PIECE)
            client.shutdown(socket.SHUT_WR)
            assert client.recv(10) == b"done"
        return OCTETS / 1e6 / (time.perf_counter() - began)


def spent() -> float:
    """CPU seconds of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def measure_one(ports: list[int], best: dict[str, float]) -> None:
    """One round; the client is a process of its own."""
    me = [sys.executable, __file__, "--measure"]
    for name, port in zip(FIGURES, ports, strict=True):
        before = spent()
        process = await asyncio.create_subprocess_exec(*me, name, str(port), stdout=subprocess.PIPE)
        said, _ = await process.communicate()
        best[name] = max(best.get(name, 0.0), float(said))
        if name != "requests":
            cost = (spent() - before) * 1e6 * 65536 / OCTETS
            best[f"cpu {name}"] = min(best.get(f"cpu {name}", cost), cost)


async def measure(rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    """What was found behind the gateway, and on the kernel's sockets."""
    ours: dict[str, float] = {}
    theirs: dict[str, float] = {}
    gateway = Gateway(publish=[parse_publication(f"127.0.0.1:0:{port}") for port in (HTTP, SINK, SOURCE)])
    sock, mac = gateway.socket_pair()
    where = f"{sock.fileno()},mac={mac.hex(':')},offload"
    inside = await asyncio.create_subprocess_exec(
        sys.executable, __file__, "--serve", where, pass_fds=[sock.fileno()], stdout=subprocess.PIPE
    )
    sock.close()
    outside = await asyncio.create_subprocess_exec(
        sys.executable, __file__, "--serve", "kernel", stdout=subprocess.PIPE
    )
    try:
        assert inside.stdout is not None
        assert outside.stdout is not None
        await inside.stdout.readline()
        kernel = [int(word) for word in (await outside.stdout.readline()).split()[1:]]
        for _ in range(rounds):
            await measure_one([published.address[1] for published in gateway.published], ours)
            await measure_one(kernel, theirs)
    finally:
        for process in (inside, outside):
            process.kill()
            await process.wait()
        await gateway.close()
    return ours, theirs


def main() -> None:
    """Print the table, and write it where it is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        child(options.serve)
        return
    if options.measure:
        name, port = options.measure
        print(requests(int(port)) if name == "requests" else bulk(int(port), out=name == "out"))
        return
    if shutil.which("wrk") is None:
        raise SystemExit("this needs wrk: apt-get install wrk")
    ours, theirs = asyncio.run(measure(options.rounds))
    kernel = "asyncio on the kernel's sockets"
    figures = [(said, ours[name], kernel, theirs[name]) for name, said in FIGURES.items()]
    figures += [
        (f"the gateway's CPU, us for 64 KiB {name}", ours[f"cpu {name}"], "the budget", 100.0) for name in ("in", "out")
    ]
    table = [
        {"figure": said, "ours": our, "peer": peer, "theirs": their, "ratio": our / their, "target": ""}
        for said, our, peer, their in figures
    ]
    for row in table:
        print(f"{row['figure']:<42}{row['ours']:>14,.1f}{row['theirs']:>14,.1f}{row['ratio']:>8.2f}  {row['peer']}")
    if options.json:
        rows = [list(map(str, row.values())) for row in table]
        options.json.write_text(json.dumps({"figures": table, "rows": rows}))


if __name__ == "__main__":
    main()
