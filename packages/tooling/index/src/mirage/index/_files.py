"""Distribution files: what an index must know of a wheel or an sdist, read from its octets once.

Untrusted: a file is read within `MAX_METADATA` octets of metadata whatever it claims, and raises `BadDistribution`.
"""

from __future__ import annotations

import configparser
import hashlib
import io
import json
import re
import tarfile
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from packaging.metadata import Metadata
from packaging.utils import canonicalize_name, parse_sdist_filename, parse_wheel_filename
from packaging.version import Version

from .errors import BadDistribution

__all__ = ["MAX_METADATA", "File", "read_file"]

MAX_METADATA = 1 << 20
"""Octets of core metadata, or of entry points, at the most."""
_MAX_MEMBERS = 100_000
_FILENAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]{0,250}(\.whl|\.tar\.gz)")


@dataclass(frozen=True, slots=True)
class File:
    """One file of a release, with all that the index says of it."""

    filename: str
    name: str
    """The project's canonical name (PEP 503)."""
    version: Version
    data: bytes = field(repr=False)
    sha256: str
    uploaded: int
    """Seconds since 1970, UTC."""
    metadata: bytes = field(repr=False)
    """The core metadata as the file holds it, octet by octet (PEP 658 serves just these)."""
    scripts: Mapping[str, str] = field(default_factory=dict)
    """Console scripts of a wheel: the command's name and its ``module:function``."""
    provenance: bytes | None = field(default=None, repr=False)
    """Attestations (PEP 740), where an identity made some."""

    @property
    def is_wheel(self) -> bool:
        """Whether it is a wheel; else it is an sdist."""
        return self.filename.endswith(".whl")


def read_file(filename: str, data: bytes, *, uploaded: int, provenance: bytes | None = None) -> File:
    """Read a wheel or an sdist. Raises `BadDistribution`.

    `uploaded` is in seconds since 1970; `provenance` is the JSON object of PEP 740.
    """
    if not _FILENAME.fullmatch(filename):
        raise BadDistribution(f"{filename[:200]!r} is no name of a wheel (.whl) or an sdist (.tar.gz)")
    try:
        if filename.endswith(".whl"):
            name, version, _, _ = parse_wheel_filename(filename)
            metadata, scripts = _read_wheel(data, filename)
        else:
            name, version = parse_sdist_filename(filename)
            metadata, scripts = _read_sdist(data, filename), {}
        said = Metadata.from_email(metadata, validate=False)
        inside, inside_version = said.name, said.version
        said.requires_dist, said.requires_python, said.summary  # noqa: B018  each is validated when it is read
    except (
        ValueError,  # packaging's errors, UnicodeDecodeError and zipfile's of hostile offsets are of this class
        ExceptionGroup,
        zipfile.BadZipFile,
        tarfile.TarError,
        zlib.error,
        EOFError,
        OSError,
        NotImplementedError,
        RuntimeError,
        configparser.Error,
    ) as error:
        raise BadDistribution(f"{filename}: {error}") from error
    if canonicalize_name(inside) != name or inside_version != version:
        raise BadDistribution(f"{filename}: its metadata speaks of {inside} {inside_version}; build it again")
    if provenance is not None:
        _check_provenance(filename, provenance)
    digest = hashlib.sha256(data).hexdigest()
    return File(filename, name, version, data, digest, uploaded, metadata, scripts, provenance)


def _read_wheel(data: bytes, filename: str) -> tuple[bytes, dict[str, str]]:
    stem = "-".join(filename.split("-")[:2])
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        metadata = _member(archive, f"{stem}.dist-info/METADATA")
        try:
            entry_points = _member(archive, f"{stem}.dist-info/entry_points.txt")
        except BadDistribution:
            return metadata, {}
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # names keep their case
    parser.read_string(entry_points.decode())
    found = dict(parser["console_scripts"]) if parser.has_section("console_scripts") else {}
    return metadata, {name: target.partition("[")[0].strip() for name, target in found.items()}


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        info = archive.getinfo(name)
    except KeyError as error:
        raise BadDistribution(f"it holds no {name}") from error
    with archive.open(info) as member:
        return _bounded(member.read(MAX_METADATA + 1), name)


def _read_sdist(data: bytes, filename: str) -> bytes:
    wanted = f"{filename.removesuffix('.tar.gz')}/PKG-INFO"
    with tarfile.open(fileobj=io.BytesIO(data), mode="r|gz") as archive:
        for number, member in enumerate(archive):
            if member.name == wanted and member.isfile():
                found = archive.extractfile(member)
                assert found is not None, "a regular file can be read"
                return _bounded(found.read(MAX_METADATA + 1), wanted)
            if number > _MAX_MEMBERS:
                break
    raise BadDistribution(f"it holds no {wanted}")


def _bounded(data: bytes, name: str) -> bytes:
    if len(data) > MAX_METADATA:
        raise BadDistribution(f"{name} is longer than {MAX_METADATA} octets")
    return data


def _check_provenance(filename: str, provenance: bytes) -> None:
    try:
        said = json.loads(provenance)
    except ValueError as error:
        raise BadDistribution(f"{filename}: its provenance is no JSON: {error}") from error
    bundles = said.get("attestation_bundles") if isinstance(said, dict) else None
    if not isinstance(bundles, list) or said.get("version") != 1:
        raise BadDistribution(f"{filename}: its provenance is no version 1 object with attestation_bundles (PEP 740)")
