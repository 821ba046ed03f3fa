"""The website with a certificate of one's own, and plain HTTP that only leads there, on every target."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from mirage.crypto import PrivateKey
from mirage.x509 import make_ca, make_server

from .targets import Artifact, Failed, Running, boot, booted

pytestmark = [pytest.mark.slow, pytest.mark.tool("curl")]

NAME = "www.mirage.test"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the certificate of a CA, and one for the website with its key."""
    folder = tmp_path_factory.mktemp("certificate")
    now = datetime.now(UTC)
    days: Any = {"not_before": now - timedelta(1), "not_after": now + timedelta(30)}
    ca, key = make_ca("A CA for the website", PrivateKey.generate_ec(), **days), PrivateKey.generate_ec()
    (folder / "ca.pem").write_text(ca.certificate.pem())
    leaf = make_server([NAME], key.public, ca, **days)
    (folder / "site.pem").write_bytes(leaf.pem().encode() + key.to_pem())
    return folder


@pytest.fixture(scope="module")
def site(artifact: Artifact, files: Path) -> Iterator[Running]:
    """The website as it would be on a server."""
    words = ("--port", "0", "--https-port", "0", "--certificate", str(files / "site.pem"), "--redirect")
    with booted(artifact, words) as running:
        yield running


def curl(site: Running, files: Path, url: str, *options: str) -> subprocess.CompletedProcess[bytes]:
    """curl trusts the CA, and finds the name where the website is."""
    places = [urlsplit(address) for address in (site.url, site.secure)]
    found = [word for place in places for word in ("--resolve", f"{NAME}:{place.port}:{place.hostname}")]
    command = ["curl", "-sS", "--max-time", "30", "--cacert", str(files / "ca.pem"), *found, *options, url]
    return subprocess.run(command, capture_output=True, check=False)


def test_clients_that_trust_the_ca_trust_the_site(site: Running, files: Path) -> None:
    """Its name is checked, and its pages are there; browsers are told to come this way only."""
    got = curl(site, files, f"https://{NAME}:{urlsplit(site.secure).port}/docs/", "-D", "-")
    assert got.returncode == 0, got.stderr
    head, _, body = got.stdout.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"strict-transport-security: max-age=" in head.lower()
    assert b"</html>" in body
    assert "development key" not in site.console
    with pytest.raises(Failed, match="no key for development"):
        _ = site.pin


def test_a_client_that_does_not_trust_it_gets_nothing(site: Running) -> None:
    """Without the CA, it is a stranger."""
    got = subprocess.run(["curl", "-sS", "--max-time", "30", site.secure], capture_output=True, check=False)
    assert got.returncode == 60  # CURLE_PEER_FAILED_VERIFICATION
    assert got.stdout == b""


def test_http_only_leads_to_https(site: Running, files: Path) -> None:
    """Path and query are kept, and a client that follows arrives."""
    plain, secure = (urlsplit(address).port for address in (site.url, site.secure))
    place = f"http://{NAME}:{plain}/docs/tls/?from=here"
    got = curl(site, files, place, "-o", "/dev/null", "-w", "%{http_code} %{redirect_url}")
    assert got.stdout.decode() == f"308 https://{NAME}:{secure}/docs/tls/?from=here"
    got = curl(site, files, place, "-L", "-w", "%{http_code} %{url_effective}")
    assert got.stdout.decode().endswith(f"200 https://{NAME}:{secure}/docs/tls/?from=here")
    assert b"</html>" in got.stdout


def test_the_key_stands_on_no_command_line(site: Running) -> None:
    """Other users of the machine see the words of every process, so they are none of the key's."""
    pids = [site.pid]
    while pids:
        pid = pids.pop()
        assert b"PRIVATE KEY" not in Path(f"/proc/{pid}/cmdline").read_bytes()
        for thread in Path(f"/proc/{pid}/task").iterdir():
            pids += [int(word) for word in (thread / "children").read_text().split()]


@pytest.mark.parametrize("what", ["missing", "without key"])
def test_what_cannot_be_used_is_said_and_nothing_is_served(artifact: Artifact, files: Path, what: str) -> None:
    """Never plain HTTP instead."""
    name = "no.pem" if what == "missing" else "ca.pem"
    with pytest.raises(Failed, match="no.pem cannot be read" if what == "missing" else "no private key") as found:
        boot(artifact, ("--port", "0", "--https-port", "0", "--certificate", str(files / name)))
    assert "serving on" not in str(found.value)
