"""An image's pages in a tender: the same octets, whether they are mapped or copied, and never the file's own."""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mirage.hvt import ImageError, _memory, _over
from mirage.hvt._memory import IMAGE_BASE, LARGE, PAGE, map_image

LARGE_ONES = (1, 2, 4)
SIZE = 5 * LARGE + 3 * PAGE


def image(folder: Path) -> tuple[Path, Any]:
    """A file whose page directory is its second page, and of the header what says so."""
    octets = bytearray(b"".join(n.to_bytes(4, "big") * (PAGE // 4) for n in range(SIZE // PAGE)))
    octets[PAGE : 2 * PAGE] = bytes(PAGE)
    for n in LARGE_ONES:
        octets[PAGE + 8 * n] = 0xE5
    path = folder / "image"
    path.write_bytes(octets)
    return path, SimpleNamespace(directory=IMAGE_BASE + PAGE)


def mapped(path: Path, header: Any) -> mmap.mmap:
    """The pages, while the file is open no longer."""
    with path.open("rb") as file:
        return map_image(file.fileno(), SIZE, header)


@pytest.mark.parametrize("way", ["as this machine does", "copied", "too large to copy", "no large pages", "no answer"])
def test_the_octets_are_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """What a guest writes stays its own, in mapped parts, in copied ones, and across their edges."""
    path, header = image(tmp_path)
    before = path.read_bytes()
    if way == "copied":
        monkeypatch.setattr(_over, "map_large", lambda *_: [])
    elif way == "too large to copy":
        monkeypatch.setattr(_memory, "_COPIED", 0)
    elif way != "as this machine does":

        def asked(*_: object) -> bool:
            if way == "no answer":
                raise OSError
            return False

        monkeypatch.setattr(_over, "_all_large", asked)
    with mapped(path, header) as memory:
        assert len(memory) == SIZE
        assert memory[:] == before
        for at in (0, LARGE - 2, 3 * LARGE - 2, 4 * LARGE - 2, SIZE - 4):
            memory[at : at + 4] = b"mine"
        assert memory[LARGE - 2 : LARGE + 2] == b"mine"
    assert path.read_bytes() == before


def test_runs_are_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neighbours are one run, and only large pages are tried."""
    path, header = image(tmp_path)
    asked: list[Any] = []
    monkeypatch.setattr(_over, "map_large", lambda memory, file, runs: asked.extend(runs) or [])
    mapped(path, header).close()
    assert asked == [(LARGE, 2 * LARGE), (4 * LARGE, LARGE)]


def test_a_file_that_was_cut_short(tmp_path: Path) -> None:
    """It is said, also where the end would be copied after what is mapped."""
    path, header = image(tmp_path)
    os.truncate(path, SIZE - PAGE)
    with pytest.raises(ImageError, match="cut short"):
        mapped(path, header)
