"""Builds an image: the library OS, CPython, the modules an application needs and its files, in one file.

`build` writes it. The same inputs give the same octets; the manifest inside lists every file with its SHA-256.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import sys
import tempfile
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from mirage.hvt import _table
from mirage.hvt._collect import APPLICATION, LIBRARIES, PROGRAM, SITE, Collection
from mirage.hvt._distributions import resolve
from mirage.hvt._elf import Elf
from mirage.hvt._format import Header, pack_arguments
from mirage.hvt._layout import (
    BASE,
    LARGE,
    PAGE,
    READ,
    READ_EXECUTE,
    READ_WRITE,
    L,
    Memory,
    Node,
    descriptor_tables,
    pages,
    tree_table,
)
from mirage.hvt._placing import most_pages, place
from mirage.hvt._symbols import pack_symbols
from mirage.hvt._writable import writable_folders
from mirage.hvt.errors import BuildError
from mirage.libos import library

__all__ = ["Image", "build"]

DEFAULT_MEMORY = 256 << 20
SMALLEST_MEMORY = 8 << 20

_ENVIRONMENT = {
    "HOME": "/tmp",  # noqa: S108 - the guest's own
    "LANG": "C.UTF-8",
    "LD_LIBRARY_PATH": LIBRARIES,
    # One heap: each further one would reserve 64 MiB of real memory.
    "MALLOC_ARENA_MAX": "1",
    "PATH": "/usr/bin",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONPATH": SITE,
}


@dataclass(frozen=True, slots=True)
class Image:
    """What was built."""

    path: Path
    size: int
    files: int
    modules: int
    sha256: str


def _add_libos(memory: Memory, elf: Elf, devices: bytes) -> None:
    """The header's page, the shared page with the table of devices, and the library OS at its place."""
    memory.add(b"", 0, PAGE)  # the header: for ring 0 alone, see `_tables`
    memory.privileged.add(0)
    memory.add(bytes(L["SHARED_DEVICES"]) + devices, READ_WRITE, PAGE)
    for segment in elf.loaded:
        if segment.address != memory.end:
            raise BuildError(f"{elf.name} does not lie where layout.h says")
        data = elf.data[segment.offset : segment.offset + segment.file_size]
        memory.add(data, READ_EXECUTE if segment.flags & 1 else READ_WRITE, segment.memory_size)


def _add_files(memory: Memory, nodes: list[Node]) -> None:
    for node, address in place(nodes, memory.end):
        memory.skip_to(address)
        node.address = memory.add(node.data or b"", READ)
        for first, count, protection in node.runs:
            memory.protect(node.address + first * PAGE, count, protection)


def _loaded(node: Node, elf: Elf) -> tuple[int, int, int]:
    """Entry point, address and number of program headers of something laid out."""
    return node.address + elf.entry, node.address + elf.header_offset, elf.header_count


def _collect(
    script: Path,
    modules: list[str],
    path: list[str],
    distributions: list[str],
    dependencies: bool,
    data: Mapping[str, str | os.PathLike[str]],
) -> tuple[Collection, Elf]:
    """The application's files and what they need, and the interpreter's program among them."""
    collection = Collection()
    program = collection.add_interpreter()
    collection.add_distributions(resolve(distributions, path, dependencies))
    collection.add_modules(modules, [script], path)
    collection.add_source(f"{APPLICATION}/{script.name}", script.read_bytes())
    for where, source in data.items():
        if not where.startswith("/"):
            raise BuildError(f"data goes to an absolute path of the guest, and {where!r} is none")
        source = Path(source)
        if source.is_dir():
            collection.add_tree(where.rstrip("/"), source)
        elif source.is_file():
            collection.add(where, source.read_bytes())
        else:
            raise BuildError(f"there is no file or folder {source} for {where}")
    return collection, program


def build(
    output: str | os.PathLike[str],
    script: str | os.PathLike[str],
    *,
    modules: Iterable[str] = (),
    path: Iterable[str] = (),
    distributions: Iterable[str] = (),
    dependencies: bool = True,
    data: Mapping[str, str | os.PathLike[str]] | None = None,
    arguments: Iterable[str] = (),
    environment: Mapping[str, str] | None = None,
    devices: Mapping[str, str] | None = None,
    memory: int = DEFAULT_MEMORY,
    writable: Iterable[str] = (),
    rewrite: bool = True,
) -> Image:
    """Build an image that runs a script with the interpreter that runs this.

    `modules` are taken beside those that the script's imports lead to; both are looked for on `path`, then in the
    standard library. `distributions` are requirements (``numpy``) for installed distributions, which are looked for on
    `path` and then on `sys.path`, and taken whole; with `dependencies`, what they require is taken too. `data` maps
    paths in the guest to files or folders of the host. `memory` is how many octets of memory the guest gets unless the
    tender is told otherwise: a multiple of 2 MiB. `devices` maps the names of the devices that the application needs
    (net0 for /dev/net0) to their kinds, "net" or "block". `writable` are folders of the guest in which the application
    may write, beside /tmp: in memory, at most 15, starting out with what the image has there. `rewrite` makes jumps
    into the library OS of the C library's system calls, which are many times as quick.
    Raises `BuildError`, and what `mirage.libos.library` raises.
    """
    if sys.platform != "linux" or struct.calcsize("P") != 8:
        raise BuildError("an image holds the interpreter that builds it, so it is built on x86-64 Linux")
    if memory % LARGE or not SMALLEST_MEMORY <= memory <= L["RAM_LIMIT"]:
        raise BuildError(f"the memory must be a multiple of 2 MiB, from 8 MiB to 8 GiB, and not {memory} octets")
    script = Path(script)
    if not script.is_file():
        raise BuildError(f"there is no script {script}")

    table = _table.needed(devices or {})
    with ThreadPoolExecutor(1) as beside:  # in a source tree a C compiler may be at work
        compiled = beside.submit(library)
        collection, program = _collect(script, list(modules), list(path), list(distributions), dependencies, data or {})
        libos = Elf("the library OS", compiled.result().read_bytes())
    if rewrite:
        collection.rewrite_system_calls(libos.symbols["entry_call"])

    # Last, when all libraries are known.
    own_environment = {**_ENVIRONMENT, **collection.add_closures()}
    folders = writable_folders(writable, collection)
    nodes = collection.sorted()
    main = [PROGRAM, "-S", "-P", f"{APPLICATION}/{script.name}", *arguments]
    strings = pack_arguments(main, [f"{k}={v}" for k, v in sorted({**own_environment, **(environment or {})}.items())])
    manifest = {
        "format": 1,
        "python": sys.version.split()[0],
        "memory": memory,
        "devices": dict(sorted((devices or {}).items())),
        "writable": folders,
        "system calls": {path: done.summary() for path, done in sorted(collection.system_calls.items())},
        "modules": sorted(collection.modules),
        "distributions": {one.name: one.version for one in collection.distributions},
        "files": {
            node.path: {"size": len(node.data), "sha256": hashlib.sha256(node.data).hexdigest()}
            for node in nodes
            if node.data is not None
        },
    }
    text = json.dumps(manifest, indent=1).encode()
    parts, size = _assemble(libos, nodes, collection, program, strings, text, table, memory, folders)
    digest = _write(Path(output), parts, size)
    return Image(Path(output), size, len(nodes), len(collection.modules), digest)


def _assemble(
    libos: Elf,
    nodes: list[Node],
    collection: Collection,
    program: Elf,
    strings: bytes,
    manifest: bytes,
    devices: bytes,
    ram: int,
    folders: list[str],
) -> tuple[list[tuple[int, bytes]], int]:
    """The parts of the file, each with its place, and its size."""
    symbols = libos.symbols
    memory = Memory()
    _add_libos(memory, libos, devices)

    task = memory.end
    stack = task + 4 * PAGE
    gdt_data, idt_data, task_data = descriptor_tables(task, stack, symbols["vectors"])
    memory.add(task_data, 0, privileged=True)
    memory.add(b"", 0, PAGE, privileged=True)  # the interrupt stack
    gdt = memory.add(gdt_data, 0, PAGE, privileged=True)
    idt = memory.add(idt_data, 0, PAGE, privileged=True)
    pml4 = memory.add(b"", 0, PAGE, privileged=True)
    pdpt = memory.add(b"", 0, PAGE, privileged=True)
    directory = memory.add(b"", 0, PAGE, privileged=True)
    tables_directory = memory.add(b"", 0, PAGE, privileged=True)

    # How large the rest is decides how large the page tables and the protections are, which come before it.
    table, names = tree_table(nodes)
    writable = b"".join(folder.encode() + b"\0" for folder in folders) + b"\0"
    names += writable
    rest = pages(len(strings)) + pages(len(table)) + pages(len(names))
    rest += most_pages(nodes)
    total = rest
    while True:
        needed = rest + pages(total) + pages(total * 8) + (memory.end - BASE) // PAGE
        if needed <= total:
            break
        total = needed
    tables = memory.add(b"", 0, pages(total * 8) * PAGE, privileged=True)
    protections = memory.add(b"", READ_WRITE, pages(total) * PAGE)
    arguments = memory.add(strings, READ)
    entries = memory.add(table, READ)
    strings_at = memory.add(names, READ)
    files = memory.end
    _add_files(memory, nodes)

    table, _ = tree_table(nodes)
    memory.write(entries, table)
    memory.write(protections, bytes(memory.protections))
    memory.write(tables, memory.page_table_entries())
    memory.write(directory, memory.directory_entries(tables, files))
    memory.write(pdpt, struct.pack("<4Q", 0, directory | 7, 0, tables_directory | 7))
    memory.write(pml4, struct.pack("<Q", pdpt | 7))

    by_path = {node.path: node for node in nodes}
    main, linker = by_path[PROGRAM], by_path[collection.interpreter]
    linker_elf = Elf(linker.path, linker.data or b"")
    program_entry, headers, count = _loaded(main, program)
    image = struct.pack(
        "<13Q",
        *(arguments, memory.end, protections, entries, strings_at, len(nodes)),
        *(linker.address + linker_elf.entry, linker.address, headers, count, program_entry, arguments + 16),
        strings_at + len(names) - len(writable),
    )
    memory.write(symbols["image"], image)

    size = memory.end - BASE
    header = Header(
        page_tables=tables,
        files=files,
        end=memory.end,
        directory=directory,
        first_page=(files - BASE) // PAGE,
        end_page=(memory.end - BASE) // PAGE,
        start=symbols["start"],
        syscall_stub=symbols["syscall_stub"],
        vectors=symbols["vectors"],
        text=symbols["libos_text"],
        text_end=symbols["libos_text_end"],
        entry_trap=symbols["entry_trap"],
        gdt=gdt,
        idt=idt,
        task=task,
        pml4=pml4,
        pdpt=pdpt,
        tables_directory=tables_directory,
        manifest_offset=size,
        manifest_size=len(manifest),
        memory=ram,
        arguments_offset=arguments - BASE,
        arguments_size=len(strings),
    )
    placed = [(n.path, n.address, pages(len(n.data or b"")) * PAGE, n.elf) for n in nodes if n.elf is not None]
    placed.append(("the library OS", L["LIBOS_BASE"], task - L["LIBOS_BASE"], libos))
    block = pack_symbols(placed, sys.version_info[:2])
    return [*memory.parts, (0, header.pack()), (size, manifest), (size + len(manifest), block)], (
        size + len(manifest) + len(block)
    )


def _write(output: Path, parts: list[tuple[int, bytes]], size: int) -> str:
    """Write the file, whole or not at all; zeros stay holes. Returns its SHA-256."""
    whole = bytearray(size)
    for offset, data in parts:
        whole[offset : offset + len(data)] = data
    with tempfile.NamedTemporaryFile(dir=output.parent, prefix=output.name, delete=False) as file:
        try:
            file.write(whole)
            os.chmod(file.name, 0o644)
            Path(file.name).replace(output)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
    return hashlib.sha256(whole).hexdigest()
