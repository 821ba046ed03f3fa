"""Our stack beside Linux's over the same seeded link: each sends to, and receives from, a kernel at the other end.

The link is a process between two TAPs, or between a TAP and our stack, that loses and delays frames as a seed says, at
12.5 MB/s with a queue of 100 ms. Congestion control is CUBIC on all sides, named, because a machine's default may be
another. Of each figure the geometric mean of several seeds counts. Runs in network namespaces of its own, as root.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from mirage.net import SocketNetwork, TapNetwork
from mirage.net.testing import network_namespace, relay
from mirage.net.testing.bulk import DOWN, UP, content
from mirage.runtime import StackEventLoop
from mirage.tcpip import Settings

KERNEL, OTHER = "10.9.0.1", "10.9.0.2"
RATE = 12_500_000
WORDS = [sys.executable, "-m", "mirage.net.testing.bulk"]
CASES: dict[str, tuple[int, dict[str, Any]]] = {
    "clean, 20 ms": (12_000_000, {}),
    "0.1 % lost, 20 ms": (6_000_000, {"loss": 0.001}),
    "1 % lost, 20 ms": (2_000_000, {"loss": 0.01}),
    "5 % lost, 20 ms": (500_000, {"loss": 0.05}),
    "reordered by 5 ms, 20 ms": (4_000_000, {"reorder": 0.02, "reorder_ns": 5_000_000}),
}


def kernel_end(address: str) -> TapNetwork:
    """A TAP of the current namespace, the kernel's end with an address and without offloads."""
    subprocess.run(["ip", "tuntap", "add", "dev", "wire0", "mode", "tap", "vnet_hdr"], check=True)
    subprocess.run(["ip", "address", "add", f"{address}/24", "dev", "wire0"], check=True)
    subprocess.run(["ip", "link", "set", "wire0", "up"], check=True)
    return TapNetwork("wire0")


@contextlib.contextmanager
def kernel_server(address: str) -> Iterator[None]:
    """A kernel's server in the current namespace."""
    with subprocess.Popen([*WORDS, "serve", address, "7"], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        try:
            yield
        finally:
            server.kill()


def by_linux(size: int, properties: dict[str, Any]) -> tuple[float, float]:
    """Octets per second up and down, from a kernel to a kernel."""
    with network_namespace(), contextlib.ExitStack() as stack:
        near = kernel_end(KERNEL)
        with network_namespace():
            far = kernel_end(OTHER)
            stack.enter_context(kernel_server(OTHER))
        with relay(near, far, **properties):
            words = [*WORDS, "exchange", OTHER, "7", str(size)]
            output = subprocess.run(words, check=True, capture_output=True, text=True).stdout
        near.close()
        far.close()
    up, down = map(float, output.split())
    return size / up, size / down


def by_us(size: int, properties: dict[str, Any]) -> tuple[float, float]:
    """The same from our stack to a kernel."""
    data, expected = content(UP, size), content(DOWN, size)

    async def exchange() -> tuple[float, float]:
        reader, writer = await asyncio.open_connection(KERNEL, 7, limit=1 << 20)
        started = time.monotonic()
        writer.write(data)
        writer.write_eof()
        await reader.readexactly(32)
        turned = time.monotonic()
        received = await reader.read()
        ended = time.monotonic()
        writer.close()
        await writer.wait_closed()
        assert received == expected
        return size / (turned - started), size / (ended - turned)

    with network_namespace(), contextlib.ExitStack() as stack:
        tap = kernel_end(KERNEL)
        stack.enter_context(kernel_server(KERNEL))
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours = SocketNetwork(near, mac=bytes.fromhex("020000000001"), offload=False)
        end = SocketNetwork(far, mac=bytes.fromhex("020000000002"), offload=False)
        loop = StackEventLoop(settings=Settings(congestion_control="cubic"))
        loop.stack.ip.add_address(loop.attach(ours), ip_address(OTHER).packed, 24)
        with relay(tap, end, **properties):
            found = loop.run_until_complete(exchange())
        loop.close()
        for device in (tap, end, ours):
            device.close()
    return found


def main() -> None:
    """Print the table, and write it where it is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    if os.geteuid():
        raise SystemExit("this needs root, for network namespaces")
    figures = []
    for case, (size, given) in CASES.items():
        found: dict[str, list[tuple[float, float]]] = {"stack": [], "linux": []}
        for seed in range(options.seeds):
            properties = {"delay_ns": 10_000_000, "rate": RATE, "queue": RATE // 10, "seed": seed, **given}
            found["linux"].append(by_linux(size, properties))
            found["stack"].append(by_us(size, properties))
        for way, name in enumerate(("sent", "received")):
            ours, theirs = (
                math.exp(sum(math.log(pair[way]) for pair in found[side]) / options.seeds)
                for side in ("stack", "linux")
            )
            figures.append(
                {
                    "figure": f"hostile link, {case}: {name}, octets/s",
                    "ours": ours,
                    "peer": "Linux over the same link",
                    "theirs": theirs,
                    "ratio": ours / theirs,
                    "target": ">= 0.8",
                }
            )
            print(f"{figures[-1]['figure']:<66}{ours:>14,.0f}{theirs:>14,.0f}{ours / theirs:>8.2f}", flush=True)
    if options.json:
        options.json.write_text(json.dumps({"figures": figures, "rows": [list(map(str, f.values())) for f in figures]}))


if __name__ == "__main__":
    main()
