"""What a guest's end looks like: the report of an exception that nobody handled, or of a processor that stopped."""

from __future__ import annotations

import struct

from mirage.hvt._kvm import REGISTERS
from mirage.hvt.errors import GuestFault
from mirage.libos import layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mirage.hvt._memory import GuestMemory

L = layout()

_NAMES = {
    0: "division error",
    1: "debug trap",
    3: "breakpoint",
    6: "invalid instruction",
    8: "double fault",
    11: "segment not present",
    12: "stack fault",
    13: "general protection fault",
    14: "page fault",
    16: "floating-point error",
    17: "misaligned access",
    19: "SIMD floating-point error",
}
PAGE_FAULT = 14

FRAME = struct.Struct("<22Q")
FRAME_NAMES = (
    *("r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi"),
    *("vector", "error", "rip", "cs", "rflags", "rsp", "ss"),
)
"""`struct frame` of the library OS: an interrupted thread's registers, in this order."""


def exception(memory: GuestMemory, address: int, kind: int) -> GuestFault:
    """The report of an exception whose frame the library OS left at an address; `kind` is one of FAULT_*."""
    frame_octets = memory.read(address, FRAME.size)
    if frame_octets is None:
        return GuestFault("the guest reported a fault with a wild address")
    frame = dict(zip(FRAME_NAMES, FRAME.unpack(frame_octets), strict=True))
    what = _NAMES.get(frame["vector"], f"exception {frame['vector']}")
    where = "the library OS" if kind == L["FAULT_LIBOS"] else "the application"
    text = f"{what} in {where} at {frame['rip']:#x}, error {frame['error']:#x}"
    if frame["vector"] == PAGE_FAULT:
        trap = L["SHARED_ADDRESS"] - L["IMAGE_BASE"] + L["SHARED_TRAP"]
        cr2 = struct.unpack_from("<Q", memory.image, trap + 48)[0]
        text += f": {_access(frame['error'])} {cr2:#x}"
    return GuestFault(f"{text}\n{registers_table(frame)}", {name: frame[name] for name in REGISTERS})


def stopped(what: str, registers: dict[str, int]) -> GuestFault:
    """The report of a guest that cannot go on, and why."""
    return GuestFault(f"{what}\n{registers_table(registers)}", registers)


def _access(error: int) -> str:
    """What a page fault's error code says was tried (Intel SDM volume 3, 4.7)."""
    action = "executing" if error & 16 else "writing" if error & 2 else "reading"
    return f"{action} {'a protected page' if error & 1 else 'nothing'} at"


def registers_table(registers: dict[str, int]) -> str:
    """The general registers, three to a line."""
    items = [f"{name:>6} {registers[name]:016x}" for name in REGISTERS]
    return "\n".join("  ".join(items[i : i + 3]) for i in range(0, len(items), 3))
