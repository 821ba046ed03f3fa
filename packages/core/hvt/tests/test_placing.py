"""Where files lie in an image: nothing overlaps, large code begins where large pages do, and W^X holds in them too."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mirage.hvt._layout import (
    BASE,
    LARGE,
    LARGE_PAGE,
    NO_EXECUTE,
    PAGE,
    READ,
    READ_EXECUTE,
    READ_WRITE,
    WRITE,
    Memory,
    Node,
    pages,
)
from mirage.hvt._placing import most_pages, place

Boot = Callable[..., Any]
FILES = st.lists(st.tuples(st.integers(0, 700), st.integers(0, 1200), st.integers(0, 40)), max_size=12)


def library(name: str, before: int, code: int, data: int) -> Node:
    """A file of pages that may be read, then run, then written."""
    runs = [(before, code, READ_EXECUTE), (before + code, data, READ_WRITE)]
    return Node(name, bytes((before + code + data) * PAGE), 0o100644, runs=[run for run in runs if run[1]])


@given(FILES, st.integers(1, 2000))
def test_files_lie_one_after_the_other(shapes: list[tuple[int, int, int]], first: int) -> None:
    """Each file has its own pages, and no more are taken than was said before."""
    nodes = [library(f"/{n}", *shape) for n, shape in enumerate(shapes)]
    start = end = BASE + first * PAGE
    placed = list(place(nodes, start))
    assert {node.path for node, _ in placed} == {node.path for node in nodes}
    for node, address in placed:
        assert address >= end
        end = address + pages(len(node.data or b"")) * PAGE
        if any(count >= LARGE // PAGE and allowed == READ_EXECUTE for _, count, allowed in node.runs):
            assert (address + node.runs[0][0] * PAGE) % LARGE == 0
    assert (end - start) // PAGE <= most_pages(nodes)


def test_large_pages_are_those_that_are_all_alike_and_never_written() -> None:
    """Code and data that is only read get them; what may be written, and what is mixed, does not."""
    memory = Memory()
    memory.add(b"", READ_WRITE, 3 * LARGE)
    files = memory.end
    for allowed in (READ, READ_EXECUTE, READ_WRITE, 0):
        memory.add(b"", allowed, LARGE)
    memory.add(b"", READ, LARGE - PAGE)
    memory.add(b"", READ_EXECUTE, PAGE)
    entries = struct.unpack("<8Q", memory.directory_entries(BASE + PAGE, files))
    assert [bool(entry & LARGE_PAGE) for entry in entries] == [False] * 3 + [True, True, False, False, False]
    assert entries[3] & NO_EXECUTE
    assert not entries[3] & WRITE
    assert not entries[4] & (NO_EXECUTE | WRITE)
    assert entries[4] & -LARGE & (1 << 52) - 1 == BASE + 4 * LARGE
    assert entries[7] == BASE + PAGE + 7 * PAGE | 7


@pytest.mark.kvm
@pytest.mark.tool("gcc")
@pytest.mark.slow
def test_a_page_inside_a_large_one_is_protected_alone(boot: Boot) -> None:
    """A page of a library's code that is made unreachable faults; its neighbours, and the code before, still run."""
    outcome = boot("""
        import ctypes, re
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        large, page = 2 << 20, 4096
        found = re.search(r"^(\\w+)-(\\w+) r-xp .*libpython", open("/proc/self/maps").read(), re.M)
        first, end = (int(digits, 16) for digits in found.groups())
        assert first % large == 0 and first + large <= end
        # The last page of the large one: little of CPython lies there, and none of it is needed here.
        victim = first + large - page
        kept = ctypes.string_at(victim, page), ctypes.string_at(victim - page, page)
        print(libc.mprotect(victim, page, 1), ctypes.string_at(victim, page) == kept[0])
        print(libc.mprotect(victim, page, 7), ctypes.get_errno())
        print(libc.mprotect(victim, page, 0), ctypes.string_at(victim - page, page) == kept[1])
        print(libc.mprotect(victim, page, 5), ctypes.get_errno(), flush=True)
        ctypes.string_at(victim, 1)
    """)
    assert outcome.output.splitlines() == ["0 True", "-1 13", "0 True", "-1 13"]
    assert "reading nothing" in outcome.fault or "reading a protected page" in outcome.fault
