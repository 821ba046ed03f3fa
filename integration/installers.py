"""pip, uv and opam as the tests use them: told of the website's index and of nothing else on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import ThreadingHTTPServer
from importlib.metadata import distribution
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from mirage.index import build, read_file, server
from mirage.index.testing import wheel_bytes

from . import targets

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


@contextmanager
def served(artifact: targets.Artifact) -> Iterator[Places]:
    """A website with an index, booted; and beside it what others publish."""
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
