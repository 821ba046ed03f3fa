"""Small real wheels and sdists, for tests of whatever reads an index."""

from __future__ import annotations

import base64
import csv
import gzip
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Iterable, Mapping

from mirage.index._files import File, read_file

__all__ = ["sdist", "wheel", "wheel_bytes"]


def wheel(
    name: str,
    version: str,
    requires: Iterable[str] = (),
    *,
    modules: Mapping[str, str] | None = None,
    scripts: Mapping[str, str] | None = None,
    uploaded: int = 1_790_000_000,
) -> File:
    """A wheel that runs everywhere; `modules` maps paths in it to their text."""
    stem = f"{name.replace('-', '_')}-{version}"
    members = {path: text.encode() for path, text in (modules or {}).items()}
    members[f"{stem}.dist-info/METADATA"] = _metadata(name, version, requires)
    members[f"{stem}.dist-info/WHEEL"] = (
        b"Wheel-Version: 1.0\nGenerator: mirage\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    if scripts:
        lines = [f"{command} = {target}" for command, target in scripts.items()]
        members[f"{stem}.dist-info/entry_points.txt"] = "\n".join(["[console_scripts]", *lines, ""]).encode()
    return read_file(f"{stem}-py3-none-any.whl", wheel_bytes(stem, members), uploaded=uploaded)


def wheel_bytes(stem: str, members: Mapping[str, bytes]) -> bytes:
    """The octets of a wheel with these members; its RECORD is made."""
    record = io.StringIO()
    rows = csv.writer(record, lineterminator="\n")
    for path, data in members.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        rows.writerow([path, f"sha256={digest}", len(data)])
    rows.writerow([f"{stem}.dist-info/RECORD", "", ""])
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in [*members.items(), (f"{stem}.dist-info/RECORD", record.getvalue().encode())]:
            archive.writestr(zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def sdist(name: str, version: str, requires: Iterable[str] = (), *, uploaded: int = 1_790_000_000) -> File:
    """A source archive that holds nothing but its metadata."""
    stem = f"{name.replace('-', '_')}-{version}"
    data = _metadata(name, version, requires)
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        member = tarfile.TarInfo(f"{stem}/PKG-INFO")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return read_file(f"{stem}.tar.gz", gzip.compress(raw.getvalue(), mtime=0), uploaded=uploaded)


def _metadata(name: str, version: str, requires: Iterable[str]) -> bytes:
    lines = ["Metadata-Version: 2.4", f"Name: {name}", f"Version: {version}", f"Summary: The {name} of a test"]
    lines += ["License-Expression: ISC", "Requires-Python: >=3.11", *(f"Requires-Dist: {r}" for r in requires)]
    lines.append("Project-URL: Source, https://example.org/source")
    return ("\n".join(lines) + "\n\n").encode()
