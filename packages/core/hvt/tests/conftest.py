"""Guests for the tests: a script becomes an image, and the image runs."""

from __future__ import annotations

import re
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
BOTH_WAYS = {"test_guest", "test_linux"}
"""Modules whose guests run twice: where system calls are jumps, and where they trap."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of system calls both ways."""
    if "boot" in metafunc.fixturenames:
        both = metafunc.module.__name__.rpartition(".")[2] in BOTH_WAYS
        metafunc.parametrize("boot", ["jumps", "traps"] if both else ["jumps"], indirect=True)


@pytest.fixture(scope="session")
def c_library() -> list[Path]:
    """The C library and the dynamic linker that this process runs on."""
    maps = {line.split(maxsplit=5)[-1] for line in Path("/proc/self/maps").read_text().splitlines()}
    return [Path(path) for path in sorted(maps) if re.search(r"/(libc\.so\.6|ld-linux-x86-64\.so\.2)$", path)]


@pytest.fixture
def boot(request: pytest.FixtureRequest, tmp_path: Path) -> Boot:
    """Builds an image of a script and runs it."""

    rewrite = request.param == "jumps"

    def run(script: str, *arguments: str, memory: int = 64 << 20, modules: tuple[str, ...] = ()) -> Outcome:
        file = tmp_path / "main.py"
        file.write_text(textwrap.dedent(script))
        environment = {"PYTHONUNBUFFERED": "1"}
        image = build(tmp_path / "image.hvt", file, modules=modules, environment=environment, rewrite=rewrite)
        return start(image.path, *arguments, memory=memory)

    def start(image: Path, *arguments: str, memory: int) -> Outcome:
        said: list[bytes] = []
        with Tender(image, arguments, memory=memory, console=said.append) as tender:
            try:
                return Outcome(tender.run(), b"".join(said).decode())
            except GuestFault as fault:
                return Outcome(None, b"".join(said).decode(), str(fault))

    return run
