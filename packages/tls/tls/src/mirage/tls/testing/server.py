"""A TLS server for trying clients on: ``python -m mirage.tls.testing.server --help``. Blocking, one client at a time.

It prints a line for each thing that happens, so that a program that drives it can read along.
"""

from __future__ import annotations

import argparse
import secrets
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from .. import (
    ApplicationData,
    ConfigurationError,
    EarlyData,
    Failure,
    HandshakeDone,
    KeysUpdated,
    PeerClosed,
    ReplayGuard,
    ServerConfig,
    TicketKeys,
    server,
)
from ._arguments import add_common, authenticator, common, identities
from ._session import Session

__all__ = ["main"]

_EPILOG = """examples:
  python -m mirage.tls.testing.server --cert server.pem --port 4433
  python -m mirage.tls.testing.server --cert server.pem --clients require --roots ca.pem --versions TLSv1.2
  python -m mirage.tls.testing.server --cert server.pem --tickets --early-data 16384 --http
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    found = argparse.ArgumentParser(
        prog="python -m mirage.tls.testing.server",
        description="A TLS server for tests: it sends back what it receives.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    found.add_argument("--host", default="127.0.0.1")
    found.add_argument("--port", type=int, default=0, help="0 for any; it is printed")
    found.add_argument("--count", type=int, default=0, metavar="N", help="end after so many connections; 0 for never")
    found.add_argument("--http", action="store_true", help="answer each request with a page, and close")
    found.add_argument("--clients", choices=["no", "ask", "require"], default="no", help="ask for certificates")
    found.add_argument("--strict-name", action="store_true", help="refuse names that no certificate has")
    found.add_argument("--tickets", action="store_true", help="let clients resume")
    found.add_argument("--ticket-count", type=int, default=2)
    found.add_argument("--ticket-secret", metavar="HEX", help="the same in another run resumes its sessions")
    found.add_argument("--early-data", type=int, default=0, metavar="OCTETS", help="take so much (0-RTT)")
    found.add_argument("--ocsp", type=Path, metavar="DER", help="staple this response")
    found.add_argument("--grease", action="store_true", help="send code points that mean nothing")
    found.add_argument("--update-keys", action="store_true", help="change keys before each answer (TLS 1.3)")
    add_common(found)
    return found


def configuration(options: argparse.Namespace) -> ServerConfig:
    """What the switches say. Raises `ConfigurationError`."""
    ocsp = options.ocsp.read_bytes() if options.ocsp else None
    secret = bytes.fromhex(options.ticket_secret) if options.ticket_secret else secrets.token_bytes(32)
    return ServerConfig(
        identities=identities(options, ocsp),
        authenticator=authenticator(options, insecure=True) if options.clients != "no" else None,
        client_certificates=options.clients,
        strict_name=options.strict_name,
        tickets=TicketKeys(secret) if options.tickets or options.early_data else None,
        ticket_count=options.ticket_count,
        early_data=options.early_data,
        replay_guard=ReplayGuard() if options.early_data else None,
        grease=options.grease,
        **common(options),
    )


def _answer(session: Session, data: bytes, options: argparse.Namespace) -> None:
    if options.update_keys and session.connection.info.version == "TLSv1.3":
        session.sock.sendall(session.connection.update_keys())
    if not options.http:
        session.send(data)
        return
    page = "".join(f"{line}\n" for line in str(session.connection.info).split(", ")).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {len(page)}\r\nConnection: close\r\n\r\n"
    session.send(head.encode() + page)
    session.finish()


def serve(sock: socket.socket, config: ServerConfig, options: argparse.Namespace) -> None:
    """One connection, to its end."""
    session = Session(sock, server(config, time.time(), secrets.token_bytes))
    early = b""
    while (events := session.receive()) is not None:
        for event in events:
            if isinstance(event, HandshakeDone):
                print("done", event.info, flush=True)
                if options.export:
                    print("exported", session.connection.export(options.export, b"", 32).hex(), flush=True)
                if early:
                    _answer(session, early, options)
            elif isinstance(event, EarlyData):
                print("early", bytes(event.data), flush=True)
                early += event.data
            elif isinstance(event, ApplicationData) and not session.connection.closed:
                _answer(session, bytes(event.data), options)
            elif isinstance(event, KeysUpdated):
                print("keys updated", flush=True)
            elif isinstance(event, PeerClosed):
                session.finish()


def main(arguments: Sequence[str] | None = None) -> int:
    """The program."""
    options = parser().parse_args(arguments)
    try:
        config = configuration(options)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 2
    with socket.create_server((options.host, options.port)) as listener:
        print("listening", listener.getsockname()[1], flush=True)
        served = 0
        while options.count == 0 or served < options.count:
            sock, _ = listener.accept()
            served += 1
            with sock:
                sock.settimeout(options.timeout)
                try:
                    serve(sock, config, options)
                    print("closed", flush=True)
                except (Failure, OSError) as error:
                    print("failed", type(error).__name__, error, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
