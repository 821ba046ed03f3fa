"""Real clients: pip, uv and opam install from the index over HTTP, honour yanks, and catch a file that was changed."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from mirage.index import append, build, server
from mirage.index.testing import sdist, wheel

pytestmark = pytest.mark.slow

HELLO = {"mirage/hello/__init__.py": "from mirage.base import WORD\n\ndef main():\n    print(WORD)\n"}
FILES = [
    wheel("mirage-base", "0.1.0", modules={"mirage/base.py": "WORD = 'one'\n"}),
    wheel("mirage-base", "0.1.1", modules={"mirage/base.py": "WORD = 'two'\n"}),
    wheel("mirage-base", "0.2.0", modules={"mirage/base.py": "WORD = 'three'\n"}),
    sdist("mirage-base", "0.1.1"),
    wheel("mirage-hello", "1.0", ["mirage-base>=0.1,<0.2"], modules=HELLO, scripts={"hello": "mirage.hello:main"}),
]


@contextmanager
def served(tree: dict[str, bytes] | None = None) -> Iterator[tuple[dict[str, bytes], str]]:
    """An index on loopback; what is put into the tree is served at once."""
    tree = {} if tree is None else tree
    with server(tree) as running:
        threading.Thread(target=running.serve_forever, args=(0.02,)).start()
        try:
            yield tree, "http://{}:{}/".format(*running.server_address[:2])
        finally:
            running.shutdown()


@pytest.fixture
def index() -> Iterator[tuple[dict[str, bytes], str]]:
    """The index of these tests, served."""
    with served() as (tree, base):
        tree |= build(FILES, base=base)
        yield tree, base


def run(*command: str, code: int = 0, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    """A client's output; the machine's own settings of pip and uv are kept from it."""
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "UV_", "PYTHON", "OPAM", "VIRTUAL_ENV"))}
    result = subprocess.run(
        command, env=plain | dict(env or {}), cwd=cwd, capture_output=True, text=True, check=False, timeout=120
    )
    assert (result.returncode != 0) == bool(code), f"{command}\n{result.stdout}{result.stderr}"
    return result.stdout + result.stderr


class Pip:
    """pip, into a folder of its own."""

    def __init__(self, base: str, place: Path) -> None:
        self.path = place / "pip"
        self.start = [sys.executable, "-m", "pip", "--isolated", "--no-cache-dir", "--disable-pip-version-check"]
        self.end = ["--index-url", f"{base}simple/", "--target", str(self.path), "--upgrade", "--only-binary=:all:"]

    def install(self, *words: str, code: int = 0) -> str:
        return run(*self.start, "install", *words, *self.end, code=code)

    def says(self, program: str) -> str:
        return run(sys.executable, "-S", "-c", program, env={"PYTHONPATH": str(self.path)}).strip()


class Uv(Pip):
    """uv, the same."""

    def __init__(self, base: str, place: Path) -> None:
        self.path = place / "uv"
        self.start = [sys.executable, "-m", "uv", "--no-config", "--no-cache", "pip"]
        self.end = [
            "--default-index",
            f"{base}simple/",
            "--target",
            str(self.path),
            "--upgrade",
            "--python",
            sys.executable,
        ]


class Opam:
    """opam, with a root and a switch of its own."""

    def __init__(self, base: str, place: Path) -> None:
        self.env = {"OPAMROOT": str(place / "root"), "OPAMYES": "1", "OPAMROOTISOK": "1", "OPAMCOLOR": "never"}
        # Releases of these tests follow each other within one second and have the same size: caches would not notice.
        self.env |= {
            "OPAMNODEPEXTS": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PATH": os.environ["PATH"],
            "HOME": str(place),
        }
        self("init", "--bare", "--disable-sandboxing", "-n", "--bypass-checks", "mirage", f"{base}opam")
        self("switch", "create", "x", "--empty")

    def __call__(self, *words: str, code: int = 0) -> str:
        return run("opam", *words, code=code, env=self.env)

    def install(self, *words: str, code: int = 0) -> str:
        return self("install", *(w.replace("==", ".") for w in words), code=code)

    def says(self, program: str) -> str:
        return self("exec", "--", "python3", "-c", program).strip()


CLIENTS = [Pip, Uv, pytest.param(Opam, marks=pytest.mark.tool("opam"))]
HELLO_SAYS = "from mirage.hello import main; main()"


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_installs_what_the_bounds_admit(
    client: type[Pip], index: tuple[dict[str, bytes], str], tmp_path: Path
) -> None:
    """The newest release below the ceiling, not the newest of all; what is installed is imported."""
    here = client(index[1], tmp_path)
    here.install("mirage-hello")
    assert here.says(HELLO_SAYS) == "two"


@pytest.mark.parametrize("client", CLIENTS)
def test_a_yanked_release_is_passed_over(
    client: type[Pip], index: tuple[dict[str, bytes], str], tmp_path: Path
) -> None:
    """Nobody chooses it by himself; who names it exactly gets it (PEP 592, opam's avoid-version)."""
    tree, base = index
    tree |= append(tree, [], yanks={("mirage-base", "0.1.1"): "it says two"})
    here = client(base, tmp_path)
    here.install("mirage-hello")
    assert here.says(HELLO_SAYS) == "one"
    here.install("mirage-hello", "mirage-base==0.1.1")
    assert here.says(HELLO_SAYS) == "two"


@pytest.mark.parametrize("client", CLIENTS)
def test_a_changed_file_is_caught(client: type[Pip], index: tuple[dict[str, bytes], str], tmp_path: Path) -> None:
    """Octets that are not those of the index are never installed."""
    tree, base = index
    path = f"files/mirage-base/{FILES[1].filename}"
    tree[path] = FILES[2].data
    said = client(base, tmp_path).install("mirage-hello", code=1).lower()
    assert "hash" in said or "checksum" in said


@pytest.mark.tool("opam")
def test_opam_makes_the_command(index: tuple[dict[str, bytes], str], tmp_path: Path) -> None:
    """A console script is there, and goes with its package."""
    here = Opam(index[1], tmp_path)
    here.install("mirage-hello")
    assert here("exec", "--", "hello").strip() == "two"
    here("remove", "mirage-hello")
    assert "No module" in here("exec", "--", "python3", "-c", HELLO_SAYS, code=1)
    assert "hello" in here("exec", "--", "hello", code=1)


@pytest.mark.tool("opam")
def test_opam_finds_nothing_to_say(index: tuple[dict[str, bytes], str], tmp_path: Path) -> None:
    """`opam admin check` and `opam lint` are clean, yanks included."""
    tree, _ = index
    tree |= append(tree, [], yanks={("mirage-base", "0.1.0"): "old"})
    files = []
    for path, data in tree.items():
        if path.startswith("opam/"):
            target = tmp_path / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
            files += [str(target)] if path.endswith("/opam") else []
    env = {"OPAMROOT": str(tmp_path / "root"), "OPAMROOTISOK": "1", "OPAMCOLOR": "never", "PATH": os.environ["PATH"]}
    run("opam", "admin", "check", cwd=tmp_path / "opam", env=env)
    assert run("opam", "lint", "-s", *files, env=env).strip() == ""


@pytest.mark.tool("opam")
def test_opam_installs_from_wherever_the_index_is(tmp_path: Path) -> None:
    """An index made for one address is served at another, and opam takes the files from there."""
    with served(build(FILES, base="https://packages.invalid/")) as (_, base):
        here = Opam(base, tmp_path)
        here.install("mirage-hello")
        assert here.says(HELLO_SAYS) == "two"


def test_dates_are_honoured(index: tuple[dict[str, bytes], str], tmp_path: Path) -> None:
    """PEP 700: uv can look at the index as it was."""
    tree, base = index
    tree |= append(
        tree, [wheel("mirage-base", "0.1.2", modules={"mirage/base.py": "WORD = 0\n"}, uploaded=1_800_000_000)]
    )
    here = Uv(base, tmp_path)
    here.install("mirage-hello", "--exclude-newer", "2026-12-01")
    assert here.says(HELLO_SAYS) == "two"
    here.install("mirage-hello")
    assert here.says(HELLO_SAYS) == "0"
