"""Guests for the tests: a script becomes an image, and the image runs."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from mirage.hvt import GuestFault, Tender, build


@dataclass
class Outcome:
    """How a guest ended."""

    status: int | None
    """None after a fault."""
    output: str
    fault: str = ""


Boot = Callable[..., Outcome]


@pytest.fixture
def boot(tmp_path: Path) -> Boot:
    """Builds an image of a script and runs it."""

    def run(script: str, *arguments: str, memory: int = 64 << 20, modules: tuple[str, ...] = ()) -> Outcome:
        file = tmp_path / "main.py"
        file.write_text(textwrap.dedent(script))
        image = build(tmp_path / "image.hvt", file, modules=modules, environment={"PYTHONUNBUFFERED": "1"})
        return start(image.path, *arguments, memory=memory)

    def start(image: Path, *arguments: str, memory: int) -> Outcome:
        said: list[bytes] = []
        with Tender(image, arguments, memory=memory, console=said.append) as tender:
            try:
                return Outcome(tender.run(), b"".join(said).decode())
            except GuestFault as fault:
                return Outcome(None, b"".join(said).decode(), str(fault))

    return run
