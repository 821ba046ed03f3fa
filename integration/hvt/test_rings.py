"""Who may run in ring 0: proved from the image's tables and code, and by programs that try to get there.

The programs run on this machine's /dev/kvm; `test_ordinary_kvm` runs the same ones where the stubs are in ring 0.
"""

from __future__ import annotations

import re
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from mirage.hvt._elf import Elf
from mirage.hvt._format import Header
from mirage.libos import layout, library

from . import rings

LAYOUT = layout()
BASE, PAGE = LAYOUT["IMAGE_BASE"], LAYOUT["PAGE"]
pytestmark = [pytest.mark.tool("gcc"), pytest.mark.slow]


@pytest.fixture(scope="module")
def elf() -> Elf:
    """The library OS with its symbols."""
    return Elf("the library OS", library().read_bytes())


@pytest.fixture(scope="module")
def data(image: Path) -> bytes:
    """The image."""
    return image.read_bytes()


@pytest.fixture(scope="module")
def entry(data: bytes) -> Callable[[int], int]:
    """The page-table entry of an address of the image."""
    tables = Header.unpack(data[:PAGE]).page_tables - BASE
    return lambda address: struct.unpack_from("<Q", data, tables + (address - BASE) // PAGE * 8)[0]


def test_every_vector_has_the_interrupt_stack(data: bytes, elf: Elf) -> None:
    """All 32 gates name interrupt stack 1 and a stub between the two labels."""
    header = Header.unpack(data[:PAGE])
    for vector in range(32):
        low, selector, stack, kind, middle, high = struct.unpack_from("<HHBBHI", data, header.idt - BASE + 16 * vector)
        handler = low | middle << 16 | high << 32
        assert (selector, stack) == (LAYOUT["KERNEL_CS"], 1), vector
        assert kind == (0xEE if vector == 3 else 0x8E), vector
        assert elf.symbols["privileged"] <= handler < elf.symbols["privileged_end"], vector
    assert elf.symbols["privileged"] <= header.syscall_stub < elf.symbols["privileged_end"]


def test_ring_3_sees_neither_tables_nor_the_interrupt_stack(data: bytes, entry: Callable[[int], int]) -> None:
    """Descriptor tables, task segment, interrupt stack and page tables are pages of the supervisor, not executable."""
    header = Header.unpack(data[:PAGE])
    stack = struct.unpack_from("<Q", data, header.task - BASE + 36)[0]
    hidden = [BASE, header.gdt, header.idt, header.pml4, header.pdpt, header.tables_directory, header.page_tables]
    hidden += [stack - 1, stack - PAGE, *(header.task + i * PAGE for i in range(3))]
    for address in hidden:
        assert entry(address) & 5 == 1, hex(address)
        assert entry(address) >> 63, hex(address)


def test_no_page_is_writable_and_executable(data: bytes, entry: Callable[[int], int], elf: Elf) -> None:
    """Over the whole image; and ring 0's code is never writable."""
    header = Header.unpack(data[:PAGE])
    for address in range(BASE, header.end, PAGE):
        assert not (entry(address) & 3 == 3 and not entry(address) >> 63), hex(address)
    for address in range(elf.symbols["privileged"] & -PAGE, elf.symbols["privileged_end"], PAGE):
        assert not entry(address) & 2


@pytest.mark.tool("objdump")
def test_the_system_call_stub_leaves_the_callers_stack_alone(elf: Elf) -> None:
    """It saves rsp in a register and takes its own stack before it touches memory; it ends with `iretq` to ring 3."""
    code = disassemble(elf.symbols["syscall_stub"], elf.symbols["vectors"])
    assert re.fullmatch(r"mov\s+%rsp,%r11", code[0])
    own = re.fullmatch(r"mov\s+\$(0x[0-9a-f]+),%rsp", code[1])
    assert own
    assert LAYOUT["LIBOS_BASE"] < int(own[1], 16) <= elf.symbols["libos_end"]
    assert all(line.startswith("push") for line in code[2:7])
    assert code[7].startswith("iretq")
    assert f"${LAYOUT['USER_CS']:#x}" in code[5]


def disassemble(start: int, stop: int) -> list[str]:
    """The instructions from one address to another."""
    command = ["objdump", "-d", "--no-show-raw-insn", f"--start-address={start}", f"--stop-address={stop}"]
    said = subprocess.run([*command, str(library())], capture_output=True, text=True, check=True).stdout
    lines = [line.split(":\t", 1)[1].strip() for line in said.splitlines() if ":\t" in line]
    return [re.sub(r"\s*(#|<).*$", "", line) for line in lines]


@pytest.mark.kvm
@pytest.mark.parametrize("name", rings.PROGRAMS)
def test_no_program_gets_there(image: Path, tmp_path: Path, name: str) -> None:
    """Whatever stack and flags it makes a system call with, it ends as it must, and nothing privileged has changed."""
    found = rings.attempt(image, name, tmp_path / "spoilt.hvt")
    assert found["changed"] == []
    assert rings.as_it_must(name, found), found
