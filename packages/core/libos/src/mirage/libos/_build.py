"""Where the compiled library OS is: in a wheel beside this file; in a source tree the machine's C compiler makes it.

It is compiled once for each state of the sources and the compiler.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from mirage.libos._flags import FLAGS, LINK_FLAGS
from mirage.libos._layout import SOURCES
from mirage.types import MirageError


class NoCompiler(MirageError):
    """No C compiler is on PATH."""


class CompilerFailed(MirageError):
    """The compiler refused the sources; the message holds what it said."""


def _compiler() -> str:
    for name in (os.environ.get("CC"), "gcc", "cc"):
        if name and (found := shutil.which(name)):
            return found
    raise NoCompiler("the library OS is compiled on first use and no C compiler is on PATH: apt-get install gcc")


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(home) / "mirage" / "libos"


SHIPPED = Path(__file__).with_name("libos.elf")


def library() -> Path:
    """The compiled library OS, an ELF file: that of the wheel, or `compiled`. Raises `NoCompiler`, `CompilerFailed`."""
    return SHIPPED if SHIPPED.exists() else compiled()


def compiled(cache: Path | None = None) -> Path:
    """The sources as the machine's C compiler makes them, now if the cache (default: the user's) lacks that.

    Raises `NoCompiler` and `CompilerFailed`.
    """
    compiler = _compiler()
    version = subprocess.run([compiler, "--version"], capture_output=True, check=True).stdout  # noqa: S603 - the user's compiler
    sources = sorted(p for p in Path(SOURCES).iterdir() if p.suffix in {".c", ".h", ".S", ".def", ".ld"})
    digest = hashlib.sha256(version + "\0".join(FLAGS + LINK_FLAGS).encode())
    for source in sources:
        digest.update(f"\0{source.name}\0".encode() + source.read_bytes())
    target = (cache or _cache()) / f"libos-{digest.hexdigest()[:32]}.elf"
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    units = [p for p in sources if p.suffix in {".c", ".S"}]
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        # Objects under their own names: the linker writes names down, and a temporary one would differ each time.
        _run([compiler, *FLAGS, f"-ffile-prefix-map={SOURCES}=.", "-c", *map(str, units)], scratch)
        objects = [f"{p.stem}.o" for p in units]
        _run(
            [compiler, *FLAGS, *LINK_FLAGS, "-T", str(Path(SOURCES, "libos.ld")), *objects, "-o", "libos.elf"], scratch
        )
        (Path(scratch) / "libos.elf").replace(target)
    return target


def _run(command: list[str], folder: str) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603 - the user's compiler
    if done.returncode:
        raise CompilerFailed(f"{command[0]} refused the library OS:\n{done.stderr}")
