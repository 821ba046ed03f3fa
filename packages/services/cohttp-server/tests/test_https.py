"""HTTPS as users meet it: started as a command, asked by curl and openssl."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mirage.conduit.testing import Authority

pytestmark = [pytest.mark.slow, pytest.mark.tool("curl")]
each = pytest.mark.parametrize("implementation", ["native", "openssl"])


class Running:
    """A started command and its address."""

    def __init__(self, implementation: str, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mirage.cohttp_server", "-p", "0", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "CONDUIT_TLS": implementation},
        )
        found = re.search(r"at https://127\.0\.0\.1:(\d+)/", self.line())
        assert found
        self.port = int(found[1])

    def line(self) -> str:
        """What it says next."""
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=20)
        assert self.process.returncode == 0


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority("https", tmp_path_factory.mktemp("authority"))


@pytest.fixture
def docroot(tmp_path: Path) -> Path:
    root = tmp_path / "public"
    (root / "sub").mkdir(parents=True)
    (root / "index.html").write_bytes(b"<h1>home</h1>")
    (root / "sub" / "file.txt").write_bytes(bytes(range(256)) * 4096)
    return root


@pytest.fixture
def pem(authority: Authority, tmp_path: Path) -> Path:
    path = tmp_path / "server.pem"
    path.write_bytes(authority.issue("localhost"))
    return path


@pytest.fixture(params=["native", "openssl"])
def server(request: pytest.FixtureRequest, docroot: Path, pem: Path) -> Iterator[Running]:
    """With one file, a redirect and HSTS."""
    running = Running(request.param, "-c", str(pem), "--redirect", "0", "--hsts", "600", str(docroot))
    yield running
    if running.process.poll() is None:
        running.stop()


def curl(authority: Authority, *arguments: str) -> str:
    """What curl shows, with the authority trusted; it must succeed."""
    command = ["curl", "-sS", "--max-time", "20", "--cacert", str(authority.root_pem), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_a_directory_over_https(server: Running, authority: Authority, docroot: Path, tmp_path: Path) -> None:
    """curl verifies the certificate, gets files whole, and is told to remember."""
    out = curl(authority, "-i", f"https://localhost:{server.port}/")
    assert out.startswith("HTTP/1.1 200")
    assert "strict-transport-security: max-age=600" in out
    assert out.endswith("<h1>home</h1>")
    curl(authority, "-o", str(tmp_path / "got"), f"https://localhost:{server.port}/sub/file.txt")
    assert (tmp_path / "got").read_bytes() == (docroot / "sub" / "file.txt").read_bytes()


def test_http_is_sent_to_https_with_its_path(server: Running, authority: Authority) -> None:
    """The redirect keeps path and query, and leads to the content."""
    found = re.search(r"redirecting from (http://127\.0\.0\.1:\d+)/", server.line())
    assert found
    plain = found[1].replace("127.0.0.1", "localhost")
    out = curl(authority, "-i", f"{plain}/sub/file.txt?a=b")
    assert out.startswith("HTTP/1.1 308")
    assert f"location: https://localhost:{server.port}/sub/file.txt?a=b\n" in out.replace("\r", "")
    assert "strict-transport-security" not in out
    assert curl(authority, "-L", f"{plain}/") == "<h1>home</h1>"


def test_the_port_never_answers_http(server: Running) -> None:
    """Without TLS there is no response, and nothing of the directory."""
    asked = subprocess.run(
        ["curl", "-sS", "--max-time", "20", f"http://localhost:{server.port}/"], capture_output=True, check=False
    )
    assert asked.returncode != 0
    assert b"home" not in asked.stdout


def test_a_new_certificate_is_served_without_dropping_connections(
    server: Running, authority: Authority, pem: Path
) -> None:
    """A connection that is open stays so with its old one, while new ones see the new one."""
    server.line()  # of the redirect
    client = [
        *("openssl", "s_client", "-quiet", "-verify_quiet", "-servername", "localhost", "-verify_return_error"),
        *("-CAfile", str(authority.root_pem), "-connect", f"127.0.0.1:{server.port}"),
    ]
    with subprocess.Popen(client, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as old:
        assert old.stdin is not None
        assert old.stdout is not None
        request = b"HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n"
        old.stdin.write(request)
        old.stdin.flush()
        assert b"200" in old.stdout.readline()
        before = serial(server)
        pem.write_bytes(authority.issue("localhost"))
        assert "read again" in server.line()
        deadline = time.monotonic() + 20
        while (after := serial(server)) == before and time.monotonic() < deadline:
            pass
        assert after != before
        old.stdin.write(request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        old.stdin.flush()
        assert b"200" in old.stdout.read()
        old.stdin.close()


def serial(server: Running) -> str:
    """The number of the certificate that a new connection is shown."""
    shown = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-servername", "localhost"],
        input=b"",
        capture_output=True,
        check=False,
    ).stdout
    pipe = subprocess.run(["openssl", "x509", "-noout", "-serial"], input=shown, capture_output=True, check=True)
    return pipe.stdout.decode()


@each
def test_two_files(implementation: str, authority: Authority, docroot: Path, tmp_path: Path) -> None:
    """`--tls CERT,KEY`; on loopback browsers are not told to remember."""
    pem = authority.issue("localhost")
    at = pem.index(b"-----BEGIN PRIVATE")
    (tmp_path / "cert.pem").write_bytes(pem[:at])
    (tmp_path / "key.pem").write_bytes(pem[at:])
    running = Running(implementation, "--tls", f"{tmp_path}/cert.pem,{tmp_path}/key.pem", str(docroot))
    try:
        out = curl(authority, "-i", f"https://localhost:{running.port}/")
        assert "strict-transport-security" not in out
    finally:
        running.stop()


def test_a_certificate_near_its_end_is_warned_of(authority: Authority, docroot: Path, tmp_path: Path) -> None:
    """As soon as the server starts."""
    (tmp_path / "short.pem").write_bytes(authority.issue("localhost", days=5.5))
    running = Running("native", "-c", f"{tmp_path}/short.pem", str(docroot))
    try:
        assert "ends in 5 days" in running.line()
    finally:
        running.stop()
