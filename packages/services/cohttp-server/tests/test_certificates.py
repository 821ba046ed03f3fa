"""Certificates in files: read again on change, and warned of in time."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from mirage.cohttp_server._certificates import Certificates
from mirage.conduit import ConfigurationError
from mirage.conduit.testing import NOW, Authority

DAY = 86400.0


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority("watched", tmp_path_factory.mktemp("authority"))


def write(path: Path, content: bytes, turn: int) -> None:
    """As a later moment would have it, however coarse the file system's clock is."""
    path.write_bytes(content)
    os.utime(path, ns=(turn, turn))


def test_a_change_is_seen_and_a_bad_one_is_not_served(authority: Authority, tmp_path: Path) -> None:
    """New files are taken; what cannot be used is said once, and the last good one stays."""
    said: list[str] = []
    path = tmp_path / "server.pem"
    write(path, authority.issue("localhost"), 1)
    certificates = Certificates([str(path)], said.append)
    first = certificates.tls
    assert not certificates.check()
    write(path, authority.issue("localhost"), 2)
    assert certificates.check()
    second = certificates.tls
    assert second.identity.chain != first.identity.chain
    write(path, b"half a fi", 3)
    assert not certificates.check()
    assert not certificates.check()
    path.unlink()
    assert not certificates.check()
    assert certificates.tls is second
    assert len(said) == 3
    assert "read again" in said[0]
    assert "no private key" in said[1]
    assert "cannot be read" in said[2]


def test_the_end_of_a_certificate_is_warned_of(authority: Authority, tmp_path: Path) -> None:
    """From two weeks before on, once a day, until there is a new one."""
    said: list[str] = []
    path = tmp_path / "server.pem"
    write(path, authority.issue("localhost", days=30), 1)
    certificates = Certificates([str(path)], said.append)
    now = NOW.timestamp()
    certificates.check(now + 15.9 * DAY)
    assert said == []
    for after in (16.1, 16.5, 17.0, 17.2, 30.1):
        certificates.check(now + after * DAY)
    assert [line.partition(",")[0] for line in said[:2]] == [
        "the certificate ends in 13 days",
        "the certificate ends in 12 days",
    ]
    assert "not valid any more" in said[2]
    assert len(said) == 3
    write(path, authority.issue("localhost", days=60), 2)
    certificates.check(now + 30.2 * DAY)
    assert len(said) == 4
    assert "read again" in said[3]


def test_without_a_certificate_there_is_nothing(tmp_path: Path) -> None:
    """Whoever asked for HTTPS gets an error."""
    with pytest.raises(ConfigurationError, match="absent"):
        Certificates([str(tmp_path / "absent.pem")], print)
