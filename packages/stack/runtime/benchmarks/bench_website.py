"""The website as a virtual machine on a TAP, beside the same site as a process on the kernel's sockets.

Requests per second by wrk, of a small page; and the time from the start of the process to the first answer, in its
phases: until the interpreter runs, and how much of that is the tender's own start; until the site has imported what it
needs, until it says that it serves, and until it answers; and from a snapshot. Both are built anew from ``site/``, are
run by an interpreter that has the tender installed and nothing else, as people have it, and in a network namespace of
the benchmark's own. Starts take turns, and of each the quickest counts. Needs root, /dev/kvm and wrk.
"""

from __future__ import annotations

import argparse
import compileall
import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from collections.abc import Iterator
from pathlib import Path

import mirage.hvt
import mirage.libos
import mirage.types
from mirage.net.testing import network_namespace

CONFIG = Path(__file__).resolve().parents[4] / "site" / "config.py"
KERNEL, OURS, PORT, TAP = "10.9.0.1", "10.9.0.2", 8080, "bench-site"
PAGE = "/status/"
PATIENCE = 30.0
PHASES = [
    ("", "python", "until the interpreter runs"),
    ("python", "imports", "imports of the site"),
    ("imports", "serves", "network, pages and listening"),
    ("serves", "answers", "the first answer"),
]
"""What each ends, by the moment before it and its own."""


def build(folder: Path, target: str, *keys: str) -> Path:
    """The site's artifact for a target."""
    path = folder / f"site.{target}"
    words = [sys.executable, "-m", "mirage.tool.cli", "build", "-f", str(CONFIG), "-t", target, *keys, "-o", str(path)]
    subprocess.run(words, check=True, capture_output=True)
    return path


def installed(folder: Path) -> str:
    """An interpreter that has the tender, and nothing else: in the tree's own environment every package of the project
    is a folder on the path, and each start looks into all of them."""
    venv.create(folder, symlinks=True)
    site = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder), "platbase": str(folder)}))
    for package in (mirage.hvt, mirage.libos, mirage.types):
        source = Path(str(package.__file__)).parent
        shutil.copytree(source, site / "mirage" / source.name)
    compileall.compile_dir(site, quiet=1)
    return str(folder / "bin" / "python")


def first_line(words: list[str]) -> float:
    """Seconds from the start of a process, which then ends, to its first line of output."""
    began = time.perf_counter()
    with subprocess.Popen(words, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        took = time.perf_counter() - began
        process.stdout.read()
    if process.returncode or not line:
        raise SystemExit(f"{' '.join(words)} failed")
    return took


def get(host: str, timeout: float) -> bool:
    """Whether a page is answered."""
    try:
        with socket.create_connection((host, PORT), timeout) as sock:
            sock.settimeout(2.0)
            sock.sendall(f"GET {PAGE} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            return sock.recv(12) == b"HTTP/1.1 200"
    except OSError:
        return False


@contextlib.contextmanager
def started(words: list[str], host: str, *, says: bool = True) -> Iterator[tuple[float, float]]:
    """A site that answers: seconds until it said that it serves (0 where it does not say so), and until it did."""
    began = time.perf_counter()
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL) as process:
        try:
            assert process.stdout is not None
            said = 0.0
            if says:
                lines = []
                while b"serving on" not in (line := process.stdout.readline()):
                    lines.append(line)
                    if not line:
                        raise SystemExit(f"the site did not start: {b''.join(lines).decode()}")
                said = time.perf_counter() - began
            while not get(host, 0.02):
                if time.perf_counter() - began > PATIENCE or process.poll() is not None:
                    raise SystemExit(f"{words[-1]} does not answer")
                time.sleep(0.001)
            yield said, time.perf_counter() - began
        finally:
            process.terminate()
            process.wait()


def requests(host: str) -> float:
    """Requests per second."""
    words = ["wrk", "-t1", "-c32", "-d3s", f"http://{host}:{PORT}{PAGE}"]
    output = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    assert "Non-2xx" not in output
    found = re.search(r"Requests/sec:\s*([\d.]+)", output)
    assert found is not None
    return float(found[1])


def prepare() -> None:
    """A TAP for the guest. The kernel asks quickly for an address that was not there a moment ago."""
    subprocess.run(["ip", "tuntap", "add", "dev", TAP, "mode", "tap", "vnet_hdr"], check=True)
    subprocess.run(["ip", "address", "add", f"{KERNEL}/24", "dev", TAP], check=True)
    subprocess.run(["ip", "link", "set", TAP, "up"], check=True)
    Path(f"/proc/sys/net/ipv4/neigh/{TAP}/retrans_time_ms").write_text("10")


def measure(folder: Path, rounds: int) -> dict[str, list[float]]:
    """What was found, in each round."""
    python = installed(folder / "installed")
    process = [python, "-I", str(build(folder, "unix", "--network", "host")), "--host", "127.0.0.1"]
    image, saved = str(build(folder, "hvt")), folder / "saved"
    hello = folder / "hello.py"
    hello.write_text("print(1)\n")
    mirage.hvt.build(folder / "hello.hvt", hello)
    tender = [python, "-I", "-m", "mirage.hvt"]
    network = ["--net", f"net0=tap:{TAP}"]
    address = ["--port", str(PORT), "--ipv4", f"{OURS}/24"]
    guest = [*tender, "run", *network, image, *address]
    resumed = [*tender, "resume", *network, "--image", image, str(saved)]
    found: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        found.setdefault(name, []).append(value)

    with network_namespace():
        prepare()
        with started([*tender, "run", "--snapshot", str(saved), *network, image, *address], OURS):
            deadline = time.monotonic() + PATIENCE
            while not (saved.exists() and saved.stat().st_size) and time.monotonic() < deadline:
                time.sleep(0.05)
        for _ in range(rounds):
            note("hvt tender", first_line([*tender, "--help"]))
            note("linux python", first_line([python, "-I", str(hello)]))
            note("hvt python", first_line([*tender, "run", str(folder / "hello.hvt")]))
            note("linux imports", first_line([*process, "--help"]))
            note("hvt imports", first_line([*tender, "run", *network, image, "--help"]))
            with started([*process, "--port", str(PORT)], "127.0.0.1") as (said, answered):
                note("linux serves", said)
                note("linux answers", answered)
                note("linux rate", requests("127.0.0.1"))
            with started(guest, OURS) as (said, answered):
                note("hvt serves", said)
                note("hvt answers", answered)
                note("hvt rate", requests(OURS))
            with started(resumed, OURS, says=False) as (_, answered):
                note("resumed answers", answered)
    return found


def main() -> None:
    """Print the table, and write it where it is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if os.geteuid() or shutil.which("wrk") is None or not os.path.exists("/dev/kvm"):
        raise SystemExit("this needs root, /dev/kvm and wrk (apt install wrk)")
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), options.rounds)
    best = {name: max(values) if name.endswith("rate") else min(values) for name, values in found.items()}
    rows = [
        ("website in hvt on a TAP, requests/s", best["hvt rate"], best["linux rate"], ">= 0.5"),
        (
            "start of the website in hvt to first answer, ms",
            best["hvt answers"] * 1e3,
            best["linux answers"] * 1e3,
            "<= 1.3",
        ),
        ("the same from a snapshot, ms", best["resumed answers"] * 1e3, best["linux answers"] * 1e3, "<= 0.25"),
    ]
    rows.append(
        (
            "of that start, the tender's own before the guest, ms; of all",
            best["hvt tender"] * 1e3,
            best["hvt answers"] * 1e3,
            "",
        )
    )
    for before, phase, said in PHASES:
        ours, theirs = (best[f"{side} {phase}"] - best.get(f"{side} {before}", 0.0) for side in ("hvt", "linux"))
        rows.append((f"of that start, {said}, ms", ours * 1e3, theirs * 1e3, ""))
    figures = [
        {
            "figure": said, "ours": ours, "peer": "the site as a process, kernel's sockets", "theirs": theirs,
            "ratio": ours / theirs, "target": target,
        }
        for said, ours, theirs, target in rows
    ]  # fmt: skip
    for each in figures:
        print(
            f"{each['figure']:<58}{each['ours']:>14,.1f}{each['theirs']:>14,.1f}{each['ratio']:>8.2f}  {each['target']}"
        )
    if options.json:
        options.json.write_text(json.dumps({"figures": figures, "rows": [list(map(str, f.values())) for f in figures]}))


if __name__ == "__main__":
    main()
