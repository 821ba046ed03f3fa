"""Requests parsed per second of CPU time: mirage.cohttp against h11 and httptools, in the same run.

Two columns: `parse` makes a connection and reads one request; `cycle` keeps one connection, and answers each request
with a small response (httptools has no response side, so it only parses).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h11
import httptools
from _table import figure, show, write
from mirage.cohttp import Connection, Data, EndOfMessage, ResponseHead, Role

REQUESTS = {
    "small GET": b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n",
    "browser GET": (
        b"GET /blog/2014/welcome.html?from=feed HTTP/1.1\r\nHost: www.example.org\r\nConnection: keep-alive\r\n"
        b"Cache-Control: max-age=0\r\nUpgrade-Insecure-Requests: 1\r\n"
        b"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
        b"Chrome/124.0.0.0 Safari/537.36\r\n"
        b"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n"
        b"Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\nReferer: http://www.example.org/blog/\r\n"
        b"Accept-Encoding: gzip, deflate, br\r\nAccept-Language: en-GB,en;q=0.9,de;q=0.8\r\n"
        b"Cookie: theme=dark; session=0123456789abcdef0123456789abcdef\r\n\r\n"
    ),
    "POST": (
        b"POST /api/items HTTP/1.1\r\nHost: example.org\r\nContent-Type: application/json\r\nContent-Length: 27\r\n"
        b'Accept: */*\r\nUser-Agent: curl/8.5.0\r\n\r\n{"name":"widget","count":3}'
    ),
}
FIELDS = [(b"content-length", b"5"), (b"content-type", b"text/plain")]


def _own_read(connection: Connection, raw: bytes) -> None:
    connection.receive_data(raw)
    while type(connection.next_event()) is not EndOfMessage:
        pass


def _own_cycle(connection: Connection, raw: bytes) -> None:
    _own_read(connection, raw)
    connection.send(ResponseHead(200, FIELDS))
    connection.send(Data(b"hello"))
    connection.send(EndOfMessage())
    connection.start_next_cycle()


def _h11_read(connection: h11.Connection, raw: bytes) -> None:
    connection.receive_data(raw)
    while type(connection.next_event()) is not h11.EndOfMessage:
        pass


def _h11_cycle(connection: h11.Connection, raw: bytes) -> None:
    _h11_read(connection, raw)
    connection.send(h11.Response(status_code=200, headers=FIELDS))
    connection.send(h11.Data(b"hello"))
    connection.send(h11.EndOfMessage())
    connection.start_next_cycle()


class _Collector:
    """What a server keeps of a request."""

    def __init__(self) -> None:
        self.fields: list[tuple[bytes, bytes]] = []

    def on_url(self, url: bytes) -> None:
        self.url = url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.lower(), value))

    def on_body(self, data: bytes) -> None:
        self.body = data

    def on_message_complete(self) -> None:
        self.done = True


def _tools_read(raw: bytes) -> None:
    collector = _Collector()
    parser = httptools.HttpRequestParser(collector)
    parser.feed_data(raw)
    parser.get_method()


def _seconds(work: Callable[[], None], count: int) -> float:
    begun = time.process_time()
    for _ in range(count):
        work()
    return (time.process_time() - begun) / count


def fastest(works: dict[str, Callable[[], None]], count: int, rounds: int) -> dict[str, float]:
    """The best of some rounds for each; the rounds are interleaved, so that all see the same machine."""
    best = dict.fromkeys(works, float("inf"))
    for _ in range(rounds):
        for name, work in works.items():
            best[name] = min(best[name], _seconds(work, count))
    return best


def _measure(count: int, rounds: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for name, raw in REQUESTS.items():
        kept, kept_h11 = Connection(Role.SERVER), h11.Connection(h11.SERVER)
        best = fastest(
            {
                "own parse": lambda raw=raw: _own_read(Connection(Role.SERVER), raw),  # type: ignore[misc]
                "h11 parse": lambda raw=raw: _h11_read(h11.Connection(h11.SERVER), raw),  # type: ignore[misc]
                "httptools parse": lambda raw=raw: _tools_read(raw),  # type: ignore[misc]
                "own cycle": lambda raw=raw, c=kept: _own_cycle(c, raw),  # type: ignore[misc]
                "h11 cycle": lambda raw=raw, c=kept_h11: _h11_cycle(c, raw),  # type: ignore[misc]
            },
            count,
            rounds,
        )
        rate = {key: round(1 / value) for key, value in best.items()}
        rows.append(
            {
                "request": name,
                **rate,
                "parse / h11": round(best["h11 parse"] / best["own parse"], 2),
                "cycle / h11": round(best["h11 cycle"] / best["own cycle"], 2),
            }
        )
    return rows


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=4000, help="requests in a round (4000)")
    parser.add_argument("--rounds", type=int, default=15, help="rounds, of which the best counts (15)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures to FILE too")
    options = parser.parse_args()
    rows = _measure(options.count, options.rounds)
    print(f"Python {sys.version.split()[0]}, requests per second of CPU time; the target is 5 times h11")
    show(rows)
    figures = [
        figure(f"parse {row['request']}, requests/s", row["own parse"], peer, row[f"{peer} parse"], target)
        for row in rows
        for peer, target in (("h11", ">= 5"), ("httptools", ""))
    ]
    write(options.json, figures, rows)


if __name__ == "__main__":
    main()
