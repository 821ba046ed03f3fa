"""The example application, from its config.py to a running program."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from mirage.tool.cli import main

EXAMPLE = Path(__file__).parents[1] / "examples" / "hello"


@pytest.fixture
def hello(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the example, the current directory."""
    folder = tmp_path / "hello"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("_build", "__pycache__"))
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.slow
def test_builds_and_runs(hello: Path) -> None:
    """What `mirage build` makes is one file that greets, without anything of this environment."""
    assert main(["configure", "--language", "welsh", "-q"]) == 0
    assert main(["build", "-q"]) == 0
    command = [sys.executable, "-I", "-S", "_build/hello.pyz", "--who", "Ann", "--count", "2"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.stdout, result.stderr, result.returncode) == ("Shwmae, Ann!\nShwmae, Ann!\n", "", 0)


@pytest.mark.slow
def test_run_becomes_the_program(hello: Path) -> None:
    """The boot arguments are those after --, the exit code is the program's, and -v says what went in."""
    command = [sys.executable, "-m", "mirage.tool.cli", "run", "-v", "--language", "welsh", "--"]
    result = subprocess.run([*command, "--who", "Bob"], capture_output=True, text=True, check=False)
    assert (result.stdout, result.returncode) == ("Shwmae, Bob!\n", 0), result.stderr
    assert f"mirage-types {version('mirage-types')}, " in result.stderr
    result = subprocess.run([*command, "--whom"], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "unrecognized arguments: --whom" in result.stderr
