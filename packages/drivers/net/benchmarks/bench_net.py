"""Frames through a TAP interface, by mirage-net and by a bare loop of system calls, in the same run.

Runs in a network namespace of its own, so it needs root and disturbs nothing. Sending: frames that the kernel drops as
soon as it has them. Receiving: a packet socket fills the interface's queue, and emptying it is what is measured. The
same 64 KiB of payload travel once as super-frames and once as frames of 1514 octets. CPU time of this process, the
kernel's share included; of several rounds the best.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import struct
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from mirage.net import HEADER_SIZE, TapNetwork, build_header
from mirage.net.testing import network_namespace
from mirage.types import Checksum, FrameMeta, Offload, Segmentation

BATCH = 64
MSS = 1460
SOL_PACKET = 263
PACKET_VNET_HDR = 15
META = FrameMeta(Checksum.PARTIAL, 34, 16, Segmentation.TCP4, MSS, 54)
PLAIN = FrameMeta()
Row = tuple[str, str, float, int]
"""What, by which way, seconds a frame, octets of a frame."""


def packet(source: bytes, dest: bytes, payload: int) -> bytes:
    """A TCP segment between two addresses that nobody has (RFC 5737), in Ethernet."""
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40 + payload, 0, 0, 64, 6, 0, b"\xc0\0\2\1", b"\xc6\x33\x64\1")
    tcp = struct.pack("!HHIIBBHHH", 1, 2, 3, 4, 0x50, 0x10, 65535, 0, 0)
    return dest + source + b"\x08\0" + ip + tcp + os.urandom(payload)


class Bench:
    """One interface, and the ways of moving frames through it."""

    def __init__(self, rounds: int) -> None:
        self.rounds = rounds
        self.tap = TapNetwork("bench%d")
        name = self.tap.name
        Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").write_text("1")
        subprocess.run(["ip", "link", "set", name, "txqueuelen", "20000", "up"], check=True)
        self.fd = self.tap.fileno()
        self.feeder = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        self.feeder.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        self.feeder.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 30)
        self.feeder.bind((name, 0))
        here, there = self.tap.mac, b"\2\0\0\0\0\x99"
        self.small = packet(here, there, MSS)
        self.tiny = packet(here, there, 0)
        self.large = packet(here, there, 44 * MSS)

    # Sending, by three ways

    def send_raw(self, frame: bytes, header: bytes, count: int) -> None:
        """The least that Python can do: one system call a frame."""
        fd, writev, head, body = self.fd, os.writev, frame[:54], memoryview(frame)[54:]
        for _ in range(count):
            writev(fd, (header, head, body))

    def send_each(self, frame: bytes, count: int) -> None:
        """One call of `send` a frame."""
        send, head, body = self.tap.send, frame[:54], memoryview(frame)[54:]
        for _ in range(count):
            send((head, body))

    def send_batches(self, frame: bytes, meta: FrameMeta, count: int) -> None:
        """`send_many`, the batch made anew each time, as a stack does."""
        head, body = frame[:54], memoryview(frame)[54:]
        for _ in range(count // BATCH):
            self.tap.send_many([(meta, (head, body)) for _ in range(BATCH)])

    # Receiving, by three ways; each returns the octets

    def receive_raw(self) -> int:
        """Into one buffer, system call by system call."""
        fd, readv, buffer, octets = self.fd, os.readv, (bytearray(HEADER_SIZE), bytearray(70_000)), 0
        try:
            while True:
                octets += readv(fd, buffer) - HEADER_SIZE
        except BlockingIOError:
            return octets

    def receive_each(self) -> int:
        """`receive` until it returns None."""
        receive, octets = self.tap.receive, 0
        while (frame := receive()) is not None:
            octets += len(frame)
        return octets

    def receive_batches(self) -> int:
        """`receive_many` until it returns nothing."""
        receive, octets = self.tap.receive_many, 0
        while frames := receive():
            for _, frame in frames:
                octets += len(frame)
        return octets

    # Measuring: the ways take turns, so that all see the same machine

    def sending(self, ways: dict[str, Callable[[int], None]], count: int) -> dict[str, float]:
        """Seconds a frame, by way."""
        best = dict.fromkeys(ways, float("inf"))
        for _ in range(self.rounds):
            for name, way in ways.items():
                begun = time.process_time()
                way(count)
                best[name] = min(best[name], (time.process_time() - begun) / count)
        return best

    def receiving(self, ways: dict[str, Callable[[], int]], frame: bytes, count: int) -> dict[str, float]:
        """Seconds for each of `count` frames that were fed, by way."""
        header = build_header(META if len(frame) > 1514 else PLAIN)[:10]
        best = dict.fromkeys(ways, float("inf"))
        for _ in range(self.rounds):
            for name, way in ways.items():
                self.receive_raw()
                for _ in range(count):
                    self.feeder.send(header + frame)
                begun = time.process_time()
                octets = way()
                best[name] = min(best[name], (time.process_time() - begun) / count)
                if octets != count * len(frame):
                    raise SystemExit(f"{octets} octets came of {count} frames of {len(frame)}")
        return best


def measure(rounds: int) -> list[Row]:
    """Every frame size, both ways along."""
    bench = Bench(rounds)
    rows: list[Row] = []

    def add(what: str, octets: int, found: dict[str, float]) -> None:
        rows.extend((what, way, seconds, octets) for way, seconds in found.items())

    receivers = {"raw": bench.receive_raw, "each": bench.receive_each, "batch": bench.receive_batches}
    header = bytes(HEADER_SIZE)
    for name, frame in (("54", bench.tiny), ("1514", bench.small)):
        senders = {
            "raw": partial(bench.send_raw, frame, header),
            "each": partial(bench.send_each, frame),
            "batch": partial(bench.send_batches, frame, PLAIN),
        }
        add(f"send {name}", len(frame), bench.sending(senders, 8192))
        add(f"receive {name}", len(frame), bench.receiving(receivers, frame, 4096))
    every = Offload.CHECKSUM | Offload.TSO4
    if bench.tap.enable_offload(every) != every:
        raise SystemExit("this kernel offers no offload on a TAP")
    large, header = bench.large, build_header(META)
    senders = {"raw": partial(bench.send_raw, large, header), "batch": partial(bench.send_batches, large, META)}
    add("send 64K", len(large), bench.sending(senders, 1024))
    del receivers["each"]
    add("receive 64K", len(large), bench.receiving(receivers, large, 256))
    bench.feeder.close()
    bench.tap.close()
    return rows


def figures(rows: list[Row]) -> list[dict[str, Any]]:
    """What is held against what, in the form that the tree's one table takes."""
    found = {(what, way): (seconds, octets) for what, way, seconds, octets in rows}

    def rate(what: str, way: str) -> float:
        seconds, octets = found[what, way]
        return octets * 8 / seconds / 1e9

    def figure(name: str, ours: float, peer: str, theirs: float, target: str) -> dict[str, Any]:
        return {
            "figure": name, "ours": ours, "peer": peer, "theirs": theirs, "ratio": ours / theirs, "target": target
        }  # fmt: skip

    out = []
    for what in ("send 54", "send 1514", "receive 54", "receive 1514"):
        batch, each, raw = (1 / found[what, way][0] / 1e3 for way in ("batch", "each", "raw"))
        # A TAP takes one frame a system call, so a batch saves little when sending: that is shown only.
        gain = ">= 1.1" if what.startswith("receive") else ""
        out.append(figure(f"{what}: 1000 frames/s", batch, "bare system calls", raw, ">= 0.4"))
        out.append(figure(f"{what}: 1000 frames/s, batches", batch, "frame by frame", each, gain))
    for way in ("send", "receive"):
        large = rate(f"{way} 64K", "batch")
        out.append(figure(f"{way} 64K: Gbit/s", large, "bare system calls", rate(f"{way} 64K", "raw"), ">= 0.7"))
        out.append(figure(f"{way}: Gbit/s, offload", large, "1514 octets", rate(f"{way} 1514", "batch"), ">= 5"))
    return out


def main() -> None:
    """Measure, print, and leave the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=25, help="of which the best counts (default: %(default)s)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="leave the figures there")
    chosen = parser.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("needs root, for a network namespace and a TAP: sudo, or ./noxw -s bench as root")
    with network_namespace():
        rows = measure(chosen.rounds)
    print(f"{'':14}{'':8}{'us/frame':>10}{'1000/s':>10}{'Gbit/s':>10}{'x raw':>8}")
    raw = {what: seconds for what, way, seconds, _ in rows if way == "raw"}
    table = []
    for what, way, seconds, octets in rows:
        row = {
            "what": what,
            "way": way,
            "us/frame": round(seconds * 1e6, 2),
            "1000/s": round(1 / seconds / 1e3, 1),
            "Gbit/s": round(octets * 8 / seconds / 1e9, 2),
            "x raw": round(seconds / raw[what], 2),
        }
        table.append(row)
        print(
            f"{what:14}{way:8}"
            + "".join(f"{row[k]:>10}" for k in ("us/frame", "1000/s", "Gbit/s"))
            + f"{row['x raw']:>8}"
        )
    if chosen.json:
        chosen.json.write_text(json.dumps({"figures": figures(rows), "rows": table}, indent=1) + "\n")


if __name__ == "__main__":
    main()
