"""An index of 60 packages with 20 releases each: how fast it is made and added to, and how fast clients resolve.

The peers hold the same files: pypiserver, and a plain file tree behind the standard library's server. Each client
resolves all 60 packages with an empty cache; the shortest of some runs counts. Run: ``./noxw -s bench -- index``.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from mirage.index import Directory, File, append, build, server
from mirage.index.testing import wheel

PACKAGES, RELEASES = 60, 20
BASE = "http://127.0.0.1:8000/"


def files() -> list[File]:
    """Each package needs the two before it."""
    return [
        wheel(
            f"bench-p{n:02}",
            f"0.{r}.0",
            [f"bench-p{m:02}>=0.{max(0, r - 3)},<0.{r + 1}" for m in (n - 1, n - 2) if m >= 0],
        )
        for n in range(PACKAGES)
        for r in range(RELEASES)
    ]


def shortest(work: Callable[[], object], runs: int, clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds of the fastest of some runs."""
    found = []
    for _ in range(runs):
        start = clock()
        work()
        found.append(clock() - start)
    return min(found)


@contextlib.contextmanager
def threaded(running: ThreadingHTTPServer) -> Iterator[str]:
    """A server while the block runs; its address."""
    with running:
        threading.Thread(target=running.serve_forever, args=(0.02,)).start()
        try:
            yield "http://{}:{}/".format(*running.server_address[:2])
        finally:
            running.shutdown()


class Quiet(SimpleHTTPRequestHandler):
    """The standard library's file server, without its log."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *words: object) -> None:
        """Nothing."""


@contextlib.contextmanager
def pypiserver(folder: Path) -> Iterator[str]:
    """pypiserver on loopback."""
    with threaded(ThreadingHTTPServer(("127.0.0.1", 0), Quiet)) as taken:
        port = taken.rstrip("/").rpartition(":")[2]
    command = [
        sys.executable,
        "-m",
        "pypiserver",
        "run",
        "-i",
        "127.0.0.1",
        "-p",
        port,
        "--disable-fallback",
        str(folder),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            for _ in range(400):
                with contextlib.suppress(ConnectionRefusedError):
                    socket.create_connection(("127.0.0.1", int(port))).close()
                    break
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}/"
        finally:
            process.terminate()


def resolve(client: str, index: str, place: Path) -> Callable[[], object]:
    """A resolution of every package by pip or uv, with an empty cache."""
    wanted = place / "wanted.txt"
    wanted.write_text("".join(f"bench-p{n:02}\n" for n in range(PACKAGES)))
    command = {
        "pip": [
            sys.executable,
            "-m",
            "pip",
            "--isolated",
            "--no-cache-dir",
            "--disable-pip-version-check",
            "install",
            "-q",
        ],
        "uv": ["uv", "--no-config", "--no-cache", "pip", "compile", "-q", "--no-header", str(wanted)],
    }[client]
    command += ["--dry-run", "--ignore-installed", "-r", str(wanted)] if client == "pip" else []
    command += ["--index-url", index] if client == "pip" else ["--default-index", index]
    return lambda: subprocess.run(command, env=plain(), check=True, stdout=subprocess.DEVNULL)


def opam(repository: str, place: Path) -> Callable[[], object]:
    """A resolution of every package by opam, its repository fetched anew."""
    env = plain() | {"OPAMYES": "1", "OPAMROOTISOK": "1", "OPAMNODEPEXTS": "1", "OPAMROOT": str(place / "opam-root")}
    init = ["opam", "init", "--bare", "--disable-sandboxing", "-n", "--bypass-checks", "m", repository]
    names = [f"bench-p{n:02}" for n in range(PACKAGES)]

    def work() -> None:
        shutil.rmtree(place / "opam-root", ignore_errors=True)
        for command in (init, ["opam", "switch", "create", "x", "--empty"], ["opam", "install", "--dry-run", *names]):
            subprocess.run(command, env=env, check=True, capture_output=True)

    return work


def plain() -> dict[str, str]:
    """The environment without the machine's own settings of the clients."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "UV_", "OPAM", "VIRTUAL_ENV"))}


def figure(what: str, ours: float, peer: str, theirs: float, target: str) -> dict[str, Any]:
    """One figure in the form that the bench session collects, printed at once."""
    print(f"{what:42} {ours:8.3f}  {peer:12} {theirs:8.3f}  {ours / theirs:6.2f}", flush=True)
    return {"figure": what, "ours": ours, "peer": peer, "theirs": theirs, "ratio": ours / theirs, "target": target}


def main() -> None:
    """Measure, print, and leave the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    chosen = parser.parse_args()
    content = files()
    late = wheel("bench-p30", f"0.{RELEASES}.0")
    figures = []
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        tree = build(content, base=BASE)
        spent = shortest(lambda: build(content, base=BASE), chosen.runs, time.process_time)
        figures.append(figure("index of 60 x 20 built, CPU s", spent, "budget", 2.0, "<= 1"))
        spent = shortest(lambda: append(tree, [late]), chosen.runs, time.process_time)
        figures.append(figure("one release appended, in memory, CPU s", spent, "budget", 0.1, "<= 1"))
        write_all(place / "index", tree)
        spent = shortest(lambda: append(Directory(place / "index"), [late]), chosen.runs, time.process_time)
        figures.append(figure("one release appended to a directory, CPU s", spent, "budget", 0.1, "<= 1"))
        flat = place / "flat"
        flat.mkdir()
        for file in content:
            (flat / file.filename).write_bytes(file.data)
        handler = functools.partial(Quiet, directory=str(place / "index"))
        with (
            threaded(server(tree)) as ours,
            pypiserver(flat) as theirs,
            threaded(ThreadingHTTPServer(("127.0.0.1", 0), handler)) as files_only,
        ):
            peers = {"pypiserver": f"{theirs}simple/", "plain files": f"{files_only}simple/"}
            for client in ("uv", "pip"):
                here = shortest(resolve(client, f"{ours}simple/", place), chosen.runs)
                for peer, address in peers.items():
                    there = shortest(resolve(client, address, place), chosen.runs)
                    figures.append(figure(f"{client} resolves 60, s", here, peer, there, "<= 1.1"))
            if shutil.which("opam"):
                here = shortest(opam(f"{ours}opam", place), chosen.runs)
                there = shortest(opam(f"{files_only}opam", place), chosen.runs)
                figures.append(figure("opam resolves 60, s", here, "plain files", there, "<= 1.1"))
    if chosen.json:
        chosen.json.write_text(json.dumps({"figures": figures, "rows": []}, indent=2) + "\n")


def write_all(root: Path, tree: dict[str, bytes]) -> None:
    """The tree as files, without waiting for the disk as `mirage.index.write` does."""
    for path, data in tree.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)


if __name__ == "__main__":
    main()
