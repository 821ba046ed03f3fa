"""A TLS client for trying servers on: ``python -m mirage.tls.testing.client --help``. Blocking.

It sends what it is given, prints what comes back to standard output, and what happens to standard error.
"""

from __future__ import annotations

import argparse
import secrets
import socket
import sys
import time
from collections.abc import Sequence

from .. import (
    ApplicationData,
    ClientConfig,
    ConfigurationError,
    EarlyDataRejected,
    Failure,
    HandshakeDone,
    KeysUpdated,
    PeerClosed,
    TicketReceived,
    UsageError,
    client,
)
from .. import Session as Resumable
from ._arguments import add_common, authenticator, common, identities
from ._session import Session

__all__ = ["main"]

_EPILOG = """examples:
  python -m mirage.tls.testing.client localhost 4433 --roots ca.pem --send hello
  python -m mirage.tls.testing.client localhost 4433 --insecure --connections 3 --early-data "GET / HTTP/1.0"
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    found = argparse.ArgumentParser(
        prog="python -m mirage.tls.testing.client",
        description="A TLS client for tests. It trusts nobody without --roots, --trust or --insecure.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    found.add_argument("host")
    found.add_argument("port", type=int)
    found.add_argument("--name", help="the server's name, if it is not the host")
    found.add_argument("--send", metavar="TEXT", default="hello\n", help="what to send")
    found.add_argument("--expect", type=int, metavar="OCTETS", help="close after so many; else as many as were sent")
    found.add_argument("--until-closed", action="store_true", help="read until the server closes")
    found.add_argument("--connections", type=int, default=1, metavar="N", help="one after another, resuming")
    found.add_argument("--early-data", metavar="TEXT", help="send this as 0-RTT where a session allows it")
    found.add_argument("--insecure", action="store_true", help="accept any server")
    found.add_argument("--key-shares", type=lambda text: tuple(text.split(",")), metavar="G,G", help="sent at once")
    found.add_argument("--no-ocsp", action="store_true", help="do not ask for a stapled response")
    found.add_argument("--no-tickets", action="store_true", help="do not ask for tickets")
    found.add_argument("--no-grease", action="store_true", help="do not send code points that mean nothing")
    found.add_argument("--update-keys", choices=["own", "both"], help="change keys before sending (TLS 1.3)")
    add_common(found)
    return found


def configuration(options: argparse.Namespace) -> ClientConfig:
    """What the switches say. Raises `ConfigurationError`."""
    judge = authenticator(options, insecure=options.insecure)
    if judge is None:
        raise ConfigurationError("nobody is trusted; give --roots, --trust, or --insecure")
    extra = {"key_shares": options.key_shares} if options.key_shares else {}
    return ClientConfig(
        authenticator=judge,
        identities=identities(options),
        ocsp=not options.no_ocsp,
        resume=not options.no_tickets,
        grease=not options.no_grease,
        **extra,
        **common(options),
    )


def _say(*words: object) -> None:
    print(*words, file=sys.stderr, flush=True)


def converse(
    sock: socket.socket, config: ClientConfig, options: argparse.Namespace, session: Resumable | None
) -> Resumable | None:
    """One connection, to its end; a session to resume."""
    link = Session(sock, client(config, options.name or options.host, time.time(), secrets.token_bytes, session))
    sending = options.send.encode()
    early = options.early_data.encode() if options.early_data and session and session.early_data else b""
    if early:
        link.connection.send_early(early)
    expected = options.expect if options.expect is not None else len(sending) + len(early)
    link.step(b"")
    found, received = None, 0
    while True:
        events = link.receive()
        for event in events or ():
            if isinstance(event, HandshakeDone):
                _say("done", event.info)
                if options.export:
                    _say("exported", link.connection.export(options.export, b"", 32).hex())
                if options.update_keys and event.info.version == "TLSv1.3":
                    sock.sendall(link.connection.update_keys(options.update_keys == "both"))
                link.send(sending)
            elif isinstance(event, ApplicationData):
                received += len(event.data)
                sys.stdout.write(event.data.decode(errors="replace"))
                sys.stdout.flush()
            elif isinstance(event, TicketReceived):
                _say("ticket", event.session)
                found = event.session
            elif isinstance(event, EarlyDataRejected):
                _say("early data rejected")
                expected -= len(early)
            elif isinstance(event, KeysUpdated):
                _say("keys updated")
            elif isinstance(event, PeerClosed):
                link.finish()
                return found
        if events is None:
            return found
        if received >= expected and not options.until_closed and not link.connection.closed:
            link.finish()


def main(arguments: Sequence[str] | None = None) -> int:
    """The program."""
    options = parser().parse_args(arguments)
    try:
        config = configuration(options)
    except ConfigurationError as error:
        _say(error)
        return 2
    session = None
    for _ in range(options.connections):
        try:
            with socket.create_connection((options.host, options.port), options.timeout) as sock:
                session = converse(sock, config, options, session)
        except (Failure, UsageError, OSError) as error:
            _say("failed", type(error).__name__, error)
            return 1
        _say("closed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
