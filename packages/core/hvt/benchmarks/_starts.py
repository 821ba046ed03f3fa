"""From the start of a process to a guest's first output: booted, and resumed from a snapshot."""

from __future__ import annotations

import shutil
import sysconfig
import time
import venv
from collections.abc import Iterator
from pathlib import Path

import mirage.hvt
import mirage.libos
import mirage.types
from _figures import APPLICATION, HELLO, Bench, Figure, beside, first_line, in_turn
from mirage.hvt import Tender

COMMAND = """\
#!{python}
import sys
from mirage.hvt.__main__ import main
if __name__ == "__main__":
    sys.exit(main())
"""


def tender(bench: Bench) -> str:
    """The command as people have it who install the package: an environment with it and what it needs, nothing else.

    In the tree's own environment every package of the project is a folder on the path, and each start looks into all.
    """
    folder = bench.folder / "installed"
    command = folder / "bin" / "mirage-hvt"
    if not command.exists():
        venv.create(folder, symlinks=True)
        site = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder), "platbase": str(folder)}))
        for package in (mirage.hvt, mirage.libos, mirage.types):
            source = Path(str(package.__file__)).parent
            shutil.copytree(source, site / "mirage" / source.name)
        command.write_text(COMMAND.format(python=folder / "bin" / "python"))
        command.chmod(0o755)
    return str(command)


def boot(bench: Bench) -> Iterator[Figure]:
    """A cold boot, for a program that does nothing and for one that imports much."""
    for name, text, target in (("hello", HELLO, "<= 4"), ("application", APPLICATION, "<= 1.15")):
        image = bench.image(name, text)
        guest, native = in_turn(
            bench.runs,
            lambda image=image: first_line([tender(bench), "run", str(image)]),  # type: ignore[misc]
            lambda name=name: first_line(bench.native(name)),  # type: ignore[misc]
        )
        yield beside(f"boot of {name} to first output, ms", guest * 1e3, native * 1e3, target)


def resume(bench: Bench) -> Iterator[Figure]:
    """Going on from a snapshot of the application, in a new tender and in one that is there."""
    state = bench.folder / "state"
    with Tender(bench.image("application", APPLICATION), ["save"], snapshot=state, console=lambda _: None) as saved:
        saved.run()
    with Tender.resume(state, console=lambda _: None, share=True) as there:
        there.run()
        new, resident, again, native = in_turn(
            bench.runs,
            lambda: first_line([tender(bench), "resume", str(state)]),
            lambda: inside(state),
            lambda: rewound(there),
            lambda: first_line(bench.native("application")),
        )
    yield beside("resume of application in a new tender, ms", new * 1e3, native * 1e3, "<= 0.2")
    yield beside("resume of application, another Tender object, ms", resident * 1e3, native * 1e3)
    yield beside("resume of application in a resident tender, ms", again * 1e3, native * 1e3, "<= 0.06")


def inside(snapshot: Path) -> float:
    """Seconds from `Tender.resume` to the guest's first output, in this process."""
    said: list[float] = []
    start = time.perf_counter()
    with Tender.resume(snapshot, console=lambda _: said.append(time.perf_counter())) as tender:
        tender.run()
    return said[0] - start


def rewound(guest: Tender) -> float:
    """Seconds from `Tender.rewind` to the guest's first output."""
    said: list[float] = []
    guest._console = lambda _: said.append(time.perf_counter())
    start = time.perf_counter()
    guest.rewind()
    guest.run()
    return said[0] - start
