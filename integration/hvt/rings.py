"""Programs that try to make ring 0 work for them: at a system call with a hostile stack pointer or the trap flag set.

Each stands where ld.so begins, above a whole library OS. `attempt` boots it and compares what ring 3 must not change:
the descriptor tables, the task segment and the page tables.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from mirage.hvt._format import Header
from mirage.hvt.errors import GuestFault
from mirage.hvt.tender import Tender

from .machine_code import LAYOUT, SYSCALL, TRAP_FLAG, at_system_calls, stack

EXIT = b"\xbf\x2a\0\0\0\xb8\xe7\0\0\0" + SYSCALL  # exit_group(42)
GETPID = b"\xb8\x27\0\0\0" + SYSCALL
_BASE, _PAGE = LAYOUT["IMAGE_BASE"], LAYOUT["PAGE"]


def _hostile(header: Header) -> dict[str, bytes]:
    """The programs; those that end by themselves do so with status 42."""
    stacks = {
        "NULL": 0,
        "an odd address": 3,
        "no address": 1 << 63,
        "unmapped memory": 1 << 45,
        "the page tables": header.page_tables + 512,
        "the tables of the memory": LAYOUT["TABLES_BASE"] + 8192,
        "the interrupt descriptors": header.idt + 512,
        "the task segment": header.task + 64,
        "the library OS's text": LAYOUT["LIBOS_BASE"] + 256,
    }
    found = {f"rsp at {name}": stack(address) + GETPID * 3 + EXIT for name, address in stacks.items()}
    found["trap flag"] = TRAP_FLAG + GETPID + EXIT
    # The trap comes after the instruction that follows popf, so this one comes with the hostile stack pointer.
    found["trap flag, rsp at the page tables"] = TRAP_FLAG + stack(header.page_tables + 512) + GETPID + EXIT
    found["trap flag on the system call"] = b"\xb8\x27\0\0\0" + TRAP_FLAG + SYSCALL + EXIT
    return found


PROGRAMS = tuple(_hostile(Header(**dict.fromkeys(Header.__annotations__, 0))))


def attempt(image: Path, name: str, scratch: Path) -> dict[str, Any]:
    """Boot a program: its status or fault, and the guarded pages that changed."""
    header = Header.unpack(image.read_bytes()[:_PAGE])
    at_system_calls(image, _hostile(header)[name], scratch)
    found: dict[str, Any] = {}
    with Tender(scratch, memory=16 << 20, console=lambda _: None) as tender:
        before = _guarded(tender)
        try:
            found["status"] = tender.run()
        except GuestFault as fault:
            found["fault"] = str(fault)
        after = _guarded(tender)
    found["changed"] = [part for part in before if before[part] != after[part]]
    return found


def _guarded(tender: Tender) -> dict[str, bytes]:
    header = tender.header
    places = {name: getattr(header, name) for name in ("gdt", "idt", "task", "pml4", "pdpt", "tables_directory")}
    found = {name: bytes(tender._image[at - _BASE : at - _BASE + _PAGE]) for name, at in places.items()}
    # Without the accessed and dirty bits, which the processor sets itself.
    for name, keep in (("pml4", ~0x60), ("pdpt", ~0x60), ("tables_directory", ~0x60)):
        words = struct.unpack("<512Q", found[name])
        found[name] = struct.pack("<512Q", *(word & keep & (1 << 64) - 1 for word in words))
    files = (header.files - _BASE) // _PAGE * 8  # ld.so may have its protections changed beyond
    tables = bytes(tender._image[header.page_tables - _BASE : header.page_tables - _BASE + files])
    found["page tables"] = struct.pack(
        f"<{files // 8}Q", *(w & ~0x60 & (1 << 64) - 1 for w in struct.unpack(f"<{files // 8}Q", tables))
    )
    # Behind the entries of the memory's page directory nothing is ever written.
    used = _PAGE + 8 * (tender.memory // (512 * _PAGE))
    found["tables of the memory"] = bytes(tender._tables[used : 2 * _PAGE])
    # The busy bit of the task segment's descriptor is the processor's too.
    gdt = bytearray(found["gdt"])
    gdt[8 * 8 + 5] &= ~2
    found["gdt"] = bytes(gdt)
    return found


def as_it_must(name: str, found: dict[str, Any]) -> bool:
    """A hostile stack pointer is none of the library OS's business: the call works. A trap is a fault like others.

    A system call clears the trap flag (SFMASK); a processor that traps first all the same is reported and stopped.
    """
    trapped = "debug trap in " in found.get("fault", "")
    if name == "trap flag on the system call":
        return trapped or found.get("status") == 42
    return trapped if name.startswith("trap flag") else bool(found.get("status") == 42)
