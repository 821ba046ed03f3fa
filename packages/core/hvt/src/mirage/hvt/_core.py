"""Writes a guest that faulted as an ELF core file, which gdb and other debuggers open.

Format: the System V ABI's ELF with type ET_CORE, and Linux's notes (`include/uapi/linux/elfcore.h`, `fs/binfmt_elf.c`):
NT_PRSTATUS for each thread, the one that ran first, NT_AUXV, so that a debugger finds where the program lies, and
NT_FILE. The memory is two segments; pages of zeros are holes in the file.
"""

from __future__ import annotations

import os
import struct

from mirage.hvt._fault import FRAME, FRAME_NAMES
from mirage.libos import layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from mirage.hvt._memory import GuestMemory

L = layout()
PAGE = L["PAGE"]
_CHUNK = 64 * PAGE
_ET_CORE, _EM_X86_64, _PT_LOAD, _PT_NOTE = 4, 62, 1, 4
_NT_PRSTATUS, _NT_AUXV, _NT_FILE = 1, 6, 0x46494C45
_AT_PHDR, _AT_PHENT, _AT_PHNUM, _AT_PAGESZ, _AT_BASE, _AT_ENTRY = 3, 4, 5, 6, 7, 9
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_STATUS = struct.Struct("<3ih2x2Q4i8Q27Qi4x")
# `struct user_regs_struct`, in order.
_USER_REGISTERS = (
    *("r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi"),
    *("orig_rax", "rip", "cs", "rflags", "rsp", "ss", "fs_base", "gs_base", "ds", "es", "fs", "gs"),
)
_THREADS = 256
_LIBRARY_OS = L["LIBOS_BASE"]


def _note(kind: int, content: bytes) -> bytes:
    return struct.pack("<III8s", 5, len(content), kind, b"CORE") + content + bytes(-len(content) % 4)


def _status(number: int, signal: int, registers: dict[str, int]) -> bytes:
    words = {"cs": L["USER_CS"], "ss": L["USER_SS"], "orig_rax": (1 << 64) - 1} | registers
    values = (words.get(name, 0) for name in _USER_REGISTERS)
    return _note(_NT_PRSTATUS, _STATUS.pack(signal, 0, 0, signal, 0, 0, number, 0, 1, 1, *[0] * 8, *values, 0))


def _word(memory: GuestMemory, address: int | None, size: int = 8) -> int:
    octets = memory.read(address, size) if address is not None else None
    return int.from_bytes(octets, "little") if octets else 0


def _threads(memory: GuestMemory) -> Iterator[tuple[int, bool, dict[str, int]]]:
    """Number, whether it is the one that runs, and the registers with which each thread left the application.

    They lie at the top of the thread's stack in the library OS, where every way in from the application puts them.
    """
    symbols = memory.symbols()
    table, count = symbols.address("threads", _LIBRARY_OS), symbols.address("thread_count", _LIBRARY_OS)
    if table is None or count is None:
        return
    running = _word(memory, L["SHARED_ADDRESS"] + L["SHARED_STACK"])
    for i in range(min(_word(memory, count), _THREADS)):
        thread = _word(memory, table + 8 * i)
        top = _word(memory, thread + L["THREAD_TOP_AT"])
        frame = memory.read(top - FRAME.size, FRAME.size)
        if frame is None or not _word(memory, thread + L["THREAD_STATE_AT"], 4):
            continue
        registers = dict(zip(FRAME_NAMES, FRAME.unpack(frame), strict=True))
        registers["fs_base"] = _word(memory, thread + L["THREAD_FS_AT"])
        yield _word(memory, thread + L["THREAD_ID_AT"], 4) & 0x7FFFFFFF, top == running, registers


def _auxiliary(memory: GuestMemory) -> bytes:
    """Where the program and its dynamic linker lie: words 7 to 10 of the library OS's `image`."""
    at = memory.symbols().address("image", _LIBRARY_OS)
    octets = memory.read(at, 96) if at is not None else None
    if octets is None:
        return b""
    base, headers, count, entry = struct.unpack_from("<4Q", octets, 56)
    pairs = [_AT_PHDR, headers, _AT_PHENT, 56, _AT_PHNUM, count, _AT_PAGESZ, PAGE, _AT_BASE, base, _AT_ENTRY, entry]
    return _note(_NT_AUXV, struct.pack(f"<{len(pairs) + 2}Q", *pairs, 0, 0))


def _files(memory: GuestMemory) -> bytes:
    found = [file for file in memory.symbols().files() if file[1] != _LIBRARY_OS]
    ranges = b"".join(struct.pack("<QQQ", low, high, 0) for _, low, high in found)
    names = b"".join(path.encode() + b"\0" for path, _, _ in found)
    return _note(_NT_FILE, struct.pack("<QQ", len(found), PAGE) + ranges + names)


def _notes(memory: GuestMemory, registers: dict[str, int], thread: int, signal: int) -> bytes:
    others, number = b"", 1
    for other, runs, saved in _threads(memory):
        if runs:
            number = other
        else:
            others += _status(other, signal, saved)  # Linux names the same signal in all of them
    return _status(number, signal, registers | {"fs_base": thread}) + _auxiliary(memory) + _files(memory) + others


def write_core(file: int, memory: GuestMemory, registers: dict[str, int], thread: int, signal: int) -> None:
    """Write the core to an empty file that is open: the guest as it stands, with these registers.

    `thread` is the base of the FS segment; `signal` is what a debugger names as the cause.
    """
    notes = _notes(memory, registers, thread, signal)
    loads = memory.regions[:2]  # ring 3 cannot see the page tables
    start = _HEADER.size + _SEGMENT.size * (1 + len(loads))
    segments = _SEGMENT.pack(_PT_NOTE, 4, start, 0, 0, len(notes), 0, 4)
    at = (start + len(notes) + PAGE - 1) // PAGE * PAGE
    for base, mapping in loads:
        segments += _SEGMENT.pack(_PT_LOAD, 7, at, base, base, len(mapping), len(mapping), PAGE)
        _write_sparse(file, at, memoryview(mapping))
        at += len(mapping)
    identity = b"\x7fELF\2\1\1".ljust(16, b"\0")
    header = _HEADER.pack(
        *(identity, _ET_CORE, _EM_X86_64, 1, 0, _HEADER.size, 0, 0),
        *(_HEADER.size, _SEGMENT.size, 1 + len(loads), 0, 0, 0),
    )
    os.pwrite(file, header + segments + notes, 0)
    os.ftruncate(file, at)


def _write_sparse(file: int, at: int, octets: memoryview) -> None:
    zeros = bytes(_CHUNK)
    with octets:
        for offset in range(0, len(octets), _CHUNK):
            chunk = octets[offset : offset + _CHUNK]
            if chunk != zeros[: len(chunk)]:
                os.pwrite(file, chunk, at + offset)
