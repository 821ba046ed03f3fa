"""The distributions that an application needs: the closure of its requirements in the tool's own environment.

An installed distribution is taken by its RECORD, each file checked against the hash there. One installed from a source
tree (editable) is built into a wheel by its own build back end, and the wheel is cached by a hash of the tree: the
artifact holds the same bytes whether a package was installed from its wheel or from its sources.
"""

from __future__ import annotations

import base64
import contextlib
import csv
import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from .errors import BuildError

__all__ = ["Distribution", "Files", "cache_dir", "closure", "files_of", "fingerprint", "hash_tree"]

Files = dict[str, bytes]
"""Files by their path in the artifact, with slashes."""

_NATIVE = (".so", ".pyd", ".dylib")
_KEPT_METADATA = re.compile(r"METADATA|entry_points\.txt|licenses/.*|LICEN[CS]E.*|COPYING.*|NOTICE.*|AUTHORS.*")


@dataclass(frozen=True, slots=True)
class Distribution:
    """One distribution of the closure. `source` is its source tree where it is installed from one."""

    name: str
    version: str
    licence: str
    requires: tuple[str, ...]
    source: Path | None
    found: importlib.metadata.Distribution


def cache_dir() -> Path:
    """Where builds are kept between runs: ``mirage`` below XDG_CACHE_HOME."""
    root = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(root) / "mirage"


def closure(requirements: Iterable[tuple[str, str]]) -> list[Distribution]:
    """All distributions that `requirements` (each with who asks for it) need, sorted by name.

    The bounds on what MIRAGE_PINNED names (words, as the project's sessions set it) are passed over: a pin beats them.

    Raises `BuildError` for a requirement that is no requirement, that is not installed, or whose version does not fit.
    """
    pinned = {canonicalize_name(word) for word in os.environ.get("MIRAGE_PINNED", "").split()}
    found: dict[str, Distribution] = {}
    done: set[tuple[str, frozenset[str]]] = set()
    waiting = [(_requirement(text, asker), asker) for text, asker in requirements]
    while waiting:
        requirement, asker = waiting.pop()
        name = canonicalize_name(requirement.name)
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        extras = frozenset(requirement.extras)
        distribution = found.get(name) or _find(requirement, asker)
        fits = requirement.specifier.contains(Version(distribution.version), prereleases=True)
        if not fits and name not in pinned:
            raise BuildError(
                f"{asker} needs {requirement}, but {distribution.version} is installed: "
                f"install one that fits with  uv pip install '{requirement}'"
            )
        found[name] = distribution
        if (name, extras) in done:
            continue
        done.add((name, extras))
        for text in distribution.requires:
            needed = _requirement(text, distribution.name)
            if needed.marker and not any(needed.marker.evaluate({"extra": extra}) for extra in extras | {""}):
                continue
            needed.marker = None
            waiting.append((needed, distribution.name))
    return [found[name] for name in sorted(found)]


def _requirement(text: str, asker: str) -> Requirement:
    try:
        return Requirement(text)
    except InvalidRequirement as error:
        raise BuildError(f"{asker} has a requirement that is none, {text!r}: {error}") from None


def _find(requirement: Requirement, asker: str) -> Distribution:
    try:
        found = importlib.metadata.distribution(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        raise BuildError(
            f"{asker} needs {requirement}, which is not installed in this environment: "
            f"install it with  uv pip install '{requirement}'"
        ) from None
    metadata: Message = found.metadata  # type: ignore[assignment]  # the Protocol lacks what a Message has
    licence = (
        metadata.get("License-Expression") or metadata.get("License") or _classified(metadata.get_all("Classifier"))
    )
    return Distribution(
        canonicalize_name(metadata["Name"]),
        metadata["Version"],
        licence.partition("\n")[0].strip(),
        tuple(metadata.get_all("Requires-Dist") or ()),
        _source_tree(found),
        found,
    )


def _classified(classifiers: list[str] | None) -> str:
    return " AND ".join(text.rpartition(" :: ")[2] for text in classifiers or () if text.startswith("License ::"))


def _source_tree(found: importlib.metadata.Distribution) -> Path | None:
    direct = json.loads(found.read_text("direct_url.json") or "{}")
    if not direct.get("dir_info", {}).get("editable"):
        return None
    return Path(unquote(urlsplit(direct["url"]).path))


def fingerprint(distribution: Distribution) -> str:
    """A hash that changes when the distribution's files do: of its source tree, or of its RECORD."""
    if distribution.source:
        return hash_tree(distribution.source, skipped=_BESIDE_SOURCES)
    record = distribution.found.read_text("RECORD") or ""
    return hashlib.sha256(f"{distribution.name} {distribution.version}\n{record}".encode()).hexdigest()


_BESIDE_SOURCES = ("_build", "benchmarks", "build", "dist", "tests")  # in a source tree, but in no wheel


def hash_tree(root: Path, skipped: Iterable[str] = ()) -> str:
    """A hash of the names and contents below a file or folder.

    Folders of compiled modules and hidden ones are left out, and those named in `skipped` that lie in `root` itself.
    """
    digest = hashlib.sha256()
    unwanted = {*skipped, "__pycache__"}
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in unwanted and not name.startswith("."))
        unwanted = {"__pycache__"}
        for name in sorted(files):
            path = os.path.join(folder, name)
            if not name.endswith(".pyc"):
                digest.update(f"{os.path.relpath(path, root)}\0{_file_hash(path)}\n".encode())
    if root.is_file():
        digest.update(_file_hash(str(root)).encode())
    elif not root.exists():
        digest.update(b"absent")
    return digest.hexdigest()


def _file_hash(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:  # a dangling link
        return "absent"


def files_of(distribution: Distribution, key: str) -> Files:
    """The files of a distribution, as its wheel has them. `key` is its fingerprint. Raises `BuildError`."""
    if distribution.source is None:
        return dict(_installed(distribution))
    return _wheel_files(_wheel(distribution.name, distribution.version, distribution.source, key))


def _installed(distribution: Distribution) -> Iterator[tuple[str, bytes]]:
    record = distribution.found.read_text("RECORD")
    if record is None:
        raise BuildError(f"{distribution.name} has no RECORD, so its files cannot be checked: install it from a wheel")
    for row in csv.reader(record.splitlines()):
        path, checksum = row[0], row[1]
        if not _wanted(path):
            continue
        try:
            content = Path(str(distribution.found.locate_file(path))).read_bytes()
        except OSError as error:
            raise BuildError(f"{distribution.name} is not whole: {error}; install it again") from None
        _verify(distribution.name, path, content, checksum)
        yield path, content


def _verify(name: str, path: str, content: bytes, checksum: str) -> None:
    algorithm, _, expected = checksum.partition("=")
    if not expected:
        raise BuildError(f"{name}'s RECORD has no hash for {path}: install it from a wheel")
    digest = base64.urlsafe_b64encode(hashlib.new(algorithm, content).digest()).rstrip(b"=").decode()
    if digest != expected:
        raise BuildError(f"{path} was changed since {name} was installed (its hash is not RECORD's): install it again")


def _wanted(path: str) -> bool:
    """Whether a file of a wheel goes into the artifact: code and data, of the metadata what a program may ask for."""
    parts = PurePosixPath(path).parts
    if path.startswith("/") or ".." in parts or path.endswith((".pyc", ".pth")) or parts[0].endswith(".data"):
        return False
    if parts[0].endswith(".dist-info"):
        return bool(_KEPT_METADATA.fullmatch("/".join(parts[1:])))
    return True


def _wheel_files(wheel: Path) -> Files:
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/") and _wanted(name)]
        return {name: archive.read(name) for name in names}


def _wheel(name: str, version: str, source: Path, key: str) -> Path:
    folder = cache_dir() / "wheels" / f"{name}-{version}-{key[:32]}"
    if ready := sorted(folder.glob("*.whl")):
        return ready[0]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        result = subprocess.run(  # noqa: S603  # the commands are ours
            _wheel_command(source, temporary), capture_output=True, text=True, check=False, env=_quiet_environment()
        )
        built = sorted(Path(temporary).glob("*.whl"))
        if result.returncode or len(built) != 1:
            raise BuildError(f"{name} cannot be built from {source}:\n{(result.stderr or result.stdout).strip()}")
        ready_dir = Path(temporary) / "ready"
        ready_dir.mkdir()
        shutil.move(built[0], ready_dir)
        with contextlib.suppress(OSError):  # another build was faster; its bytes are the same
            ready_dir.rename(folder)
    return next(folder.glob("*.whl"))


def _wheel_command(source: Path, out: str) -> list[str]:
    if uv := shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"):
        return [uv, "build", "--quiet", "--wheel", "--out-dir", out, str(source)]
    return [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", out, str(source)]


def _quiet_environment() -> Mapping[str, str]:
    return {**os.environ, "SOURCE_DATE_EPOCH": "315532800", "PYTHONHASHSEED": "0"}


def is_native(files: Files) -> bool:
    """Whether a distribution holds compiled modules, which the system's loader cannot read from an archive."""
    return any(name.endswith(_NATIVE) or ".so." in name for name in files)
