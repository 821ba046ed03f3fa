"""Bulk data both ways over the kernel's TCP, checked by SHA-256: a peer for those who prove a stack or a link.

    python -m mirage.net.testing.bulk serve ADDRESS PORT
    python -m mirage.net.testing.bulk exchange ADDRESS PORT OCTETS

The client sends `OCTETS` octets of `content(UP)` and no more; the server tells the SHA-256 of what it got, in 32
octets, and sends as many octets of `content(DOWN)`. The client checks both, and prints the seconds of each way. The
congestion control is named, cubic unless ``--control`` says otherwise, because a machine's default may be another.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import socket
import struct
import time

__all__ = ["DOWN", "UP", "content"]

UP, DOWN = 1, 2
_BLOCK = 1 << 16


def content(direction: int, size: int) -> bytes:
    """The octets that travel `UP` or `DOWN`."""
    return random.Random(direction).randbytes(size)  # noqa: S311 - data, not secrets


def _prepare(sock: socket.socket, options: argparse.Namespace) -> socket.socket:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, options.control.encode())
    sock.settimeout(options.patience)
    return sock


def _serve(options: argparse.Namespace) -> None:
    family = socket.AF_INET6 if ":" in options.address else socket.AF_INET
    with socket.create_server((options.address, options.port), family=family) as server:
        print("ready", flush=True)
        while True:
            with _prepare(server.accept()[0], options) as sock:
                # Linux gives up a socket that nobody holds once its timeout is the longest (tcp_orphan_retries),
                # however short that was made: so it is held until the peer has everything.
                lingering = struct.pack("ii", 1, int(options.patience))
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, lingering)
                digest, size = hashlib.sha256(), 0
                while part := sock.recv(_BLOCK):
                    digest.update(part)
                    size += len(part)
                sock.sendall(digest.digest() + content(DOWN, size))


def _exchange(options: argparse.Namespace) -> None:
    data = content(UP, options.octets)
    with socket.socket(socket.AF_INET6 if ":" in options.address else socket.AF_INET) as sock:
        _prepare(sock, options).connect((options.address, options.port))
        started = time.monotonic()
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        answer = bytearray(sock.recv(32))
        turned = time.monotonic()
        while part := sock.recv(_BLOCK):
            answer += part
        ended = time.monotonic()
    assert answer[:32] == hashlib.sha256(data).digest(), "what was sent did not arrive"
    expected = hashlib.sha256(content(DOWN, options.octets)).digest()
    assert hashlib.sha256(answer[32:]).digest() == expected, "what arrived was not sent"
    print(turned - started, ended - turned)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["serve", "exchange"])
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    parser.add_argument("octets", type=int, nargs="?", default=1_000_000)
    parser.add_argument("--control", default="cubic", help="congestion control (default: %(default)s)")
    parser.add_argument("--patience", type=float, default=60, help="seconds without anything that are an error")
    options = parser.parse_args()
    {"serve": _serve, "exchange": _exchange}[options.what](options)


if __name__ == "__main__":
    main()
