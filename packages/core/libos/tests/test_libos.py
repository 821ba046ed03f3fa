"""The library OS as files: its tables, and that it compiles to what the image builder expects."""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from mirage.libos import (
    SOURCES,
    CompilerFailed,
    NoCompiler,
    closures,
    compiled,
    layout,
    library,
    system_calls,
    table,
)
from mirage.libos._build import compiled_closures

GUIDE = next((p / "docs" / "libos.md" for p in Path(__file__).resolve().parents if (p / "noxfile.py").exists()), None)


def test_the_table_has_each_call_once_in_order() -> None:
    """The designated initialisers of the C table would let a later line win in silence."""
    numbers = [call.number for call in system_calls()]
    assert numbers == sorted(set(numbers))
    names = [call.name for call in system_calls()]
    assert len(names) == len(set(names))


def test_every_line_of_the_table_is_read() -> None:
    """No line escapes the reader, and so the guide."""
    text = Path(SOURCES, "calls.def").read_text()
    assert text.count("\nCALL(") == len(system_calls())


def test_the_table_agrees_with_the_header_of_linux() -> None:
    """Numbers and names are those of the x86-64 interface."""
    header = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
    if not header.exists():
        pytest.skip("needs the kernel's header: apt-get install linux-libc-dev")
    words = [line.split() for line in header.read_text().splitlines() if line.startswith("#define __NR_")]
    linux = {name.removeprefix("__NR_"): int(number) for _, name, number in words}
    assert {call.name: call.number for call in system_calls()} == {c.name: linux[c.name] for c in system_calls()}


def test_the_guide_shows_the_table() -> None:
    """`docs/libos.md` holds the table of this tree; write `mirage.libos.table()` into it after a change."""
    if GUIDE is None:
        pytest.skip("needs the source tree: the guide is not part of the package")
    assert table() in GUIDE.read_text(), "docs/libos.md: replace the table by the output of mirage.libos.table()"


@pytest.mark.tool("gcc")
@pytest.mark.slow
def test_it_compiles_once_and_to_the_same_octets(tmp_path: Path) -> None:
    """The same sources and compiler give the same file, and a second call compiles nothing."""
    first = compiled(tmp_path / "a")
    modified = first.stat().st_mtime_ns
    assert compiled(tmp_path / "a").stat().st_mtime_ns == modified
    assert compiled(tmp_path / "b").read_bytes() == first.read_bytes()


@pytest.mark.tool("gcc")
@pytest.mark.slow
def test_text_is_not_writable_and_data_not_executable() -> None:
    """Two segments, page by page: read and execute, read and write; the first where the layout says."""
    data = library().read_bytes()
    offset, count = struct.unpack_from("<Q", data, 32)[0], struct.unpack_from("<H", data, 56)[0]
    headers = [struct.unpack_from("<IIQQQQQQ", data, offset + 56 * i) for i in range(count)]
    loaded = [(flags, address) for kind, flags, _, address, *_ in headers if kind == 1]
    assert [flags for flags, _ in loaded] == [5, 6]
    assert loaded[0][1] == layout()["LIBOS_BASE"]
    assert loaded[1][1] % layout()["PAGE"] == 0


def test_no_compiler_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what to install."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(NoCompiler, match="apt-get install gcc"):
        compiled(tmp_path)


def test_a_compiler_that_fails_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the compiler said is in the error."""
    fake = tmp_path / "cc"
    fake.write_text('#!/bin/sh\ncase "$1" in --version) echo fake;; *) echo "no such luck" >&2; exit 1;; esac\n')
    fake.chmod(0o755)
    monkeypatch.setenv("CC", str(fake))
    with pytest.raises(CompilerFailed, match="no such luck"):
        compiled(tmp_path)


@pytest.mark.tool("objdump")
@pytest.mark.tool("gcc")
@pytest.mark.slow
def test_no_vector_register_is_used() -> None:
    """They are the application's, and nobody saves them on the way in: whichever compiler, whatever its defaults."""
    done = subprocess.run(["objdump", "-d", str(library())], capture_output=True, text=True, check=True)
    assert "<handle_syscall>" in done.stdout
    assert not re.findall(r".*%(?:[xyz]?mm|st|k)\(?\d.*", done.stdout)


def test_a_wheel_brings_the_compiled_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it lies beside the modules, no compiler is asked."""
    from mirage.libos import _build

    shipped, other = tmp_path / "libos.elf", tmp_path / "closures.so"
    shipped.touch()
    other.touch()
    monkeypatch.setattr(_build, "SHIPPED", shipped)
    monkeypatch.setattr(_build, "SHIPPED_CLOSURES", other)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (library(), closures()) == (shipped, other)
    if GUIDE is None:  # no source tree, so this is a wheel
        monkeypatch.undo()
        assert _build.SHIPPED.exists()
        assert _build.SHIPPED_CLOSURES.exists()


CALLBACKS = """
import ctypes
kind = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double, ctypes.c_int)
held = [kind(lambda x, n, i=i: x + n + i) for i in range(3000)]
print(sum(f(0.5, 1) for f in held))
print(len({ctypes.cast(f, ctypes.c_void_p).value % 16 for f in held}))
"""


@pytest.mark.tool("gcc")
@pytest.mark.slow
def test_closures_out_of_a_table(tmp_path: Path) -> None:
    """On this machine too, whose libffi is the same: callbacks are right, and the library's text is never writable."""
    made = compiled_closures(tmp_path / "a")
    assert made.read_bytes() == compiled_closures(tmp_path / "b").read_bytes()
    environment = {**os.environ, "LD_PRELOAD": str(made)}
    said = subprocess.run(
        [sys.executable, "-c", CALLBACKS], capture_output=True, text=True, check=True, env=environment
    )
    assert said.stdout.split() == [str(sum(1.5 + i for i in range(3000))), "1"]
    data = made.read_bytes()
    offset, count = struct.unpack_from("<Q", data, 32)[0], struct.unpack_from("<H", data, 56)[0]
    kinds = [struct.unpack_from("<II", data, offset + 56 * i) for i in range(count)]
    assert all(flags & 3 != 3 for kind, flags in kinds if kind == 1)
