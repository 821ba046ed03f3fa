"""The index as a tree of files: a pure function of what is published, and the one way to add to it.

::

    simple/index.{html,json}  simple/NAME/index.{html,json}     for pip and uv
    files/NAME/FILE  FILE.metadata  FILE.provenance             what they link to
    opam/repo  opam/packages/N/N.V/opam  opam/index.tar.gz      for opam
    SHA256SUMS  SHA256SUMS.sig                                  the root, and its signature

The same files give the same octets, in whatever order and in however many steps they came (`build` is `append` to an
empty index). What is published stays: only pages that list it change, and a yank marks it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping

from packaging.metadata import Metadata
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from . import _opam, _simple
from ._files import File, read_file
from .errors import FileChanged, InvalidIndex, UnknownProject

__all__ = ["SIGNATURE", "SUMS", "Signer", "Yanks", "append", "build", "read_sums"]

SUMS = "SHA256SUMS"
SIGNATURE = "SHA256SUMS.sig"

Yanks = Mapping[tuple[str, str], str]
"""A project's name and version, and why nobody should choose that release any more (PEP 592)."""
Signer = Callable[[bytes], bytes]
"""From the octets of `SUMS` to those of `SIGNATURE`."""


def build(
    files: Iterable[File], *, base: str, yanks: Yanks | None = None, sign: Signer | None = None
) -> dict[str, bytes]:
    """The whole tree of an index served at the address `base`.

    Raises `FileChanged` for two files of one name, `Unmappable` for versions that opam cannot order, `BadDistribution`
    for a release without a wheel, and `UnknownProject` for a yank of what is not there.
    """
    base = base.rstrip("/") + "/"
    start = _opam.repository(base)
    start |= _simple.list_pages([])
    start["opam/index.tar.gz"] = _opam.archive(_below_opam(start))
    start[SUMS] = _sums({path: _digest(data) for path, data in start.items()})
    return start | append(start, files, yanks=yanks, sign=sign)


def append(
    tree: Mapping[str, bytes], files: Iterable[File], *, yanks: Yanks | None = None, sign: Signer | None = None
) -> dict[str, bytes]:
    """What changes in an index when files and yanks are added: the paths to write, each with its octets.

    In the order in which they are to be written: each page comes after what it speaks of. A file that is there already
    changes nothing. Raises what `build` does; the tree given is never changed.
    """
    pages = _Pages(tree)
    base = _base(tree)
    fresh: dict[str, File] = {}
    for file in files:
        known = pages.digest(file.name, file.filename) or (
            fresh[file.filename].sha256 if file.filename in fresh else None
        )
        if known is None:
            fresh[file.filename] = file
        elif known != file.sha256:
            raise FileChanged(
                f"{file.filename} was published with SHA-256 {known} and is now given with {file.sha256}; "
                "what is published never changes: release a new version"
            )
    reasons = {_release_key(name, version): why for (name, version), why in (yanks or {}).items()}
    changed: dict[str, bytes] = {}
    for file in sorted(fresh.values(), key=lambda f: f.filename):
        place = f"files/{file.name}/{file.filename}"
        changed |= {place: file.data, f"{place}.metadata": file.metadata}
        if file.provenance is not None:
            changed[f"{place}.provenance"] = file.provenance
        said = Metadata.from_email(file.metadata, validate=False)
        pages.add(_simple.entry(file, str(said.requires_python or ""), _digest(file.metadata), None), file.name)
    for (name, version), why in reasons.items():
        pages.yank(name, version, why)
    described = _opam.read_archive(tree["opam/index.tar.gz"])
    releases = sorted({(file.name, file.version) for file in fresh.values()} | reasons.keys())
    for name, version in releases:
        entries = pages.release(name, version)
        members = [fresh.get(e["filename"]) or _published(tree, name, e) for e in entries]
        yanked = next((str(e["yanked"]) for e in entries if e["yanked"] is not False), None)
        changed[_opam.opam_path(members[0])] = _opam.release_text(members, base, yanked)
    changed |= pages.written()
    if not changed:
        return {}
    described |= _below_opam(changed)
    changed["opam/index.tar.gz"] = _opam.archive(described)
    changed[SUMS] = _sums(read_sums(tree[SUMS]) | {path: _digest(data) for path, data in changed.items()})
    if sign is not None:
        changed[SIGNATURE] = sign(changed[SUMS])
    return changed


def read_sums(data: bytes) -> dict[str, str]:
    """The digests in a `SUMS`, by path. Raises `InvalidIndex`."""
    found = {}
    for line in data.decode(errors="replace").splitlines():
        digest, gap, path = line.partition("  ")
        if len(digest) != 64 or not gap:
            raise InvalidIndex(f"{SUMS}: {line[:80]!r} is no digest and path")
        found[path] = digest
    return found


class _Pages:
    """The projects' pages while files are added to them; only those that are touched are read."""

    def __init__(self, tree: Mapping[str, bytes]) -> None:
        self._names = {p["name"] for p in json.loads(_get(tree, "simple/index.json"))["projects"]}
        self._tree = tree
        self._pages: dict[str, dict[str, _simple.FileEntry]] = {}
        self._touched: set[str] = set()

    def _page(self, name: str) -> dict[str, _simple.FileEntry]:
        if name not in self._pages:
            known = name in self._names
            files = json.loads(_get(self._tree, f"simple/{name}/index.json"))["files"] if known else []
            self._pages[name] = {f["filename"]: f for f in files}
        return self._pages[name]

    def digest(self, name: str, filename: str) -> str | None:
        found = self._page(name).get(filename)
        return found["hashes"]["sha256"] if found else None

    def add(self, entry: _simple.FileEntry, name: str) -> None:
        # A file of a release that was yanked is yanked with it.
        beside = self.release(name, _simple.version_of(entry["filename"]))
        entry["yanked"] = beside[0]["yanked"] if beside else False
        self._page(name)[entry["filename"]] = entry
        self._touched.add(name)

    def release(self, name: str, version: Version) -> list[_simple.FileEntry]:
        return [f for n, f in sorted(self._page(name).items()) if _simple.version_of(n) == version]

    def yank(self, name: str, version: Version, why: str) -> None:
        entries = self.release(name, version)
        if not entries:
            raise UnknownProject(f"{name} {version} is not in the index, so it cannot be yanked")
        for entry in entries:
            entry["yanked"] = why or True
        self._touched.add(name)

    def written(self) -> dict[str, bytes]:
        out: dict[str, bytes] = {}
        for name in sorted(self._touched):
            pages = _simple.project_pages(name, self._pages[name].values())
            out |= {path: data for path, data in pages.items() if path not in self._tree or self._tree[path] != data}
        if self._touched - self._names:
            out |= _simple.list_pages(self._names | self._touched)
        return out


def _published(tree: Mapping[str, bytes], name: str, entry: _simple.FileEntry) -> File:
    data = _get(tree, f"files/{name}/{entry['filename']}")
    return read_file(entry["filename"], data, uploaded=0)


def _release_key(name: str, version: str) -> tuple[str, Version]:
    try:
        return canonicalize_name(name), Version(version)
    except InvalidVersion as error:
        raise UnknownProject(f"{version!r} is no version of {name}") from error


def _base(tree: Mapping[str, bytes]) -> str:
    for line in _get(tree, "opam/repo").decode().splitlines():
        if line.startswith('browse: "'):
            return line.removeprefix('browse: "').removesuffix('"')
    raise InvalidIndex("opam/repo does not say where the index is served (browse:)")


def _get(tree: Mapping[str, bytes], path: str) -> bytes:
    try:
        return tree[path]
    except KeyError as error:
        raise InvalidIndex(f"{path} is missing, so this is no index, or not all of one") from error


def _below_opam(tree: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files that opam fetches in one archive, under their paths in its repository."""
    return {p.removeprefix("opam/"): d for p, d in tree.items() if p == "opam/repo" or p.startswith("opam/packages/")}


def _sums(digests: Mapping[str, str]) -> bytes:
    return "".join(f"{digests[p]}  {p}\n" for p in sorted(digests) if p not in {SUMS, SIGNATURE}).encode()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
