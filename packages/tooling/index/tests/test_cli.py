"""The `mirage-index` command."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from mirage.index.cli import main
from mirage.index.testing import sdist, wheel


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    """A folder of distribution files."""
    out = tmp_path / "dist"
    out.mkdir()
    for file in (
        wheel("mirage-a", "0.1"),
        sdist("mirage-a", "0.1"),
        wheel("mirage-b", "0.1", ["mirage-a>=0.1,<0.2"]),
    ):
        (out / file.filename).write_bytes(file.data)
    return out


def ask(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    """The command's output, of which the exit code is checked."""
    assert main(words) == code
    return capsys.readouterr().out


def test_a_life(dist: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Built, asked, added to, yanked, verified; JSON where it is wanted."""
    place = ("--dir", str(tmp_path / "index"))
    ask(capsys, *place, "build", str(dist), "--base", "http://127.0.0.1:8000", "--uploaded", "1790035200")
    assert ask(capsys, *place, "list").splitlines()[0].split()[:2] == ["mirage-a", "0.1"]
    shown = json.loads(ask(capsys, *place, "show", "mirage-a", "--json"))
    assert shown["dependents"] == ["mirage-b"]
    assert len(shown["files"]) == 2
    assert ask(capsys, *place, "closure", "mirage-b") == "mirage-a==0.1\nmirage-b==0.1\n"
    later = wheel("mirage-a", "0.1.1")
    (tmp_path / later.filename).write_bytes(later.data)
    ask(capsys, *place, "append", str(tmp_path / later.filename), "--uploaded", "1790121600")
    assert json.loads(ask(capsys, "--json", *place, "fits", "mirage-a"))["versions"] == ["0.1", "0.1.1"]
    ask(capsys, *place, "yank", "mirage-a==0.1.1", "it was too early")
    assert "that is: 0.1\n" in ask(capsys, *place, "fits", "mirage-a")
    svg = tmp_path / "growth.svg"
    days = json.loads(ask(capsys, *place, "history", "--svg", str(svg), "--json"))
    assert [(d["packages"], d["releases"]) for d in days] == [(2, 2), (2, 3)]
    assert svg.read_text().startswith("<svg")
    assert json.loads(ask(capsys, *place, "verify", "--json"))["problems"] == []
    page = tmp_path / "index" / "simple" / "index.html"
    page.write_text(page.read_text() + " ")
    assert "simple/index.html" in ask(capsys, *place, "verify", code=1)


def test_errors_are_one_line(dist: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be done is said without a traceback, and an index is not made twice."""
    place = ("--dir", str(tmp_path / "index"))
    assert main([*place, "list"]) == 1
    assert "no index" in capsys.readouterr().err
    assert main([*place, "frobnicate"]) == 2
    assert main([*place, "build", str(dist), "--base", "http://127.0.0.1:8000"]) == 0
    assert main([*place, "build", str(dist), "--base", "http://127.0.0.1:8000"]) == 1
    assert "append" in capsys.readouterr().err


@pytest.mark.tool("ssh-keygen")
def test_the_root_is_signed(dist: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A signature of the right key passes; another key's, a changed root or none does not."""
    for name in ("key", "other"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)], check=True)
        public = (tmp_path / f"{name}.pub").read_text()
        (tmp_path / f"{name}.allowed").write_text(f"release {public}")
    place = ("--dir", str(tmp_path / "index"))
    words = [str(dist), "--base", "http://127.0.0.1:8000", "--sign", str(tmp_path / "key")]
    ask(capsys, *place, "build", *words)
    assert "release signed" in ask(capsys, *place, "verify", "--allowed", str(tmp_path / "key.allowed"))
    assert main([*place, "verify", "--allowed", str(tmp_path / "other.allowed")]) == 1
    sums = tmp_path / "index" / "SHA256SUMS"
    sums.write_text(sums.read_text().replace("simple/index.html", "simple/index.htm"))
    assert main([*place, "verify", "--allowed", str(tmp_path / "key.allowed")]) == 1
    assert "is not release's signature" in capsys.readouterr().err
