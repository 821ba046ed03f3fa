"""Every package, installed by pip, uv and opam from the index that the booted website serves.

What our packages need from others comes from a second index, on loopback: the site holds only what the project
releases.
"""

from __future__ import annotations

import http.client
import io
import json
import tarfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tasks import tree

from . import scratch
from .client import Client
from .crawl import crawl
from .installers import CLIENTS, Pip, Places, loopback, run, served

pytestmark = pytest.mark.slow

IMPORTED = "import importlib; print(sum(importlib.import_module(m) is not None for m in {modules!r}))"


@pytest.fixture(scope="module")
def places(target: str, request: pytest.FixtureRequest) -> Iterator[Places]:
    """The website itself, or as long as nothing was released, the copy."""
    artifact = request.getfixturevalue("artifact" if scratch.has_releases() else "scratch_artifact")
    with served(artifact) as places:
        yield places


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
