"""The system-call filter: what it lets through, computed and tried."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mirage.hvt import build
from mirage.hvt._kvm import RUNNING_REQUESTS
from mirage.hvt._sandbox import CALLS, filter_program

ALLOW, REFUSE, KILL = 0x7FFF0000, 0x00050001, 0x80000000
REQUESTS = {*RUNNING_REQUESTS, 0x400454D0}
X86_64 = 0xC000003E


def judge(number: int, arguments: list[int], architecture: int = X86_64) -> int:
    """Run the program as the kernel does (Linux: Documentation/networking/filter.rst)."""
    words = {0: number, 4: architecture} | {16 + 8 * i: value & 0xFFFFFFFF for i, value in enumerate(arguments)}
    program, at, accumulator = filter_program(CALLS.values(), REQUESTS), 0, 0
    while True:
        code, true, false, operand = program[at]
        at += 1
        if code == 0x20:
            accumulator = words[operand]
        elif code == 0x15:
            at += true if accumulator == operand else false
        elif code == 0x45:
            at += true if accumulator & operand else false
        else:
            return operand


@given(number=st.integers(0, 0xFFFFFFFF) | st.integers(0, 460), arguments=st.lists(st.integers(0, 7), min_size=6))
def test_only_what_is_listed_is_allowed(number: int, arguments: list[int]) -> None:
    """Every number outside the list is refused; memory may be mapped unless it could be executed."""
    allowed = number in CALLS.values() or (number in {9, 10} and not arguments[2] & 4)
    assert judge(number, arguments) == (ALLOW if allowed else REFUSE)
    assert judge(number, arguments, 0x40000003) == KILL, "another architecture's numbers mean other calls"


@given(request=st.integers(0, 0xFFFFFFFF) | st.sampled_from(sorted(REQUESTS)))
def test_only_a_running_processors_ioctls_are_allowed(request: int) -> None:
    """No other virtual machine, no other device."""
    assert judge(16, [3, request, 0, 0, 0, 0]) == (ALLOW if request in REQUESTS else REFUSE)


TRY = """
import fcntl, os, socket, sys, _ctypes
from mirage.hvt import GuestFault, Tender
image, folder = sys.argv[1:]
kvm = os.open("/dev/kvm", os.O_RDWR)
victim = os.getppid()
function = lambda name: _ctypes.dlsym(_ctypes.dlopen(None, 0), name)
errno = lambda name, *words: _ctypes.call_function(function(name), words) == -1 and refuse()
def refuse(): raise PermissionError
attempts = {
    "open": lambda: os.open("/etc/passwd", os.O_RDONLY),
    "write a file": lambda: open(folder + "/new", "w"),
    "unlink": lambda: os.unlink(image),
    "socket": socket.socket,
    "fork": os.fork,
    "execve": lambda: os.execv("/bin/true", ["true"]),
    "kill": lambda: os.kill(victim, 0),
    "setuid": lambda: os.setuid(0),
    "ptrace": lambda: errno("ptrace", 0, 0, 0, 0),
    "mprotect": lambda: errno("mprotect", 0, 4096, 4),
    "another machine": lambda: fcntl.ioctl(kvm, 0xAE01, 0),
    "dup": lambda: os.dup(1),
}
def hook(said):
    for name, attempt in attempts.items():
        try:
            attempt()
            os.write(1, f"{name}: done\\n".encode())
        except PermissionError:
            os.write(1, f"{name}: refused\\n".encode())
with Tender(image, console=hook, memory=32 << 20, core=folder + "/core", snapshot=folder + "/state") as tender:
    tender.confine()
    try:
        tender.run()
    except GuestFault as fault:
        print(fault)
    print("user", os.geteuid())
    raise ValueError("a traceback can be printed")
"""


@pytest.mark.kvm
@pytest.mark.tool("gcc")
@pytest.mark.slow
def test_a_confined_tender_can_do_nothing_else(tmp_path: Path) -> None:
    """A tender that has been taken over is refused all that is tried; report, core and snapshot still come about."""
    (tmp_path / "main.py").write_text(
        "import ctypes, os\nprint('é', flush=True)\nos.write(os.open('/dev/snapshot', 2), b'1')\nctypes.string_at(0)\n"
    )
    (tmp_path / "try.py").write_text(TRY)
    image = build(tmp_path / "image.hvt", tmp_path / "main.py")
    command = [sys.executable, str(tmp_path / "try.py"), str(image.path), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    lines = done.stdout.splitlines()
    tried = [line for line in lines if line.endswith((": refused", ": done"))]
    assert len(tried) == 12, done
    assert all(line.endswith(": refused") for line in tried), tried
    assert "  /app/main.py:4 in <module>" in lines, done
    assert "user 0" not in lines
    assert "ValueError: a traceback can be printed" in done.stderr
    assert (tmp_path / "core").read_bytes()[:4] == b"\x7fELF"
    assert (tmp_path / "state").read_bytes()[:8] == b"MIRAGE-S"
    assert not (tmp_path / "new").exists()
