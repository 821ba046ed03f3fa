"""Guests of a few instructions: machine code where the library OS begins, for what no honest guest does."""

from __future__ import annotations

import struct
from pathlib import Path

from mirage.hvt._format import Header
from mirage.libos import layout

LAYOUT = layout()
ARGUMENTS = LAYOUT["SHARED_ADDRESS"] + LAYOUT["SHARED_CALL"]
SMALL = 8 << 20
"""Octets of memory of such a guest."""


def store(address: int, value: int) -> bytes:
    """`movabs $value, %rax; movabs %rax, address`."""
    return b"\x48\xb8" + struct.pack("<Q", value) + b"\x48\xa3" + struct.pack("<Q", address)


def hypercall(port: int, *arguments: int) -> bytes:
    """The arguments into the shared page, then `mov $port, %edx; out %eax, (%dx)`."""
    stores = [store(ARGUMENTS + 8 * i, value) for i, value in enumerate(arguments)]
    return b"".join(stores) + b"\xba" + struct.pack("<I", port) + b"\xef"


def stack(address: int) -> bytes:
    """`movabs $address, %rsp`."""
    return b"\x48\xbc" + struct.pack("<Q", address)


LIBOS_STACK = store(LAYOUT["SHARED_ADDRESS"] + LAYOUT["SHARED_STACK"], LAYOUT["RAM_BASE"] + SMALL)
"""Where the library OS handles what comes: the end of the memory."""
TRAP_FLAG = bytes.fromhex("9c 48810c2400010000 9d")  # pushf; orq $0x100, (%rsp); popf
SYSCALL = b"\x0f\x05"


def spoil(image: Path, code: bytes, output: Path) -> Path:
    """An image with machine code where the guest begins; it overwrites the library OS from there on."""
    data = bytearray(image.read_bytes())
    header = Header.unpack(bytes(data[: LAYOUT["PAGE"]]))
    at = header.start - LAYOUT["IMAGE_BASE"]
    if len(code) > 16384:
        raise ValueError("so much code would reach beyond the library OS")
    data[at : at + len(code)] = code
    output.write_bytes(data)
    return output


def at_system_calls(image: Path, code: bytes, output: Path) -> Path:
    """An image whose program interpreter begins with machine code: the library OS is whole, and serves it."""
    data = bytearray(image.read_bytes())
    base = LAYOUT["IMAGE_BASE"]
    entry = interpreter_entry(bytes(data))
    data[entry - base : entry - base + len(code)] = code
    output.write_bytes(data)
    return output


def interpreter_entry(data: bytes) -> int:
    """Where an image's ld.so begins: the seventh word of `struct image`, found by the words around it."""
    header = Header.unpack(data[: LAYOUT["PAGE"]])
    # struct image starts with `files` and `end`; `arguments_offset` tells the first, the header the second.
    mark = struct.pack("<QQ", header.arguments_offset + LAYOUT["IMAGE_BASE"], header.end)
    at = data.index(mark)
    entry: int = struct.unpack_from("<12Q", data, at)[6]
    return entry
