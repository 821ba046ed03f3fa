"""Fault reports: names, the Python stack, return addresses; and that no memory, however odd, makes them fail."""

from __future__ import annotations

import ast
import ctypes
import os
import struct
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mirage.hvt._elf import Elf
from mirage.hvt._fault import _follows_call
from mirage.hvt._pystack import _KNOWN, python_stack
from mirage.hvt._pystack import line_of as line_in_table
from mirage.hvt._symbols import MAGIC, Symbols, pack_symbols

Boot = Callable[..., Any]


def lines_of(code: Any) -> None:
    """Compare every instruction's line with what CPython says."""
    for unit, (line, *_) in enumerate(code.co_positions()):
        assert line_in_table(code.co_linetable, code.co_firstlineno, unit) == line, (code, unit)
    for constant in code.co_consts:
        if hasattr(constant, "co_code"):
            lines_of(constant)


def test_lines_are_those_that_cpython_names() -> None:
    """For each code unit of a large module of the standard library."""
    assert ast.__file__ is not None
    source = Path(ast.__file__).read_text()
    lines_of(compile(source, "ast.py", "exec"))


def test_the_python_stack_of_another_thread_is_read() -> None:
    """Read from outside, as the tender does, it is what `sys._current_frames` says."""
    memory = os.open("/proc/self/mem", os.O_RDONLY)

    def read(address: int, length: int) -> bytes | None:
        try:
            found = os.pread(memory, length, address)
        except (OSError, OverflowError):
            return None
        return found if len(found) == length else None

    here, done = threading.Event(), threading.Lock()
    done.acquire()

    def généré() -> Any:
        here.set()
        done.acquire()
        yield

    thread = threading.Thread(target=lambda: next(généré()))
    thread.start()
    try:
        here.wait()
        while (frame := sys._current_frames()[thread.ident or 0]).f_code.co_name != "généré" or frame.f_lasti < 40:
            pass  # until it waits for the lock
        runtime = ctypes.addressof(ctypes.c_char.in_dll(ctypes.pythonapi, "_PyRuntime"))
        found = python_stack(read, runtime, sys.version_info[:2], thread.ident or 0)
        expected, here_frame = [], sys._current_frames()[thread.ident or 0]
        at: Any = here_frame
        while at is not None:
            expected.append(f"{at.f_code.co_filename}:{at.f_lineno} in {at.f_code.co_qualname}")
            at = at.f_back
        assert found == expected
    finally:
        done.release()
        thread.join()
        os.close(memory)


@given(data=st.data(), version=st.sampled_from([*_KNOWN, (3, 13), (2, 7)]))
def test_no_memory_makes_the_reader_fail(data: st.DataObject, version: tuple[int, int]) -> None:
    """Words that point anywhere, chains without end, lengths beyond all measure: it stops, and raises nothing."""
    rng = data.draw(st.randoms(use_true_random=False))
    words = [0, 0x1000, 0x1008, 0x2000, (1 << 64) - 1, 0x64, 1 << 40]
    known = b"xdebugpy" + struct.pack("<QQ", 0x030D00F0, 0)

    def read(address: int, length: int) -> bytes | None:
        if rng.random() < 0.01 or length > 4096:
            return None
        octets = b"".join(struct.pack("<Q", rng.choice(words)) for _ in range(length // 8 + 1))[:length]
        return (known + octets)[:length] if address == 0x1000 and length > 100 else octets

    found = python_stack(read, 0x1000, version, 0x2000)
    assert len(found) <= 100


def test_a_chain_without_end_is_cut() -> None:
    """A frame that is its own caller, and thread states in a ring."""
    ring = struct.pack("<Q", 0x1000) * 512
    assert python_stack(lambda _, n: ring[:n], 0x1000, (3, 11), 7) == []
    assert len(python_stack(lambda _, n: ring[:n], 0x1000, (3, 11), 0x1000)) <= 100


@given(block=st.binary(max_size=400), address=st.integers(0, (1 << 64) - 1))
def test_no_block_makes_the_symbols_fail(block: bytes, address: int) -> None:
    """An image may come from anywhere."""
    for octets in (block, MAGIC + block, MAGIC + struct.pack("<IIII", 2, 3, 3, 11) + block):
        symbols = Symbols(octets)
        symbols.describe(address)
        symbols.is_text(address)
        symbols.address("_PyRuntime")
        symbols.address("threads", 0x40002000)
        list(symbols.files())


def test_functions_are_found_by_address() -> None:
    """At their first octet, at their last, and after it; not in front of the first, nor outside the file."""
    elf = Elf("x", _a_library())
    functions = sorted(set(elf.functions()))
    value, size, name = next(f for f in functions if f[2] == "Py_GetVersion")
    base, extent = 0x50000000, 0x2000000
    symbols = Symbols(pack_symbols([("/lib/x", base, extent, elf)], (3, 11)))
    names = {n for v, _, n in functions if v == value}
    assert symbols.describe(base + value) in {f"/lib/x: {n}+0x0" for n in names}
    assert symbols.describe(base + value + size - 1).endswith(f"+{size - 1:#x}")
    assert symbols.describe(base + functions[0][0] - 1).startswith("/lib/x+")
    assert symbols.describe(base - 1) == symbols.describe(base + extent) == ""
    assert symbols.is_text(base + value)
    assert not symbols.is_text(base)
    assert name in names


def _a_library() -> bytes:
    """The file that holds this interpreter's C code."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        file = line.split()[-1]
        if "libpython3" in file:
            return Path(file).read_bytes()
    return Path(os.path.realpath(sys.executable)).read_bytes()


@pytest.mark.parametrize(
    ("octets", "is_call"),
    [
        ("9090e800000000", True),  # call rel32
        ("9090909090ffd0", True),  # call *%rax
        ("ff5010", True),  # call *0x10(%rax)
        ("ff9080000000", True),  # call *0x80(%rax)
        ("ff94c880000000", True),  # call *0x80(%rax,%rcx,8)
        ("ff1500100000", True),  # call *0x1000(%rip)
        ("90909090909090", False),
        ("9090909090ffe0", False),  # jmp *%rax
    ],
)
def test_calls_are_told_from_other_instructions(octets: str, is_call: bool) -> None:
    """A word on the stack counts as a return address only behind one of the forms of `call`."""
    assert _follows_call(bytes.fromhex(octets).rjust(7, b"\x90")) == is_call


@pytest.mark.kvm
@pytest.mark.tool("gcc")
@pytest.mark.slow
@pytest.mark.parametrize("thread", [False, True])
def test_a_report_names_function_and_python_stack(boot: Boot, thread: bool) -> None:
    """A C extension reads NULL, in the main thread or another one while the first waits."""
    outcome = boot(f"""
        import ctypes, threading
        def culprit(): ctypes.string_at(0)
        class Deed:
            def do(self): culprit()
        if {thread}:
            other = threading.Thread(target=Deed().do)
            other.start()
            other.join()
        Deed().do()
    """)
    report = outcome.fault
    assert "reading nothing at 0x0\nin /usr/lib/mirage/libc.so.6" in report
    stack = report.partition("Python stack, innermost first:\n")[2].split("what may be")[0].splitlines()
    assert "ctypes/__init__.py:" in stack[0]
    assert stack[0].endswith(" in string_at")
    assert stack[1:3] == ["  /app/main.py:3 in culprit", "  /app/main.py:5 in Deed.do"]
    assert ("Thread.run" in stack[3]) == thread
    assert "PyObject_" in report.partition("what may be return addresses")[2]


@pytest.mark.kvm
@pytest.mark.tool("gcc")
@pytest.mark.slow
def test_a_wild_jump_has_a_python_stack(boot: Boot) -> None:
    """Executing the heap is a fault outside every file, and the stack still says who did it."""
    outcome = boot("""
        import ctypes
        def culprit():
            code = ctypes.create_string_buffer(b"\\xc3")
            ctypes.PYFUNCTYPE(ctypes.c_int)(ctypes.addressof(code))()
        culprit()
    """)
    assert "executing a protected page" in outcome.fault
    assert "  /app/main.py:5 in culprit\n  /app/main.py:6 in <module>\n" in outcome.fault
