"""HTTPS as somebody new to it would have it: two commands, and clients of all kinds that trust the CA that was made."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .peers import CLIENTS, Client, Refused, nss_database

pytestmark = [pytest.mark.slow]

BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Made:
    """What the first command left, in the form that the peers take authorities in."""

    folder: Path
    label: str = "made"

    @property
    def root_file(self) -> Path:
        """The CA's certificate."""
        return self.folder / "ca.pem"

    def file(self, kind: str = "", name: str = "client") -> Path:
        """A client's certificate, with its key."""
        path = self.folder / f"{name}.pem"
        if not path.exists():
            done = run("mirage-x509", "make", "client", name, cwd=self.folder)
            assert done.returncode == 0, done.stderr
        return path


def run(*words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A command of ours."""
    program = [str(BIN / words[0]), *map(str, words[1:])]
    return subprocess.run(program, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The first command, in an empty folder."""
    folder = tmp_path_factory.mktemp("newcomer")
    done = run("mirage-x509", "make", "server", "localhost", "127.0.0.1", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["ca-key.pem", "ca.pem", "localhost.pem"]
    return Made(folder)


@pytest.fixture(scope="module", params=["native", "openssl"])
def port(request: pytest.FixtureRequest, made: Made) -> Iterator[int]:
    """The second command: a directory over HTTPS, by either implementation."""
    site = made.folder / "site"
    site.mkdir(exist_ok=True)
    (site / "index.html").write_text("<!doctype html><title>mine</title><p>answered by mirage</p>")
    command = ["env", f"CONDUIT_TLS={request.param}", BIN / "cohttp-server", "-c", "localhost.pem", "-p", "0", "site"]
    with subprocess.Popen(command, cwd=made.folder, stdout=subprocess.PIPE, text=True) as process:
        timer = threading.Timer(300, process.kill)
        timer.start()
        assert process.stdout is not None
        found = re.search(r"at https://127\.0\.0\.1:(\d+)/", process.stdout.readline())
        try:
            assert found
            yield int(found[1])
        finally:
            process.terminate()
            process.wait(30)
            timer.cancel()


@pytest.mark.parametrize(
    "kind", [pytest.param(c, id=c.name, marks=[pytest.mark.tool(c.tool)] if c.tool else []) for c in CLIENTS]
)
def test_whoever_trusts_the_ca_gets_the_page(made: Made, port: int, tmp_path: Path, kind: type[Client]) -> None:
    """Browsers too: chain, name and dates are as they want them; and none of them does by another name."""
    authority: Any = made
    assert b"answered by mirage" in kind(authority, tmp_path).ask(port, "no certificate")
    with pytest.raises(Refused):
        kind(authority, tmp_path).ask(port, "no certificate", name="other.test")


def test_our_own_client(made: Made, port: int) -> None:
    """With the CA it gets the page by name and by address; with the system's roots alone, nothing."""
    for host in ("localhost", "127.0.0.1"):
        got = run("cohttp-curl", "--cacert", "ca.pem", f"https://{host}:{port}/", cwd=made.folder)
        assert (got.returncode, "answered by mirage" in got.stdout) == (0, True), got.stderr
    refused = run("cohttp-curl", f"https://localhost:{port}/", cwd=made.folder)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "certificate" in refused.stderr
    checked = run("mirage-x509", "check", "localhost.pem", "--name", "localhost", "--roots", "ca.pem", cwd=made.folder)
    assert (checked.returncode, checked.stdout.startswith("trusted, as localhost")) == (0, True)


@pytest.mark.tool("tstclnt")
def test_a_browsers_certificate(made: Made, tmp_path: Path) -> None:
    """`make client --p12` makes what NSS, and so a browser, imports with its key."""
    done = run("mirage-x509", "make", "client", "Ada", "--p12", "--password", "p", cwd=made.folder)
    assert done.returncode == 0, done.stderr
    authority: Any = made
    where = ("-d", f"sql:{nss_database(authority, tmp_path)}")
    subprocess.run(["pk12util", "-i", made.folder / "ada.p12", *where, "-W", "p", "-K", ""], check=True, timeout=60)
    listed = subprocess.run(["certutil", "-K", *where], capture_output=True, text=True, check=True, timeout=60)
    assert "Ada" in listed.stdout
