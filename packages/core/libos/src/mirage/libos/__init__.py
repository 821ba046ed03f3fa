"""The library OS of the `hvt` guest: a freestanding C program that answers CPython's system calls.

The C sources lie in the folder `c` of this package, in the order in which a guest boots: `entry.S`, `boot.c`,
`memory.c`, `files.c` and `tmpfs.c`, `threads.c`, `time.c`, `signals.c`, `poll.c` and `pipes.c`, `devices.c`, `calls.c`.
`calls.def` is the table of system calls, and `layout.h` says where everything is. This module has them compiled
(`library`) and reads the two tables, so that each number has one home.
"""

from __future__ import annotations

from mirage.libos._layout import SOURCES, layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mirage.libos._build import CompilerFailed, NoCompiler, closures, compiled, library
    from mirage.libos._tables import SystemCall, system_calls, table

__all__ = [
    "SOURCES",
    "CompilerFailed",
    "NoCompiler",
    "SystemCall",
    "closures",
    "compiled",
    "layout",
    "library",
    "system_calls",
    "table",
]


def __getattr__(name: str) -> object:
    """The compiler's and the guide's parts are imported when they are used: a tender needs the layout alone."""
    from importlib import import_module

    if name in __all__:
        home = "_build" if name in {"CompilerFailed", "NoCompiler", "closures", "compiled", "library"} else "_tables"
        return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
