"""The command `cohttp-server`: options, start, access log, and an end that lets requests finish.

It speaks plain HTTP only. Whoever asks for TLS gets an error: a server that was told to be private and is not would be
worse than none.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Sequence

from mirage.cohttp import Access, Server, serve
from mirage.cohttp.static import static
from mirage.kv import DirectoryStore
from mirage.types import MirageError, check_key

__all__ = ["main"]

_NO_TLS = (
    "this version cannot serve HTTPS, and does not serve plain HTTP where HTTPS was asked for: "
    "leave {option} out, or put a server that speaks TLS before this one"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. The exit status is 0 after a signal, 1 when it cannot serve, 2 for a misuse of options."""
    parser = _parser()
    options = parser.parse_args(argv)
    for option, value in (("-c", options.cert), ("-k", options.key), ("--tls", options.tls)):
        if value is not None:
            parser.error(_NO_TLS.format(option=option))
    try:
        check_key(options.index)
        with DirectoryStore(options.docroot, read_only=True) as store:
            return asyncio.run(_run(store, options))
    except MirageError as error:
        print(f"cohttp-server: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cohttp-server", description="Serve a directory over HTTP.")
    parser.add_argument("-p", "--port", type=_port, default=8080, help="port to listen on; 0 for any (default: 8080)")
    parser.add_argument(
        "-s", "--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 or :: for all (default: 127.0.0.1)"
    )
    parser.add_argument(
        "-i", "--index", default="index.html", metavar="NAME", help="file for a directory (default: index.html)"
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="write a line for each request")
    parser.add_argument("--no-listing", action="store_true", help="do not show directories that have no index")
    parser.add_argument(
        "--drain",
        type=float,
        default=5.0,
        metavar="SECONDS",
        help="time for requests to finish at the end (default: 5)",
    )
    parser.add_argument("-c", "--cert", metavar="CERT", help="certificate for HTTPS (an error: not there yet)")
    parser.add_argument("-k", "--key", metavar="KEY", help="private key for HTTPS (an error: not there yet)")
    parser.add_argument("--tls", metavar="CERT,KEY", help="both at once (an error: not there yet)")
    parser.add_argument("docroot", metavar="DOCROOT", nargs="?", default=".", help="directory to serve (default: .)")
    return parser


def _port(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text) <= 65535:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no port: a number from 0 to 65535")


async def _run(store: DirectoryStore, options: argparse.Namespace) -> int:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    service = static(store, index=options.index, listing=not options.no_listing)
    try:
        server = await serve(service, options.host, options.port, access_log=_log if options.verbose else None)
    except OSError as error:
        reason = error.strerror or str(error)
        print(f"cohttp-server: cannot listen on {options.host} port {options.port}: {reason}", file=sys.stderr)
        return 1
    print(f"serving {os.path.abspath(options.docroot)} at {server.url}/", flush=True)
    await stop.wait()
    await _stop(server, options.drain)
    return 0


async def _stop(server: Server, seconds: float) -> None:
    """Let requests in progress finish; a second signal breaks them off."""
    busy = server.connections
    again = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, again.set)
    draining = asyncio.ensure_future(server.drain(seconds))
    impatient = asyncio.ensure_future(again.wait())
    await asyncio.sleep(0)  # the listener is closed before anybody is told
    print(f"stopping; {busy} connections open" if busy else "stopping", flush=True)
    await asyncio.wait((draining, impatient), return_when=asyncio.FIRST_COMPLETED)
    impatient.cancel()
    if not draining.done():
        draining.cancel()
        await asyncio.wait((draining,))
        await server.close()
        print("stopped; connections were broken off", flush=True)
        return
    broken = draining.result()
    print(f"stopped; {broken} connections were broken off" if broken else "stopped", flush=True)


def _log(access: Access) -> None:
    target = access.target.encode("ascii", "backslashreplace").decode()
    line = f'{access.client or "-"} "{access.method} {target}" {access.status} {access.octets} {access.seconds:.4f}'
    print(line.translate(_CONTROLS), flush=True)


_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), 127)}
