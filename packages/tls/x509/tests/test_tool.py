"""`mirage-x509`, as a newcomer types it."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from mirage.crypto import PrivateKey
from mirage.x509 import Certificate, Revoked, make_ca, make_crl, make_request_for, make_server
from mirage.x509.build import Identity
from mirage.x509.tool import main


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_https_in_one_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A CA, a certificate and a key; they are trusted for the name, and only for it; keys are for their owner alone."""
    assert main(["make", "server", "localhost", "127.0.0.1"]) == 0
    assert sorted(os.listdir(folder)) == ["ca-key.pem", "ca.pem", "localhost.pem"]
    assert {(folder / name).stat().st_mode & 0o777 for name in ("ca-key.pem", "localhost.pem")} == {0o600}
    assert "until" in capsys.readouterr().out
    assert main(["check", "localhost.pem", "--name", "127.0.0.1", "--roots", "ca.pem", "--profile", "web"]) == 0
    assert capsys.readouterr().out.startswith("trusted, as 127.0.0.1, until")
    assert main(["check", "localhost.pem", "--name", "example.org", "--roots", "ca.pem"]) == 1
    assert "NOT TRUSTED (bad-name): the certificate is for DNS:localhost, IP:127.0.0.1" in capsys.readouterr().out
    assert main(["check", "localhost.pem", "--role", "client", "--roots", "ca.pem"]) == 1
    assert "bad-purpose" in capsys.readouterr().out


def test_nothing_is_written_over(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Unless told so; the second certificate is of the same CA."""
    assert main(["make", "server", "a.example"]) == 0
    ca = (folder / "ca.pem").read_text()
    assert main(["make", "server", "a.example"]) == 1
    assert "--force" in capsys.readouterr().err
    assert main(["make", "server", "a.example", "--force"]) == 0
    assert main(["make", "ca", "Other"]) == 1
    assert (folder / "ca.pem").read_text() == ca
    assert main(["make", "ca", "Other", "--force", "--permit", "example.org", "--key", "p384"]) == 0
    assert Certificate.load("ca.pem")[0].name_constraints is not None
    (folder / "ca-key.pem").write_bytes(PrivateKey.generate_ec().to_pem())
    assert main(["make", "server", "b.example"]) == 1
    assert "made together" in capsys.readouterr().err


def test_show(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every kind of file, in words, and never a key."""
    now = datetime.now(UTC)
    span: dict[str, datetime] = {"not_before": now - timedelta(days=9), "not_after": now - timedelta(days=2)}
    root = make_ca("O=Ex\u202eample, CN=Root", PrivateKey.generate_ec(), **span)
    leaf = make_server(["old.example"], root.key.public, root, **span)
    (folder / "old.pem").write_text(Identity(leaf, root.key).pem(root.certificate))
    (folder / "request.pem").write_text(make_request_for(["new.example"], root.key).pem())
    crl = make_crl(root, {7: Revoked(now, "keyCompromise")}, this_update=now, next_update=now, number=1)
    (folder / "list.crl").write_bytes(crl.der)
    (folder / "leaf.der").write_bytes(leaf.der)
    assert main(["show", "old.pem", "request.pem", "list.crl", "leaf.der"]) == 0
    out = capsys.readouterr().out
    for words in (
        "EXPIRED 2 days ago",
        "DNS:old.example",
        "DNS:new.example",
        "keyCompromise",
        "not shown",
        "Ex\\E2\\80\\AEample",
    ):
        assert words in out
    assert main(["make", "client", "Ada Lovelace", "--p12", "--password", "secret"]) == 0
    capsys.readouterr()
    assert main(["show", "ada-lovelace.p12", "--password", "secret"]) == 0
    assert "CN=Ada Lovelace" in capsys.readouterr().out
    assert main(["show", "ada-lovelace.p12", "--password", "wrong"]) == 1
    assert "password" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["show", "absent.pem"], "absent.pem"),
        (["show", "junk"], "neither PEM nor"),
        (["check", "empty.pem"], "no certificate"),
        (["make", "server", "not a name"], "no DNS name"),
        (["make", "ca", "Q=1"], "no attribute"),
    ],
)
def test_mistakes_are_told(folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], why: str) -> None:
    """One line on standard error, and the exit status 1."""
    (folder / "junk").write_bytes(b"\x00junk")
    (folder / "empty.pem").write_bytes(b"-----BEGIN X-----\n-----END X-----\n")
    assert main(words) == 1
    told = capsys.readouterr().err
    assert why in told
    assert len(told.splitlines()) == 1


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    """Which is where a newcomer looks."""
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "mirage-x509 make server localhost" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.tool("openssl")
@pytest.mark.parametrize("key", ["p256", "p384", "rsa", "ed25519"])
def test_openssl_agrees(folder: Path, key: str) -> None:
    """The files that we write are what `openssl verify` and `openssl x509` take."""
    assert main(["make", "server", "www.example.org", "--key", key]) == 0
    command = ["openssl", "verify", "-x509_strict", "-CAfile", "ca.pem", "-verify_hostname", "www.example.org"]
    told = subprocess.run([*command, "www.example.org.pem"], capture_output=True, text=True)
    assert told.stdout == "www.example.org.pem: OK\n", told
    command = ["openssl", "x509", "-in", "www.example.org.pem", "-noout", "-checkend", "3600"]
    assert subprocess.run(command, capture_output=True).returncode == 0
    command = ["openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", "k.pem", "-subj", "/CN=x"]
    subprocess.run(
        [*command, "-out", "theirs.csr", "-addext", "subjectAltName=DNS:x.example"], check=True, capture_output=True
    )
    assert main(["show", "theirs.csr"]) == 0
