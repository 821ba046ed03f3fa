"""A guest beside the same interpreter run natively: starting, resuming, computing, system calls, sizes.

Each figure is the least of several runs; the ratio is to the native interpreter in the same run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from mirage.hvt import Tender, build

HELLO = "print(1)\n"
APPLICATION = """
import asyncio, hashlib, http.client, json, os, ssl, sys
if "save" in sys.argv:
    device = os.open("/dev/snapshot", os.O_RDWR)
    os.write(device, b"1")
async def main():
    await asyncio.sleep(0)
    return hashlib.sha256(b"after").hexdigest()
print(asyncio.run(main()))
"""
COMPUTE = """
import hashlib, json, os, time, zlib
def loop():
    n = 0
    for i in range(1_000_000): n += i & 7
def fib(n=22): return n if n < 2 else fib(n - 1) + fib(n - 2)
block, tree = bytes(1 << 20), [{"a": [1, 2.5, "x" * 10]}] * 2000
def sha(): [hashlib.sha256(block).digest() for _ in range(8)]
def dumps(): [json.loads(json.dumps(tree)) for _ in range(3)]
def deflate(): zlib.compress(block * 4, 6)
def touch(): [bytearray(1 << 20) for _ in range(16)]
def calls():
    get = os.getppid
    for _ in range(50_000): get()
found = {}
for work in (loop, fib, sha, dumps, deflate, touch, calls):
    best = 1e9
    for _ in range(5):
        start = time.perf_counter(); work(); best = min(best, time.perf_counter() - start)
    found[work.__name__] = best
import sys
print(__import__("json").dumps(found), flush=True)
"""


def first_line(command: list[str]) -> float:
    """Seconds from the start of a process to its first line of output."""
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        process.stdout.readline()
        taken = time.perf_counter() - start
        process.stdout.read()
    return taken


def inside(snapshot: Path) -> float:
    """Seconds from `Tender.resume` to the guest's first output, in this process."""
    said: list[float] = []
    start = time.perf_counter()
    with Tender.resume(snapshot, console=lambda _: said.append(time.perf_counter())) as tender:
        tender.run()
    return said[0] - start


def least(runs: int, figure: Callable[[], float]) -> float:
    """The least of several runs."""
    return min(figure() for _ in range(runs))


def keep_least(best: dict[str, float], found: dict[str, float]) -> None:
    """The lesser of each figure."""
    for name, value in found.items():
        best[name] = min(value, best.get(name, value))


def measure(folder: Path, runs: int) -> list[tuple[str, float, float | None, str]]:
    """Rows: what, the guest's figure, the native one, the unit."""
    scripts = {"hello": HELLO, "application": APPLICATION, "compute": COMPUTE}
    images = {}
    rows: list[tuple[str, float, float | None, str]] = []
    for name, text in scripts.items():
        script = folder / f"{name}.py"
        script.write_text(text)
        os.environ["XDG_CACHE_HOME"] = str(folder / f"cache of {name}")  # empty: the library OS too
        start = time.perf_counter()
        build(folder / f"{name}.hvt", script)
        rows.append((f"cold build of {name}", time.perf_counter() - start, None, "s"))
        (folder / "data").write_text(f"changed for {name}")
        start = time.perf_counter()
        images[name] = build(folder / f"{name}.hvt", script, data={"/data": folder / "data"})
        rows.append((f"build of {name}, data changed", time.perf_counter() - start, None, "s"))
        rows.append((f"image of {name}", images[name].size / 1e6, None, "MB"))
    run = [sys.executable, "-m", "mirage.hvt", "run"]

    def native(name: str) -> list[str]:
        return [sys.executable, "-S", "-P", str(folder / f"{name}.py")]

    for name in ("hello", "application"):
        guest = least(runs, lambda name=name: first_line([*run, str(images[name].path)]))  # type: ignore[misc]
        host = least(runs, lambda name=name: first_line(native(name)))  # type: ignore[misc]
        rows.append((f"first output of {name}", guest * 1e3, host * 1e3, "ms"))

    state = folder / "state"
    with Tender(images["application"].path, ["save"], snapshot=state, console=lambda _: None) as tender:
        tender.run()
    host = least(runs, lambda: first_line(native("application")))
    resume = [sys.executable, "-m", "mirage.hvt", "resume", str(state)]
    rows.append(("resume, new tender", least(runs, lambda: first_line(resume)) * 1e3, host * 1e3, "ms"))
    rows.append(("resume, same tender", least(runs, lambda: inside(state)) * 1e3, host * 1e3, "ms"))

    guest_times: dict[str, float] = {}
    native_times: dict[str, float] = {}
    for _ in range(max(3, runs // 2)):  # in turn, so that both see the same machine
        said: list[bytes] = []
        with Tender(images["compute"].path, console=said.append) as tender:
            tender.run()
        keep_least(guest_times, json.loads(b"".join(said)))
        done = subprocess.run(native("compute"), capture_output=True, check=True)
        keep_least(native_times, json.loads(done.stdout))
    rows += [(f"compute: {k}", guest_times[k] * 1e3, native_times[k] * 1e3, "ms") for k in guest_times]
    return rows


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10, help="how often each start is timed")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder), chosen.runs)
    print(f"{'':34} {'guest':>10} {'native':>10} {'ratio':>7}")
    for what, guest, host, unit in rows:
        ratio = f"{host:10.2f} {guest / host:7.2f}" if host else f"{'':10} {'':7}"
        print(f"{what:34} {guest:10.2f} {ratio} {unit}")
    if chosen.json:
        found = {what: {"guest": guest, "native": host, "unit": unit} for what, guest, host, unit in rows}
        chosen.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
