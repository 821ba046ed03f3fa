"""Our stack beside Linux's over the same seeded link: each sends to, and receives from, a kernel at the other end.

The link is a process between two TAPs, or between a TAP and our stack, that loses and delays frames as a seed says:
1.25 MB/s with a queue of 100 ms, and 20 ms there and back where a case says nothing else. No side has offloads, so
what the link carries and loses are segments of one MTU. Congestion control is CUBIC at all four ends, named, because a
machine's default may be another; buffers are what each side has by default, 4 MB and more, so they limit nothing.

Chance decides much: whether a loss comes early or late, or takes a retransmission too. So each figure is the median,
over several seeds, of the ratio of two transfers that ran at the same time, each over a link of its own with that seed;
the quartiles are printed beside it. And the link, not a processor, is what must limit: all of it runs before other
programs of the machine, and the share of a processor that the busiest process took, a link or our stack, is printed
too. Above 40 % the figures are worth less.

Runs in network namespaces of its own, as root; about three minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from ipaddress import ip_address
from itertools import repeat
from pathlib import Path
from typing import Any

from mirage.net import SocketNetwork, TapNetwork
from mirage.net.testing import network_namespace, relay
from mirage.net.testing.bulk import DOWN, UP, content
from mirage.runtime import StackEventLoop
from mirage.tcpip import Settings

KERNEL, OTHER = "10.9.0.1", "10.9.0.2"
CONTROL = "cubic"
RATE = 1_250_000
LINK: dict[str, Any] = {"delay_ns": 10_000_000, "rate": RATE, "queue": RATE // 10}
WORDS = [sys.executable, "-m", "mirage.net.testing.bulk"]
SHARE = 0.4


@dataclass(frozen=True, slots=True)
class Case:
    """What the link does, octets of a transfer (some seconds' worth), and how many seeds, and of them at once."""

    octets: int
    link: dict[str, Any]
    seeds: int
    at_once: int = 1


CASES = {
    "clean": Case(3_000_000, {}, 3),
    # A longer path, or the rate would be the limit.
    "0.1 % lost, 100 ms": Case(3_500_000, {"loss": 0.001, "delay_ns": 50_000_000}, 6, 2),
    "1 % lost": Case(2_500_000, {"loss": 0.01}, 8, 2),
    "5 % lost": Case(800_000, {"loss": 0.05}, 8, 2),
    "2 % late by 5 ms": Case(3_000_000, {"reorder": 0.02, "reorder_ns": 5_000_000}, 3),
}


@dataclass(frozen=True, slots=True)
class Transfer:
    """What one side did: octets per second, and the share of a processor that its busiest process took."""

    sent: float
    received: float
    share: float


def kernel_end(address: str) -> TapNetwork:
    """A TAP of the current namespace, the kernel's end with an address and without offloads."""
    subprocess.run(["ip", "tuntap", "add", "dev", "wire0", "mode", "tap", "vnet_hdr"], check=True)
    subprocess.run(["ip", "address", "add", f"{address}/24", "dev", "wire0"], check=True)
    subprocess.run(["ip", "link", "set", "wire0", "up"], check=True)
    return TapNetwork("wire0")


@contextlib.contextmanager
def kernel_server(address: str) -> Iterator[None]:
    """A kernel's server in the current namespace."""
    words = [*WORDS, "serve", address, "7", "--control", CONTROL]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        try:
            yield
        finally:
            server.kill()


def waited_for() -> float:
    """Seconds of a processor that the programs took which this process has waited for."""
    times = resource.getrusage(resource.RUSAGE_CHILDREN)
    return times.ru_utime + times.ru_stime


def by_linux(size: int, properties: dict[str, Any]) -> tuple[float, float, float]:
    """Seconds up and down, from a kernel to a kernel, and how many of them the link kept a processor busy."""
    with network_namespace(), contextlib.ExitStack() as stack:
        near = kernel_end(KERNEL)
        with network_namespace():
            far = kernel_end(OTHER)
            stack.enter_context(kernel_server(OTHER))
        with relay(near, far, **properties):
            words = [*WORDS, "exchange", OTHER, "7", str(size), "--control", CONTROL]
            output = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout
            before = waited_for()
        busy = waited_for() - before
        near.close()
        far.close()
    up, down = map(float, output.split())
    return up, down, busy


def by_us(size: int, properties: dict[str, Any]) -> tuple[float, float, float]:
    """The same from our stack to a kernel, and how many the link or the stack did, whichever was busier."""
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
        return turned - started, ended - turned

    with network_namespace(), contextlib.ExitStack() as stack:
        tap = kernel_end(KERNEL)
        stack.enter_context(kernel_server(KERNEL))
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours = SocketNetwork(near, mac=bytes.fromhex("020000000001"), offload=False)
        end = SocketNetwork(far, mac=bytes.fromhex("020000000002"), offload=False)
        loop = StackEventLoop(settings=Settings(congestion_control=CONTROL))
        loop.stack.ip.add_address(loop.attach(ours), ip_address(OTHER).packed, 24)
        before, mine = waited_for(), time.process_time()
        with relay(tap, end, **properties):
            up, down = loop.run_until_complete(exchange())
            mine = time.process_time() - mine
        busy = max(waited_for() - before, mine)
        loop.close()
        for device in (tap, end, ours):
            device.close()
    return up, down, busy


SIDES = {"stack": by_us, "linux": by_linux}


def hasten() -> None:
    """Go before everything else on this machine, with all programs started from here: an acknowledgment that is late
    because a compiler runs says nothing of TCP. On both sides, and little of a processor is needed."""
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))


def transfer(side: str, case: str, seed: int) -> Transfer:
    """One side's transfers both ways, in this process."""
    size = CASES[case].octets
    hasten()
    up, down, busy = SIDES[side](size, {**LINK, "seed": seed, **CASES[case].link})
    return Transfer(size / up, size / down, busy / (up + down))


def pair(case: str, seed: int) -> dict[str, Transfer]:
    """Both sides at the same time, each in a process of its own: so the machine's load is the same for both."""
    started = {
        side: subprocess.Popen([sys.executable, __file__, "--one", side, case, str(seed)], stdout=subprocess.PIPE)
        for side in SIDES
    }
    found = {}
    for side, process in started.items():
        output, _ = process.communicate()
        if process.returncode:
            raise SystemExit(f"{side}, {case}, seed {seed}: it failed")
        found[side] = Transfer(**json.loads(output))
    return found


def row(case: str, way: str, pairs: list[dict[str, Transfer]]) -> dict[str, Any]:
    """The figure of one way of a case, printed."""
    ours, theirs = ([getattr(found[side], way) for found in pairs] for side in ("stack", "linux"))
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    low, ratio, high = statistics.quantiles(ratios, n=4, method="inclusive")
    share = statistics.median(max(found[side].share for side in SIDES) for found in pairs)
    figure = {
        "figure": f"hostile link, {case}: {way}, octets/s (quartiles {low:.2f}-{high:.2f}, {len(pairs)} seeds)",
        "ours": statistics.median(ours),
        "peer": "Linux over the same link",
        "theirs": statistics.median(theirs),
        "ratio": ratio,
        "target": ">= 0.8",
    }
    print(
        f"{case:<24}{way:<10}{figure['ours']:>12,.0f}{figure['theirs']:>12,.0f}{ratio:>8.2f}   "
        f"{low:.2f}-{high:.2f}  {len(pairs):>3}{share:>7.0%}{'  too much' if share > SHARE else ''}",
        flush=True,
    )
    return figure


def main() -> None:
    """Print the table, and write it where it is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--seeds", type=int, help="how many, in place of the 3 to 8 of a case")
    parser.add_argument("--case", choices=CASES, action="append", help="only this; may be given several times")
    parser.add_argument("--one", nargs=3, metavar=("SIDE", "CASE", "SEED"), help="one transfer, told as JSON")
    options = parser.parse_args()
    if os.geteuid():
        raise SystemExit("this needs root, for network namespaces")
    if options.one:
        side, case, seed = options.one
        print(json.dumps(asdict(transfer(side, case, int(seed)))))
        return
    print(f"{'':<24}{'':<10}{'ours':>12}{'Linux':>12}{'ratio':>8}   quartiles seeds  share")
    figures = []
    for name in options.case or CASES:
        with ThreadPoolExecutor(CASES[name].at_once) as pool:
            pairs = list(pool.map(pair, repeat(name), range(options.seeds or CASES[name].seeds)))
        figures += [row(name, way, pairs) for way in ("sent", "received")]
    if options.json:
        options.json.write_text(json.dumps({"figures": figures, "rows": [list(map(str, f.values())) for f in figures]}))


if __name__ == "__main__":
    main()
