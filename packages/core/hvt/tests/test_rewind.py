"""Clones that take turns in one virtual machine: nothing of the last one is left for the next."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mirage.hvt import GuestFault, HostError, Tender, _rewind, _runs, _snapshot, build
from mirage.hvt._kvm import Machine

numbers = st.sets(st.integers(0, 60))


def runs_of(pages: set[int]) -> list[tuple[int, int]]:
    """The runs of a set of pages."""
    found: list[tuple[int, int]] = []
    for page in sorted(pages):
        if found and sum(found[-1]) == page:
            found[-1] = found[-1][0], found[-1][1] + 1
        else:
            found.append((page, 1))
    return found


@given(numbers, numbers)
def test_without_is_the_difference_of_sets(some: set[int], others: set[int]) -> None:
    """Runs without other runs are the pages of the one set that the other lacks."""
    left = list(_runs.without(runs_of(some), runs_of(others)))
    pages = [first + i for first, length in left for i in range(length)]
    assert pages == sorted(some - others)
    assert all(length > 0 for _, length in left)


def saved(folder: Path, script: str) -> Path:
    """A snapshot of an application."""
    (folder / "main.py").write_text(script)
    image = build(folder / "image.hvt", folder / "main.py")
    with Tender(image.path, memory=64 << 20, console=lambda _: None, snapshot=folder / "state") as tender:
        assert tender.run() == 0
    return folder / "state"


SPOILING = """
import ctypes, mmap, os, threading
import _json
kept = bytearray(b"kept" * 100_000)
constant = ctypes.c_int.in_dll(ctypes.pythonapi, "Py_OptimizeFlag")
device = os.open("/dev/snapshot", os.O_RDWR)
os.write(device, b"1")
clean = bytes(kept) == b"kept" * 100_000, constant.value, sorted(os.listdir("/tmp")), "secret" in globals()
secret = os.urandom(1 << 20) * 8                       # memory that was zeros
kept[:] = bytes(len(kept))                             # memory that was not
constant.value = 7                                     # the data of a library, in the image
open("/tmp/left", "w").write("behind")
guarded = threading.Thread(target=lambda: None)        # a stack with a guard page: page tables change
guarded.start(); guarded.join()
private = mmap.mmap(-1, 1 << 16, prot=mmap.PROT_READ)
print(clean, os.read(device, 9), os.urandom(8).hex(), flush=True)
"""


@given(numbers)
def test_regions_count_the_pages_of_each(pages: set[int]) -> None:
    """Every page is counted in its region of 512."""
    spread = {100 * page for page in pages}
    counts = _runs.regions(runs_of(spread | {page + 1 for page in spread}))
    assert sum(counts.values()) == 2 * len(spread)
    assert set(counts) == {page // 512 for page in spread} | {(page + 1) // 512 for page in spread}


WAYS = {
    "copied": ({}, False),
    "shared": ({}, True),
    "large": ({"_COPIED": 0}, False),  # a memory of which a guest may use a part
    "in too many pieces to map": ({"_MOST_MAPPED": 0}, True),
}
ways = pytest.mark.parametrize("way", WAYS)


@pytest.mark.kvm
@pytest.mark.tool("gcc")
@pytest.mark.slow
@ways
def test_nothing_is_left_of_the_last_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """Memory, the data of libraries, files and protections are as in the first clone; entropy is new."""
    state = saved(tmp_path, SPOILING)
    before = state.read_bytes()
    said: list[bytes] = []
    limits, share = WAYS[way]
    for name, value in limits.items():
        monkeypatch.setattr(_snapshot, name, value)
    with Tender.resume(state, console=said.append, share=share) as tender:
        assert tender.run() == 0
        first = bytes(tender._tables), len(said)
        for _ in range(3):
            tender.rewind()
            assert tender.run() == 0
        assert bytes(tender._tables) == first[0]
    lines = b"".join(said).decode().splitlines()
    assert [line.rpartition(" ")[0] for line in lines] == ["(True, 0, [], False) b'1\\n'"] * 4
    assert len({line.rpartition(" ")[2] for line in lines}) == 4
    assert state.read_bytes() == before


@pytest.mark.kvm
@pytest.mark.tool("gcc")
@pytest.mark.slow
@ways
def test_it_is_as_a_new_clone_octet_by_octet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """After rewinding, image, memory and page tables are those of a guest that was just resumed, but for the seed."""
    state = saved(tmp_path, SPOILING)
    limits, share = WAYS[way]

    def parts(tender: Tender) -> list[bytes]:
        return [part[:] for part in (tender._image, tender._ram, tender._tables)]

    with Tender.resume(state, console=lambda _: None) as fresh:
        for name, value in limits.items():
            monkeypatch.setattr(_snapshot, name, value)
        with Tender.resume(state, console=lambda _: None, share=share) as used:
            used.run()
            used.rewind()
            ours, theirs = parts(used), parts(fresh)
    assert ours[1:] == theirs[1:]
    pages = [at for at in range(0, len(ours[0]), 4096) if ours[0][at : at + 4096] != theirs[0][at : at + 4096]]
    assert len(pages) == 1, "the shared page alone has clocks and the seed"


@pytest.mark.kvm
@pytest.mark.tool("gcc")
@pytest.mark.slow
def test_clones_that_share_have_less_of_their_own(tmp_path: Path) -> None:
    """What a clone does not change is the snapshot's file; clones that run side by side do not see each other."""
    state = saved(tmp_path, SPOILING)
    said: list[bytes] = []

    def private(tender: Tender) -> int:
        return sum(pages for part in (tender._image, tender._ram) for _, pages in _rewind._private(part))

    with (
        Tender.resume(state, console=said.append) as alone,
        Tender.resume(state, console=said.append, share=True) as one,
        Tender.resume(state, console=said.append, share=True) as other,
    ):
        assert private(one) < private(alone) / 2
        assert [tender.run() for tender in (one, other, alone)] == [0, 0, 0]
    lines = b"".join(said).decode().splitlines()
    assert [line.rpartition(" ")[0] for line in lines] == ["(True, 0, [], False) b'1\\n'"] * 3


@pytest.mark.kvm
@pytest.mark.tool("gcc")
@pytest.mark.slow
def test_translations_are_dropped_when_the_page_tables_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that one clone made writable is not so for the next; KVM hears of it only where something changed."""
    told: list[int] = []
    real = Machine.forget_translations
    monkeypatch.setattr(Machine, "forget_translations", lambda self: (told.append(1), real(self)))
    script = (
        "import ctypes, os\n"
        "libc = ctypes.CDLL(None)\n"
        "libc.mmap.restype = ctypes.c_void_p\n"
        "page = libc.mmap(None, 1 << 16, 1, 0x22, -1, 0)\n"
        "device = os.open('/dev/snapshot', 2)\n"
        "os.write(device, b'1')\n"
        "if int(os.read(device, 9)):\n"
        "    if os.read(0, 1) == b'y': assert libc.mprotect(ctypes.c_void_p(page), 1 << 16, 3) == 0\n"
        "    ctypes.memset(page, 1, 1)\n"
        "    print('wrote')\n"
    )
    state = saved(tmp_path, script)
    ours, theirs = os.pipe()
    os.write(theirs, b"yyn")
    said: list[bytes] = []
    try:
        with Tender.resume(state, console=said.append, stdin=ours) as tender:
            for _ in range(2):
                assert tender.run() == 0
                tender.rewind()
            with pytest.raises(GuestFault, match="writing"):
                tender.run()
    finally:
        os.close(ours)
        os.close(theirs)
    assert len(told) == 2
    assert said == [b"wrote\n"] * 2


@pytest.mark.kvm
@pytest.mark.tool("gcc")
@pytest.mark.slow
def test_a_guest_that_cannot_go_back_is_refused(tmp_path: Path) -> None:
    """One that was booted, one that has not run, and one that faulted."""
    state = saved(tmp_path, "import ctypes, os\nos.write(os.open('/dev/snapshot', 1), b'1')\n")
    with Tender(tmp_path / "image.hvt", memory=64 << 20, console=lambda _: None) as booted:
        booted.run()
        with pytest.raises(HostError, match="resumed"):
            booted.rewind()
    with Tender.resume(state, console=lambda _: None) as tender, pytest.raises(HostError, match="resumed"):
        tender.rewind()
    script = (
        "import ctypes, os\nd = os.open('/dev/snapshot', 2)\nos.write(d, b'1')\n"
        "if int(os.read(d, 9)): ctypes.string_at(0)\n"
    )
    with Tender.resume(saved(tmp_path, script), console=lambda _: None) as tender:
        with pytest.raises(GuestFault):
            tender.run()
        with pytest.raises(HostError, match="resumed"):
            tender.rewind()
