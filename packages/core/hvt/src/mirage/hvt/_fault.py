"""What a guest's end looks like: the report of an exception that nobody handled, or of a processor that stopped."""

from __future__ import annotations

import struct

from mirage.hvt._kvm import REGISTERS
from mirage.hvt._pystack import python_stack
from mirage.hvt.errors import GuestFault
from mirage.libos import layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from mirage.hvt._memory import GuestMemory
    from mirage.hvt._symbols import Symbols

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
_SIGNALS = {0: 8, 1: 5, 3: 5, 6: 4, 16: 8, 17: 7, 19: 8}
"""The signal that Linux gives for an exception, where that is not SIGSEGV."""
SHOWN = 32
"""Frames of either stack in a report."""
_SCANNED = 4096  # words of the stack

FRAME = struct.Struct("<22Q")
FRAME_NAMES = (
    *("r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi"),
    *("vector", "error", "rip", "cs", "rflags", "rsp", "ss"),
)
"""`struct frame` of the library OS: an interrupted thread's registers, in this order."""


def exception(memory: GuestMemory, address: int, kind: int, thread: int) -> GuestFault:
    """The report of an exception whose frame the library OS left at an address; `kind` is one of FAULT_*.

    `thread` is the base of the FS segment: `pthread_self()` of the thread that ran.
    """
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
    fault = stopped(text, {name: frame[name] for name in REGISTERS}, memory, thread)
    fault.signal = _SIGNALS.get(frame["vector"], 11)
    return fault


def stopped(what: str, registers: dict[str, int], memory: GuestMemory, thread: int) -> GuestFault:
    """The report of a guest that cannot go on, and why: registers, nearest symbol, the stacks as far as they go."""
    symbols = memory.symbols()
    lines = [what]
    if place := symbols.describe(registers["rip"]):
        lines.append(f"in {place}")
    lines.append(registers_table(registers))
    runtime = symbols.address("_PyRuntime")
    if runtime and (frames := python_stack(memory.read, runtime, symbols.version, thread)):
        lines += ["Python stack, innermost first:", *(f"  {frame}" for frame in frames[:SHOWN])]
        if len(frames) > SHOWN:
            lines.append("  ...")
    if calls := list(_return_addresses(memory, symbols, registers["rsp"])):
        lines += ["what may be return addresses on the stack, innermost first:"]
        lines += [f"  {address:#x} {symbols.describe(address)}" for address in calls]
    return GuestFault("\n".join(lines), registers)


def _return_addresses(memory: GuestMemory, symbols: Symbols, stack: int) -> Iterator[int]:
    """Words on the stack that point behind a call instruction. Some are left over from calls that have returned."""
    found = 0
    for i in range(_SCANNED):
        octets = memory.read(stack + 8 * i & (1 << 64) - 1, 8)
        if octets is None:
            return
        address = int.from_bytes(octets, "little")
        if symbols.is_text(address) and _follows_call(memory.read(address - 7, 7)):
            yield address
            found += 1
            if found == SHOWN:
                return


def _follows_call(before: bytes | None) -> bool:
    """Whether the 7 octets before an address end with a call: E8 and a displacement, or FF /2 in its forms."""
    if before is None:
        return False
    if before[2] == 0xE8:
        return True
    # FF /2 with ModRM at the second octet: its length follows from mode, register and whether there is a SIB octet.
    for length in (2, 3, 4, 6, 7):
        opcode, modrm = before[7 - length], before[8 - length]
        if opcode == 0xFF and modrm >> 3 & 7 == 2:
            mode, low = modrm >> 6, modrm & 7
            size = 2 + (mode != 3 and low == 4) + (0, 1, 4, 0)[mode] + (4 if mode == 0 and low == 5 else 0)
            if size == length:
                return True
    return False


def _access(error: int) -> str:
    """What a page fault's error code says was tried (Intel SDM volume 3, 4.7)."""
    action = "executing" if error & 16 else "writing" if error & 2 else "reading"
    return f"{action} {'a protected page' if error & 1 else 'nothing'} at"


def registers_table(registers: dict[str, int]) -> str:
    """The general registers, three to a line."""
    items = [f"{name:>6} {registers[name]:016x}" for name in REGISTERS]
    return "\n".join("  ".join(items[i : i + 3]) for i in range(0, len(items), 3))
