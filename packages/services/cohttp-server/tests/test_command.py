"""What the command refuses, without starting anything."""

import socket
from pathlib import Path

import pytest
from mirage.cohttp_server import main
from mirage.conduit.testing import Authority


@pytest.fixture
def docroot(tmp_path: Path) -> Path:
    (tmp_path / "index.html").write_bytes(b"")
    return tmp_path


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--tls", "cert.pem"], "CERT,KEY"),
        (["--tls", "cert.pem,"], "CERT,KEY"),
        (["--tls", "a,b", "-c", "c"], "one or the other"),
        (["-k", "key.pem"], "needs a certificate"),
        (["--redirect", "80"], "needs a certificate"),
        (["--hsts", "60"], "needs a certificate"),
        (["-c", "cert.pem", "--hsts", "-1"], "no number of seconds"),
    ],
)
def test_options_of_tls_that_make_no_sense(
    docroot: Path, options: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A misuse is an error that says what to do; nothing is served, least of all in the clear."""
    with pytest.raises(SystemExit, match="2"):
        main(["-p", "0", *options, str(docroot)])
    captured = capsys.readouterr()
    assert told in captured.err
    assert captured.out == ""


def test_a_certificate_that_cannot_be_used(
    docroot: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Absent, without its key, or with another's: an error, and no server. So is a TLS that does not exist."""
    authority = Authority("files", docroot)
    pem = authority.issue("localhost")
    at = pem.index(b"-----BEGIN PRIVATE")
    other = authority.issue("localhost")
    (docroot / "both.pem").write_bytes(pem)
    (docroot / "chain.pem").write_bytes(pem[:at])
    (docroot / "other.pem").write_bytes(other[other.index(b"-----BEGIN PRIVATE") :])
    for options, told in (
        (["-c", "absent.pem"], "absent.pem cannot be read"),
        (["-c", "chain.pem"], "no private key"),
        (["-c", "chain.pem", "-k", "other.pem"], "does not belong"),
        (["--tls", "both.pem,other.pem"], "2 private keys"),
    ):
        monkeypatch.chdir(docroot)
        assert main(["-p", "0", *options, str(docroot)]) == 1
        captured = capsys.readouterr()
        assert told in captured.err
        assert captured.out == ""
    monkeypatch.setenv("CONDUIT_TLS", "mbedtls")
    assert main(["-p", "0", "-c", "both.pem", str(docroot)]) == 1
    assert "CONDUIT_TLS is 'mbedtls'" in capsys.readouterr().err


@pytest.mark.parametrize("port", ["-1", "65536", "http", "٣"])
def test_ports_that_are_none(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A port is a number from 0 to 65535."""
    with pytest.raises(SystemExit, match="2"):
        main([f"--port={port}"])
    assert "is no port" in capsys.readouterr().err


def test_what_cannot_be_served(docroot: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing directory, a file, a bad index, a port in use: one line, status 1."""
    assert main(["-p", "0", str(docroot / "missing")]) == 1
    assert "there is no directory" in capsys.readouterr().err
    assert main(["-p", "0", str(docroot / "index.html")]) == 1
    assert "is not a directory" in capsys.readouterr().err
    assert main(["-p", "0", "-i", "../secret", str(docroot)]) == 1
    assert "is not a key" in capsys.readouterr().err
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["-p", str(taken.getsockname()[1]), str(docroot)]) == 1
    assert "cannot listen on 127.0.0.1" in capsys.readouterr().err
