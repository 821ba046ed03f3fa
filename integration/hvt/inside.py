"""Runs in the emulated machine: the tender on that machine's /dev/kvm, one case after the other.

Each result is a line on the serial console: `@@ ` and a JSON object with `case`, `seconds` and what the case found;
`error` holds a traceback. `console` reads them.
"""

from __future__ import annotations

import fcntl
import json
import os
import struct
import termios
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mirage.hvt.tender
from mirage.hvt._kvm import Machine
from mirage.hvt.errors import GuestFault
from mirage.hvt.tender import Tender
from mirage.libos import layout

from integration.hvt import rings

IMAGE = "/image/image.hvt"
TRAPPING = "/image/trapping.hvt"
"""An image whose system calls are not rewritten."""
STATE = "/tmp/state"
MEMORY = 48 << 20
_GET_SREGS, _SREGS_SIZE = 0x8138AE83, 312
LAYOUT = layout()
EMPTY = 0x150000000
Found = dict[str, Any]

FORBIDDEN = {
    "execute the heap": ("execute", 0),
    "write the interpreter's text": ("text", 0),
    "read NULL": ("read", 0),
    "write NULL": ("write", 0),
    "write the library OS": ("write", LAYOUT["LIBOS_BASE"]),
    "read the page tables": ("read", LAYOUT["TABLES_BASE"]),
    "write the page tables": ("write", LAYOUT["TABLES_BASE"] + 4096),
    "execute beyond the memory": ("execute", EMPTY),
}


class Watched(Machine):
    """A machine that looks at the privilege level whenever a signal ended the guest's run."""

    seen: list[tuple[int, int]]
    """Privilege level and instruction pointer at each interruption."""

    def enter(self) -> int | None:
        """As `Machine.enter`."""
        reason = super().enter()
        if reason is None and self.run is not None and not self.run[1]:
            state = bytearray(_SREGS_SIZE)
            fcntl.ioctl(self.vcpu, _GET_SREGS, state)
            level = struct.unpack_from("<5x24x24x24x24x24x11xB", state)[0]  # ss.dpl, which is the level
            Watched.seen.append((level, self.registers()["rip"]))
        return reason


def run(*arguments: str, snapshot: str | None = None) -> Found:
    """Boot the image; the status or the fault, and what it printed."""
    said: list[bytes] = []
    with Tender(IMAGE, arguments, memory=MEMORY, console=said.append, snapshot=snapshot) as tender:
        return finish(tender, said)


def finish(tender: Tender, said: list[bytes]) -> Found:
    """Run a tender to its end."""
    try:
        return {"status": tender.run(), "output": b"".join(said).decode()}
    except GuestFault as fault:
        return {"fault": str(fault), "output": b"".join(said).decode()}


def resume() -> Found:
    """One clone of the saved guest."""
    said: list[bytes] = []
    with Tender.resume(STATE, console=said.append) as tender:
        return finish(tender, said)


def rewind() -> Found:
    """A second clone in the virtual machine of the first."""
    said: list[bytes] = []
    with Tender.resume(STATE, console=said.append) as tender:
        finish(tender, said)
        said.clear()
        tender.rewind()
        return finish(tender, said)


def preemption(image: str) -> Found:
    """Spin, by default with the shortest tick, and look at the privilege level of every interruption."""
    Watched.seen = []
    seconds, period = os.environ.get("MIRAGE_SPIN", "4"), int(os.environ.get("MIRAGE_TICK", "500"))
    mirage.hvt.tender.Machine = Watched  # type: ignore[misc,attr-defined]
    try:
        with Tender(image, ["preemption", seconds], memory=MEMORY, console=(said := []).append) as tender:
            text = tender.header.text, tender.header.text_end
            tender._tick = lambda *_: Tender._tick(tender, period, 0, 0)  # type: ignore[method-assign]
            found = finish(tender, said)
    finally:
        mirage.hvt.tender.Machine = Machine  # type: ignore[misc,attr-defined]
    privileged = [rip for level, rip in Watched.seen if level != 3]
    wrong = [hex(rip) for rip in privileged if not text[0] <= rip < text[1]]
    return {**found, "interruptions": len(Watched.seen), "privileged": len(privileged), "wrong": wrong[:10]}


def cases() -> dict[str, Callable[[], Found]]:
    """Every case by name."""
    found: dict[str, Callable[[], Found]] = {
        "hello": run,
        "application": lambda: run("application"),
        "snapshot": lambda: run("snapshot", snapshot=STATE),
        "resume 1": resume,
        "resume 2": resume,
        "rewind": rewind,
        "preemption": lambda: preemption(IMAGE),
        "preemption amid traps": lambda: preemption(TRAPPING),
    }
    for name in rings.PROGRAMS:
        found[name] = lambda name=name: rings.attempt(Path(IMAGE), name, Path("/tmp/spoilt"))  # type: ignore[misc]
    for name, (what, where) in FORBIDDEN.items():
        found[name] = lambda what=what, where=where: run("forbidden", what, str(where))  # type: ignore[misc]
    return found


def main() -> None:
    """Run them all, or those that MIRAGE_CASES names, as a kernel's command line can: `execute_the_heap,hello`."""
    wanted = [name.replace("_", " ") for name in os.environ.get("MIRAGE_CASES", "").split(",") if name]
    for name, case in cases().items():
        if wanted and name not in wanted:
            continue
        start = time.monotonic()
        try:
            found = case()
        except Exception:
            found = {"error": traceback.format_exc()}
        print("@@", json.dumps({"case": name, "seconds": round(time.monotonic() - start, 2), **found}), flush=True)
        if os.isatty(1):
            termios.tcdrain(1)  # what the kernel still holds back when the machine is turned off is lost


if __name__ == "__main__":
    main()
