"""Peers and certificates that the tests share."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mirage.crypto import PrivateKey
from mirage.tls import ApplicationData, Connection, Event, Failure, HandshakeDone, Identity
from mirage.tls.testing import Issued, issue

NOW = 1_750_000_000.0
NAME = "example.org"

KEYS: dict[str, Callable[[], PrivateKey]] = {
    "secp256r1": PrivateKey.generate_ec,
    "secp384r1": lambda: PrivateKey.generate_ec("secp384r1"),
    "secp521r1": lambda: PrivateKey.generate_ec("secp521r1"),
    "rsa": PrivateKey.generate_rsa,
    "ed25519": PrivateKey.generate_ed25519,
    "ed448": PrivateKey.generate_ed448,
}


class Pki:
    """A CA, and certificates for one host with keys of every kind; good for years, since OpenSSL has its own clock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = issue("Test CA", days=8_000)
        self.ca_file = folder / "ca.pem"
        self.ca_file.write_bytes(self.ca.pem)
        self._issued: dict[str, Issued] = {}

    def issued(self, kind: str = "secp256r1") -> Issued:
        if kind not in self._issued:
            hosts = (NAME, f"*.{NAME}", "127.0.0.1")
            self._issued[kind] = issue(NAME, self.ca, key=KEYS[kind](), hosts=hosts, days=8_000)
        return self._issued[kind]

    def identity(self, kind: str = "secp256r1", ocsp: bytes | None = None) -> Identity:
        return Identity((self.issued(kind).der,), self.issued(kind).key, ocsp)

    def file(self, kind: str = "secp256r1") -> Path:
        """Certificate and key in one PEM file."""
        path = self.folder / f"{kind}.pem"
        path.write_bytes(self.issued(kind).pem + self.issued(kind).key.to_pem())
        return path


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


class Stdlib:
    """The peer that is Python's own ssl, over memory BIOs."""

    def __init__(self, context: ssl.SSLContext, *, server: bool, name: str | None = None, session: Any = None) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        arguments = {"server_side": True} if server else {"server_hostname": name, "session": session}
        self.object = context.wrap_bio(self.incoming, self.outgoing, **arguments)
        self.done = False
        self.data = b""

    def handle(self, data: bytes) -> bytes:
        """Take octets; the octets that it wants to send."""
        if data:
            self.incoming.write(data)
        try:
            if not self.done:
                self.object.do_handshake()
                self.done = True
            while True:
                found = self.object.read(1 << 20)
                if not found:
                    break
                self.data += found
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            pass
        return self.outgoing.read()

    def send(self, data: bytes) -> bytes:
        self.object.write(data)
        return self.outgoing.read()


def talk(ours: Connection, theirs: Stdlib, output: bytes = b"") -> list[Event]:
    """Shuttle octets until both are quiet; our events. `output` is what theirs has said already."""
    events: list[Event] = []
    while True:
        step = ours.handle(output, NOW)
        events += step.events
        output = theirs.handle(step.output)
        if not output:
            return events


def exchange(ours: Connection, theirs: Stdlib) -> None:
    """Data both ways, in records small and large."""
    for size in (1, 100, 16_384, 100_000):
        data = bytes(range(256)) * (size // 256 + 1)
        theirs.data = b""
        theirs.handle(bytes(ours.send(data[:size])))
        assert theirs.data == data[:size]
        step = ours.handle(theirs.send(data[:size]), NOW)
        assert step.events == (ApplicationData(data[:size]),)


@pytest.fixture(scope="session")
def stdlib() -> Any:
    """The helpers above, for the tests (whose modules cannot import each other)."""

    class Helpers:
        Peer = Stdlib
        talk = staticmethod(talk)
        exchange = staticmethod(exchange)
        now, name = NOW, NAME

        @staticmethod
        def context(
            pki: Pki, *, server: bool, kind: str | None = "secp256r1", version: str = "TLSv1_3"
        ) -> ssl.SSLContext:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
            context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, version)
            context.load_verify_locations(pki.ca_file)
            if kind:
                context.load_cert_chain(pki.file(kind))
            return context

        @staticmethod
        def done(events: list[Event]) -> HandshakeDone:
            [found] = [event for event in events if isinstance(event, HandshakeDone)]
            return found

        failure = Failure

    return Helpers
