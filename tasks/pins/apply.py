"""Pins as what uv is told, and what a session says of them.

A pinned package takes the place of the tree's own, and it does so whatever ceilings others have declared: that is what
somebody pins it for. Which ceilings were passed over is said. A hold is a constraint, so it never widens anything.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from packaging.requirements import Requirement

from ..tree import Package, canonical
from .edit import remove
from .model import FILE, GitPin, PathPin, Pins, read
from .source import Repository, git

__all__ = [
    "arguments",
    "constraint_files",
    "current",
    "export",
    "fetched",
    "file_of",
    "lines",
    "lock_without",
    "passed_over",
    "settle",
    "sources",
    "state",
]


def file_of(root: Path) -> Path:
    """The file of pins: ``pins.toml``, or what MIRAGE_PINS names."""
    return Path(os.environ.get("MIRAGE_PINS") or root / FILE)


def current(root: Path) -> Pins:
    """The pins in force. Raises `PinError`."""
    return read(file_of(root))


def settle(root: Path, ours: set[str]) -> list[str]:
    """Take pins out whose revision the base has by now; what was taken out, in words. Raises `PinError`."""
    file = file_of(root)
    pins = read(file)
    repository = Repository(root)
    said = []
    for pin in pins.git.values():
        if pin.name in ours and repository.merged(pin.rev, pin.subdirectory):
            file.write_text(remove(file.read_text(), "git", pin.name))
            said.append(
                f"{pin.name}: {pin.followed} at {pin.rev[:12]} is in the base now; its pin is gone from {file.name}"
            )
    return said


def arguments(packages: list[Package], pins: Pins) -> list[str]:
    """The arguments that install packages, each from the tree or from where it is pinned to."""
    found = []
    for package in packages:
        pin = pins.sources.get(package.name)
        if pin is None:
            found += ["-e", package.editable]
        else:
            found += [pin.requirement(f"[{','.join(package.extras)}]" if package.extras else "")]
    return found


def sources(packages: list[Package], pins: Pins, root: Path) -> list[Package]:
    """The packages, each with the folder that its source is in: the tree's own, or the pin's. Raises `PinError`."""
    return [
        replace(package, path=_place(pins.sources[package.name], root)) if package.name in pins.sources else package
        for package in packages
    ]


def fetched(packages: list[Package], pins: Pins, root: Path) -> Pins:
    """The pins, those of these packages that are to git as pins to folders here: what uv is told. Raises `PinError`.

    From its address uv would fetch a branch once more, and look through all of its repository for the one package.
    """
    ours = {package.name for package in packages}
    taken = {n: PathPin(n, _place(pin, root), pin.version) for n, pin in pins.git.items() if n in ours}
    others = {name: pin for name, pin in pins.git.items() if name not in taken}
    return replace(pins, git=others, path={**pins.path, **taken})


def _place(pin: GitPin | PathPin, root: Path) -> Path:
    """The folder of a pinned package's source; of a git pin, one that is made and then stays."""
    if isinstance(pin, PathPin):
        return pin.path.resolve()
    target = root.resolve() / "_build" / "pins" / "source" / f"{pin.name}-{pin.rev}"
    return Repository(root).export(pin.url, pin.ref, pin.rev, pin.subdirectory, target)


def constraint_files(pins: Pins, folder: Path) -> list[str]:
    """The options that make pins beat ceilings and holds narrow choices; their files are written below `folder`."""
    found = []
    if pins.sources:
        found += ["--override", str(_write(folder / "overrides.txt", export(pins)))]
        for pin in pins.path.values():
            # A folder is built again whatever uv remembers of it.
            found += ["--reinstall-package", pin.name]
    if pins.hold:
        held = [f"{hold.name}{hold.spec}" for hold in pins.hold.values()]
        found += ["--constraint", str(_write(folder / "holds.txt", held))]
    return found


def lock_without(lock: str, pins: Pins) -> str:
    """A lock's text without the packages that are pinned or held: a pin beats the lock."""
    kept, dropping = [], False
    for line in lock.splitlines():
        if not line.startswith((" ", "\t")):
            dropping = canonical(line.partition("==")[0].strip()) in pins.sources.keys() | pins.hold.keys()
        if not dropping:
            kept.append(line)
    return "\n".join([*kept, ""])


def export(pins: Pins) -> list[str]:
    """The pinned packages as requirements, one a line."""
    return [pin.requirement() for _, pin in sorted(pins.sources.items())]


def state(pins: Pins) -> str:
    """A text that differs whenever what is installed would: pins, and the files of path pins."""
    parts = [repr(pins)] if pins else []
    for pin in pins.path.values():
        parts += [f"{f} {hashlib.sha256(f.read_bytes()).hexdigest()}" for f in sorted(_files(pin.path))]
    return "\n".join(parts)


def passed_over(pins: Pins, packages: list[Package]) -> list[str]:
    """The ceilings and floors of the tree that a pin does not keep, in words."""
    found = []
    for name, pin in sorted(pins.sources.items()):
        for package in packages:
            for text in package.dependencies:
                requirement = Requirement(text)
                if canonical(requirement.name) == name and not requirement.specifier.contains(
                    pin.version, prereleases=True
                ):
                    found.append(f"{name} {pin.version} passes over {requirement} of {package.name}")
    return found


def lines(pins: Pins, packages: list[Package]) -> list[str]:
    """What is pinned, one line each, for the head of a session."""
    found = []
    for name, pin in sorted(pins.sources.items()):
        if isinstance(pin, PathPin):
            dirty = ", with edits that are not committed" if _dirty(pin) else ""
            found.append(f"pinned: {name} {pin.version} from the folder {pin.path}{dirty}")
        else:
            found.append(f"pinned: {name} {pin.version} from {pin.followed} at {pin.rev[:12]} of {pin.url}")
    found += [f"held: {name}{hold.spec}" for name, hold in sorted(pins.hold.items())]
    return [*found, *passed_over(pins, packages)]


def _dirty(pin: PathPin) -> bool:
    result = git(pin.path, "status", "--porcelain", "--", ".")
    return result.returncode == 0 and bool(result.stdout.strip())


def _files(folder: Path) -> Iterator[Path]:
    for name in ("pyproject.toml", "README.md"):
        if (folder / name).exists():
            yield folder / name
    yield from (f for f in (folder / "src").rglob("*") if f.is_file() and "__pycache__" not in f.parts)


def _write(file: Path, content: list[str]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{line}\n" for line in content))
    return file
