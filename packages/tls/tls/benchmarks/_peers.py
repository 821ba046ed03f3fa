"""The three implementations that are measured, each with both of its ends in memory, behind one interface."""

from __future__ import annotations

import contextlib
import errno
import secrets
import ssl
import tempfile
import time
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from mirage.tls import ClientConfig, Identity, ServerConfig, TicketKeys, TicketReceived, client, server
from mirage.tls.testing import issue
from mirage.x509 import Certificate, chain_of_trust

NAME = "example.org"
CA = issue("CA of a benchmark", now=time.time())
LEAF = issue(NAME, CA, now=time.time())


class Own:
    """mirage.tls."""

    def __init__(self) -> None:
        common: dict[str, Any] = {"groups": ("x25519",), "suites": ("TLS_AES_128_GCM_SHA256",)}
        common["versions"] = ("TLSv1.3",)
        trust, identity = chain_of_trust([Certificate.decode(CA.der)]), Identity((LEAF.der,), LEAF.key)
        self.client = ClientConfig(authenticator=trust, grease=False, ocsp=False, **common)
        self.server = ServerConfig(identities=(identity,), tickets=TicketKeys(bytes(32)), **common)
        self.session: Any = None
        self.now = time.time()

    def handshake(self, session: Any = None) -> tuple[Any, Any]:
        """Both ends, done; the client has its tickets."""
        now = time.time()
        one = client(self.client, NAME, now, secrets.token_bytes, session)
        other = server(self.server, now, secrets.token_bytes)
        flight = other.handle(one.handle(b"", now).output, now).output
        tickets = other.handle(one.handle(flight, now).output, now).output
        for event in one.handle(tickets, now).events:
            if isinstance(event, TicketReceived):
                self.session = event.session
        return one, other

    def resume(self) -> None:
        """A handshake with the last ticket."""
        one, _ = self.handshake(self.session)
        assert one.info.resumed

    def transfer(self, ends: tuple[Any, Any], data: bytes) -> None:
        """Data from one end to the other."""
        one, other = ends
        [event] = other.handle(one.send(data), self.now).events
        assert len(event.data) == len(data)


class Stdlib:
    """Python's ssl."""

    def __init__(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "server.pem")
            file.write_bytes(LEAF.pem + LEAF.key.to_pem())
            self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.server.load_cert_chain(file)
            file.write_bytes(CA.pem)
            self.client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            self.client.load_verify_locations(file)
        for context in (self.client, self.server):
            context.minimum_version = ssl.TLSVersion.TLSv1_3
        self.session: Any = None

    def handshake(self, session: Any = None) -> tuple[Any, Any]:
        """Both ends, done; the client has its tickets."""
        up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
        one = self.client.wrap_bio(down, up, server_hostname=NAME, session=session)
        other = self.server.wrap_bio(up, down, server_side=True)
        for end in (one, other, one, other):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
        with contextlib.suppress(ssl.SSLWantReadError):
            one.read(1)
        self.session = one.session
        return (one, other)

    def resume(self) -> None:
        """A handshake with the last ticket."""
        one, _ = self.handshake(self.session)
        assert one.session_reused

    def transfer(self, ends: tuple[Any, Any], data: bytes) -> None:
        """Data from one end to the other, in the pieces in which ssl gives it: each is forgotten before the next."""
        one, other = ends
        one.write(data)
        left = len(data)
        while left:
            left -= len(other.read(left))


class StdlibWhole(Stdlib):
    """Python's ssl, which gives the data in one buffer, as ours does."""

    def transfer(self, ends: tuple[Any, Any], data: bytes) -> None:
        """Data from one end to the other."""
        one, other = ends
        one.write(data)
        found, at = bytearray(len(data)), 0
        view = memoryview(found)
        while at < len(data):
            at += other.read(len(data) - at, view[at:])


class Library:
    """Nothing but the calls of `cryptography` that our records cost, on buffers that are there: what no TLS over it can
    do better than. What is between this and ours is our own."""

    def __init__(self) -> None:
        self.seal, self.open = AESGCM(bytes(16)).encrypt_into, AESGCM(bytes(16)).decrypt_into

    def records(self, size: int) -> list[tuple[memoryview, memoryview, memoryview]]:
        """For each record its plaintext, where it is sealed, and where it is opened."""
        wire, found = memoryview(bytearray(size // 16384 * 16406)), memoryview(bytearray(size // 16384 * 16385))
        cut = [(wire[at + 5 : at + 16406], at // 16406 * 16385) for at in range(0, len(wire), 16406)]
        return [(record[:16385], record, found[at : at + 16385]) for record, at in cut]

    def transfer(self, records: list[tuple[memoryview, memoryview, memoryview]], data: bytes) -> None:
        """Seal all, and then open all."""
        nonce, header, seal, opening = bytes(12), b"\x17\x03\x03\x40\x11", self.seal, self.open
        for plain, record, _ in records:
            seal(nonce, plain, header, record)
        for _, record, found in records:
            opening(nonce, record, header, found)


class _Pipe:
    """A socket in memory for tlslite-ng, which wants one."""

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.peer: Any = None

    def send(self, data: bytes) -> int:
        self.peer.buffer += data
        return len(data)

    sendall = send

    def recv(self, size: int) -> bytes:
        if not self.buffer:
            raise OSError(errno.EWOULDBLOCK, "nothing yet")
        data = bytes(self.buffer[:size])
        del self.buffer[:size]
        return data

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


class Tlslite:
    """tlslite-ng, which validates no chain."""

    def __init__(self) -> None:
        from tlslite.api import HandshakeSettings, X509CertChain, parsePEMKey

        self.chain = X509CertChain()
        self.chain.parsePemList(LEAF.pem.decode())
        pem = LEAF.key.to_pem().decode()
        self.key = parsePEMKey(pem, private=True)
        self.settings = HandshakeSettings()
        self.settings.minVersion = self.settings.maxVersion = (3, 4)
        self.settings.keyShares = self.settings.eccCurves = ["x25519"]
        self.settings.eccCurves = ["x25519", "secp256r1"]
        self.settings.cipherNames = ["aes128gcm"]
        self.settings.ticket_count = 0

    def handshake(self) -> tuple[Any, Any]:
        """Both ends, done."""
        from tlslite.api import TLSConnection

        a, b = _Pipe(), _Pipe()
        a.peer, b.peer = b, a
        one, other = TLSConnection(a), TLSConnection(b)
        works = [
            one.handshakeClientCert(async_=True, serverName=NAME, settings=self.settings),
            other.handshakeServerAsync(certChain=self.chain, privateKey=self.key, settings=self.settings),
        ]
        while works:
            for work in list(works):
                for state in work:
                    if state == 0:  # it wants to read
                        break
                else:
                    works.remove(work)
        return one, other

    def transfer(self, ends: tuple[Any, Any], data: bytes) -> None:
        """Data from one end to the other."""
        one, other = ends
        for _ in one.writeAsync(data):
            pass
        left = len(data)
        while left:
            for found in other.readAsync(left, left):
                if isinstance(found, (bytes, bytearray)):
                    left -= len(found)
                    break
