"""Images and command lines, as far as they need no guest: formats, errors, what the builder finds."""

from __future__ import annotations

import os
import re
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mirage.hvt import BuildError, HostError, ImageError, Tender, build
from mirage.hvt.__main__ import main
from mirage.hvt._commands import _summary, show_command
from mirage.hvt._elf import Elf
from mirage.hvt._format import FIELDS, MAGIC, Header, pack_arguments, unpack_arguments
from mirage.hvt._modules import Finder, closure, imports


def test_a_header_survives_the_file() -> None:
    """What is packed is what is read."""
    words = {name: 0x40002000 + 4096 * i for i, name in enumerate(FIELDS)} | {"end": 0x40100000}
    assert vars(Header.unpack(Header(**words).pack())) == words


@pytest.mark.parametrize(
    ("data", "words"),
    [(b"", "no image"), (b"\x7fELF" + bytes(500), "no image"), (MAGIC[:15] + b"\x63" + bytes(500), "format 99")],
)
def test_what_is_no_image_is_refused(tmp_path: Path, data: bytes, words: str) -> None:
    """The message says what the file is not, or which format it has."""
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(ImageError, match=words):
        Tender(tmp_path / "x")


def test_a_truncated_image_is_refused(tmp_path: Path) -> None:
    """A header that promises more than the file holds maps nothing."""
    header = Header(**dict.fromkeys(FIELDS, 0x40002000) | {"end": 0x40100000})
    (tmp_path / "x").write_bytes(header.pack().ljust(8192, b"\0"))
    with pytest.raises(ImageError, match="cut short"):
        Tender(tmp_path / "x")


@pytest.mark.parametrize("name", ["gdt", "pdpt", "directory", "tables_directory", "end"])
@pytest.mark.parametrize("address", [0, 0x40000000, 0x40002001, 1 << 63])
def test_addresses_outside_the_image_are_refused(name: str, address: int) -> None:
    """Where the tender writes is checked, for an image may come from anywhere."""
    header = Header(**dict.fromkeys(FIELDS, 0x40002000) | {"end": 0x40100000, name: address})
    with pytest.raises(ImageError, match="damaged"):
        Header.unpack(header.pack())


def test_arguments_survive_the_file() -> None:
    """Empty strings and other alphabets too."""
    arguments, environment = ["python", "", "naïve"], ["A=b c", "B="]
    assert unpack_arguments(pack_arguments(arguments, environment)) == (arguments, environment)
    with pytest.raises(ImageError):
        unpack_arguments(b"short")


def test_imports_are_found_in_every_form() -> None:
    """Absolute, relative, inside functions, by name."""
    source = b"import a.b\nfrom . import c\nfrom ..d import e as f\ndef g():\n    import h\n    import_module('i.j')\n"
    assert set(imports(source, "p.q", "x")) == {"a.b", "p.q", "p.q.c", "p.d", "p.d.e", "h", "i.j"}
    assert "h" not in set(imports(source, "p.q", "x", functions=False))


def test_the_closure_follows_imports_and_their_packages(tmp_path: Path) -> None:
    """A submodule brings its package; what cannot be found is left out."""
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "__init__.py").write_text("")
    (tmp_path / "p" / "m.py").write_text("from . import n\nimport missing")
    (tmp_path / "p" / "n.py").write_text("")
    found = closure(Finder([str(tmp_path)]), ["p.m"], [], [])
    assert [module.name for module in found] == ["p", "p.m", "p.n"]
    assert {module.root for module in found} == {tmp_path}


def test_packages_without_an_init_lie_within_each_other(tmp_path: Path) -> None:
    """A namespace package below another is found without either being imported."""
    (tmp_path / "company" / "cloud" / "storage").mkdir(parents=True)
    (tmp_path / "company" / "cloud" / "storage" / "__init__.py").write_text("from company.cloud import names")
    (tmp_path / "company" / "cloud" / "names.py").write_text("")
    found = closure(Finder([str(tmp_path)]), ["company.cloud.storage"], [], [])
    assert [module.name for module in found] == ["company.cloud.names", "company.cloud.storage"]
    assert {module.root for module in found} == {tmp_path}


def test_other_architectures_are_refused_by_name() -> None:
    """The error names the file."""
    header = bytearray(64)
    header[:6] = b"\x7fELF\2\1"
    struct.pack_into("<HH", header, 16, 3, 183)
    with pytest.raises(BuildError, match=r"arm\.so is built for another architecture"):
        Elf("arm.so", bytes(header))
    with pytest.raises(BuildError, match=r"text\.so is not an ELF file"):
        Elf("text.so", b"#!/bin/sh")


def test_an_unknown_module_is_named(tmp_path: Path) -> None:
    """What the caller asks for by name must exist."""
    (tmp_path / "main.py").write_text("")
    with pytest.raises(BuildError, match="no module no_such_module"):
        build(tmp_path / "x", tmp_path / "main.py", modules=["no_such_module"])


@pytest.mark.parametrize("manifest", [b"", b"{", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"python": 3, "files": []}'])
def test_a_damaged_manifest_is_an_error(tmp_path: Path, manifest: bytes) -> None:
    """Whatever stands where the manifest should be."""
    words = dict.fromkeys(FIELDS, 0x40002000) | {"end": 0x40100000, "manifest_offset": 4096}
    header = Header(**words | {"manifest_size": len(manifest)}).pack()
    (tmp_path / "x").write_bytes(header.ljust(4096, b"\0") + manifest)
    with pytest.raises(ImageError, match="manifest"):
        show_command([str(tmp_path / "x")])
    (tmp_path / "x").write_bytes(Header(**words | {"manifest_size": 1 << 40}).pack().ljust(4096, b"\0"))
    with pytest.raises(ImageError, match="cut short"):
        show_command([str(tmp_path / "x")])


def test_a_manifest_does_not_steer_the_terminal() -> None:
    """An image may come from anywhere."""
    manifest = {"python": "\x1b[2J", "memory": 1, "devices": {}, "writable": [], "distributions": {}, "modules": []}
    assert _summary(manifest | {"files": {}})[0] == "Python         \\x1b[2J"


@pytest.mark.parametrize("memory", [0, 1 << 20, (16 << 20) + 4096, 1 << 40])
def test_memory_of_an_impossible_size_is_refused(tmp_path: Path, memory: int) -> None:
    """Too little, too much, or not whole large pages."""
    (tmp_path / "main.py").write_text("")
    with pytest.raises(BuildError, match="multiple of 2 MiB"):
        build(tmp_path / "x", tmp_path / "main.py", memory=memory)


def test_no_kvm_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what to load, and that there is another target."""
    from mirage.hvt import _kvm

    def refuse(*_: object, **__: object) -> int:
        raise FileNotFoundError

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(HostError, match=r"modprobe kvm_intel.*unix target"):
        _kvm._open()


@pytest.mark.parametrize(
    "words", [[], ["fly"], ["run"], ["run", "--fast", "x"], ["run", "--memory", "lots", "x"], ["resume"]]
)
def test_a_wrong_command_line_says_so(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A usage line or an error, and a status that is not 0."""
    assert main(words) != 0
    assert "mirage-hvt" in capsys.readouterr().err


@pytest.mark.tool("gcc")
@pytest.mark.slow
def test_the_same_inputs_give_the_same_octets(tmp_path: Path) -> None:
    """In another process, and from a script of another age."""
    script = tmp_path / "main.py"
    script.write_text("import json\nprint(json.dumps({'a': 1}))\n")
    image = build(tmp_path / "one.hvt", script)
    script.touch()
    command = [sys.executable, "-m", "mirage.hvt", "build", str(script), "-o", str(tmp_path / "two.hvt")]
    subprocess.run(command, check=True, capture_output=True, env={"PYTHONHASHSEED": "7", "PATH": "/usr/bin:/bin"})
    same = (tmp_path / "two.hvt").read_bytes() == image.path.read_bytes()
    assert same, "the images differ"  # said so, for a difference of megabytes helps nobody


@pytest.mark.kvm
@pytest.mark.tool("gcc")
@pytest.mark.slow
def test_the_command_builds_runs_and_shows(tmp_path: Path) -> None:
    """What the guide shows: hello, with status and standard input."""
    script = tmp_path / "hello.py"
    script.write_text("import sys\nprint('hello', sys.stdin.readline().strip(), sys.argv[1:])\nsys.exit(3)\n")

    def command(*words: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "mirage.hvt", *words]
        return subprocess.run(line, input="you\n", capture_output=True, text=True, check=False)

    image = str(tmp_path / "hello.hvt")
    assert command("build", str(script), "-o", image).returncode == 0
    done = command("run", "--memory", "32", image, "now")
    assert (done.stdout, done.returncode) == ("hello you ['now']\n", 3)
    assert '"/app/hello.py"' in command("show", "--json", image).stdout
    assert re.search(r"^ +2 +0\.00  the application$", command("show", image).stdout, re.MULTILINE)


@pytest.mark.kvm
@pytest.mark.tool("gcc")
@pytest.mark.slow
def test_input_and_signals_end_a_wait(tmp_path: Path) -> None:
    """A guest asleep wakes for a line on its standard input, and for SIGINT from outside, with no polling meanwhile."""
    script = tmp_path / "main.py"
    script.write_text(
        "import select, sys, time\n"
        "print('ready', flush=True)\n"
        "try:\n"
        "    print(select.select([0], [], [])[0], sys.stdin.readline().strip(), flush=True)\n"
        "    while True:\n        time.sleep(1)  # again: CPython may miss what comes just before a sleep\n"
        "except KeyboardInterrupt:\n    print('interrupted')\n"
    )
    image = build(tmp_path / "image.hvt", script)
    command = [sys.executable, "-m", "mirage.hvt", "run", "--times", str(image.path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as tender:
        assert tender.stdin is not None
        assert tender.stdout is not None
        assert tender.stdout.readline() == "ready\n"
        tender.stdin.write("line\n")
        tender.stdin.flush()
        assert tender.stdout.readline() == "[0] line\n"
        tender.send_signal(signal.SIGINT)
        rest, errors = tender.communicate(timeout=30)
    assert (rest, tender.returncode) == ("interrupted\n", 0)
    assert int(errors.split()[-1]) < 200, "exits to the tender"


@pytest.mark.kvm
@pytest.mark.tool("gcc")
@pytest.mark.slow
def test_a_signal_on_the_way_to_sleep_is_not_lost(tmp_path: Path) -> None:
    """Each of many ends a wait, whenever it comes: a guest that has yet to take one is not put to sleep."""
    script = tmp_path / "main.py"
    script.write_text(
        "import signal\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})\n"
        "for i in range(300):\n"
        "    print(i, flush=True)\n"
        "    print(signal.sigtimedwait({signal.SIGUSR1}, 60) and 'woken', flush=True)\n"
    )
    image = build(tmp_path / "image.hvt", script)
    command = [sys.executable, "-m", "mirage.hvt", "run", str(image.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as tender:
        assert tender.stdout is not None
        for i in range(300):
            assert tender.stdout.readline() == f"{i}\n"
            time.sleep(i * 1e-6)
            tender.send_signal(signal.SIGUSR1)
            assert tender.stdout.readline() == "woken\n"


@pytest.mark.kvm
@pytest.mark.tool("gcc")
def test_a_wait_ends_at_once_with_a_signal_not_yet_taken(tmp_path: Path) -> None:
    """The tender gave it while the library OS ran, which then asked to sleep for a minute."""
    (tmp_path / "main.py").write_text("")
    with Tender(build(tmp_path / "image.hvt", tmp_path / "main.py").path) as tender:
        tender._note(signal.SIGINT)
        tender._hand_over_signals()
        start = time.monotonic()
        tender._wait(60 * 10**9, 0, 0)
        assert time.monotonic() - start < 10
