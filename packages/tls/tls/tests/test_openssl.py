"""`openssl s_client` and `s_server` over loopback, against the test programs of this package."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.tool("openssl"), pytest.mark.slow]
PYTHON = [sys.executable, "-m"]


@contextmanager
def program(*command: str | Path) -> Iterator[subprocess.Popen[str]]:
    """A program that runs meanwhile."""
    words, pipe = [str(word) for word in command], subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def our_server(pki: Any, *switches: str, count: int = 1, kind: str = "secp256r1") -> Iterator[tuple[int, Any]]:
    """The test server: its port, and the process."""
    command = (*PYTHON, "mirage.tls.testing.server", "--cert", pki.file(kind), "--count", str(count), *switches)
    with program(*command) as process:
        line = process.stdout.readline()
        yield int(line.split()[1]), process


@contextmanager
def their_server(pki: Any, *switches: str | Path, kind: str = "secp256r1") -> Iterator[int]:
    """`openssl s_server`, which sends back lines turned around: its port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    file = pki.file(kind)
    command = ("openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", file, "-key", file, "-rev", *switches)
    with program(*command) as process:
        line = ""
        while "ACCEPT" not in line:
            line = process.stdout.readline()
            assert line, process.stderr.read()
        yield port


def s_client(port: int, *switches: str | Path, text: str = "hello\n") -> subprocess.CompletedProcess[str]:
    """`openssl s_client`, which sends a line."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "example.org"]
    command += ["-verify_return_error", "-ign_eof", *map(str, switches)]
    with program(*command) as process:
        process.stdin.write(text)
        process.stdin.flush()
        seen = []
        for line in process.stdout:
            seen.append(line)
            if line == text:
                break
        process.stdin.close()
        return subprocess.CompletedProcess(command, 0, "".join(seen), "")


def our_client(port: int, pki: Any, *switches: str | Path, **keywords: Any) -> subprocess.CompletedProcess[str]:
    """The test client."""
    command = [*PYTHON, "mirage.tls.testing.client", "127.0.0.1", port, "--roots", pki.ca_file, *switches]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=30, check=False, **keywords)


@pytest.mark.parametrize("version", ["-tls1_3", "-tls1_2"])
@pytest.mark.parametrize("kind", ["secp256r1", "rsa", "ed25519"])
def test_s_client(pki: Any, version: str, kind: str) -> None:
    """It verifies our chain, and its line comes back."""
    with our_server(pki, kind=kind) as (port, process):
        found = s_client(port, version, "-CAfile", pki.ca_file, "-verify_hostname", "example.org")
        assert "Verify return code: 0 (ok)" in found.stdout or "Verification: OK" in found.stdout
        assert "done" in process.stdout.readline()


@pytest.mark.parametrize("version", ["-tls1_3", "-tls1_2"])
def test_s_client_shows_a_certificate(pki: Any, version: str) -> None:
    """And we see whose."""
    file = pki.file("rsa")
    with our_server(pki, "--clients", "require", "--roots", str(pki.ca_file)) as (port, process):
        s_client(port, version, "-CAfile", pki.ca_file, "-cert", file, "-key", file)
        line = process.stdout.readline()
        assert "done" in line
        assert "peer_chain=(<" in line


def test_s_client_resumes_with_early_data(pki: Any, tmp_path: Path) -> None:
    """0-RTT: its octets are here before its Finished."""
    session, early = tmp_path / "session", tmp_path / "early"
    early.write_text("early words\n")
    with our_server(pki, "--early-data", "1000", count=2) as (port, process):
        s_client(port, "-tls1_3", "-CAfile", pki.ca_file, "-sess_out", session)
        assert session.exists()
        s_client(port, "-tls1_3", "-CAfile", pki.ca_file, "-sess_in", session, "-early_data", early)
        lines = [process.stdout.readline() for _ in range(4)]
    assert any("early b'early words" in line for line in lines), lines
    assert any("resumed=True" in line and "early_data=True" in line for line in lines), lines


@pytest.mark.parametrize("version", ["-tls1_3", "-tls1_2"])
@pytest.mark.parametrize("kind", ["secp256r1", "rsa", "ed25519"])
def test_s_server(pki: Any, version: str, kind: str) -> None:
    """We verify its chain; its answer is our line turned around; the second connection is resumed."""
    with their_server(pki, version, kind=kind) as port:
        found = our_client(port, pki, "--send", "abc\n", "--connections", "2")
    assert found.returncode == 0, found.stderr
    assert found.stdout == "cba\ncba\n"
    assert re.findall(r"resumed=(\w+)", found.stderr) == ["False", "True"]


@pytest.mark.parametrize("version", ["-tls1_3", "-tls1_2"])
def test_s_server_asks_for_a_certificate(pki: Any, version: str) -> None:
    """We show ours."""
    with their_server(pki, version, "-Verify", "1", "-CAfile", pki.ca_file, "-verify_return_error") as port:
        found = our_client(port, pki, "--send", "abc\n", "--cert", pki.file("rsa"))
        assert found.returncode == 0, found.stderr
        lone = our_client(port, pki, "--send", "abc\n")
        assert lone.returncode == 1
        assert "AlertReceived" in lone.stderr


def test_s_server_staples_updates_keys_and_wants_another_group(pki: Any, tmp_path: Path) -> None:
    """An OCSP response, KeyUpdate both ways, and HelloRetryRequest, in one."""
    response = tmp_path / "response.der"
    response.write_bytes(bytes.fromhex("30030a0106"))  # OCSPResponse: unauthorized
    with their_server(pki, "-tls1_3", "-status_file", response, "-groups", "P-521") as port:
        found = our_client(port, pki, "--send", "abc\n", "--update-keys", "both")
    assert found.returncode == 0, found.stderr
    assert "retried=True" in found.stderr
    assert "keys updated" in found.stderr
    assert "ocsp=b'0\\x03" in found.stderr


def test_a_server_that_is_not_trusted(pki: Any) -> None:
    """The test client says why, and ends with 1; without anybody to trust it ends with 2."""
    with their_server(pki) as port:
        found = our_client(port, pki, "--name", "example.com")
        assert found.returncode == 1
        assert "PeerUntrusted" in found.stderr
    command = [*PYTHON, "mirage.tls.testing.client", "127.0.0.1", "1"]
    assert subprocess.run(command, capture_output=True, check=False, timeout=30).returncode == 2
