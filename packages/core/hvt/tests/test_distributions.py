"""Installed distributions as the builder's input: their files, what they require, what is refused."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
from mirage.hvt import BuildError, Tender, build
from mirage.hvt.__main__ import main
from mirage.hvt._distributions import resolve
from mirage.hvt._modules import mentioned


def install(site: Path, name: str, files: dict[str, bytes], requires: tuple[str, ...] = (), tag: str = "any") -> None:
    """Lay a distribution out as an installer does."""
    info = f"{name}-1.0.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
    metadata += "".join(f"Requires-Dist: {one}\n" for one in requires)
    every = {**files, f"{info}/METADATA": metadata.encode(), f"{info}/WHEEL": f"Tag: py3-none-{tag}\n".encode()}
    every[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*every, f"{info}/RECORD"]).encode()
    for path, data in every.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_bytes(data)


def shared_library(machine: int = 62, needed: str = "") -> bytes:
    """A shared library with one segment, and at most one library that it wants."""
    strings = b"\0" + needed.encode() + b"\0"
    dynamic = struct.pack("<4Q", 1, 1, 5, 0x200) if needed else b""
    headers = struct.pack("<IIQQQQQQ", 1, 4, 0, 0, 0, 0x300, 0x300, 4096)
    headers += struct.pack("<IIQQQQQQ", 2, 4, 0x180, 0x180, 0x180, len(dynamic), len(dynamic), 8)
    start = b"\x7fELF\2\1\1".ljust(16, b"\0") + struct.pack(
        "<HHIQQQIHHHHHH", 3, machine, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0
    )
    parts = ((start + headers, 0x180), (dynamic, 0x80), (strings, 0x100))
    return b"".join(part.ljust(size, b"\0") for part, size in parts)


def test_requirements_are_followed_by_their_markers(tmp_path: Path) -> None:
    """What a marker leaves out is not taken; an extra brings what it names; each is taken once, circles too."""
    install(tmp_path, "top", {"top.py": b""}, ("below>=1", "absent; python_version < '3'", "more; extra == 'x'"))
    install(tmp_path, "below", {"below.py": b""}, ("top",))
    install(tmp_path, "more", {"more.py": b""})
    assert [one.name for one in resolve(["top"], [str(tmp_path)])] == ["below", "top"]
    assert [one.name for one in resolve(["top[x]"], [str(tmp_path)])] == ["below", "more", "top"]
    assert [one.name for one in resolve(["top"], [str(tmp_path)], dependencies=False)] == ["top"]


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("no-such-distribution", r"the image needs no-such-distribution, which is not installed"),
        ("top>=2", r"the image needs top>=2, and 1\.0 is installed"),
        ("=top", "no requirement"),
        ("lacking", "lacking needs no-such-distribution, which is not installed"),
        ("broken", r"broken is not whole: .*gone\.py is missing"),
        ("musl", r"musl is a wheel for musl \(py3-none-musllinux_1_2_x86_64\)"),
    ],
)
def test_what_cannot_be_taken_is_named(tmp_path: Path, wanted: str, words: str) -> None:
    """The error says which distribution, and who asked for it."""
    install(tmp_path, "top", {"top.py": b""})
    install(tmp_path, "lacking", {}, ("no-such-distribution",))
    install(tmp_path, "broken", {"gone.py": b""})
    (tmp_path / "gone.py").unlink()
    install(tmp_path, "musl", {}, tag="musllinux_1_2_x86_64")
    with pytest.raises(BuildError, match=words):
        resolve([wanted], [str(tmp_path)])


def test_what_no_program_reads_is_left_out(tmp_path: Path) -> None:
    """Tests, stubs and headers go; data and metadata stay."""
    files = ["p/__init__.py", "p/__init__.pyi", "p/tests/test_p.py", "p/data.txt", "p/api.h", "p/tests.py", "x.pth"]
    install(tmp_path, "p", dict.fromkeys(files, b""))
    taken = resolve(["p"], [str(tmp_path)])[0].files
    info = ["p-1.0.dist-info/METADATA", "p-1.0.dist-info/RECORD"]
    assert sorted(taken) == [*info, "p/__init__.py", "p/data.txt", "p/tests.py"]


@pytest.mark.tool("gcc")
@pytest.mark.slow
@pytest.mark.parametrize(
    ("library", "words"),
    [
        (shared_library(machine=183), r"p 1\.0: .*/p/m\.so is built for another architecture"),
        (shared_library(needed="libc.musl-x86_64.so.1"), r"p 1\.0: .*/p/m\.so is built for musl"),
        (shared_library(needed="libabsent.so.3"), r"p 1\.0: .*/p/m\.so wants libabsent\.so\.3"),
        (b"#!", r"p 1\.0: .*/p/m\.so is not an ELF file"),
    ],
)
def test_a_library_that_the_guest_cannot_load_is_named(tmp_path: Path, library: bytes, words: str) -> None:
    """With its distribution and its file."""
    install(tmp_path, "p", {"p/m.so": library})
    (tmp_path / "main.py").write_text("")
    with pytest.raises(BuildError, match=words):
        build(tmp_path / "image.hvt", tmp_path / "main.py", path=[str(tmp_path)], distributions=["p"])


def test_modules_that_a_compiled_one_names_are_found() -> None:
    """Wherever the name stands; those that no program imports are not."""
    assert mentioned(b"\0decimaluuid\0_x\0idlelib") == {"decimal", "uuid"}


@pytest.mark.tool("gcc")
@pytest.mark.slow
def test_the_manifest_names_distributions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With their versions, beside the hash of every file."""
    install(tmp_path, "p", {"p.py": b""})
    (tmp_path / "main.py").write_text("")
    build(tmp_path / "image.hvt", tmp_path / "main.py", path=[str(tmp_path)], distributions=["p"])
    assert main(["show", "--json", str(tmp_path / "image.hvt")]) == 0
    manifest = json.loads(capsys.readouterr().out)
    assert manifest["distributions"] == {"p": "1.0"}
    assert manifest["files"]["/usr/lib/mirage/site/p.py"]["size"] == 0


@pytest.mark.kvm
@pytest.mark.tool("gcc")
@pytest.mark.slow
def test_data_and_metadata_of_a_distribution_are_in_the_guest(tmp_path: Path) -> None:
    """`importlib.resources` reads the one, `importlib.metadata` the other; what it imports of the library is there."""
    install(tmp_path, "p", {"p/__init__.py": b"def f():\n    import colorsys\n    return colorsys", "p/a.txt": b"data"})
    script = tmp_path / "main.py"
    script.write_text(
        "import importlib.metadata, importlib.resources, p\n"
        "print(importlib.metadata.version('p'), importlib.resources.files('p').joinpath('a.txt').read_text())\n"
        "print(p.f().__name__)\n"
    )
    image = build(tmp_path / "image.hvt", script, path=[str(tmp_path)], distributions=["p"])
    said: list[bytes] = []
    with Tender(image.path, console=said.append) as tender:
        status = tender.run()
    assert (b"".join(said).decode(), status) == ("1.0 data\ncolorsys\n", 0)
