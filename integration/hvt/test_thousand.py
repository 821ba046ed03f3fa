"""Boots and resumes in a row, in one process: none fails, nothing is left behind, no two guests draw equal octets.

40 of each; a thousand in the long form.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from mirage.hvt import Tender

pytestmark = [pytest.mark.kvm, pytest.mark.tool("gcc"), pytest.mark.slow]

MEMORY = 48 << 20
LEAK = 4 << 20
"""Octets that the process may grow by in all: Python's own lists and arenas. One mapping left behind is more."""


@pytest.fixture(scope="module")
def times(long_form: bool) -> int:
    """How often."""
    return 1000 if long_form else 40


def descriptors() -> list[str]:
    """What is open in this process."""
    folder = "/proc/self/fd"
    links = [f"{folder}/{number}" for number in os.listdir(folder)]
    return sorted(os.readlink(link) for link in links if os.path.islink(link))


def resident() -> int:
    """Octets of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def mappings() -> int:
    """How many regions the process has mapped."""
    return Path("/proc/self/maps").read_text().count("\n")


def words(tender: Tender, said: list[bytes]) -> list[str]:
    """What a guest that ends well printed."""
    with tender:
        assert tender.run() == 0, b"".join(said)
    return b"".join(said).decode().split()


def boot(image: Path, *arguments: str, state: Path | None = None) -> list[str]:
    """One guest from its beginning."""
    said: list[bytes] = []
    return words(Tender(image, arguments, memory=MEMORY, console=said.append, snapshot=state), said)


def resume(state: Path) -> list[str]:
    """One clone."""
    said: list[bytes] = []
    return words(Tender.resume(state, console=said.append), said)


def test_boots_in_a_row(image: Path, times: int) -> None:
    """Each says hello; descriptors, mappings and memory are as before."""
    for _ in range(5):
        boot(image)
    before = descriptors(), mappings(), resident()
    for i in range(times):
        assert boot(image) == ["hello"], i
    after = descriptors(), mappings(), resident()
    assert after[0] == before[0]
    assert after[1] <= before[1] + 4
    assert after[2] - before[2] < LEAK


def test_resumes_in_a_row(image: Path, times: int, tmp_path: Path) -> None:
    """Each knows that it was resumed, and has random octets that no other has; nothing is left behind."""
    state = tmp_path / "state"
    drawn = {boot(image, "snapshot", state=state)[2]}
    for _ in range(5):
        drawn.add(resume(state)[2])
    before = descriptors(), mappings(), resident()
    for i in range(times):
        resumed, monotonic, octets = resume(state)
        assert (resumed, monotonic) == ("1", "True"), i
        drawn.add(octets)
    after = descriptors(), mappings(), resident()
    assert len(drawn) == times + 6, "two guests drew the same octets"
    assert after[0] == before[0]
    assert after[1] <= before[1] + 4
    assert after[2] - before[2] < LEAK
