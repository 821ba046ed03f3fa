"""The command line of an application: its options, what they print, and serving until a signal says to stop."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mirage.cohttp import serve
from mirage.cohttp.message import Service

from .filters import access_log

if TYPE_CHECKING:
    from .app import App

__all__ = ["run"]


class _Clock:
    """The host's monotonic clock, for the access log."""

    def elapsed_ns(self) -> int:
        """Nanoseconds since some moment."""
        return time.monotonic_ns()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Serve this application over HTTP until it is interrupted.")
    parser.add_argument("-p", "--port", type=int, default=8080, help="port to listen on; 0 picks a free one (8080)")
    parser.add_argument("-i", "--interface", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument("-d", "--debug", action="store_true", help="show tracebacks to clients: for development only")
    parser.add_argument("-v", "--verbose", action="store_true", help="write a line for each request to standard error")
    parser.add_argument("-r", "--routes", action="store_true", help="print the routes and leave")
    parser.add_argument("-m", "--middleware", action="store_true", help="print the filters, outermost first, and leave")
    return parser


def run(app: App, arguments: Sequence[str] | None) -> int:
    """Do what the arguments say; the process's status."""
    chosen = _parser().parse_args(arguments)
    if chosen.routes:
        rows = [("METHOD", "ROUTE", "HANDLER"), *app.routes]
        widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
        for method, route, handler in rows:
            print(f"{method:<{widths[0]}}  {route:<{widths[1]}}  {handler}")
    if chosen.middleware:
        print("\n".join(app.middleware))
    if chosen.routes or chosen.middleware:
        return 0
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    app.debug = app.debug or chosen.debug
    service = access_log(lambda line: print(line, file=sys.stderr), _Clock())(app) if chosen.verbose else app
    return asyncio.run(_serve(service, chosen.interface, chosen.port))


async def _serve(service: Service, host: str, port: int) -> int:
    """Serve until SIGINT or SIGTERM, then let the requests that are under way finish."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        server = await serve(service, host, port)
    except (OSError, OverflowError) as error:  # OverflowError: a port above 65535
        print(f"cannot listen on {host} port {port}: {error}", file=sys.stderr)
        return 1
    print(f"listening on {server.url}", flush=True)
    await stop.wait()
    await server.drain()
    return 0
