"""The target hvt: from a config.py to a virtual machine that runs the application."""

from __future__ import annotations

import datetime
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mirage.tool.cli import main

TREE = next((p for p in Path(__file__).resolve().parents if (p / "noxfile.py").exists()), None)
DIRECTORY = """
from mirage.tool.devices import *
app = foreign("app:main", takes=(KV_RO,), gives=JOB)
register("app", app(directory("/srv")))
"""


@pytest.fixture
def almanac(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the example, the current directory."""
    if TREE is None:
        pytest.skip("needs the source tree: the example is not part of the package")
    folder = tmp_path / "almanac"
    shutil.copytree(
        TREE / "docs" / "examples" / "almanac", folder, ignore=shutil.ignore_patterns("_build", "__pycache__")
    )
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.kvm
@pytest.mark.tool("gcc")
@pytest.mark.slow
def test_the_example_runs_as_a_virtual_machine(almanac: Path) -> None:
    """Console, clock, built-in files and a boot argument; the exit code of a wrong argument is the program's."""
    sayings = {file.stem: file.read_text() for file in (almanac / "sayings").iterdir()}
    command = [sys.executable, "-m", "mirage.tool.cli", "run", "-q", "-t", "hvt", "--memory", "64", "--"]
    before = datetime.datetime.now(datetime.UTC)
    result = subprocess.run([*command, "--who", "Ada"], capture_output=True, text=True, check=False)
    possible = [
        f"{day:%Y-%m-%d}, Ada: {sayings[f'{day:%A}'.lower()]}" for day in (before, datetime.datetime.now(datetime.UTC))
    ]
    assert result.stdout in possible, result.stderr
    assert result.returncode == 0
    result = subprocess.run([*command, "--whom"], capture_output=True, text=True, check=False)
    assert "unrecognized arguments: --whom" in result.stdout + result.stderr
    assert result.returncode == 2


@pytest.mark.tool("gcc")
@pytest.mark.slow
def test_an_image_is_the_same_from_the_same_inputs(almanac: Path, mirage) -> None:
    """Wherever it goes; one that is up to date is left alone; `clean` deletes it, and nothing else is overwritten."""
    assert mirage("build", "-q", "-t", "hvt")[0] == 0
    assert mirage("build", "-q", "-t", "hvt", "-o", "other.hvt")[0] == 0
    image = almanac / "_build" / "almanac.hvt"
    assert image.read_bytes() == (almanac / "other.hvt").read_bytes(), "the images differ"
    (almanac / "precious").write_text("mine")
    code, _, errors = mirage("build", "-q", "-t", "hvt", "-o", "precious")
    assert (code, (almanac / "precious").read_text()) == (1, "mine")
    assert "was not written by mirage" in errors
    assert main(["clean", "-q"]) == 0
    assert not image.exists()


@pytest.mark.parametrize("command", ["configure", "build"])
def test_what_a_virtual_machine_lacks_is_said_with_its_line(application, mirage, command: str) -> None:
    """A directory of the host, for it sees none. The target unix has it."""
    application(DIRECTORY, app="async def main(store):\n    pass\n")
    code, _, errors = mirage(command, "-t", "hvt")
    assert code == 1
    assert "config.py:3: directory('/srv') opens files of the host" in errors
    assert mirage("configure", "-t", "unix")[0] == 0


def test_memory_is_a_virtual_machines(application, mirage) -> None:
    """With the target unix, --memory is refused and not ignored; with hvt it goes to the tender."""
    application()
    code, _, errors = mirage("run", "--memory", "64")
    assert code == 2
    assert "--memory is for a virtual machine, and the target is unix" in errors
    text = mirage("run", "-t", "hvt", "--memory", "64", "--dry-run", "--", "--x")[1]
    assert "-m mirage.hvt run --memory 64" in text
    assert text.endswith("app.hvt --x\n")
