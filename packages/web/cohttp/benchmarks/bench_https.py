"""CPU microseconds per request on kept-alive connections, over TLS and in the clear, in the same run.

The server says hello, or gives a page of 16 KiB; TLS is by our own implementation and by OpenSSL. 32 connections are
made first; then each asks in its turn, all at once. The time is that of the server's process, without the handshakes.
The client is the same for all: it has the octets of every request beforehand, sealed where there is TLS, and counts
those of the responses, which it does not open; and the server is stopped while it is asked. Otherwise a client that is
slower over TLS leaves the server fewer requests to find at once, and how often that asks the kernel is not TLS's work.
The peer of each figure is the same server without TLS; the rounds of all three are interleaved, and the best counts.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import socket
import ssl
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

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


class Link:
    """A connection whose requests are ready: their octets, as they go on the wire."""

    def __init__(self, port: int, context: ssl.SSLContext | None, requests: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        if context is None:
            self.size = self._first(None)
            self.ready = iter([REQUEST] * requests)
            return
        tls = context.wrap_bio(self._incoming, self._outgoing)
        self._call(tls.do_handshake)
        self._first(tls)  # the session's tickets come before it
        self.size = self._first(tls)
        sealed: list[bytes] = []
        for _ in range(requests):
            tls.write(REQUEST)
            sealed.append(self._outgoing.read())
        self.ready = iter(sealed)

    def _call(self, function: Callable[[], Any]) -> tuple[Any, int]:
        """What it returns, and the octets that had to arrive for that."""
        arrived = 0
        while True:
            try:
                result = function()
            except ssl.SSLWantReadError:
                self.socket.sendall(self._outgoing.read())
                found = self.socket.recv(1 << 17)
                if not found:
                    raise SystemExit("the server closed a connection") from None
                arrived += len(found)
                self._incoming.write(found)
            else:
                self.socket.sendall(self._outgoing.read())
                return result, arrived

    def _first(self, tls: ssl.SSLObject | None) -> int:
        """The octets on the wire of one response."""
        if tls is None:
            self.socket.sendall(REQUEST)
        else:
            tls.write(REQUEST)
        content, arrived, size = b"", 0, 1
        while len(content) < size:
            if tls is None:
                piece = self.socket.recv(1 << 17)
                more = len(piece)
            else:
                piece, more = self._call(lambda: tls.read(1 << 17))
            content, arrived = content + piece, arrived + more
            head, end, _ = content.partition(b"\r\n\r\n")
            if end:
                length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
                size = len(head) + 4 + int(length)
        return arrived

    def rest(self) -> None:
        """Wait for a response."""
        left = self.size
        while left > 0:
            left -= (found := len(self.socket.recv(left)))
            if not found:
                raise SystemExit("the server closed a connection")


class Load:
    """A server that runs, and 32 connections to it."""

    def __init__(self, stack: contextlib.ExitStack, cwd: Path, content: str, tls: str, requests: int) -> None:
        port = free_port()
        command = [sys.executable, "server.py", str(port), content, tls]
        self.pid = stack.enter_context(running(command, port, cwd))
        context = None
        if tls != "none":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # it is the server that is measured
        self.links = [Link(port, context, requests) for _ in range(32)]
        for link in self.links:
            stack.enter_context(link.socket)

    def run(self, count: int) -> float:
        """CPU microseconds of the server per request, of so many on each connection.

        The server is stopped while it is asked, so that it always finds all requests at once.
        """
        before = cpu_seconds(self.pid)
        for _ in range(count):
            os.kill(self.pid, signal.SIGSTOP)
            try:
                for link in self.links:
                    link.socket.sendall(next(link.ready))
            finally:
                os.kill(self.pid, signal.SIGCONT)
            for link in self.links:
                link.rest()
        return (cpu_seconds(self.pid) - before) / count / len(self.links) * 1e6


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=100, help="on each connection in each round (100)")
    parser.add_argument("--rounds", type=int, default=12, help="rounds, of which the best counts (12)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures to FILE too")
    options = parser.parse_args()
    best: dict[tuple[str, str], float] = {}
    with tempfile.TemporaryDirectory() as directory:
        cwd = Path(directory)
        (cwd / "server.py").write_text(SERVER)
        (cwd / "server.pem").write_bytes(Authority("bench", cwd).issue("localhost"))
        for content in CONTENTS:
            with contextlib.ExitStack() as stack:
                count = options.requests * (options.rounds + 1)
                loads = {tls: Load(stack, cwd, content, tls, count) for tls in ("none", "native", "openssl")}
                for _ in range(options.rounds + 1):  # the first is there to warm up
                    found = {tls: load.run(options.requests) for tls, load in loads.items()}
                    for tls, cpu in found.items():
                        best[content, tls] = min(cpu, best.get((content, tls), cpu))
    print(f"{ssl.OPENSSL_VERSION} in Python's ssl, {backend.openssl_version_text()} below our own TLS")
    rows: list[dict[str, object]] = [
        {
            "content": CONTENTS[content],
            "TLS": tls,
            "CPU us/request": round(cpu, 1),
            "CPU / in the clear": round(cpu / best[content, "none"], 2),
        }
        for (content, tls), cpu in best.items()
    ]
    show(rows)
    figures = [
        figure(
            f"{CONTENTS[content]} over {tls} TLS, CPU us/request",
            best[content, tls],
            "the same in the clear",
            best[content, "none"],
            "<= 1.5" if tls == "native" else "",
        )
        for content in CONTENTS
        for tls in ("native", "openssl")
    ]
    write(options.json, figures, rows)


if __name__ == "__main__":
    main()
