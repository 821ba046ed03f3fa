"""Our side: a server in a thread that answers one request, a client that asks one, and certificates of every kind."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import gc
import re
import secrets
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from mirage import tls
from mirage.conduit.native import NativeClient, NativeServer
from mirage.crypto import PrivateKey
from mirage.x509 import Certificate, chain_of_trust

REQUEST = b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n"
KEYS: dict[str, Callable[[], Any]] = {
    "ecdsa-p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ecdsa-p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "rsa-2048": lambda: rsa.generate_private_key(65537, 2048),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
}


class Authority:
    """A root and what it has signed, as files for the others and as values for us."""

    def __init__(self, folder: Path, label: str = "good") -> None:
        self.folder = folder
        self.label = label
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.root = self._sign(f"{label} root", self._key.public_key(), ca=True)
        self.root_file = folder / f"{label}.root.pem"
        self.root_file.write_bytes(self.root.public_bytes(Encoding.PEM))
        anchor = Certificate.decode(self.root.public_bytes(Encoding.DER))
        self.authenticator = chain_of_trust([anchor])
        self._identities: dict[str, tls.Identity] = {}

    def _sign(self, subject: str, public: Any, *, ca: bool, purpose: Any = None) -> x509.Certificate:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
        issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{self.label} root")])
        now = datetime.datetime.now(datetime.UTC)
        usage = dict.fromkeys(
            (
                *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
                *("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
            ),
            False,
        )
        usage["key_cert_sign" if ca else "digital_signature"] = True
        usage["key_encipherment"] = isinstance(public, rsa.RSAPublicKey)  # NSS wants it of servers with RSA keys
        builder = x509.CertificateBuilder(issuer, name, public, x509.random_serial_number())
        builder = builder.not_valid_before(now - datetime.timedelta(1)).not_valid_after(now + datetime.timedelta(30))
        builder = builder.add_extension(x509.BasicConstraints(ca, None), critical=True)
        builder = builder.add_extension(x509.KeyUsage(**usage), critical=True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = builder.add_extension(authority, critical=False)
        if not ca:
            builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(subject)]), critical=False)
        return builder.sign(self._key, hashes.SHA256())

    def file(self, kind: str = "ecdsa-p256", name: str = "localhost") -> Path:
        """A PEM file with certificate and key; `name` "client" makes one for clients."""
        path = self.folder / f"{self.label}.{name}.{kind}.pem"
        if not path.exists():
            key = KEYS[kind]()
            purpose = ExtendedKeyUsageOID.CLIENT_AUTH if name == "client" else ExtendedKeyUsageOID.SERVER_AUTH
            leaf = self._sign(name, key.public_key(), ca=False, purpose=purpose)
            der = leaf.public_bytes(Encoding.DER)
            pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            path.write_bytes(leaf.public_bytes(Encoding.PEM) + pem)
            self._identities[path.name] = tls.Identity((der,), PrivateKey.from_pem(pem))
        return path

    def identity(self, kind: str = "ecdsa-p256", name: str = "localhost") -> tls.Identity:
        """The same for us."""
        return self._identities[self.file(kind, name).name]


class _Answer(asyncio.Protocol):
    """Answers what ends with an empty line, or a line, and closes; keeps what was agreed on."""

    def __init__(self, seen: list[Any]) -> None:
        self._seen = seen
        self._transport: Any = None
        self._data = b""
        self._request = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._data += data
        if b"\r\n\r\n" in self._data or b"\n\n" in self._data:
            connection = self._transport._tls.engine._connection
            self._seen.append((connection.info, self._data))
            self._transport.write(_page(self._data))
            self._transport.close()


def _page(request: bytes) -> bytes:
    """A line of text; for /frames/N a page around the page of N - 1, so that a browser comes again, and again."""
    found = re.search(rb" /frames/([0-9])", request)
    if found is None:
        return b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nanswered by mirage\n"
    inner = b"/frames/%d" % (int(found[1]) - 1) if found[1] != b"0" else b"/"
    return b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\nanswered by mirage <iframe src=%s></iframe>\n" % inner


class Server:
    """Our server; `seen` has, for each request, what was agreed on and the request's octets."""

    def __init__(self, config: tls.ServerConfig) -> None:
        self.seen: list[tuple[tls.Info, bytes]] = []
        self.port = 0
        self._side = NativeServer(config)

    @contextlib.contextmanager
    def running(self) -> Iterator[Server]:
        """In a thread of its own."""
        ready, loop = threading.Event(), asyncio.new_event_loop()
        stop = asyncio.Event()
        made: list[Any] = []

        def wrapped() -> asyncio.Protocol:
            made.append(self._side.wrap(_Answer(self.seen), loop=loop, handshake_timeout=20, shutdown_timeout=1))
            return made[-1]

        async def main() -> None:
            server = await loop.create_server(wrapped, "127.0.0.1", 0)
            self.port = server.sockets[0].getsockname()[1]
            ready.set()
            await stop.wait()
            server.close()
            await asyncio.sleep(0.01)  # who has just come is made known
            for protocol in made:  # browsers leave some open
                protocol.abort()
                if protocol.below is not None:
                    protocol.below.abort()
            await asyncio.sleep(0.01)

        thread = threading.Thread(target=loop.run_until_complete, args=(main(),), daemon=True)
        thread.start()
        assert ready.wait(10)
        try:
            yield self
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join(10)
            loop.close()
            made.clear()
            with warnings.catch_warnings():
                # A browser opens connections in advance, some while the server goes: not what is looked at here.
                warnings.simplefilter("ignore", ResourceWarning)
                gc.collect()


def ask_early(
    port: int, config: tls.ClientConfig, session: tls.Session | None = None, early: bytes = b""
) -> tuple[tls.Info, tls.Session | None]:
    """A handshake with a server of others, on a blocking socket, with early data; what was agreed on, and a ticket."""
    connection = tls.client(config, "localhost", time.time(), secrets.token_bytes, session)
    if early:
        connection.send_early(early)
    found: tls.Session | None = None
    with socket.create_connection(("127.0.0.1", port), 20) as sock:
        sock.sendall(connection.handle(b"", time.time()).output)
        while not (connection.done and (early or found)):
            step = connection.handle(sock.recv(1 << 16), time.time())
            sock.sendall(step.output)
            found = next((event.session for event in step.events if isinstance(event, tls.TicketReceived)), found)
        with contextlib.suppress(OSError):  # some are gone once they have answered
            sock.sendall(connection.close())
    return connection.info, found


def ask_updating(port: int, config: tls.ClientConfig) -> tuple[bytes, int]:
    """Ask a server of others for a page, with new keys before each half of the request, and the server's asked for.

    The page, and how often the server changed its keys.
    """
    connection = tls.client(config, "localhost", time.time(), secrets.token_bytes)
    page, updates = b"", 0
    with socket.create_connection(("127.0.0.1", port), 20) as sock:
        sock.sendall(connection.handle(b"", time.time()).output)
        asked = False
        while b"</html>" not in page.lower() and (data := sock.recv(1 << 16)):
            step = connection.handle(data, time.time())
            sock.sendall(step.output)
            page += b"".join(bytes(event.data) for event in step.events if isinstance(event, tls.ApplicationData))
            updates += sum(isinstance(event, tls.KeysUpdated) for event in step.events)
            if connection.done and not asked:
                asked = True
                for half in (REQUEST[:10], REQUEST[10:]):
                    sock.sendall(connection.update_keys(request=True))
                    sock.sendall(connection.send(half))
        with contextlib.suppress(OSError):
            sock.sendall(connection.close())
    return page, updates


def ask(port: int, side: NativeClient, name: str = "localhost", *, request: bytes = REQUEST) -> tuple[tls.Info, bytes]:
    """Send a request to a server of others on loopback; what was agreed on, and all that came back."""

    async def main() -> tuple[tls.Info, bytes]:
        loop = asyncio.get_running_loop()
        reader, waiter = asyncio.StreamReader(), loop.create_future()
        protocol = asyncio.StreamReaderProtocol(reader)
        below, wrapped = await loop.create_connection(
            lambda: side.wrap(protocol, loop=loop, waiter=waiter, server_hostname=name, shutdown_timeout=1),
            "127.0.0.1",
            port,
        )
        try:
            async with asyncio.timeout(20):
                await waiter
                agreed: tls.Info = wrapped.engine._connection.info  # type: ignore[attr-defined]
                wrapped.transport.write(request)
                answer = bytearray()
                with contextlib.suppress(ConnectionError):  # many close without close_notify
                    while b"</html>" not in answer.lower() and (piece := await reader.read(1 << 16)):
                        answer += piece
                return agreed, bytes(answer)
        finally:
            below.abort()

    return asyncio.run(main())
