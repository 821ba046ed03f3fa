"""What has been released: `site/index` read, checked, and made into the tree that pip, uv and opam install from.

::

    site/index/releases.json     a list of releases: name, version, date, train, files, yanked, signatures
    site/index/files/FILE        their files, with FILE.provenance (PEP 740) and signatures where there are any

The release train writes this folder and only ever adds to it. Everything that the site says of releases follows from
it: `read` is the list, `shelve` the tree of `mirage.index` with what the pages ask of it.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mirage.index import Day, File, Index, build, history, read_file
from mirage.types import MirageError
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from .errors import ContentError, Problem

__all__ = ["Publication", "Shelf", "Shipped", "read", "shelve"]

LIST = "releases.json"
_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_TRAIN = re.compile(r"[a-z0-9]+(?:[.-][a-z0-9]+)*")
_FILENAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]{0,250}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Shipped:
    """One file of a release."""

    filename: str
    sha256: str
    size: int
    """Octets."""
    uploaded: int
    """Seconds since 1970, UTC."""


@dataclass(frozen=True, slots=True)
class Publication:
    """One release of one package."""

    name: str
    version: Version
    date: datetime.date
    train: str
    files: tuple[Shipped, ...]
    yanked: str | None
    """Why nobody should choose it any more; None where it is good."""
    signatures: tuple[str, ...] = ()
    """Names of files beside the release's own."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """The index as the pages see it."""

    tree: dict[str, bytes] = field(default_factory=dict)
    """What is served: the tree of `mirage.index`, and the signatures."""
    days: list[Day] = field(default_factory=list)
    """How the index grew."""
    newest: dict[str, Version] = field(default_factory=dict)
    """Of each project the release that a client takes by itself."""
    summaries: dict[str, str] = field(default_factory=dict)
    needs: dict[str, tuple[Requirement, ...]] = field(default_factory=dict)
    """What the newest release of each project needs on Linux, without extras."""

    def absent(self, name: str) -> list[str]:
        """What a project's newest release leads to and the index does not hold."""
        seen, queue = {name}, [name]
        while queue:
            for requirement in self.needs.get(queue.pop(), ()):
                other = canonicalize_name(requirement.name)
                if other not in seen:
                    seen.add(other)
                    queue.append(other)
        return sorted(other for other in seen if other not in self.newest)


def read(folder: Path, shown: str) -> tuple[Publication, ...]:
    """Every release, newest first; none where there is no list. `shown` is the folder's name in messages.

    Raises `ContentError` with each entry that is wrong.
    """
    path = folder / LIST
    if not path.exists():
        return ()
    where = f"{shown}/{LIST}"
    try:
        rows = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ContentError.at(where, getattr(error, "lineno", 1), f"not JSON: {error}") from error
    if not isinstance(rows, list):
        raise ContentError.at(where, 1, "expected a list of releases")
    found: dict[tuple[str, Version], Publication] = {}
    problems = []
    for number, row in enumerate(rows, 1):
        try:
            one = _publication(row)
        except (ValueError, TypeError, KeyError) as error:
            why = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            problems.append(Problem(where, 1, f"release {number} of the list: {why}"))
            continue
        if found.setdefault((one.name, one.version), one) is not one:
            problems.append(Problem(where, 1, f"release {number} of the list: {one.name} {one.version} is there twice"))
    if problems:
        raise ContentError(problems)
    ordered = sorted(found.values(), key=lambda one: (one.name, one.version), reverse=True)
    return tuple(sorted(ordered, key=lambda one: (-one.date.toordinal(), one.name)))


def shelve(publications: Iterable[Publication], folder: Path, shown: str, base: str) -> Shelf:
    """The index of these releases, served at the address `base`.

    Raises `ContentError` for a file that is missing, that is not the one that was published, or that `mirage.index`
    refuses.
    """
    publications = tuple(publications)
    files: list[File] = []
    beside: dict[str, bytes] = {}
    problems = []
    for one in publications:
        for shipped in one.files:
            try:
                files.append(_file(folder / "files", one, shipped))
            except (MirageError, OSError, ValueError) as error:
                problems.append(Problem(f"{shown}/files/{shipped.filename}", 1, str(error)))
        for name in one.signatures:
            path = folder / "files" / name
            if path.is_file():
                beside[f"files/{one.name}/{name}"] = path.read_bytes()
            else:
                problems.append(
                    Problem(f"{shown}/files/{name}", 1, f"{one.name} {one.version} is signed by it; missing")
                )
    if problems:
        raise ContentError(problems)
    yanks = {(one.name, str(one.version)): one.yanked for one in publications if one.yanked is not None}
    try:
        tree = build(files, base=base, yanks=yanks)
        index = Index(tree)
        newest = {name: index.release(name) for name in index.projects}
        summaries = {name: index.metadata(release).summary or "" for name, release in newest.items()}
        needs = {name: tuple(index.requires(release)) for name, release in newest.items()}
    except MirageError as error:
        raise ContentError.at(f"{shown}/{LIST}", 1, str(error)) from error
    signature = folder / "SHA256SUMS.sig"
    if signature.is_file():
        beside["SHA256SUMS.sig"] = signature.read_bytes()
    versions = {name: release.version for name, release in newest.items()}
    return Shelf(tree | beside, history(index), versions, summaries, needs)


def _file(folder: Path, one: Publication, shipped: Shipped) -> File:
    data = (folder / shipped.filename).read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != shipped.sha256 or len(data) != shipped.size:
        raise ValueError(
            f"it has {len(data)} octets with SHA-256 {digest}, and was published with {shipped.size} octets and "
            f"{shipped.sha256}; what is published never changes: git restores it"
        )
    provenance = folder / f"{shipped.filename}.provenance"
    said = provenance.read_bytes() if provenance.is_file() else None
    file = read_file(shipped.filename, data, uploaded=shipped.uploaded, provenance=said)
    if (file.name, file.version) != (one.name, one.version):
        raise ValueError(f"it is of {file.name} {file.version}, and listed as of {one.name} {one.version}")
    return file


def _publication(row: Any) -> Publication:
    """An entry of the list. Raises ValueError, TypeError, KeyError."""
    if not isinstance(row, dict):
        raise TypeError("expected an object with name, version, date, train and files")
    yanked = row.get("yanked")
    if yanked is not None and not isinstance(yanked, str):
        raise TypeError(f"yanked is null or a reason, not {yanked!r}")
    try:
        version = Version(_text(row, "version"))
    except InvalidVersion as error:
        raise ValueError(str(error)) from error
    files = tuple(_shipped(each) for each in row["files"])
    if not files:
        raise ValueError("it has no files")
    signatures = row.get("signatures") or []
    for name in signatures:
        _matching(_FILENAME, name, "name of a signature")
    return Publication(
        _matching(_NAME, row["name"], "name of a package"),
        version,
        datetime.date.fromisoformat(_text(row, "date")),
        _matching(_TRAIN, row["train"], "name of a train"),
        files,
        yanked,
        tuple(signatures),
    )


def _shipped(row: Any) -> Shipped:
    when = datetime.datetime.fromisoformat(_text(row, "upload_time"))
    if when.tzinfo is None:
        raise ValueError(f"upload_time {when.isoformat()} does not say its zone; expected YYYY-MM-DDTHH:MM:SSZ")
    size = row["size"]
    if not isinstance(size, int) or size < 0:
        raise ValueError(f"size is a number of octets, not {size!r}")
    return Shipped(
        _matching(_FILENAME, row["filename"], "name of a file"),
        _matching(_DIGEST, row["sha256"], "SHA-256"),
        size,
        int(when.timestamp()),
    )


def _text(row: Any, key: str) -> str:
    value = row[key]
    if not isinstance(value, str):
        raise TypeError(f"{key} is a text, not {value!r}")
    return value


def _matching(pattern: re.Pattern[str], value: Any, what: str) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ValueError(f"{value!r} is no {what}")
    return value
