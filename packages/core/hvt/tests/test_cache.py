"""The builder's cache: kept by what goes in, and never believed when it is damaged."""

from __future__ import annotations

from pathlib import Path

import pytest
from mirage.hvt import build
from mirage.hvt._cache import cached


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_work_is_done_once_for_the_same_inputs_and_again_for_others() -> None:
    """Kind, inputs and source all count."""
    done: list[str] = []

    def work() -> bytes:
        done.append("once")
        return b"result"

    cases = [("a", ("x",), b"1"), ("b", ("x",), b"1"), ("a", ("y",), b"1"), ("a", ("x",), b"2")]
    for kind, inputs, source in cases * 2:
        assert cached(kind, inputs, source, work) == b"result"
    assert len(done) == len(cases)


@pytest.mark.parametrize("damage", [b"", b"short", bytes(100)])
def test_a_damaged_entry_is_worked_out_anew(folder: Path, damage: bytes) -> None:
    """Empty, cut short, or other octets; and the entry is whole afterwards."""
    assert cached("a", (), b"1", lambda: b"result") == b"result"
    (entry,) = (path for path in folder.rglob("*") if path.is_file())
    entry.write_bytes(damage)
    assert cached("a", (), b"1", lambda: b"result") == b"result"
    assert cached("a", (), b"1", lambda: b"not asked") == b"result"


@pytest.mark.tool("gcc")
@pytest.mark.slow
def test_an_image_does_not_depend_on_the_cache(tmp_path: Path, folder: Path) -> None:
    """Empty, filled or damaged throughout, the octets are the same."""
    script = tmp_path / "main.py"
    script.write_text("import json\n")
    first = build(tmp_path / "one.hvt", script).sha256
    assert build(tmp_path / "two.hvt", script).sha256 == first
    entries = [path for path in folder.rglob("*") if path.is_file()]
    assert entries
    for entry in entries:
        entry.write_bytes(entry.read_bytes()[:-1] + b"\xff")
    assert build(tmp_path / "three.hvt", script).sha256 == first
