"""Lengths, targets and movability of instructions, beside what objdump says of the C library."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mirage.hvt._x86 import decode

CASES = {
    "nop": ("90", True, None),
    "syscall": ("0f05", False, None),
    "mov $39, %eax": ("b827000000", True, None),
    "movabs": ("48b80102030405060708", True, None),
    "mov $1, %ax": ("66b80100", True, None),
    "movabs from an address": ("48a10102030405060708", True, None),
    "test $1, %dil": ("40f6c701", True, None),
    "not %eax": ("f7d0", True, None),
    "lea of what is near": ("488d0510000000", False, None),
    "mov of what is near": ("8b0d00010000", False, None),
    "mov with an index and no base": ("8b04c500000000", True, None),
    "jmp short": ("eb10", False, 18),
    "jz": ("0f84fbffffff", False, 1),
    "call": ("e800000000", False, 5),
    "call of a register": ("ffd0", False, None),
    "jmp through a table": ("3eff24c500000000", False, None),
    "inc of a register": ("ffc0", True, None),
    "ret": ("c3", False, None),
    "endbr64": ("f30f1efa", True, None),
    "vmovdqu": ("c5fe6f06", True, None),
    "vmovdqu of what is near": ("c5fe6f0510000000", False, None),
    "vpalignr": ("c4e37d0fc108", True, None),
    "vmovdqu64": ("62f1fe486f4601", True, None),
    "pshufb": ("660f3800c1", True, None),
    "enter": ("c8100000", True, None),
}
NOTHING = ("06", "0f04", "82c001", "c7f800000000", "66e90000", "d4", "ea", "8fe9", "660f8400000000")


@pytest.mark.parametrize("name", CASES)
def test_one(name: str) -> None:
    """Its length is that of the octets, whatever follows."""
    octets, movable, target = CASES[name]
    code = bytes.fromhex(octets)
    found = decode(code + bytes(16), 0, 32)
    assert found is not None
    assert (found.end, found.movable, found.target) == (len(code), movable, target)


@pytest.mark.parametrize("octets", NOTHING)
def test_what_is_invalid_or_in_doubt_is_none(octets: str) -> None:
    """XBEGIN, and branches with an operand-size prefix, among them."""
    assert decode(bytes.fromhex(octets) + bytes(16), 0, 32) is None


@given(st.binary(max_size=32), st.integers(0, 32))
def test_any_octets(code: bytes, limit: int) -> None:
    """None, or an instruction of 1 to 15 octets that ends within the limit; never an exception."""
    found = decode(code, 0, limit)
    assert found is None or 1 <= found.end <= min(15, limit, len(code))


_LINE = re.compile(r"\s*[0-9a-f]+:\t([0-9a-f ]+)\t(.*)")
_BRANCH = re.compile(r"(?:bnd |notrack |[cd]s )*(?:j\w+|call\w*|loop\w*)(?:,p[nt])?\s+([0-9a-f]+)(?: |,|$)")


@pytest.mark.tool("objdump")
@pytest.mark.slow
def test_the_c_library_as_objdump_reads_it(c_library: list[Path]) -> None:
    """Hundreds of thousands of instructions: the same lengths and targets, and none near is called movable."""
    compared = 0
    for library in c_library:
        command = ["objdump", "-d", "-w", "-j", ".text", str(library)]
        for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines():
            match = _LINE.match(line)
            if match is None or "(bad)" in line or "xbegin" in line:
                continue
            code, text = bytes.fromhex(match[1].replace(" ", "")), match[2]
            found = decode(code + bytes(16), 0, 32)
            assert found is not None, line
            assert found.end == len(code), line
            branch, place = _BRANCH.match(text), int(line.split(":")[0], 16)
            assert found.target == (int(branch[1], 16) - place if branch else None), line
            assert not (found.movable and ("(%rip)" in text or branch)), line
            compared += 1
    assert compared > 100_000
