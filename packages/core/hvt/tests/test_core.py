"""Core files: the real gdb opens them, and agrees with the fault report."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from mirage.hvt import GuestFault, Tender, build

pytestmark = [pytest.mark.kvm, pytest.mark.tool("gcc"), pytest.mark.slow]

SCRIPT = """
import ctypes, threading
lock = threading.Lock(); lock.acquire()
threading.Thread(target=lock.acquire, daemon=True).start()
ctypes.string_at(0)
"""


def faulty(folder: Path) -> tuple[GuestFault, Path]:
    """A guest with two threads that reads NULL: its end and its core."""
    (folder / "main.py").write_text(SCRIPT)
    image = build(folder / "image.hvt", folder / "main.py")
    with Tender(image.path, memory=32 << 20, core=folder / "core") as tender:
        with pytest.raises(GuestFault) as raised:
            tender.run()
        return raised.value, folder / "core"


@pytest.mark.tool("gdb")
def test_gdb_agrees_with_the_report(tmp_path: Path) -> None:
    """Registers, the instruction, the threads, and, given the interpreter, the function names."""
    fault, core = faulty(tmp_path)
    assert fault.registers is not None
    commands = ["info registers rip rsp", "x/i $rip", "x/2xb $rip", "info threads", "info auxv", "bt 8"]
    words = [word for command in commands for word in ("-ex", command)]
    program = os.path.realpath(getattr(sys, "_base_executable", "") or sys.executable)
    line = ["gdb", "-nx", "-batch", *words, program, str(core)]
    said = subprocess.run(
        line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True, timeout=60
    ).stdout
    assert "SIGSEGV" in said
    rip = fault.registers["rip"]
    assert re.search(rf"rip +{rip:#x}", said)
    assert re.search(rf"rsp +{fault.registers['rsp']:#x}", said)
    assert re.search(rf"=> {rip:#x}[^\n]*:\t\S+", said), "the instruction"
    assert len(re.findall(r"^\*? +\d+ +.*(?:LWP|process|Thread)", said, re.MULTILINE)) == 2
    assert "AT_ENTRY" in said


def test_a_core_is_sparse_and_written_only_for_a_fault(tmp_path: Path) -> None:
    """It takes the room of what the guest touched; a guest that ends well leaves none."""
    _, core = faulty(tmp_path)
    found = core.stat()
    assert found.st_size > 32 << 20
    assert found.st_blocks * 512 < found.st_size * 3 // 4
    core.unlink()
    (tmp_path / "main.py").write_text("")
    with Tender(build(tmp_path / "image.hvt", tmp_path / "main.py").path, memory=32 << 20, core=core) as tender:
        assert tender.run() == 0
    assert not core.exists()
