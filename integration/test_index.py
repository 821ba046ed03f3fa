"""Every package, installed by pip, uv and opam from the index that the booted website serves.

What our packages need from others comes from a second index, on loopback: the site holds only what the project
releases.
"""

from __future__ import annotations

import http.client
import io
import json
import os
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import distribution
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from mirage.index import build, read_file, server
from mirage.index.testing import wheel_bytes

from tasks import tree

from . import scratch, targets
from .client import Client
from .crawl import crawl

pytestmark = pytest.mark.slow

UPLOADED = 1_790_035_200
BESIDE = ("cffi", "cryptography", "dnspython", "packaging", "pycparser")
"""What our packages need at run time and others publish. Compiled ones go in as if they fitted everywhere: they do fit
here, and the clients need not find out which of many files is theirs."""


@dataclass(frozen=True)
class Places:
    """Where the clients look."""

    site: str
    """The website's address, without a slash at its end."""
    beside: str
    """That of the index of what others publish."""


@pytest.fixture(scope="session")
def scratch_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the site with an index built from the tree; all targets share it."""
    return scratch.site(tmp_path_factory.mktemp("scratch"))


@pytest.fixture(scope="module")
def places(target: str, request: pytest.FixtureRequest) -> Iterator[Places]:
    """The website with its index, booted; and beside it what others publish."""
    if scratch.has_releases():
        artifact = request.getfixturevalue("artifact")
    else:
        artifact = targets.build(target, request.getfixturevalue("scratch_site"))
    with targets.booted(artifact) as running, loopback(server(beside())) as others:
        yield Places(running.url, others)


def beside() -> dict[str, bytes]:
    """An index of what this environment has from others."""
    files = []
    for name in BESIDE:
        found = distribution(name)
        stem = f"{name}-{found.version}"
        members = {str(f): found.locate_file(f).read_bytes() for f in found.files or [] if keep(str(f))}  # type: ignore[attr-defined]
        files.append(read_file(f"{stem}-py3-none-any.whl", wheel_bytes(stem, members), uploaded=UPLOADED))
    return build(files, base="http://127.0.0.1:9/")


def keep(path: str) -> bool:
    """Whether a file of an installed distribution was in its wheel."""
    return not path.startswith("..") and not path.endswith(
        ("/RECORD", "/INSTALLER", "/REQUESTED", ".pyc", "/uv_cache.json")
    )


@contextmanager
def loopback(running: ThreadingHTTPServer) -> Iterator[str]:
    """A server while the block runs; its address, without a slash at its end."""
    thread = threading.Thread(target=running.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield "http://{}:{}".format(*running.server_address[:2])
    finally:
        running.shutdown()
        thread.join()
        running.server_close()


def run(*command: str, code: int = 0, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    """A program's output; the machine's own settings of the clients are kept from it, and it gets nowhere else."""
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "UV_", "PYTHON", "OPAM", "VIRTUAL_ENV"))}
    plain |= {"https_proxy": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9"}
    result = subprocess.run(
        command, env=plain | dict(env or {}), cwd=cwd, capture_output=True, text=True, check=False, timeout=300
    )
    said = f"{result.stdout[-4000:]}{result.stderr[-4000:]}"
    assert (result.returncode != 0) == bool(code), f"{command}\n{said}"
    return result.stdout if not code else said


class Pip:
    """pip, into a folder of its own."""

    def __init__(self, places: Places, here: Path) -> None:
        self.path = here / "pip"
        start = [sys.executable, "-m", "pip", "--isolated", "--no-cache-dir", "--disable-pip-version-check", "install"]
        start += ["--trusted-host", str(urlsplit(places.site).hostname), "--only-binary=:all:", "--upgrade"]
        start += ["--index-url", f"{places.site}/simple/", "--extra-index-url", f"{places.beside}/simple/"]
        self.start = [*start, "--target", str(self.path)]

    def install(self, *words: str, code: int = 0) -> str:
        """Install what is asked for; what was said if it must fail."""
        return run(*self.start, *words, code=code)

    def says(self, program: str) -> str:
        """What a program prints that sees only what was installed."""
        return run(sys.executable, "-S", "-c", program, env={"PYTHONPATH": str(self.path)}).strip()


class Uv(Pip):
    """uv, the same."""

    def __init__(self, places: Places, here: Path) -> None:
        self.path = here / "uv"
        start = ["uv", "--no-config", "--no-cache", "pip", "install", "--python", sys.executable, "--upgrade"]
        start += ["--index", f"{places.site}/simple/", "--default-index", f"{places.beside}/simple/"]
        self.start = [*start, "--target", str(self.path)]


class Opam:
    """opam, with a root of its own, and a switch made as the packages' pages say."""

    def __init__(self, places: Places, here: Path) -> None:
        self.env = {"OPAMROOT": str(here / "root"), "OPAMYES": "1", "OPAMROOTISOK": "1", "OPAMCOLOR": "never"}
        self.env |= {"OPAMNODEPEXTS": "1", "HOME": str(here), "PYTHONDONTWRITEBYTECODE": "1"}
        self("init", "--bare", "--disable-sandboxing", "-n", "--bypass-checks", "beside", f"{places.beside}/opam")
        repositories = f"mirage={places.site}/opam,beside"
        self("switch", "create", "mirage", "--empty", "--repositories", repositories)

    def __call__(self, *words: str, code: int = 0) -> str:
        """An opam command's output."""
        return run("opam", *words, code=code, env=self.env)

    def install(self, *words: str, code: int = 0) -> str:
        """Install what is asked for; what was said if it must fail."""
        return self("install", *(word.replace("==", ".") for word in words), code=code)

    def says(self, program: str) -> str:
        """What a program prints that sees only what was installed."""
        return self("exec", "--", sys.executable, "-S", "-c", program).strip()


CLIENTS = [Pip, Uv, pytest.param(Opam, marks=pytest.mark.tool("opam"))]
IMPORTED = "import importlib; print(sum(importlib.import_module(m) is not None for m in {modules!r}))"
VERSION = "import importlib.metadata; print(importlib.metadata.version({name!r}))"


def names(places: Places) -> list[str]:
    """All distributions that the site's index has and the tree too."""
    with Client(places.site) as client:
        page = client.get("/simple/", Accept="application/vnd.pypi.simple.v1+json")
    there = {project["name"] for project in json.loads(page.body)["projects"]}
    return [package.name for package in tree.packages() if package.name in there]


@pytest.mark.parametrize("client", CLIENTS)
def test_every_package_is_installed(client: type[Pip], places: Places, tmp_path: Path) -> None:
    """Into an empty place; every package is imported from there."""
    here, wanted = client(places, tmp_path), names(places)
    assert wanted
    here.install(*wanted)
    modules = [package.module for package in tree.packages() if package.name in wanted]
    assert int(here.says(IMPORTED.format(modules=modules))) == len(wanted)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_yanked_release_is_passed_over(client: type[Pip], places: Places, tmp_path: Path) -> None:
    """Nobody gets it by himself, and who names it does (PEP 592, opam's avoid-version)."""
    if scratch.has_releases():
        pytest.skip("which release of the real index is yanked, nobody can say beforehand")
    here = client(places, tmp_path)
    here.install(scratch.LOWEST)
    assert here.says(VERSION.format(name=scratch.LOWEST)) == scratch.BETTER
    here.install(f"{scratch.LOWEST}=={scratch.YANKED}")
    assert here.says(VERSION.format(name=scratch.LOWEST)) == scratch.YANKED


@pytest.mark.parametrize("client", CLIENTS)
def test_a_file_changed_on_its_way_is_caught(client: type[Pip], places: Places, tmp_path: Path) -> None:
    """Somebody between the site and the client who alters a wheel only makes the installation fail."""
    with loopback(tamperer(places.site)) as between:
        said = client(Places(between, places.beside), tmp_path).install("mirage-types", code=1).lower()
    assert "hash" in said or "checksum" in said or "mismatch" in said


def tamperer(site: str) -> ThreadingHTTPServer:
    """A server that passes everything on, and every wheel as another one that could be installed just as well."""
    parts = urlsplit(site)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=20)
            connection.request("GET", self.path, headers={"Accept": self.headers.get("Accept", "*/*")})
            answer = connection.getresponse()
            body = answer.read()
            connection.close()
            if body and self.path.startswith(("/files/", "/opam/cache/")) and not self.path.endswith(".metadata"):
                body = body[:-2] + b"\x01\x00!"  # the archive gets a comment: it is another, and as good a one
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.headers.get("Content-Type", "text/plain"))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words: object) -> None:
            """Nothing."""

    return ThreadingHTTPServer(("127.0.0.1", 0), Handler)


def test_pages_lead_to_every_file(places: Places) -> None:
    """A reader who follows links gets to each release's page and to its files, and none of them is broken."""
    report = crawl(places.site)
    assert not report.broken, "\n".join(report.broken)
    assert any(target.startswith("/releases/") and target != "/releases/" for target in report.pages)
    for name in names(places):
        assert f"/packages/{name}/" in report.pages
        assert any(target.startswith(f"/files/{name}/") for target in report.other), name


@pytest.mark.tool("opam")
def test_opam_finds_nothing_to_say(places: Places, tmp_path: Path) -> None:
    """`opam lint` is clean on what the site sends, and `opam admin check` on that with what others publish."""
    for address in (places.beside, places.site):
        with Client(address) as client:
            archive = client.get("/opam/index.tar.gz").body
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(tmp_path, filter="data")
    env = {"OPAMROOT": str(tmp_path / "root"), "OPAMROOTISOK": "1", "OPAMCOLOR": "never"}
    files = sorted(map(str, (tmp_path / "packages").glob("mirage-*/*/opam")))
    assert len(files) > len(names(places))
    assert run("opam", "lint", "-s", *files, env=env).strip() == ""
    run("opam", "admin", "check", cwd=tmp_path, env=env)
