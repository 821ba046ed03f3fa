"""Applications in temporary folders, and one cache for the whole run."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mirage.tool.cli import main

CONFIG = """
from mirage.tool.devices import *
app = foreign("app:main", takes=(CONSOLE,), gives=JOB, packages=["mirage-types>=0.1,<0.2"])
register("app", app(console()))
"""
PROGRAM = """
async def main(console):
    console.write(b"done\\n")
"""

Application = Callable[..., Path]
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True, scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Builds of the tests are cached apart from the user's."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("XDG_CACHE_HOME", str(folder))
        patch.delenv("MIRAGE_TARGET", raising=False)
        patch.delenv("SOURCE_DATE_EPOCH", raising=False)
        yield folder


@pytest.fixture
def application(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Application:
    """Makes an application, its folder the current directory."""

    def make(config: str = CONFIG, *, name: str = "application", **files: str) -> Path:
        folder = tmp_path / name
        for file, text in {"config": config, "app": PROGRAM, **files}.items():
            path = folder / f"{file.replace('__', '/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text).lstrip("\n"))
        monkeypatch.chdir(folder)
        return folder

    return make


@pytest.fixture
def mirage(capfd: pytest.CaptureFixture[str]) -> Command:
    """Runs the command; its exit code, output and error output."""

    def run(*arguments: str) -> tuple[int, str, str]:
        capfd.readouterr()
        code = main(arguments)
        return (code, *capfd.readouterr())

    return run
