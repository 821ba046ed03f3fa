"""The archives that the kernel unpacks."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from . import cpio


def test_folders_come_before_what_is_in_them() -> None:
    """The kernel makes no folder that has no entry of its own."""
    data = cpio.archive({"a/b/c": cpio.file(b"hello")})
    assert data.index(b"a\0") < data.index(b"a/b\0") < data.index(b"a/b/c\0") < data.index(b"TRAILER!!!\0")
    assert len(data) % 4 == 0


def test_the_order_of_the_entries_does_not_matter() -> None:
    """The same entries are the same octets."""
    entries = {"x": cpio.file(b"1"), "y/z": cpio.link("x"), "dev/null": cpio.character_device(1, 3)}
    assert cpio.archive(entries) == cpio.archive(dict(reversed(entries.items())))


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a//b", "a/", ".", ""])
def test_odd_paths_are_refused(path: str) -> None:
    """What would land elsewhere than it says is an error."""
    with pytest.raises(ValueError, match="relative and normal"):
        cpio.archive({path: cpio.file(b"")})


@pytest.mark.tool("busybox")
def test_busybox_unpacks_it(tmp_path: Path) -> None:
    """Another reader finds the same files, links and modes."""
    entries = {"bin/run": cpio.file(b"#!/bin/sh\n", 0o755), "link": cpio.link("bin/run"), "odd": cpio.file(b"x" * 4097)}
    subprocess.run(["busybox", "cpio", "-id"], input=cpio.archive(entries), cwd=tmp_path, check=True)
    assert (tmp_path / "bin" / "run").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "link").readlink() == Path("bin/run")
    assert (tmp_path / "odd").read_bytes() == b"x" * 4097
