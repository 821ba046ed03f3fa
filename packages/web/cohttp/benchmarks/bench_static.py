"""What static files cost: CPU microseconds of the server for a request, beside a service that answers with a constant.

Each case is a server of its own in a process of its own, asked by `wrk` (32 connections, one thread) over loopback; its
CPU time is read from /proc before and after. The cases are measured by turns, and the best of several rounds counts.
The page is 5 KiB of HTML; "constant page" answers with its octets and no more fields than a constant has.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
from pathlib import Path

from _table import figure, load, write
from mirage.cohttp import Headers, Response, Service, serve
from mirage.cohttp.static import static
from mirage.crunch import CrunchStore, crunch
from mirage.kv import DirectoryStore, MemoryStore
from mirage.types import value_digest

PAGE = (b"<!doctype html><title>page</title>" + b"<p>A paragraph of a page, as pages have them.</p>\n" * 100)[:5120]
HELLO = b"Hello, world!\n"
BROWSER = ["Accept: text/html,*/*;q=0.8", "Accept-Language: en", "User-Agent: bench", "Accept-Encoding: gzip, br"]

CASES: dict[str, tuple[str, list[str]]] = {
    # name: what the server serves, and the fields of the requests
    "constant hello": ("hello", []),
    "constant page": ("page", []),
    "blob": ("crunch", []),
    "blob, to a browser": ("crunch", BROWSER),
    "blob, 304": ("crunch", [f'If-None-Match: "{value_digest(PAGE)}"']),
    "blob, range": ("crunch", ["Range: bytes=0-99"]),
    "directory": ("directory", []),
}
PEER = "constant hello"


def service(kind: str, folder: Path) -> Service:
    """The service that a case measures."""
    if kind == "crunch":
        return static(CrunchStore(crunch(MemoryStore({"page.html": PAGE}))))
    if kind == "directory":
        (folder / "page.html").write_bytes(PAGE)
        return static(DirectoryStore(folder, read_only=True))
    body = HELLO if kind == "hello" else PAGE
    headers = [(b"content-type", b"text/html; charset=utf-8")]
    return lambda request: Response(200, Headers.from_raw(headers.copy()), body)


async def run_server(kind: str, folder: Path) -> None:
    """Serve until the parent closes this process's standard input."""
    server = await serve(service(kind, folder), "127.0.0.1", 0)
    print(server.url, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await server.close()


def measure(kind: str, fields: list[str], seconds: float) -> tuple[float, float]:
    """CPU microseconds for a request, and requests in a second."""
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            [sys.executable, __file__, "--serve", kind, folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as server,
    ):
        assert server.stdin is not None
        assert server.stdout is not None
        url = server.stdout.readline().strip() + "/page.html"
        found = load(url, server.pid, seconds, fields)
        server.stdin.close()
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="rounds, of which the best counts (3)")
    parser.add_argument("--seconds", type=int, default=2, help="length of a measurement (2)")
    parser.add_argument("--json", type=Path, help="write the rows to this file as well")
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve:
        asyncio.run(run_server(chosen.serve[0], Path(chosen.serve[1])))
        return
    best: dict[str, tuple[float, float]] = {}
    for _ in range(chosen.rounds):
        for name, (kind, fields) in CASES.items():
            found = measure(kind, fields, chosen.seconds)
            best[name] = min(best.get(name, found), found)
    print(f"{'':<22}{'CPU us/request':>15}{'requests/s':>13}{'of ' + PEER:>19}")
    rows: list[dict[str, object]] = []
    for name, (cpu, rate) in best.items():
        ratio = cpu / best[PEER][0]
        print(f"{name:<22}{cpu:>15.1f}{rate:>13.0f}{ratio:>18.2f}x")
        rows.append({"case": name, "cpu_us": cpu, "requests_per_second": rate, "ratio": ratio})
    cost = figure("small static page, CPU us/request", best["blob"][0], f"cohttp {PEER}", best[PEER][0], "<= 1.5")
    write(chosen.json, [cost], rows)


if __name__ == "__main__":
    main()
