"""Unikernels that serve: the HTTP device, and `mirage serve`."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

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
