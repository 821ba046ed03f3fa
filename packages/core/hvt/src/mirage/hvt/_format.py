"""The image file: what its header says, read and written in one place.

An image is memory, page by page, as the guest finds it at `IMAGE_BASE`: header, shared page, library OS, descriptor
tables, page tables, files. The tender takes a copy of it and writes a few words. The manifest, JSON for people and
tools, follows the last page.
"""

from __future__ import annotations

import struct

from mirage.hvt.errors import ImageError
from mirage.libos import layout

MAGIC = b"MIRAGE-HVT\0\0\0\0\0\2"
_HEADER = struct.Struct("<16s23Q")
HEADER_SIZE = _HEADER.size
PAGE, IMAGE_BASE, IMAGE_LIMIT = (layout()[name] for name in ("PAGE", "IMAGE_BASE", "IMAGE_LIMIT"))


class Header:
    """The first words of an image, in this order. Addresses are the guest's, sizes octets."""

    # `struct header` of the library OS.
    page_tables: int
    files: int
    end: int
    directory: int
    first_page: int
    end_page: int
    # Where the guest begins; where its system calls, exceptions and interruptions go; the library OS's text.
    start: int
    syscall_stub: int
    vectors: int
    text: int
    text_end: int
    entry_trap: int
    # Descriptor tables, task segment and page tables. The last is the directory through which ring 0 sees the page
    # tables of the memory.
    gdt: int
    idt: int
    task: int
    pml4: int
    pdpt: int
    tables_directory: int
    manifest_offset: int
    manifest_size: int
    # Octets of memory, unless the tender is told otherwise.
    memory: int
    # Two counts, then NUL-ended strings.
    arguments_offset: int
    arguments_size: int

    def __init__(self, **words: int) -> None:
        for name in FIELDS:
            setattr(self, name, words[name])

    def pack(self) -> bytes:
        """The header as it stands in the file."""
        return _HEADER.pack(MAGIC, *(getattr(self, name) for name in FIELDS))

    @classmethod
    def unpack(cls, data: bytes) -> Header:
        """Read a header and check what the tender relies on. Raises `ImageError`."""
        if len(data) < _HEADER.size or data[:10] != MAGIC[:10]:
            raise ImageError("this is no image of mirage-hvt; `mirage-hvt build` makes one")
        magic, *words = _HEADER.unpack_from(data)
        if magic != MAGIC:
            raise ImageError(f"this image has format {magic[15]}, and this tender reads {MAGIC[15]}; build it again")
        header = cls(**dict(zip(FIELDS, words, strict=True)))
        for name in ("gdt", "idt", "task", "pml4", "pdpt", "directory", "tables_directory", "end"):
            address = getattr(header, name)
            if address % PAGE or not IMAGE_BASE + 2 * PAGE <= address <= min(header.end, IMAGE_BASE + IMAGE_LIMIT):
                raise ImageError(f"the image's header is damaged: {name} is {address:#x}; build it again")
        return header


FIELDS = tuple(Header.__annotations__)
"""The words of a header, in order."""


def pack_arguments(arguments: list[str], environment: list[str]) -> bytes:
    """Two counts, then the strings."""
    strings = b"".join(text.encode() + b"\0" for text in [*arguments, *environment])
    return struct.pack("<QQ", len(arguments), len(environment)) + strings


def unpack_arguments(data: bytes) -> tuple[list[str], list[str]]:
    """The arguments and the environment. Raises `ImageError`."""
    if len(data) < 16:
        raise ImageError("the image's arguments are damaged; build it again")
    argc, envc = struct.unpack_from("<QQ", data)
    strings = data[16:].decode().split("\0")[:-1]
    if len(strings) != argc + envc:
        raise ImageError("the image's arguments are damaged; build it again")
    return strings[:argc], strings[argc:]
