"""The command `cohttp-server`: options, start, access log, and an end that lets requests finish.

With a certificate it speaks HTTPS and nothing else; without one, plain HTTP. Whatever is wrong with a certificate is an
error before anything is served: a server that was told to be private and is not would be worse than none.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from ipaddress import ip_address

from mirage.cohttp import Access, Server, serve
from mirage.cohttp.secure import YEAR, redirect_to_https, strict_transport
from mirage.cohttp.static import static
from mirage.kv import DirectoryStore
from mirage.types import MirageError, check_key

from ._certificates import CHECK, Certificates

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. The exit status is 0 after a signal, 1 when it cannot serve, 2 for a misuse of options."""
    parser = _parser()
    options = parser.parse_args(argv)
    files = _files(parser, options)
    try:
        check_key(options.index)
        with DirectoryStore(options.docroot, read_only=True) as store:
            certificates = Certificates(files, _say) if files else None
            return asyncio.run(_run(store, options, certificates))
    except MirageError as error:
        print(f"cohttp-server: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cohttp-server",
        description="Serve a directory over HTTP or HTTPS.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
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
    tls = parser.add_argument_group("HTTPS", "The files are in PEM, and are read again when they change.")
    tls.add_argument(
        "-c", "--cert", metavar="FILE", help="serve HTTPS with this certificate; its key is in it, or -k has it"
    )
    tls.add_argument("-k", "--key", metavar="FILE", help="the private key of -c, where it is in a file of its own")
    tls.add_argument("--tls", metavar="CERT,KEY", help="both at once")
    tls.add_argument(
        "--redirect",
        type=_port,
        metavar="PORT",
        help="listen here too, for HTTP, and send clients to HTTPS (0 for any)",
    )
    tls.add_argument(
        "--hsts",
        type=_seconds,
        metavar="SECONDS",
        help="have browsers come by HTTPS only, for so long; 0 for not (default: a year, and 0 on loopback addresses)",
    )
    parser.add_argument("docroot", metavar="DOCROOT", nargs="?", default=".", help="directory to serve (default: .)")
    return parser


_EXAMPLES = """\
examples:
  cohttp-server -p 8080 public
  cohttp-server -c server.pem -p 8443 public
  cohttp-server -s 0.0.0.0 -p 443 --redirect 80 --tls fullchain.pem,privkey.pem public
  CONDUIT_TLS=openssl cohttp-server -c server.pem -p 8443 public

mirage-x509 makes a certificate for tests. CONDUIT_TLS chooses who speaks TLS: native (ours, the default) or openssl.
"""


def _files(parser: argparse.ArgumentParser, options: argparse.Namespace) -> tuple[str, ...]:
    """The files with the certificate and its key, none for plain HTTP. Ends the command for what makes no sense."""
    if options.tls is not None:
        if options.cert is not None or options.key is not None:
            parser.error("--tls says what -c and -k say: give one or the other")
        cert, comma, key = options.tls.partition(",")
        if not (cert and comma and key):
            parser.error("--tls takes two files, CERT,KEY; a single file goes with -c")
        return (cert, key)
    if options.cert is None:
        for option, value in (("-k", options.key), ("--redirect", options.redirect), ("--hsts", options.hsts)):
            if value is not None:
                parser.error(f"{option} is for HTTPS, which needs a certificate: give -c or --tls too")
        return ()
    return (options.cert,) if options.key is None else (options.cert, options.key)


def _seconds(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 10:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")


def _port(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text) <= 65535:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no port: a number from 0 to 65535")


async def _run(store: DirectoryStore, options: argparse.Namespace, certificates: Certificates | None) -> int:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    service = static(store, index=options.index, listing=not options.no_listing)
    log = _log if options.verbose else None
    plain = server = None
    port = options.port
    try:
        if certificates is None:
            server = await serve(service, options.host, options.port, access_log=log)
        else:
            if max_age := _max_age(options):
                service = strict_transport(service, max_age=max_age)
            server = await serve(service, options.host, options.port, access_log=log, tls=certificates.tls)
            if options.redirect is not None:
                port, there = options.redirect, redirect_to_https(server.address[1])
                plain = await serve(there, options.host, port, access_log=log)
    except OSError as error:
        reason = error.strerror or str(error)
        print(f"cohttp-server: cannot listen on {options.host} port {port}: {reason}", file=sys.stderr)
        if server is not None:
            await server.close()
        return 1
    watching = None if certificates is None else loop.create_task(_watch(certificates, server))
    print(f"serving {os.path.abspath(options.docroot)} at {server.url}/", flush=True)
    if plain is not None:
        print(f"redirecting from {plain.url}/", flush=True)
    await stop.wait()
    if watching is not None:
        watching.cancel()
    if plain is not None:
        await plain.close()
    await _stop(server, options.drain)
    return 0


async def _watch(certificates: Certificates, server: Server) -> None:
    """New connections get a new certificate; those that are there are left alone."""
    while True:
        if certificates.check():
            server.tls = certificates.tls
        await asyncio.sleep(CHECK)


def _max_age(options: argparse.Namespace) -> int:
    """Seconds for which browsers are to remember: not for loopback addresses, which other servers have too."""
    if options.hsts is not None:
        return int(options.hsts)
    try:
        loopback = ip_address(options.host).is_loopback
    except ValueError:
        loopback = options.host == "localhost"
    return 0 if loopback else YEAR


def _say(line: str) -> None:
    print(f"cohttp-server: {line}", file=sys.stderr, flush=True)


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
