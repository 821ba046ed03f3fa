"""CPU microseconds per request on kept-alive connections, over TLS and in the clear, in the same run.

The server says hello, or gives a page of 16 KiB; TLS is by our own implementation and by OpenSSL. 32 connections are
made first; then each asks in its turn, all at once. The time is that of the server's process, without the handshakes.
The peer of each figure is the same server without TLS.
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import ssl
import sys
import tempfile
import time
from pathlib import Path

from _table import cpu_seconds, figure, free_port, running, show, write
from cryptography.hazmat.backends.openssl import backend
from mirage.conduit.testing import Authority

SERVER = """
import asyncio, sys
from mirage.cohttp import Headers, Response, serve
body = bytes(16384) if sys.argv[2] == "page" else b"Hello, world!"
def hello(request):
    return Response(headers=Headers([("content-type", "text/plain")]), body=body)
async def main():
    tls = None
    if sys.argv[3] != "none":
        from mirage.conduit import Identity, ServerTls
        tls = ServerTls(identity=Identity.from_files("server.pem"), implementation=sys.argv[3])
    await serve(hello, port=int(sys.argv[1]), tls=tls)
    await asyncio.Event().wait()
asyncio.run(main())
"""
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
CONTENTS = {"hello": "hello", "page": "a page of 16 KiB"}


def load(port: int, tls: bool, pid: int, seconds: float) -> tuple[float, float]:
    """CPU microseconds per request of a server's process, and requests per second, on 32 connections that are there."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # it is the server that is measured
    with contextlib.ExitStack() as stack:
        links: list[socket.socket] = []
        for _ in range(32):
            link = stack.enter_context(socket.create_connection(("127.0.0.1", port), 20))
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            links.append(stack.enter_context(context.wrap_socket(link)) if tls else link)
        links[0].sendall(REQUEST)
        head, _, body = links[0].recv(1 << 17).partition(b"\r\n\r\n")
        size = len(head) + 4 + int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        _rest(links[0], size - len(head) - 4 - len(body))
        _rounds(links, size, 1.0)
        before = cpu_seconds(pid)
        requests, took = _rounds(links, size, seconds)
        return (cpu_seconds(pid) - before) / requests * 1e6, requests / took


def _rounds(links: list[socket.socket], size: int, seconds: float) -> tuple[int, float]:
    begun = time.monotonic()
    count = 0
    while (took := time.monotonic() - begun) < seconds:
        for link in links:
            link.sendall(REQUEST)
        for link in links:
            _rest(link, size)
        count += len(links)
    return count, took


def _rest(link: socket.socket, size: int) -> None:
    while size > 0:
        size -= len(link.recv(1 << 17))


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=3, help="how long to load each server in each round (3)")
    parser.add_argument("--rounds", type=int, default=2, help="rounds, of which the best counts (2)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures to FILE too")
    options = parser.parse_args()
    best: dict[tuple[str, str], tuple[float, float]] = {}
    with tempfile.TemporaryDirectory() as directory:
        cwd = Path(directory)
        (cwd / "server.py").write_text(SERVER)
        (cwd / "server.pem").write_bytes(Authority("bench", cwd).issue("localhost"))
        for _ in range(options.rounds):
            for content in CONTENTS:
                for tls in ("none", "native", "openssl"):
                    port = free_port()
                    with running([sys.executable, "server.py", str(port), content, tls], port, cwd) as pid:
                        found = load(port, tls != "none", pid, options.seconds)
                    best[content, tls] = min(best.get((content, tls), found), found)
    print(f"{ssl.OPENSSL_VERSION} in Python's ssl, {backend.openssl_version_text()} below our own TLS")
    rows: list[dict[str, object]] = [
        {
            "content": CONTENTS[content],
            "TLS": tls,
            "CPU us/request": round(cpu, 1),
            "requests/s": round(rate),
            "CPU / in the clear": round(cpu / best[content, "none"][0], 2),
        }
        for (content, tls), (cpu, rate) in best.items()
    ]
    show(rows)
    figures = [
        figure(
            f"{CONTENTS[content]} over {tls} TLS, CPU us/request",
            best[content, tls][0],
            "the same in the clear",
            best[content, "none"][0],
            "<= 1.5" if tls == "native" else "",
        )
        for content in CONTENTS
        for tls in ("native", "openssl")
    ]
    write(options.json, figures, rows)


if __name__ == "__main__":
    main()
