"""A file of 100 MB over loopback, from cohttp and from nginx, in the same run: rate, CPU time and memory.

cohttp serves a `FileBody`, once through the kernel (sendfile) and once through its plain twin; one worker each.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from _table import cpu_seconds, family, figure, forget_peak, free_port, resident_mib, running, show, write

SIZE = 100_000_000
OWN = """
import asyncio, os, sys
from mirage.cohttp import FileBody, Response, serve
def file(request):
    opened = open("file", "rb")
    return Response(body=FileBody(opened, 0, os.fstat(opened.fileno()).st_size))
async def main():
    await serve(file, port=int(sys.argv[1]), sendfile=sys.argv[2] == "sendfile")
    await asyncio.Event().wait()
asyncio.run(main())
"""
NGINX = """
daemon off; worker_processes 1; pid {cwd}/pid; error_log {cwd}/error; user root;
events {{}}
http {{ access_log off; sendfile on; client_body_temp_path {cwd}/t1; proxy_temp_path {cwd}/t2;
        fastcgi_temp_path {cwd}/t3; uwsgi_temp_path {cwd}/t4; scgi_temp_path {cwd}/t5;
        server {{ listen 127.0.0.1:{port}; root {cwd}; }} }}
"""


def _fetch(port: int, buffer: bytearray) -> float:
    """Seconds that one fetch takes, its octets counted."""
    begun = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(b"GET /file HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        total = 0
        while count := sock.recv_into(buffer):
            total += count
    if not SIZE < total < SIZE + 1000:
        raise SystemExit(f"{total} octets came, not {SIZE} and a head")
    return time.perf_counter() - begun


def _measure(cwd: Path, nginx: str, rounds: int) -> list[dict[str, Any]]:
    """All servers run, and are asked in turn, so that all see the same machine."""
    cwd.chmod(0o755)
    (cwd / "own.py").write_text(OWN)
    with (cwd / "file").open("wb") as file:
        for _ in range(100):
            file.write(os.urandom(SIZE // 100))
    ports = {name: free_port() for name in ("nginx", "cohttp sendfile", "cohttp plain")}
    (cwd / "conf").write_text(NGINX.format(cwd=cwd, port=ports["nginx"]))
    buffer = bytearray(1 << 20)
    with contextlib.ExitStack() as stack:
        pids: dict[str, int] = {}
        before: dict[str, tuple[float, float]] = {}
        for name, port in ports.items():
            command = [sys.executable, "own.py", str(port), name.removeprefix("cohttp ")]
            if name == "nginx":
                command = [nginx, "-c", str(cwd / "conf")]
            pids[name] = stack.enter_context(running(command, port, cwd))
            forget_peak(family(pids[name])[-1])
            memory = resident_mib(family(pids[name])[-1])
            _fetch(port, buffer)
            before[name] = (memory, cpu_seconds(pids[name]))
        best = dict.fromkeys(ports, float("inf"))
        for _ in range(rounds):
            for name, port in ports.items():
                best[name] = min(best[name], _fetch(port, buffer))
        return [
            {
                "server": name,
                "MB/s": round(SIZE / 1e6 / best[name]),
                "CPU ms/fetch": round((cpu_seconds(pid) - before[name][1]) / rounds * 1e3, 1),
                "RSS growth MiB": round(resident_mib(family(pid)[-1]) - before[name][0], 1),
                "rate / nginx": round(best["nginx"] / best[name], 2),
            }
            for name, pid in pids.items()
        ]


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20, help="fetches from each, of which the best counts (20)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures to FILE too")
    options = parser.parse_args()
    if not (nginx := shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")):
        raise SystemExit("nginx is missing: apt-get install nginx-light")
    with tempfile.TemporaryDirectory() as directory:
        rows = _measure(Path(directory), nginx, options.rounds)
    print(
        f"Python {sys.version.split()[0]}; the targets are 0.5 or more of nginx's rate and less than 16 MiB of growth"
    )
    show(rows)
    peer, own, _ = rows
    figures = [
        figure("100 MB file, MB/s", own["MB/s"], "nginx", peer["MB/s"], ">= 0.5"),
        figure("100 MB file, RSS growth in MiB", own["RSS growth MiB"], "budget", 16.0, "<= 1"),
    ]
    write(options.json, figures, rows)


if __name__ == "__main__":
    main()
