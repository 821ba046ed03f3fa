"""Programs that the train runs, and the staged index that it points them at."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path

from mirage.index import Directory, File, build, read_file, server
from mirage.types import MirageError

from .errors import Failed

__all__ = ["PLAIN", "distribution_files", "environment", "run", "served", "served_folder"]

PLAIN = ("PIP_", "UV_", "PYTHON", "OPAM", "VIRTUAL_ENV")
"""What is kept from a client that must see the staged index alone: the machine's own settings."""


def run(
    command: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    drop: Sequence[str] = ("VIRTUAL_ENV", "PYTHON"),
    seconds: float = 1800,
) -> str:
    """A program's output. Raises `Failed` with its last words; a program that takes too long is ended.

    Variables whose names start with one of `drop` are kept from it.
    """
    plain = {k: v for k, v in os.environ.items() if not k.startswith(tuple(drop))}
    try:
        result = subprocess.run(
            command,
            cwd=cwd,
            env={**plain, **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            timeout=seconds,
            stdin=subprocess.DEVNULL,
        )
    except FileNotFoundError as error:
        raise Failed(f"there is no {command[0]}; ./noxw -s doctor says how to get it") from error
    except subprocess.TimeoutExpired as error:
        raise Failed(f"{' '.join(command)[:300]}: no end after {seconds:g} s") from error
    if result.returncode:
        raise Failed(f"$ {' '.join(command)[:600]}\n{result.stdout[-6000:]}")
    return result.stdout


def environment(place: Path) -> Path:
    """A new virtual environment; its interpreter."""
    run(["uv", "venv", "--quiet", "--clear", "--python", sys.executable, str(place)])
    return place / "bin" / "python"


def distribution_files(paths: Iterable[Path], uploaded: int) -> list[File]:
    """Distribution files as the index reads them. Raises `Failed`."""
    try:
        return [read_file(p.name, p.read_bytes(), uploaded=uploaded) for p in sorted(paths)]
    except MirageError as error:
        raise Failed(f"a file cannot go into an index: {error}") from error


@contextmanager
def served(files: Iterable[File]) -> Iterator[str]:
    """Serve an index of these files on loopback while the block runs; its address, with a slash at the end.

    opam's descriptions hold the address, so the tree is made once it is known.
    """
    tree: dict[str, bytes] = {}
    with server(tree) as running:
        try:
            tree |= build(files, base=_address(running))
        except MirageError as error:
            raise Failed(f"the index cannot be made: {error}") from error
        yield from _while_serving(running)


@contextmanager
def served_folder(folder: Path) -> Iterator[str]:
    """Serve an index that was made already; for pip and uv, whose pages hold no address."""
    with server(Directory(folder)) as running:
        yield from _while_serving(running)


def _while_serving(running: ThreadingHTTPServer) -> Iterator[str]:
    thread = threading.Thread(target=running.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield _address(running)
    finally:
        running.shutdown()
        thread.join()


def _address(running: ThreadingHTTPServer) -> str:
    return "http://{}:{}/".format(*running.server_address[:2])
