"""Our stack beside PyTCP's on a TAP, in the same run: whole segments of MSS 1460, without offloads, and an echo.

The client is the kernel each time. PyTCP has a second, gentle one: some 32 KiB in flight at most towards it, and its
own segments acknowledged at once, which spares it losses and waiting. Rounds alternate between the two stacks, and of
each the best counts. Who has not moved it all in `LIMIT` seconds is held to what it has moved until then.

PyTCP 3 needs Python 3.14 and is under the GPL, so it is a program of its own here: started by an interpreter that has
it, which is looked for in $PYTCP_PYTHON (a command), `python3.14` and the running one. Where there is none, nothing is
measured, and the lines that provide it are printed. Runs in a network namespace of its own, so it needs root.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import platform
import shlex
import socket
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

import bench_loop
from bench_loop import BLOCK, PLAIN, PORTS, connect, cpu
from mirage.net.testing import network_namespace

SERVER = Path(__file__).with_name("pytcp_server.py")
KERNEL, THEIRS = "10.9.1.1", "10.9.1.2"
LIMIT = 3.0
"""Seconds that a transfer may take."""
PATIENCE = 8.0
"""Seconds that a connection may take, or one echo."""
REST = 0.5
"""Seconds after a transfer that was broken off: what is in a stack's queues is not the next one's burden."""
START = 60.0
"""Seconds that PyTCP may take to start: it looks for others with its address first (RFC 5227)."""
ECHOES = 500
IN_FLIGHT = 32 << 10
WHICH = "import importlib.metadata, platform; print(importlib.metadata.version('pytcp'), platform.python_version())"
HELP = """No Python here has PyTCP 3, so there is nothing to compare with. With a Python 3.14:
  python3.14 -m venv _build/pytcp && _build/pytcp/bin/pip install 'PyTCP>=3,<4'
  export PYTCP_PYTHON=$PWD/_build/pytcp/bin/python
Without one, on Debian (debootstrap is in the package of that name):
  debootstrap --variant=minbase --include=python3.14 sid /opt/sid
  .noxw/bin/uv pip install --target /opt/sid/opt/pytcp --python-version 3.14 --no-build 'PyTCP>=3,<4'
  export PYTCP_PYTHON="env PYTHONHOME=/opt/sid/usr PYTHONPATH=/opt/sid/opt/pytcp \\
    $(echo /opt/sid/usr/lib*/ld-linux-*.so.2) --library-path $(echo /opt/sid/usr/lib/*-linux-gnu) \\
    /opt/sid/usr/bin/python3.14\""""


# The peer


@dataclass(frozen=True)
class Peer:
    """An interpreter that has PyTCP."""

    words: list[str]
    """The command."""
    name: str
    """Its versions, for the table."""


def find() -> Peer | None:
    """The first interpreter that has PyTCP 3 or later."""
    given = os.environ.get("PYTCP_PYTHON")
    for words in ([shlex.split(given)] if given else []) + [["python3.14"], [sys.executable]]:
        try:
            asked = subprocess.run([*words, "-c", WHICH], capture_output=True, text=True, timeout=START)
        except OSError:
            continue
        if asked.returncode == 0:
            version, python = asked.stdout.split()
            if int(version.partition(".")[0]) >= 3:
                return Peer(words, f"PyTCP {version}, Python {python}")
            print(f"{shlex.join(words)} has PyTCP {version}, which is older than 3 and left alone")
    return None


@contextlib.contextmanager
def pytcp(peer: Peer) -> Iterator[tuple[str, int]]:
    """PyTCP on a TAP of the current namespace: its address and its process."""
    subprocess.run(["ip", "tuntap", "add", "dev", "tap0", "mode", "tap"], check=True)
    subprocess.run(["ip", "address", "add", f"{KERNEL}/24", "dev", "tap0"], check=True)
    subprocess.run(["ip", "link", "set", "tap0", "up"], check=True)
    ports = [str(PORTS[name]) for name in ("echo", "sink", "source")]
    # As text, and by its own account of its process: the command may change the root, or start the interpreter late.
    words = [*peer.words, "-O", "-c", SERVER.read_text(), "tap0", f"{THEIRS}/24", str(PLAIN), *ports]
    with (
        tempfile.TemporaryFile("w+") as said,
        subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        patience = threading.Timer(START, process.kill)
        patience.start()
        word, _, number = process.stdout.readline().partition(" ")
        patience.cancel()
        if word != "ready":
            process.kill()
            said.seek(0)
            raise SystemExit(f"{peer.name} did not start:\n{said.read()[-2000:]}")
        try:
            yield THEIRS, int(number)
        finally:
            process.stdin.close()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()


# What is measured


@dataclass(frozen=True)
class Moved:
    """What went one way."""

    octets: int
    seconds: float
    cpu: float
    """Seconds of the server's process, all its threads."""

    @property
    def rate(self) -> float:
        """Octets per second."""
        return self.octets / self.seconds

    @property
    def each(self) -> float:
        """Microseconds of CPU for 64 KiB."""
        return self.cpu / self.octets * 65536e6 if self.octets else inf


@contextlib.contextmanager
def client(host: str, port: str, gentle: bool) -> Iterator[tuple[socket.socket, Callable[[], None]]]:
    """A connection that is reset at the end, and what is called before each step: it raises `TimeoutError` in time."""
    with connect(host, port) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        if gentle:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, IN_FLIGHT)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)  # whole segments, however small the buffer
        end = time.perf_counter() + LIMIT

        def step() -> None:
            left = end - time.perf_counter()
            if left <= 0:
                raise TimeoutError
            sock.settimeout(left)
            if gentle and port == "source":
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)  # the kernel forgets it by and by

        yield sock, step


def bulk_in(host: str, pid: int, gentle: bool) -> Moved:
    """Towards the server: what it has acknowledged, and where that is all, what it has counted."""
    with client(host, "sink", gentle) as (sock, step):
        sent, before, start = 0, cpu(pid), time.perf_counter()
        try:
            while sent < PLAIN:
                step()
                sent += sock.send(memoryview(BLOCK)[: PLAIN - sent])
            sock.shutdown(socket.SHUT_WR)
            step()
            assert int(sock.recv(100)) == PLAIN
        except TimeoutError:
            sent -= int.from_bytes(fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)), sys.byteorder)
        return Moved(sent, time.perf_counter() - start, cpu(pid) - before)


def bulk_out(host: str, pid: int, gentle: bool) -> Moved:
    """From the server: what was received."""
    with client(host, "source", gentle) as (sock, step):
        buffer, received, before, start = bytearray(1 << 20), 0, cpu(pid), time.perf_counter()
        with contextlib.suppress(TimeoutError):
            while received < PLAIN:
                step()
                count = sock.recv_into(buffer)
                assert count, f"closed after {received} octets"
                received += count
        return Moved(received, time.perf_counter() - start, cpu(pid) - before)


BULKS: dict[str, Callable[[str, int, bool], Moved]] = {"bulk in": bulk_in, "bulk out": bulk_out}


def once(side: str, host: str, pid: int, gentleness: tuple[bool, ...], best: dict[tuple[str, str, str], float]) -> None:
    """One round of a side with these clients: better figures go into `best`."""

    def note(name: str, figure: str, value: float, choose: Callable[[float, float], float]) -> None:
        best[name, figure, side] = choose(best.get((name, figure, side), value), value)

    for name, bulk in BULKS.items():
        for gentle in gentleness:
            try:
                moved = bulk(host, pid, gentle)
            except TimeoutError:
                moved = Moved(0, PATIENCE, 0.0)
            note(name, "rate", moved.rate, max)
            note(name, "cpu", moved.each, min)
            part = "" if moved.octets == PLAIN else f", {moved.octets:,} octets until the time was over"
            said = f"{name}, {'a gentle client' if gentle else 'the kernel as it comes'}"
            print(f"{side:<8}{said:<34}{moved.rate:>14,.0f} octets/s{moved.each:>12,.0f} us/64 KiB{part}", flush=True)
            time.sleep(REST if part else 0)
    try:
        echo = bench_loop.round_trip(host, pid, ECHOES)["time"]
    except TimeoutError:
        echo = inf
    note("echo", "time", echo, min)


def measure(peer: Peer, rounds: int) -> dict[tuple[str, str, str], float]:
    """The best of each figure, by measure, figure and side."""
    best: dict[tuple[str, str, str], float] = {}
    socket.setdefaulttimeout(PATIENCE)
    with network_namespace(), pytcp(peer) as (theirs, their_pid):
        for _ in range(rounds):
            with bench_loop.server("plain", "raw") as (ours, our_pid):
                once("ours", ours, our_pid, (False,), best)
            once("PyTCP", theirs, their_pid, (False, True), best)
    return best


SAID: dict[tuple[str, str], tuple[str, str]] = {
    ("bulk in", "rate"): ("bulk in, MSS 1460 without offloads, octets/s", ">= 20"),
    ("bulk in", "cpu"): ("the same, CPU us for 64 KiB", ""),
    ("bulk out", "rate"): ("bulk out, MSS 1460 without offloads, octets/s", ">= 20"),
    ("bulk out", "cpu"): ("the same, CPU us for 64 KiB", ""),
    ("echo", "time"): ("echo of 64 octets, us", ""),
}


def main() -> None:
    """Print the table, and write it where it is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    if os.geteuid():
        raise SystemExit("this needs root, for a network namespace")
    peer = find()
    figures: list[dict[str, Any]] = []
    if peer is None:
        print(HELP)
    else:
        print(f"ours on Python {platform.python_version()}; {peer.name} (python -O)")
        best = measure(peer, options.rounds)
        for (name, figure), (said, target) in SAID.items():
            ours, theirs = best[name, figure, "ours"], best[name, figure, "PyTCP"]
            ratio = ours / theirs if theirs else inf
            figures.append(
                {"figure": said, "ours": ours, "peer": peer.name, "theirs": theirs, "ratio": ratio, "target": target}
            )
            print(f"{said:<58}{ours:>16,.1f}{theirs:>16,.1f}{ratio:>10.3g}  {target}")
    if options.json:
        options.json.write_text(json.dumps({"figures": figures, "rows": [list(map(str, f.values())) for f in figures]}))


if __name__ == "__main__":
    main()
