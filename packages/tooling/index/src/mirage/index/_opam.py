"""The opam repository: one package description for each release, and the archive of all that opam fetches.

A wheel is unpacked into ``%{lib}%/python``; `PYTHON_PACKAGE`, on which every package depends, puts that folder on
Python's path in the switch's environment. Where the metadata names the repository, opam's own archive of the package is
its sdist, for those who want the source.
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Iterable, Mapping

from packaging.markers import default_environment
from packaging.metadata import Metadata
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ._files import File
from ._versions import formula, to_opam
from .errors import BadDistribution, InvalidIndex

__all__ = ["PYTHON_PACKAGE", "applies", "archive", "cached", "opam_path", "read_archive", "release_text", "repository"]

PYTHON_PACKAGE = "mirage-python"
"""The package that stands for the machine's Python."""

_PYTHON_TEXT = """\
opam-version: "2.0"
synopsis: "The machine's Python, with the modules of this switch on its path"
maintainer: "MirageOS in Python"
authors: "MirageOS in Python"
license: "ISC"
homepage: "{base}"
bug-reports: "{base}"
flags: compiler
setenv: [PYTHONPATH += "%{{lib}}%/python"]
depexts: [
  ["python3"] {{os-family = "debian" | os-family = "alpine" | os-family = "fedora"}}
]
"""
_MIRRORS = 'archive-mirrors: "cache"\n'
"""Relative to where the repository is, so that opam finds files by their digest wherever the index is served; a server
that has no `cached` there sends it to the address in the description."""
_CACHED = re.compile(r"opam/cache/sha256/([0-9a-f]{2})/(\1[0-9a-f]{62})")
_MARKER_PYTHONS = ("3.11", "3.12", "3.13", "3.14")
_SCRIPT = re.compile(r"[A-Za-z0-9][\w.-]*")
_TARGET = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)


def repository(base: str) -> dict[str, bytes]:
    """The files of a repository that holds no release yet. `base` is the index's address, with a slash at its end."""
    return {
        "opam/repo": f'opam-version: "2.0"\nbrowse: {_quoted(base)}\nupstream: {_quoted(base)}\n{_MIRRORS}'.encode(),
        f"opam/packages/{PYTHON_PACKAGE}/{PYTHON_PACKAGE}.1/opam": _PYTHON_TEXT.format(base=base).encode(),
    }


def cached(path: str) -> str | None:
    """The digest of the file that opam asks for at a path of its cache; None for any other path."""
    found = _CACHED.fullmatch(path)
    return found[2] if found else None


def opam_path(file: File) -> str:
    """Where the description of a file's release is, from the root of the index. Raises `Unmappable`."""
    return f"opam/packages/{file.name}/{file.name}.{to_opam(file.version)}/opam"


def release_text(files: Iterable[File], base: str, yanked: str | None) -> bytes:
    """The description of one release, made from its wheel's metadata. Raises `BadDistribution`, `Unmappable`.

    A wheel that runs everywhere is taken before one that does not.
    """
    ordered = sorted(files, key=lambda f: (not f.is_wheel, not f.filename.endswith("-none-any.whl"), f.filename))
    wheel, sdists = ordered[0], [f for f in ordered if not f.is_wheel]
    if not wheel.is_wheel:
        raise BadDistribution(f"{wheel.filename}: the release has no wheel, and opam is told to unpack one; build it")
    said = Metadata.from_email(wheel.metadata, validate=False)
    lines = ['opam-version: "2.0"', f"synopsis: {_quoted(said.summary or wheel.name)}"]
    lines += ['maintainer: "MirageOS in Python"', f"authors: {_quoted(said.author or 'MirageOS in Python')}"]
    lines += [f"license: {_quoted(said.license_expression)}"] if said.license_expression else []
    lines += [f"homepage: {_quoted(base)}", f"bug-reports: {_quoted(base)}"]
    lines += ["flags: avoid-version", f"x-yanked: {_quoted(yanked or 'yanked')}"] if yanked is not None else []
    repository = _repository(said)
    lines += [f"dev-repo: {_quoted(repository)}"] if repository and sdists else []
    lines += ["depends: [", f'  "{PYTHON_PACKAGE}"', *_dependencies(said.requires_dist or [], wheel), "]"]
    lines += ["install: [", f'  ["python3" "-m" "zipfile" "-e" "{wheel.filename}" "%{{lib}}%/python"]']
    lines += [f'  ["python3" "-c" {_quoted(_script(name, target))}]' for name, target in sorted(wheel.scripts.items())]
    lines += ["]", *_source(f'extra-source "{wheel.filename}"', wheel, base)]
    for sdist in sdists[:1] if repository else []:  # opam's lint wants to know where a source's changes go
        lines += _source("url", sdist, base)
    return ("\n".join(lines) + "\n").encode()


def read_archive(data: bytes) -> dict[str, bytes]:
    """The files of an ``index.tar.gz`` that `archive` made, under their paths in the repository."""
    try:
        octets, found, at = gzip.decompress(data), {}, 0
        while octets[at : at + 1].strip(b"\0"):
            head = octets[at : at + 512]
            name = (head[345:500].rstrip(b"\0") + b"/" + head[:100].rstrip(b"\0")).decode().lstrip("/")
            size = int(head[124:135], 8)
            found[name] = octets[at + 512 : at + 512 + size]
            at += 512 + -(-size // 512) * 512
    except (OSError, ValueError, EOFError, zlib.error) as error:
        raise InvalidIndex(f"opam/index.tar.gz is not as this package writes it: {error}") from error
    return found


def archive(files: Mapping[str, bytes]) -> bytes:
    """``index.tar.gz``: a ustar archive of the repository's files, the same octets wherever it is made."""
    # tarfile takes five times as long for a thousand small members, and appending a release writes them all.
    out = io.BytesIO()
    for path in sorted(files):
        data = files[path]
        out.write(_header(path, len(data)))
        out.write(data)
        out.write(bytes(-len(data) % 512))
    out.write(bytes(1024))
    return gzip.compress(out.getvalue(), 6, mtime=0)


def _header(path: str, size: int) -> bytes:
    name = path.encode()
    prefix = b""
    if len(name) > 100:
        cut = name.rfind(b"/", 0, 156)
        prefix, name = name[:cut], name[cut + 1 :]
        if cut < 0 or len(name) > 100:
            raise BadDistribution(f"{path} is too long a name for a tar archive")
    fields = name.ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + b"%011o\0" % size + b"0" * 11 + b"\0"
    rest = b"0" + bytes(100) + b"ustar\x0000" + bytes(64) + b"0000000\0" * 2 + prefix.ljust(155, b"\0") + bytes(12)
    return fields + b"%06o\0 " % (sum(fields) + 8 * 32 + sum(rest)) + rest


def _repository(said: Metadata) -> str | None:
    """The address of the git repository that the metadata names as a project URL."""
    for label, address in sorted((said.project_urls or {}).items()):
        if label.lower() in {"source", "source code", "repository"} and address.startswith(("https://", "http://")):
            return f"git+{address}"
    return None


def _dependencies(requirements: Iterable[Requirement], file: File) -> list[str]:
    bounds: dict[str, list[str]] = {}
    for requirement in requirements:
        if requirement.url:
            raise BadDistribution(f"{file.filename}: it requires {requirement}, an address, which no index can promise")
        if applies(requirement):
            bounds.setdefault(canonicalize_name(requirement.name), []).append(formula(requirement.specifier))
    found = []
    for name, formulas in sorted(bounds.items()):
        joined = " & ".join(f for f in formulas if f)
        found.append(f'  "{name}" {{{joined}}}' if joined else f'  "{name}"')
    return found


def applies(requirement: Requirement) -> bool:
    """Whether some Python on Linux needs it without any extra: opam has no environment markers."""
    if requirement.marker is None:
        return True
    linux = {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "extra": ""}
    fixed = dict.fromkeys(default_environment(), "") | linux
    fixed |= {"implementation_name": "cpython", "platform_python_implementation": "CPython"}
    fixed |= {"platform_machine": "x86_64"}
    marker = requirement.marker
    return any(
        marker.evaluate(fixed | {"python_version": p, "python_full_version": f"{p}.0", "implementation_version": p})
        for p in _MARKER_PYTHONS
    )


def _script(name: str, target: str) -> str:
    """A Python program that writes a console script; opam expands the variables in it."""
    if not _SCRIPT.fullmatch(name) or not _TARGET.fullmatch(target):
        raise BadDistribution(f"the console script {name!r} = {target!r} is none that can be written for opam")
    module, _, function = target.partition(":")
    imported = function.partition(".")[0]
    text = f"#!/usr/bin/env python3\nimport sys\nfrom {module} import {imported}\nsys.exit({function}())\n"
    return f"import os; p = '%{{bin}}%/{name}'; open(p, 'w').write({text!r}); os.chmod(p, 0o755)"


def _source(section: str, file: File, base: str) -> list[str]:
    address = f"{base}files/{file.name}/{file.filename}"
    return [f"{section} {{", f"  src: {_quoted(address)}", f'  checksum: "sha256={file.sha256}"', "}"]


def _quoted(text: str) -> str:
    plain = " ".join(text.split())
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'
