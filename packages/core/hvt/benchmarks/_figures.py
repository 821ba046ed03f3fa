"""What the benchmarks of hvt share: figures, the images and commands they measure, and how starts are timed."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from mirage.hvt import Image, build

HELLO = "print(1)\n"
APPLICATION = """
import asyncio, hashlib, http.client, http.server, json, os, ssl, sys
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
if "save" in sys.argv:
    device = os.open("/dev/snapshot", os.O_RDWR)
    os.write(device, b"1")
async def main():
    await asyncio.sleep(0)
    return AESGCM(bytes(16)).encrypt(bytes(12), hashlib.sha256(b"after").digest(), None).hex()
print(asyncio.run(main()))
"""
HIDDEN = ("_cffi_backend", "cryptography.utils")
"""What the compiled half of cryptography imports, which no source says."""


PATHS = {
    # Without compiled forms on disk both sides would compile at every start, as nothing that is installed does.
    **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
    "PYTHONPATH": os.pathsep.join({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}),
}
"""An environment in which the interpreter finds the libraries without `site`, as it does in the guest."""


@dataclass(frozen=True)
class Figure:
    """A guest's figure beside a peer's. `target` speaks of their ratio; empty where the figure is only shown."""

    figure: str
    ours: float
    peer: str
    theirs: float
    ratio: float
    target: str = ""

    def entry(self) -> dict[str, object]:
        """The form that the bench session collects."""
        return asdict(self)


def beside(figure: str, ours: float, theirs: float, target: str = "", peer: str = "native") -> Figure:
    """A figure whose ratio is ours to theirs: less is better."""
    return Figure(figure, ours, peer, theirs, ours / theirs, target)


def speed(figure: str, ours: float, theirs: float, target: str = "") -> Figure:
    """Times whose ratio is that of the speeds: more is better."""
    return Figure(figure, ours, "native", theirs, theirs / ours, target)


def within(figure: str, ours: float, budget: float) -> Figure:
    """A figure that must not exceed an absolute bound."""
    return Figure(figure, ours, "budget", budget, ours / budget, "<= 1")


@dataclass
class Bench:
    """One run of the benchmarks: a scratch folder, how often starts are timed, the images built so far."""

    folder: Path
    runs: int
    images: dict[str, Image] = field(default_factory=dict)

    def script(self, name: str, text: str) -> Path:
        """Write an application."""
        file = self.folder / f"{name}.py"
        file.write_text(text)
        return file

    def image(self, name: str, text: str, *, rewrite: bool = True) -> Path:
        """The image of an application, built once."""
        if name not in self.images:
            libraries = PATHS["PYTHONPATH"].split(os.pathsep)
            modules = HIDDEN if "cryptography" in text else ()
            path = self.folder / f"{name}.hvt"
            self.images[name] = build(path, self.script(name, text), modules=modules, path=libraries, rewrite=rewrite)
        return self.images[name].path

    def native(self, name: str) -> list[str]:
        """The command that runs the same script with the same interpreter, and no guest. It wants `PATHS`."""
        return [sys.executable, "-S", "-P", str(self.folder / f"{name}.py")]


def first_line(command: list[str]) -> float:
    """Seconds from the start of a process to its first line of output."""
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, env=PATHS) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        taken = time.perf_counter() - start
        process.stdout.read()
    if process.returncode or not line:
        sys.exit(f"{' '.join(command)} failed")
    return taken


def in_turn(runs: int, *ways: Callable[[], float]) -> tuple[float, ...]:
    """The least of several runs of each way; the ways take turns, so that all see the same machine.

    Each has a run before that does not count, which leaves files in the cache and modules compiled.
    """
    for way in ways:
        way()
    rounds = [[way() for way in ways] for _ in range(runs)]
    return tuple(map(min, zip(*rounds, strict=True)))
