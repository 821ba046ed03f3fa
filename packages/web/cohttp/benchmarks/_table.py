"""What the benchmarks share: a table, the figures with a target, and a program that runs while it is measured."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path


def show(rows: Sequence[dict[str, object]]) -> None:
    """Print rows with the same keys as one aligned table."""
    columns = list(rows[0])
    cells = [[f"{v:,}" if isinstance(v, int) else str(v) for v in row.values()] for row in rows]
    widths = [max(len(c), *(len(line[i]) for line in cells)) for i, c in enumerate(columns)]
    for line in [columns, *cells]:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)))


def figure(what: str, ours: float, peer: str, theirs: float, target: str) -> dict[str, object]:
    """One figure in the form that the bench session collects; the ratio is ours to theirs."""
    return {"figure": what, "ours": ours, "peer": peer, "theirs": theirs, "ratio": ours / theirs, "target": target}


def write(file: Path | None, figures: list[dict[str, object]], rows: Sequence[dict[str, object]]) -> None:
    """Leave what was found in a file, where one was asked for."""
    if file is not None:
        file.write_text(json.dumps({"figures": figures, "rows": rows}, indent=2) + "\n")


def load(url: str, pid: int, seconds: float, fields: Sequence[str] = ()) -> tuple[float, float]:
    """CPU microseconds per request of a server's process, and requests per second, under wrk with 32 connections."""
    wrk = ["wrk", "-t1", "-c32", *(argument for field in fields for argument in ("-H", field))]
    subprocess.run([*wrk, "-d1s", url], check=True, capture_output=True)
    before = cpu_seconds(pid)
    output = subprocess.run([*wrk, f"-d{seconds:g}s", url], check=True, capture_output=True, text=True).stdout
    spent = cpu_seconds(pid) - before
    found = re.search(r"(\d+) requests in ([\d.]+)", output)
    if not found or "Non-2xx" in output or "Socket errors" in output:
        raise SystemExit(f"wrk reports errors:\n{output}")
    return spent / int(found[1]) * 1e6, int(found[1]) / float(found[2])


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def running(command: Sequence[str], port: int, cwd: Path) -> Iterator[int]:
    """Run a server until the block ends; gives its process id once it accepts on `port`."""
    with (cwd / "log").open("wb") as log, subprocess.Popen(command, cwd=cwd, stdout=log, stderr=log) as process:
        try:
            deadline = time.monotonic() + 20
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    if process.poll() is not None or time.monotonic() > deadline:
                        raise SystemExit(f"{command[0]} did not start:\n{(cwd / 'log').read_text()}") from None
                    time.sleep(0.05)
            yield process.pid
        finally:
            process.terminate()
            process.wait(10)


def family(pid: int) -> list[int]:
    """A process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(int(child) for child in children)]


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and its children, all threads."""
    total = 0
    for each in family(pid):
        for path in Path(f"/proc/{each}/task").glob("*/schedstat"):
            total += int(path.read_text().split()[0])
    return total / 1e9


def resident_mib(pid: int) -> float:
    """The most memory that a process has had resident, in MiB, since `forget_peak`."""
    line = next(x for x in Path(f"/proc/{pid}/status").read_text().splitlines() if x.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def forget_peak(pid: int) -> None:
    """Let `resident_mib` count from now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
