"""Every package of the tree, from one index that our own HTTP server serves, with pip, uv and opam."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from importlib.metadata import distribution
from pathlib import Path

import pytest
from mirage.index import build, read_file, write
from mirage.index.testing import wheel_bytes

from tasks import tree

from .targets import free_port

pytestmark = pytest.mark.slow

UPLOADED = 1_790_035_200
BESIDE = ("cffi", "cryptography", "dnspython", "packaging", "pycparser")
"""What our packages need at run time and others publish. Compiled ones go in as if they fitted everywhere: they do fit
here, and the clients need not find out which of many files is theirs."""


def run(*command: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    """A program's output; the machine's own settings of pip and uv are kept from it."""
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "UV_", "PYTHON", "OPAM", "VIRTUAL_ENV"))}
    result = subprocess.run(
        command, env=plain | dict(env or {}), cwd=cwd, capture_output=True, text=True, check=False, timeout=300
    )
    assert result.returncode == 0, f"{command}\n{result.stdout[-4000:]}{result.stderr[-4000:]}"
    return result.stdout


def plain_backend(text: str) -> str:
    """A pyproject.toml without a back end of its own: the library OS need not be compiled to be installed."""
    return text.replace('build-backend = "libos_backend"\nbackend-path = ["backend"]', 'build-backend = "uv_build"')


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The index of every package of the tree, served by mirage-cohttp-server."""
    place = tmp_path_factory.mktemp("index")
    for package in tree.packages():
        copy = place / "source" / package.short
        copy.mkdir(parents=True)
        for name in ("src", "backend"):
            if (package.path / name).exists():
                shutil.copytree(package.path / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(package.path / "README.md", copy)
        (copy / "pyproject.toml").write_text(plain_backend((package.path / "pyproject.toml").read_text()))
        run(
            "uv",
            "build",
            "--quiet",
            "--offline",
            "--no-sources",
            "--wheel",
            "--out-dir",
            str(place / "dist"),
            str(copy),
        )
    files = [read_file(p.name, p.read_bytes(), uploaded=UPLOADED) for p in sorted((place / "dist").glob("*.whl"))]
    for name in BESIDE:
        found = distribution(name)
        stem = f"{name}-{found.version}"
        members = {str(f): found.locate_file(f).read_bytes() for f in found.files or [] if keep(str(f))}  # type: ignore[attr-defined]
        files.append(read_file(f"{stem}-py3-none-any.whl", wheel_bytes(stem, members), uploaded=UPLOADED))
    port = free_port()
    base = f"http://127.0.0.1:{port}/"
    write(place / "index", build(files, base=base))
    command = [sys.executable, "-m", "mirage.cohttp_server", str(place / "index"), "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(port)
            yield base
        finally:
            process.terminate()


def wait_for(port: int) -> None:
    """Return once somebody listens there."""
    end = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            assert time.monotonic() < end, "the server does not listen"
            time.sleep(0.02)
        else:
            return


def keep(path: str) -> bool:
    """Whether a file of an installed distribution was in its wheel."""
    return not path.startswith("..") and not path.endswith(
        ("/RECORD", "/INSTALLER", "/REQUESTED", ".pyc", "/uv_cache.json")
    )


PROGRAM = "import importlib; print(sum(importlib.import_module(m) is not None for m in {modules!r}))"


def imported() -> str:
    """A program that imports every package."""
    return PROGRAM.format(modules=[p.module for p in tree.packages()])


def names() -> list[str]:
    """All distributions of the tree."""
    return [p.name for p in tree.packages()]


@pytest.mark.parametrize("client", ["pip", "uv"])
def test_pip_and_uv_install_every_package(client: str, address: str, tmp_path: Path) -> None:
    """Into an empty folder, from this index alone; every package is imported from there."""
    start = {
        "pip": [sys.executable, "-m", "pip", "--isolated", "--no-cache-dir", "--disable-pip-version-check", "install"],
        "uv": ["uv", "--no-config", "--no-cache", "pip", "install", "--python", sys.executable],
    }[client]
    run(*start, "--index-url", f"{address}simple/", "--target", str(tmp_path), *names())
    found = run(sys.executable, "-S", "-c", imported(), env={"PYTHONPATH": str(tmp_path)})
    assert int(found) == len(names())


@pytest.mark.tool("opam")
def test_opam_installs_every_package(address: str, tmp_path: Path) -> None:
    """Into a switch of its own; in its environment every package is imported."""
    env = {"OPAMROOT": str(tmp_path / "root"), "OPAMYES": "1", "OPAMROOTISOK": "1", "OPAMCOLOR": "never"}
    env |= {"OPAMNODEPEXTS": "1", "HOME": str(tmp_path)}
    run("opam", "init", "--bare", "--disable-sandboxing", "-n", "--bypass-checks", "m", f"{address}opam", env=env)
    run("opam", "switch", "create", "x", "--empty", env=env)
    run("opam", "install", *names(), env=env)
    # The modules must come from the switch: this environment's own packages are out of reach.
    found = run("opam", "exec", "--", sys.executable, "-S", "-c", imported(), env=env)
    assert int(found) == len(names())
