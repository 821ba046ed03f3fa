"""The website over HTTPS, by our own TLS, on every target: curl, OpenSSL and Python as clients that know its key."""

from __future__ import annotations

import base64
import concurrent.futures
import hashlib
import http.client
import ssl
import subprocess
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from .client import Client
from .targets import Running

pytestmark = pytest.mark.slow


def curl(website: Running, target: str, *options: str) -> subprocess.CompletedProcess[bytes]:
    """curl trusts the key that the console told, and no other."""
    pinned = ["--insecure", "--pinnedpubkey", website.pin]
    command = ["curl", "-sS", "--max-time", "30", *pinned, *options, website.secure + target]
    return subprocess.run(command, capture_output=True, check=False)


@pytest.mark.tool("curl")
def test_pages_are_the_same_as_in_the_clear(website: Running, client: Client) -> None:
    """The same octets, the health check and a page that is not there."""
    for target in ("/", "/healthz", "/docs/", "/blog/"):
        got = curl(website, target)
        assert got.returncode == 0, got.stderr
        assert got.stdout == client.get(target).body
    assert curl(website, "/nowhere", "-o", "/dev/null", "-w", "%{http_code}").stdout == b"404"


@pytest.mark.tool("curl")
@pytest.mark.parametrize("version", ["1.3", "1.2"])
def test_both_versions_of_tls(website: Running, version: str) -> None:
    """Whichever the client wants."""
    got = curl(website, "/healthz", f"--tlsv{version}", "--tls-max", version)
    assert (got.returncode, got.stdout) == (0, b"ok\n"), got.stderr


@pytest.mark.tool("curl")
def test_another_key_is_not_ours(website: Running) -> None:
    """A client that expects another key gets nothing."""
    other = f"sha256//{base64.b64encode(bytes(32)).decode()}"
    got = curl(website, "/", "--pinnedpubkey", other)
    assert got.returncode == 90  # CURLE_SSL_PINNEDPUBKEYNOTMATCH
    assert got.stdout == b""


def request(website: Running, count: int) -> list[bytes]:
    """Requests on one connection by the standard library, which checks the key itself."""
    parts = urlsplit(website.secure)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # the key is compared below
    connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=60, context=context)
    try:
        connection.connect()
        der = connection.sock.getpeercert(True)
        key = x509.load_der_x509_certificate(der).public_key()
        spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        assert base64.b64encode(hashlib.sha256(spki).digest()).decode() == website.pin.removeprefix("sha256//")
        bodies = []
        for _ in range(count):
            connection.request("GET", "/")
            bodies.append(connection.getresponse().read())
        return bodies
    finally:
        connection.close()


def test_many_connections_at_once(website: Running, client: Client) -> None:
    """Sixteen clients with ten requests each, on kept-alive connections: every page is whole."""
    page = client.get("/").body
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        for bodies in pool.map(lambda _: request(website, 10), range(16)):
            assert bodies == [page] * 10
