"""Functions as the unwind tables tell of them, beside the symbols; damaged tables."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mirage.hvt._elf import Elf
from mirage.hvt._layout import lay_out
from mirage.hvt._unwind import PT_GNU_EH_FRAME, functions
from mirage.hvt.errors import BuildError

Laid = tuple[Elf, bytes, int]


def laid(libraries: list[Path], name: str) -> Laid:
    """A library, laid out, and where its tables are."""
    (file,) = [file for file in libraries if file.name.startswith(name)]
    elf = Elf(str(file), file.read_bytes())
    return elf, lay_out(elf)[0], next(s.address for s in elf.segments if s.kind == PT_GNU_EH_FRAME)


@pytest.fixture(scope="session")
def linker(c_library: list[Path]) -> Laid:
    """The dynamic linker."""
    return laid(c_library, "ld-")


def test_they_begin_and_end_where_the_symbols_say(linker: Laid) -> None:
    """Of the functions that both know, all begin alike, and nine in ten end alike: symbols may be shorter."""
    elf, data, header = linker
    known = {one.start: one.end for one in functions(data, header)}
    symbols = {start: start + size for start, size, _ in elf.functions() if size}
    shared = known.keys() & symbols.keys()
    assert len(shared) >= 0.9 * len(symbols) > 0
    assert sum(known[start] == symbols[start] for start in shared) >= 0.9 * len(shared)


def test_landing_pads_lie_in_their_functions(c_library: list[Path]) -> None:
    """The C library has some, for its cleanup when a thread is cancelled."""
    elf, data, header = laid(c_library, "libc")
    found = [one for one in functions(data, header) if one.landings]
    assert found
    code = [(s.address, s.address + s.memory_size) for s in elf.loaded if s.flags & 1]
    # A cold part of a function is a function of its own here, so a pad may lie outside.
    assert all(any(low <= at < high for low, high in code) for one in found for at in one.landings)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=8), st.integers(0, 1 << 20))
def test_damage_raises_a_build_error_or_nothing(linker: Laid, changes: list[tuple[int, int]], cut: int) -> None:
    """Whatever octets are changed, and wherever the file ends."""
    _, whole, header = linker
    data = bytearray(whole[: max(header, len(whole) - cut)])
    for at, octet in changes:
        if header + at < len(data):
            data[header + at] = octet
    try:
        for _ in functions(data, header):
            pass
    except BuildError:
        pass


def test_a_table_without_an_index_is_an_error() -> None:
    """A version that is unknown, or no table at all."""
    with pytest.raises(BuildError, match="no index"):
        list(functions(b"\x02\x1b\x03\x3b" + bytes(64), 0))
    with pytest.raises(BuildError, match="end too early"):
        list(functions(b"\x01\x1b", 0))
