"""Installed distributions, by name: which files each has, and which others it needs.

Nothing of them is imported or run: `importlib.metadata` finds them, RECORD lists their files. A distribution is taken
whole, except for what no running program reads (its tests, stubs, headers): compiled modules import others by names
that no source shows, so that what a part of a distribution needs cannot be told from outside.
"""

from __future__ import annotations

import csv
import importlib.metadata
import json
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mirage.hvt.errors import BuildError
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

_METADATA = re.compile(r"METADATA|entry_points\.txt|RECORD|top_level\.txt|licenses/.*|LICEN[CS]E.*|COPYING.*|NOTICE.*")
_BUILD_TIME = frozenset({".a", ".c", ".cmake", ".cpp", ".f90", ".h", ".hpp", ".lib", ".pc", ".pxd", ".pyc", ".pyi"})
_TESTS = frozenset({"test", "tests"})


@dataclass(frozen=True, slots=True)
class Distribution:
    """One installed distribution. `files`: each path below `site-packages`, with the file of the host."""

    name: str
    version: str
    files: dict[str, Path]


def resolve(wanted: Iterable[str], path: Iterable[str] = (), dependencies: bool = True) -> list[Distribution]:
    """The distributions that are wanted, and what these need, sorted by name.

    `wanted` are requirements (``numpy``, ``httpx[http2]>=0.27``); they are looked for on `path`, then on `sys.path`.
    Raises `BuildError` for one that is not installed, does not fit, or has no list of files.
    """
    places = [*path, *sys.path]
    found: dict[str, importlib.metadata.Distribution] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [(_requirement(text, "the image"), "the image") for text in wanted]
    while waiting:
        requirement, asker = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name not in found:
            found[name] = _find(requirement, asker, places)
        if not requirement.specifier.contains(found[name].version, prereleases=True):
            raise BuildError(f"{asker} needs {requirement}, and {found[name].version} is installed; install another")
        extras = frozenset(requirement.extras)
        if not dependencies or (name, extras) in seen:
            continue
        seen.add((name, extras))
        for text in found[name].requires or ():
            needed = _requirement(text, name)
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras | {""}):
                waiting.append((needed, name))
    return [Distribution(name, found[name].version, _files(name, found[name])) for name in sorted(found)]


def _requirement(text: str, asker: str) -> Requirement:
    try:
        return Requirement(text)
    except InvalidRequirement as error:
        raise BuildError(f"{asker} asks for {text!r}, which is no requirement: {error}") from None


def _find(requirement: Requirement, asker: str, places: list[str]) -> importlib.metadata.Distribution:
    for distribution in importlib.metadata.distributions(name=requirement.name, path=places):
        return distribution
    raise BuildError(f"{asker} needs {requirement}, which is not installed: pip install '{requirement}'")


def _files(name: str, distribution: importlib.metadata.Distribution) -> dict[str, Path]:
    direct = json.loads(distribution.read_text("direct_url.json") or "{}")
    if direct.get("dir_info", {}).get("editable"):
        raise BuildError(
            f"{name} is installed from its sources (editable); `mirage build` takes it, or install its wheel"
        )
    record = distribution.read_text("RECORD")
    if record is None:
        raise BuildError(f"{name} has no RECORD that lists its files; install it from a wheel")
    for line in (distribution.read_text("WHEEL") or "").splitlines():
        if line.startswith("Tag:") and "musllinux" in line:
            raise BuildError(f"{name} is a wheel for musl ({line[4:].strip()}); the guest needs the manylinux wheel")
    found = {}
    for path in _wanted(row[0] for row in csv.reader(record.splitlines()) if row):
        file = Path(str(distribution.locate_file(path)))
        if not file.is_file():
            raise BuildError(f"{name} is not whole: {file} is missing; install it again")
        found[path] = file
    return found


def _wanted(paths: Iterable[str]) -> Iterator[str]:
    """The paths that a running program may read."""
    for path in paths:
        parts = PurePosixPath(path).parts
        if path.startswith("/") or ".." in parts or parts[0].endswith(".data"):
            continue  # programs and manual pages beside `site-packages`
        if parts[0].endswith(".dist-info"):
            if _METADATA.fullmatch("/".join(parts[1:])):
                yield path
        elif not (_TESTS.intersection(parts[1:-1]) or parts[-1] == "conftest.py") and not (
            path.endswith(".pth") or PurePosixPath(path).suffix in _BUILD_TIME
        ):
            yield path
