"""The tender on an ordinary KVM: a stock Debian kernel with KVM's own modules, on an emulated processor.

There the system-call stub and the exception vectors do run in ring 0. The machine is booted twice under QEMU, with
AMD's virtualisation: with nested page tables, and with shadow paging (kvm-amd's `npt=0`). With MIRAGE_HVT_VMX it is
booted under Bochs instead, with Intel's.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from . import bochs, console, initramfs, inside, qemu, rings

VMX = bool(os.environ.get("MIRAGE_HVT_VMX"))
PROGRAMS = bochs.PROGRAMS if VMX else ("qemu-system-x86_64", "busybox", "gcc")
pytestmark = [pytest.mark.tool(*PROGRAMS), pytest.mark.slow]
Results = dict[str, dict[str, Any]]
Property = Callable[[str, object], None]


def stock_kernel(vendor: str) -> Path:
    """The kernel to boot; skips the tests where there is none."""
    kernel = initramfs.kernel(vendor)
    if kernel is None:
        pytest.skip(f"no stock kernel with kvm-{vendor} under /boot: apt-get install linux-image-cloud-amd64")
    return kernel


def boot_amd(images: tuple[Path, Path], folder: Path, option: str) -> str:
    """What the machine under QEMU says; `option` is kvm-amd's."""
    kernel, archive = stock_kernel("amd"), folder / "initramfs"
    archive.write_bytes(initramfs.make(kernel, *images))
    return qemu.boot(kernel, archive, f"kvm_amd.{option}")


def boot_intel(images: tuple[Path, Path], folder: Path) -> str:
    """What the machine under Bochs says."""
    if lack := bochs.lacking():
        pytest.skip(lack)
    kernel = stock_kernel("intel")
    return bochs.boot(kernel, initramfs.make(kernel, *images, "intel"), folder)


@pytest.fixture(scope="module", params=["vmx"] if VMX else ["npt=1", "npt=0"])
def results(
    request: pytest.FixtureRequest, image: Path, trapping: Path, tmp_path_factory: pytest.TempPathFactory
) -> Results:
    """What every case found, from one boot of the machine."""
    folder = tmp_path_factory.mktemp("machine")
    text = boot_intel((image, trapping), folder) if VMX else boot_amd((image, trapping), folder, request.param)
    assert f"@@@ nested tables {'N' if request.param == 'npt=0' else 'Y'}" in text, text[-4000:]
    found = console.parse(text)
    assert found.keys() == inside.cases().keys(), text[-4000:]
    return found


def result(results: Results, case: str, record: Property) -> dict[str, Any]:
    """One case's, once it is clear that the tender itself did not fail."""
    found = results[case]
    record("seconds", found["seconds"])
    assert "error" not in found, found["error"]
    return found


CLONES = ("resume 1", "resume 2", "rewind")


@pytest.mark.parametrize("case", ["hello", "application", "snapshot", *CLONES, "preemption", "preemption amid traps"])
def test_it_runs(results: Results, case: str, record_property: Property) -> None:
    """Each part of the application ends by itself, with status 0."""
    found = result(results, case, record_property)
    assert found.get("status") == 0, found


def test_asyncio_and_cryptography(results: Results, record_property: Property) -> None:
    """The sums are right, so vector registers survive what interrupts them."""
    words = result(results, "application", record_property)["output"].split()
    assert words == ["499500", "ba7816bf", "0388dace60b6a392f328c2b971b2fe78ab6e47d42cec13bdf53a67b21257bddf"]


def test_clones_go_on_and_differ(results: Results, record_property: Property) -> None:
    """All know that they were resumed, their clocks run, and no two guests draw the same octets."""
    lines = [result(results, case, record_property)["output"].split() for case in ("snapshot", *CLONES)]
    assert [line[:2] for line in lines] == [["0", "True"], *[["1", "True"]] * 3]
    assert len({line[2] for line in lines}) == 4


def test_no_user_instruction_runs_in_ring_0(results: Results, record_property: Property) -> None:
    """Very many interruptions amid system calls: some come in ring 0, all of those in the library OS's own text.

    That some do shows that the question is put; and threads make even progress meanwhile.
    """
    for case in ("preemption", "preemption amid traps"):
        found = result(results, case, record_property)
        assert found["output"].split() == ["True", "True"]
        assert found["interruptions"] > (100 if VMX else 1000)
        assert found["wrong"] == []
    assert found["privileged"] > 0, "nothing was seen in ring 0: this is no ordinary KVM"


@pytest.mark.parametrize("case", inside.FORBIDDEN)
def test_what_is_forbidden_faults(results: Results, case: str, record_property: Property) -> None:
    """The page tables stop it, and the report says what was tried."""
    found = result(results, case, record_property)
    assert found["output"] == "now\n"
    verb = {"execute": "executing", "text": "writing", "read": "reading", "write": "writing"}[inside.FORBIDDEN[case][0]]
    assert f": {verb} " in found["fault"]
    assert "in the application" in found["fault"]


@pytest.mark.parametrize("name", rings.PROGRAMS)
def test_ring_0_never_touches_a_users_stack(results: Results, name: str, record_property: Property) -> None:
    """Hostile stack pointers and the trap flag at a system call change nothing that ring 3 may not change."""
    found = result(results, name, record_property)
    assert found["changed"] == []
    assert rings.as_it_must(name, found), found
