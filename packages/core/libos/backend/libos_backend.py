"""Builds the distributions of mirage-libos: uv's back end, and for a wheel the library OS compiled before.

The compiler is a pinned one from the package index, so a wheel is the same bytes wherever it is built, and whoever
installs it needs no C compiler. PEP 517.
"""

from __future__ import annotations

import runpy
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from uv_build import build_editable, build_sdist
from uv_build import build_wheel as build_pure_wheel

__all__ = ["build_editable", "build_sdist", "build_wheel", "get_requires_for_build_wheel"]

COMPILER = "ziglang==0.17.1"
PACKAGE = Path("src", "mirage", "libos")


def get_requires_for_build_wheel(config_settings: dict[str, Any] | None = None) -> list[str]:
    """The compiler: an editable install and an sdist do without."""
    return [COMPILER]


def build_wheel(
    wheel_directory: str, config_settings: dict[str, Any] | None = None, metadata_directory: str | None = None
) -> str:
    """Compile the library OS, and the library of closures, into the package for as long as the wheel is made."""
    program, closures = PACKAGE / "libos.elf", PACKAGE / "libmirage-closures.so"
    try:
        compile_to(program)
        compile_closures_to(closures)
        return build_pure_wheel(wheel_directory, config_settings, metadata_directory)
    finally:
        program.unlink(missing_ok=True)
        closures.unlink(missing_ok=True)


def compile_to(program: Path) -> None:
    """Compile the C sources. Raises `subprocess.CalledProcessError`; the compiler says why on standard error."""
    flags = runpy.run_path(str(PACKAGE / "_flags.py"))
    folder = (PACKAGE / "c").resolve()
    # zig names every feature of the processor itself, which overrides -mgeneral-regs-only.
    target = ("-target", "x86_64-freestanding-none", "-mcpu=x86_64-mmx-sse-sse2-x87+soft_float", "-g0")
    compiler = [sys.executable, "-m", "ziglang", "cc", *target, *flags["FLAGS"]]
    with tempfile.TemporaryDirectory() as scratch:
        objects = []
        for unit in sorted([*folder.glob("*.c"), *folder.glob("*.S")]):
            objects.append(f"{unit.stem}.o")
            command = [*compiler, f"-ffile-prefix-map={folder}=.", "-c", str(unit), "-o", objects[-1]]
            subprocess.run(command, cwd=scratch, check=True)
        script = f"-Wl,-T,{folder / 'libos.ld'}"
        linked = [*compiler, *flags["LINK_FLAGS"], script, *objects, "-o", "libos.elf"]
        subprocess.run(linked, cwd=scratch, check=True)
        program.write_bytes(Path(scratch, "libos.elf").read_bytes())


def compile_closures_to(library: Path) -> None:
    """Compile what guests load before libffi. Raises `subprocess.CalledProcessError`."""
    flags = runpy.run_path(str(PACKAGE / "_flags.py"))["CLOSURES_FLAGS"]
    source = (PACKAGE / "preload" / "closures.c").resolve()
    target = ("-target", "x86_64-linux-gnu", "-mcpu=x86_64", "-g0")
    with tempfile.TemporaryDirectory() as scratch:
        # Under its own name, for the linker writes names down.
        Path(scratch, source.name).write_bytes(source.read_bytes())
        command = [sys.executable, "-m", "ziglang", "cc", *target, *flags, source.name, "-o", library.name]
        subprocess.run(command, cwd=scratch, check=True)
        library.write_bytes(Path(scratch, library.name).read_bytes())
