"""Where the library OS and the library of closures are: compiled in a wheel; a source tree's C compiler makes them.

They are compiled once for each state of the sources and the compiler.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mirage.libos._flags import CLOSURES, CLOSURES_FLAGS, FLAGS, LINK_FLAGS
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
SHIPPED_CLOSURES = Path(__file__).with_name(CLOSURES)
_CLOSURES_SOURCE = Path(__file__).with_name("preload") / "closures.c"


def library() -> Path:
    """The compiled library OS, an ELF file: that of the wheel, or `compiled`. Raises `NoCompiler`, `CompilerFailed`."""
    return SHIPPED if SHIPPED.exists() else compiled()


def closures() -> Path:
    """The library that guests load before libffi (`preload/closures.c`). Raises `NoCompiler`, `CompilerFailed`."""
    return SHIPPED_CLOSURES if SHIPPED_CLOSURES.exists() else compiled_closures()


def compiled(cache: Path | None = None) -> Path:
    """The sources as the machine's C compiler makes them, now if the cache (default: the user's) lacks that.

    Raises `NoCompiler` and `CompilerFailed`.
    """
    sources = sorted(p for p in Path(SOURCES).iterdir() if p.suffix in {".c", ".h", ".S", ".def", ".ld"})
    units = [p for p in sources if p.suffix in {".c", ".S"}]

    def make(compiler: str, scratch: str) -> None:
        # Objects under their own names: the linker writes names down, and a temporary one would differ each time.
        words = [compiler, *FLAGS, f"-ffile-prefix-map={SOURCES}=.", "-c"]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            largest_first = sorted(units, key=lambda unit: unit.stat().st_size, reverse=True)
            list(pool.map(lambda unit: _run([*words, str(unit)], scratch), largest_first))
        objects = [f"{p.stem}.o" for p in units]
        script = str(Path(SOURCES, "libos.ld"))
        _run([compiler, *FLAGS, *LINK_FLAGS, "-T", script, *objects, "-o", "libos.elf"], scratch)

    return _made("libos.elf", FLAGS + LINK_FLAGS, sources, cache, make)


def compiled_closures(cache: Path | None = None) -> Path:
    """As `compiled`, for the library of closures."""

    def make(compiler: str, scratch: str) -> None:
        shutil.copy(_CLOSURES_SOURCE, scratch)
        _run([compiler, *CLOSURES_FLAGS, _CLOSURES_SOURCE.name, "-o", CLOSURES], scratch)

    return _made(CLOSURES, CLOSURES_FLAGS, [_CLOSURES_SOURCE], cache, make)


def _made(
    name: str, flags: tuple[str, ...], sources: list[Path], cache: Path | None, make: Callable[[str, str], None]
) -> Path:
    """What a compiler makes of the sources, from the cache where it is there; `make` writes `name` into a folder."""
    compiler = _compiler()
    version = subprocess.run([compiler, "--version"], capture_output=True, check=True).stdout  # noqa: S603 - the user's compiler
    digest = hashlib.sha256(version + "\0".join(flags).encode())
    for source in sources:
        digest.update(f"\0{source.name}\0".encode() + source.read_bytes())
    stem, dot, suffix = name.partition(".")
    target = (cache or _cache()) / f"{stem}-{digest.hexdigest()[:32]}{dot}{suffix}"
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        make(compiler, scratch)
        (Path(scratch) / name).replace(target)
    return target


def _run(command: list[str], folder: str) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603 - the user's compiler
    if done.returncode:
        raise CompilerFailed(f"{command[0]} refused the library OS:\n{done.stderr}")
