"""A shim for BoGo, the test runner of BoringSSL: ``runner -shim-path bogo_shim.py -allow-unimplemented``.

The runner, a program in Go, is the other end, a server's or a client's; it starts this program for each of its tests
with flags that say what to do, and waits on a port. What a flag asks and this implementation does not do ends with
status 89, which the runner counts apart. A failure of the connection ends with 1 and its reason on standard error.
"""

from __future__ import annotations

import base64
import contextlib
import secrets
import socket
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mirage.crypto import PrivateKey
from mirage.tls import (
    ApplicationData,
    ClientConfig,
    Connection,
    EarlyData,
    Failure,
    HandshakeDone,
    Identity,
    PeerClosed,
    ServerConfig,
    TicketKeys,
    TicketReceived,
    TlsError,
    client,
    server,
)
from mirage.tls._constants import GROUPS, SCHEMES
from mirage.tls.testing import accept_anyone
from mirage.types import MirageError
from mirage.x509 import Certificate, ValidationError, chain_of_trust

UNIMPLEMENTED = 89
VERSIONS = {0x0303: "TLSv1.2", 0x0304: "TLSv1.3"}
GROUP_NAMES = {group.code: group.name for group in GROUPS.values()}
SCHEME_NAMES = {scheme.code: scheme.name for scheme in SCHEMES.values()}
SCHEME_CODES = {scheme.name: scheme.code for scheme in SCHEMES.values()}

SWITCHES = {
    *("server", "ipv6", "verify-peer", "require-any-client-certificate", "shim-writes-first", "check-close-notify"),
    *("shim-shuts-down", "use-export-context", "key-update", "enable-ocsp-stapling", "tls-unique", "no-tls1"),
    *("no-tls11", "no-tls12", "no-tls13", "no-ssl3", "expect-session-miss", "no-ticket", "enable-grease"),
    *("expect-no-session", "expect-ticket-renewal", "expect-hrr", "expect-no-hrr", "use-early-callback"),
    *("handoff", "async", "implicit-handshake", "expect-not-resumable-across-names", "verify-fail"),
    *("use-old-client-cert-callback", "install-ddos-callback", "expect-extended-master-secret"),
}
VALUES = {
    *("port", "shim-id", "key-file", "cert-file", "trust-cert", "min-version", "max-version", "expect-version"),
    *("host-name", "advertise-alpn", "select-alpn", "expect-alpn", "expect-advertised-alpn", "expect-server-name"),
    *("resume-count", "export-keying-material", "export-label", "export-context", "curves", "expect-curve-id"),
    *("signing-prefs", "verify-prefs", "expect-peer-signature-algorithm", "ocsp-response", "expect-ocsp-response"),
    *("expect-resume-curve-id", "read-size", "max-send-fragment", "key-shares"),
}
NOT_DONE = {
    *("handoff", "max-send-fragment", "no-ticket", "expect-advertised-alpn", "expect-not-resumable-across-names"),
    "signing-prefs",  # there is one list of schemes here, for both directions
}


class Unimplemented(Exception):
    """The test wants what is not here."""


@dataclass
class Flags:
    """The flags of one connection."""

    on: set[str] = field(default_factory=set)
    values: dict[str, list[str]] = field(default_factory=dict)

    def get(self, name: str, default: str = "") -> str:
        return self.values[name][-1] if name in self.values else default

    def number(self, name: str) -> int | None:
        return int(self.get(name)) if name in self.values else None

    def codes(self, name: str, table: dict[int, str]) -> tuple[str, ...]:
        return tuple(table[code] for code in map(int, self.values.get(name, ())) if code in table)


def parse(arguments: list[str]) -> tuple[Flags, Flags]:
    """The flags of the first connection and of those that resume. Raises `Unimplemented`."""
    first, later = Flags(), Flags()
    words = iter(arguments)
    for word in words:
        name, targets = word.lstrip("-"), (first, later)
        for prefix, only in (("on-initial-", (first,)), ("on-resume-", (later,)), ("on-retry-", (later,))):
            if name.startswith(prefix):
                name, targets = name.removeprefix(prefix), only
        if name in NOT_DONE or name not in SWITCHES | VALUES:
            raise Unimplemented(word)
        if name in SWITCHES:
            for target in targets:
                target.on.add(name)
            continue
        value = next(words)
        for target in targets:
            target.values.setdefault(name, []).append(value)
    return first, later


def alpn(wire: str) -> tuple[str, ...]:
    """Protocols as the runner writes them: each with its length before it."""
    found, rest = [], wire.encode("latin-1")
    while rest:
        found.append(rest[1 : 1 + rest[0]].decode("latin-1"))
        rest = rest[1 + rest[0] :]
    return tuple(found)


class Judge:
    """One authenticator for all connections, so that sessions stand for it; `refuses` is as each one's flags say."""

    refuses = False
    chain_of_trust: Any = None

    def __call__(self, chain: Any, **more: Any) -> Any:
        if self.refuses:
            raise ValidationError("unknown-issuer", "the test wants it so")
        return (self.chain_of_trust or accept_anyone)(chain, **more)

    def __repr__(self) -> str:
        return "Judge()"


def configuration(flags: Flags, tickets: TicketKeys, judge: Judge) -> ClientConfig | ServerConfig:
    """What the flags say. Raises `Unimplemented`."""
    low, high = flags.number("min-version") or 0x0303, flags.number("max-version") or 0x0304
    versions = [name for code, name in reversed(VERSIONS.items()) if low <= code <= high]
    versions = [name for name in versions if f"no-tls{name[4:].replace('.', '')}" not in flags.on]
    if not versions or (low < 0x0303 and "max-version" in flags.values and high < 0x0303):
        raise Unimplemented("versions before TLS 1.2")
    common: dict[str, Any] = {"versions": tuple(versions)}
    if "curves" in flags.values:
        common["groups"] = flags.codes("curves", GROUP_NAMES)
        if len(common["groups"]) != len(flags.values["curves"]):
            raise Unimplemented("curves")
    if "key-shares" in flags.values:
        common["key_shares"] = flags.codes("key-shares", GROUP_NAMES)
        if "server" in flags.on or len(common["key_shares"]) != len(flags.values["key-shares"]):
            raise Unimplemented("key-shares")
    if "verify-prefs" in flags.values:
        if "server" in flags.on or "cert-file" in flags.values:
            raise Unimplemented("verify-prefs of who signs as well: there is one list of schemes here")
        common["schemes"] = flags.codes("verify-prefs", SCHEME_NAMES)
    identities: tuple[Identity, ...] = ()
    if "cert-file" in flags.values:
        chain = Certificate.load(flags.get("cert-file"))
        key = PrivateKey.from_pem(Path(flags.get("key-file") or flags.get("cert-file")).read_bytes())
        ocsp = base64.b64decode(flags.get("ocsp-response")) or None
        identities = (Identity(tuple(one.der for one in chain), key, ocsp),)
    if "trust-cert" in flags.values and "verify-peer" in flags.on:
        judge.chain_of_trust = chain_of_trust(Certificate.load(flags.get("trust-cert")))
    if "server" not in flags.on:
        protocols = alpn(flags.get("advertise-alpn"))
        grease = "enable-grease" in flags.on
        return ClientConfig(
            authenticator=judge,
            identities=identities,
            alpn=protocols,
            grease=grease,
            ocsp="enable-ocsp-stapling" in flags.on,
            **common,
        )
    if "enable-grease" in flags.on:
        raise Unimplemented("a server's GREASE in TLS 1.3 beyond its tickets")
    if not identities:
        raise Unimplemented("a server without a certificate")
    ask = "require" if "require-any-client-certificate" in flags.on else "ask" if "verify-peer" in flags.on else "no"
    chosen = flags.get("select-alpn")
    return ServerConfig(
        identities=identities,
        client_certificates=ask,
        authenticator=judge if ask != "no" else None,
        alpn=(chosen,) if chosen else (),
        tickets=tickets,
        **common,
    )


class Expectation(Exception):
    """The connection is not as the test wants it."""


def check(connection: Connection, flags: Flags, resuming: bool) -> None:
    """What the test expects of a handshake. Raises `Expectation`."""
    info = connection.info
    found: dict[str, Any] = {
        "expect-version": next(code for code, name in VERSIONS.items() if name == info.version),
        "expect-alpn": info.alpn,
        "expect-server-name": info.server_name,
        "expect-curve-id": next((code for code, name in GROUP_NAMES.items() if name == info.group), None),
        "expect-peer-signature-algorithm": SCHEME_CODES.get(info.scheme or ""),
        "expect-ocsp-response": base64.b64encode(info.ocsp or b"").decode(),
    }
    if info.resumed:  # a session does not say with what its first handshake was signed, and made its secret
        found.pop("expect-peer-signature-algorithm")
        if info.group is None:
            found.pop("expect-curve-id")
    for name, value in found.items():
        if name in flags.values and str(value) != flags.get(name):
            raise Expectation(f"{name}: {value}, not {flags.get(name)}")
    if resuming and info.resumed == ("expect-session-miss" in flags.on):
        raise Expectation(f"resumed: {info.resumed}")
    if ("expect-hrr" in flags.on and not info.retried) or ("expect-no-hrr" in flags.on and info.retried):
        raise Expectation(f"retried: {info.retried}")


def drain(sock: socket.socket) -> None:
    """Read what still comes: to close on it would reset the connection, and our alert might be lost with it."""
    sock.settimeout(1)
    with contextlib.suppress(OSError):
        while sock.recv(1 << 16):
            pass


def converse(sock: socket.socket, connection: Connection, flags: Flags, resuming: bool) -> Any:
    """One connection: what comes is sent back with every bit turned. Returns a session to resume."""

    def step(data: bytes) -> tuple[Any, ...]:
        try:
            found = connection.handle(data, time.time())
        except Failure as failure:
            sock.sendall(failure.output)
            sock.shutdown(socket.SHUT_WR)
            drain(sock)
            raise
        sock.sendall(found.output)
        return found.events

    session = None
    step(b"")
    while True:
        data = sock.recv(1 << 16)
        if not data:
            if "check-close-notify" in flags.on or not connection.done:
                connection.eof()
            return session
        for event in step(data):
            if isinstance(event, HandshakeDone):
                check(connection, flags, resuming)
                size = flags.number("export-keying-material")
                if size:
                    context = (
                        flags.get("export-context").encode("latin-1") if "use-export-context" in flags.on else None
                    )
                    sock.sendall(connection.send(connection.export(flags.get("export-label"), context, size)))
                if "tls-unique" in flags.on:
                    sock.sendall(connection.send(connection.channel_binding("tls-unique")))
                if "shim-writes-first" in flags.on:
                    sock.sendall(connection.send(b"hello"))
                if "shim-shuts-down" in flags.on:
                    sock.sendall(connection.close())
            elif isinstance(event, (ApplicationData, EarlyData)) and not connection.closed:
                if "key-update" in flags.on:
                    sock.sendall(connection.update_keys())
                sock.sendall(connection.send(bytes(octet ^ 0xFF for octet in event.data)))
            elif isinstance(event, TicketReceived):
                session = event.session
            elif isinstance(event, PeerClosed):
                sock.sendall(connection.close())
                return session


def run(arguments: list[str]) -> int:
    """The program."""
    if "-is-handshaker-supported" in arguments:
        print("No")
        return 0
    try:
        first, later = parse(arguments)
        tickets = TicketKeys(secrets.token_bytes(32))
        judge = Judge()
        configs = [configuration(flags, tickets, judge) for flags in (first, later)]
    except (Unimplemented, OSError, MirageError) as error:
        print("unimplemented:", error, file=sys.stderr)
        return UNIMPLEMENTED
    if repr(configs[0]) == repr(configs[1]):
        configs[1] = configs[0]
    session = None
    for number in range(1 + (first.number("resume-count") or 0)):
        flags, config = (later, configs[1]) if number else (first, configs[0])
        judge.refuses = "verify-fail" in flags.on
        host = "::1" if "ipv6" in flags.on else "127.0.0.1"
        with socket.create_connection((host, int(flags.get("port"))), 30) as sock:
            sock.sendall(int(flags.get("shim-id", "0")).to_bytes(8, "little"))
            try:
                if isinstance(config, ServerConfig):
                    connection = server(config, time.time(), secrets.token_bytes)
                else:
                    name = flags.get("host-name") or ("test" if judge.chain_of_trust else None)
                    connection = client(config, name, time.time(), secrets.token_bytes, session)
                session = converse(sock, connection, flags, bool(number))
            except OSError as error:
                if not connection.done or "check-close-notify" in flags.on:
                    print(f"{type(error).__name__}: {error}", file=sys.stderr)
                    return 1
            except (TlsError, Expectation) as error:
                print(f"{type(error).__name__}: {error}", file=sys.stderr)
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
