"""Unikernels that serve: the HTTP device, and `mirage serve`."""

from __future__ import annotations

import base64
import contextlib
import http.client
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from mirage.crypto import PrivateKey
from mirage.x509 import Certificate, make_ca, make_server

pytestmark = pytest.mark.slow

CONFIG = """
from mirage.tool.devices import *
greeting = boot_argument("greeting", STR, default="hello", doc="What is answered.")
arguments = {"greeting": greeting}
service = foreign("app:service", takes=(KV_RO,), gives=SERVICE, packages=["mirage-cohttp"], arguments=arguments)
register("app", http_server(service(crunch("static"))))
"""
APP = """
from mirage.cohttp.message import Response

def service(files, greeting):
    def answer(request):
        return Response(200, body=greeting.encode() + files.get("name.txt"))
    return answer
"""


@contextmanager
def running(*command: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server from its address on until it is stopped."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.fullmatch(r"\w+: serving on (http://127\.0\.0\.1:\d+)/?\n", process.stdout.readline())
            assert found
            yield process, found[1]
        finally:
            process.terminate()
            process.wait(10)


def get(url: str) -> str:
    """The body of a page."""
    with urllib.request.urlopen(url, timeout=10) as response:
        return str(response.read().decode())


@pytest.fixture
def folder(application) -> Path:
    place: Path = application(CONFIG, app=APP)
    (place / "static").mkdir()
    (place / "static/name.txt").write_text(" world")
    return place


def test_serves_and_stops(folder: Path, mirage) -> None:
    """It says where it serves, answers, and ends with exit code 0 when asked to."""
    assert mirage("build", "-q") == (0, "", "")
    with running(sys.executable, "_build/app.pyz", "--port", "0", "--greeting", "good day") as (process, url):
        assert get(url) == "good day world"
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert process.stdout is not None
        assert process.stdout.read() == "app: stopped\n"


def test_an_address_in_use_is_told(folder: Path, mirage) -> None:
    """In one line, not as a traceback."""
    mirage("build", "-q")
    with running(sys.executable, "_build/app.pyz", "--port", "0") as (_, url):
        port = url.rpartition(":")[2]
        command = [sys.executable, "_build/app.pyz", "--port", port]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert result.returncode == 1
        assert result.stderr.startswith(f"app: cannot listen on 127.0.0.1 port {port}: ")
        assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("options", [[], ["--crunch"]])
def test_serve_a_directory(options: list[str], tmp_path: Path) -> None:
    """No code is written, and nothing is left in the directory."""
    pytest.importorskip("mirage.cohttp.static")
    (tmp_path / "page.txt").write_text("one")
    command = [sys.executable, "-m", "mirage.tool.cli", "serve", str(tmp_path), "-q", "-p", "0", *options]
    with running(*command) as (_, url):
        assert get(f"{url}/page.txt") == "one"
        assert "page.txt" in get(f"{url}/")
        with pytest.raises(urllib.error.HTTPError, match="404"):
            get(f"{url}/nothing")
        (tmp_path / "page.txt").write_text("two")
        assert get(f"{url}/page.txt") == ("one" if options else "two")
    assert os.listdir(tmp_path) == ["page.txt"]


def test_a_service_over_tls_has_a_key_of_its_own_each_time(application, mirage) -> None:
    """`https_server` says its address and its key's fingerprint: the key that a client sees. The page is the same."""
    place: Path = application(CONFIG.replace("http_server", "https_server"), app=APP)
    (place / "static").mkdir()
    (place / "static" / "name.txt").write_text(" world")
    pins = set()
    assert mirage("build", "-q") == (0, "", "")
    for _ in range(2):
        command = [sys.executable, "_build/app.pyz", "--port", "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                lines = (line for line in process.stdout if "development key" in line)
                found = re.search(r"https://127\.0\.0\.1:(\d+) with the development key (\S+)", next(lines))
                assert found
                pins.add(found[2])
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # the key is compared
                with (
                    socket.create_connection(("127.0.0.1", int(found[1])), 10) as raw,
                    context.wrap_socket(raw) as link,
                ):
                    key = Certificate.decode(link.getpeercert(True) or b"").key_fingerprint()
                    assert f"sha256//{base64.b64encode(key).decode()}" == found[2]
                    link.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                    answer = b""
                    while piece := link.recv(65536):
                        answer += piece
                    assert answer.endswith(b"hello world")
            finally:
                process.terminate()
                process.wait(10)
    assert len(pins) == 2


def test_a_certificate_of_ones_own_and_the_way_to_it(application, mirage) -> None:
    """`--certificate` is what clients see; `--redirect` sends plain HTTP there, and has browsers remember it."""
    place: Path = application(CONFIG.replace("http_server", "https_server"), app=APP)
    (place / "static").mkdir()
    (place / "static" / "name.txt").write_text(" world")
    now, key = datetime.now(UTC), PrivateKey.generate_ec()
    days: Any = {"not_before": now - timedelta(1), "not_after": now + timedelta(9)}
    ca = make_ca("CN=Mine", PrivateKey.generate_ec(), **days)
    leaf = make_server(["localhost"], key.public, ca, **days)
    (place / "mine.pem").write_bytes(leaf.pem().encode() + key.to_pem())
    assert mirage("build", "-q") == (0, "", "")
    command = [sys.executable, "_build/app.pyz", "--port", "0", "--certificate", "mine.pem", "--redirect"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            lines = (line for line in process.stdout if "serving on" in line)
            plain, secure = (urlsplit(line.split()[3]) for line in (next(lines), next(lines)))
            with contextlib.closing(http.client.HTTPConnection("127.0.0.1", plain.port, timeout=10)) as link:
                link.request("GET", "/a/page?with=query", headers={"Host": "localhost"})
                answer = link.getresponse()
                assert answer.status == 308
                assert answer.headers["location"] == f"https://localhost:{secure.port}/a/page?with=query"
                assert "strict-transport-security" not in answer.headers
            context = ssl.create_default_context(cadata=ca.certificate.pem())
            with contextlib.closing(
                http.client.HTTPSConnection("localhost", secure.port, timeout=10, context=context)
            ) as link:
                link.request("GET", "/")
                answer = link.getresponse()
                assert answer.read() == b"hello world"
                assert answer.headers["strict-transport-security"].startswith("max-age=")
        finally:
            process.terminate()
            process.wait(10)
    missing = subprocess.run([*command[:-3], "--certificate", "no.pem"], capture_output=True, text=True, check=False)
    assert missing.returncode == 1
    assert "no.pem" in missing.stderr
