"""`calls.def`, read for Python and for the guide."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mirage.libos._layout import SOURCES

_CALL = re.compile(r'^CALL\((\d+), (\w+), (\w+), "([^"]*)",\s*"([^"]*)"\)', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class SystemCall:
    """One line of the table of system calls."""

    number: int
    """As in the x86-64 interface of Linux."""
    name: str
    supported: str
    refused: str
    """What is refused and with which error; empty when nothing is."""


@cache
def system_calls() -> tuple[SystemCall, ...]:
    """The system calls of the guest, by number. Every other one returns ENOSYS."""
    found = _CALL.findall(Path(SOURCES, "calls.def").read_text())
    return tuple(SystemCall(int(number), name, supported, refused) for number, name, _, supported, refused in found)


def table() -> str:
    """The system calls as a Markdown table: what `docs/libos.md` shows."""
    rows = [f"| {c.number} | `{c.name}` | {c.supported} | {c.refused} |" for c in system_calls()]
    return "\n".join(["| number | call | supported | refused |", "|---|---|---|---|", *rows])
