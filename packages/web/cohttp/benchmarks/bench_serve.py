"""CPU microseconds per request of servers that say hello, under wrk with 32 connections, in the same run.

Compared with uvicorn on httptools and on h11 (an ASGI hello). The time is that of the server's process; wall-clock
rates are printed too, and say more about the machine.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from _table import figure, free_port, load, running, show, write

OWN = """
import asyncio, sys
from mirage.cohttp import Headers, Response, serve
def hello(request):
    return Response(headers=Headers([("content-type", "text/plain")]), body=b"Hello, world!")
async def awaited(request):
    return hello(request)
async def main():
    await serve(awaited if sys.argv[2] == "awaited" else hello, port=int(sys.argv[1]))
    await asyncio.Event().wait()
asyncio.run(main())
"""
ASGI = """
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200,
                "headers": [(b"content-type", b"text/plain"), (b"content-length", b"13")]})
    await send({"type": "http.response.body", "body": b"Hello, world!"})
"""


def _servers(port: int) -> dict[str, list[str]]:
    uvicorn = [sys.executable, "-m", "uvicorn", "app:app", "--port", str(port), "--no-access-log", "--loop", "asyncio"]
    uvicorn += ["--log-level", "error", "--lifespan", "off"]
    return {
        "cohttp": [sys.executable, "own.py", str(port), "direct"],
        "cohttp awaited": [sys.executable, "own.py", str(port), "awaited"],
        "uvicorn httptools": [*uvicorn, "--http", "httptools"],
        "uvicorn h11": [*uvicorn, "--http", "h11"],
    }


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=3, help="how long to load each server in each round (3)")
    parser.add_argument("--rounds", type=int, default=2, help="rounds, of which the best counts (2)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures to FILE too")
    options = parser.parse_args()
    best: dict[str, tuple[float, float]] = {}
    with tempfile.TemporaryDirectory() as directory:
        cwd = Path(directory)
        (cwd / "own.py").write_text(OWN)
        (cwd / "app.py").write_text(ASGI)
        for _ in range(options.rounds):
            for name in _servers(0):
                port = free_port()
                with running(_servers(port)[name], port, cwd) as pid:
                    found = load(f"http://127.0.0.1:{port}/", pid, options.seconds)
                best[name] = min(best.get(name, found), found)
    own = best["cohttp"][0]
    rows: list[dict[str, object]] = [
        {"server": n, "CPU us/request": round(c, 1), "requests/s": round(r), "CPU / cohttp": round(c / own, 2)}
        for n, (c, r) in best.items()
    ]
    print(f"Python {sys.version.split()[0]}; the target is at most uvicorn httptools, and at most half of uvicorn h11")
    show(rows)
    hello = "hello, CPU us/request"
    figures = [
        figure(hello, own, "uvicorn httptools", best["uvicorn httptools"][0], "<= 1"),
        figure(hello, own, "uvicorn h11", best["uvicorn h11"][0], "<= 0.5"),
    ]
    write(options.json, figures, rows)


if __name__ == "__main__":
    main()
