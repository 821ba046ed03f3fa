"""The simple repository API: pages in JSON (PEP 691, 700, 714, 740) and in HTML (PEP 503, 592, 629, 658, 714, 740).

The JSON page of a project is also this package's record of it: all that is asked of an index later is read from there.
Addresses are relative, so that the tree can be served below any path.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TypedDict

from packaging.utils import parse_sdist_filename, parse_wheel_filename
from packaging.version import Version

from ._files import File

__all__ = ["FileEntry", "ProjectPage", "entry", "list_pages", "project_pages", "version_of"]

API = "1.3"
"""The version of the repository API that the pages speak (PEP 629, 740)."""

FileEntry = TypedDict(
    "FileEntry",
    {
        "filename": str,
        "url": str,
        "hashes": dict[str, str],
        "size": int,
        "upload-time": str,
        "requires-python": str,
        "core-metadata": dict[str, str],
        "yanked": bool | str,
        "provenance": str | None,
    },
    total=False,
)


class ProjectPage(TypedDict):
    """A project's JSON page."""

    meta: dict[str, str]
    name: str
    versions: list[str]
    files: list[FileEntry]


def entry(file: File, requires_python: str, metadata_sha256: str, yanked: str | None) -> FileEntry:
    """What a page says of one file."""
    place = f"../../files/{file.name}/{file.filename}"
    said: FileEntry = {
        "filename": file.filename,
        "url": place,
        "hashes": {"sha256": file.sha256},
        "size": len(file.data),
        "upload-time": datetime.fromtimestamp(file.uploaded, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "core-metadata": {"sha256": metadata_sha256},
        "yanked": False if yanked is None else yanked or True,
        "provenance": f"{place}.provenance" if file.provenance is not None else None,
    }
    if requires_python:
        said["requires-python"] = requires_python
    return said


@lru_cache(maxsize=1 << 14)
def version_of(filename: str) -> Version:
    """The version in a distribution file's name."""
    return parse_wheel_filename(filename)[1] if filename.endswith(".whl") else parse_sdist_filename(filename)[1]


def project_pages(name: str, files: Iterable[FileEntry]) -> dict[str, bytes]:
    """A project's pages, each under its path."""
    ordered = sorted(files, key=lambda f: (version_of(f["filename"]), f["filename"]))
    versions = list(dict.fromkeys(str(version_of(f["filename"])) for f in ordered))
    page: ProjectPage = {"meta": {"api-version": API}, "name": name, "versions": versions, "files": ordered}
    links = "".join(f"    {_link(f)}<br>\n" for f in ordered)
    return {f"simple/{name}/index.json": _json(page), f"simple/{name}/index.html": _page(f"Links for {name}", links)}


def list_pages(names: Iterable[str]) -> dict[str, bytes]:
    """The pages that list every project."""
    ordered = sorted(names)
    page = {"meta": {"api-version": API}, "projects": [{"name": name} for name in ordered]}
    links = "".join(f'    <a href="{name}/">{name}</a><br>\n' for name in ordered)
    return {"simple/index.json": _json(page), "simple/index.html": _page("Packages", links)}


def _link(file: FileEntry) -> str:
    digest = f"sha256={file['core-metadata']['sha256']}"
    attributes: dict[str, str] = {
        "href": f"{file['url']}#sha256={file['hashes']['sha256']}",
        "data-core-metadata": digest,
        "data-dist-info-metadata": digest,  # pip before 23.3 knows only this one (PEP 714)
    }
    if "requires-python" in file:
        attributes["data-requires-python"] = file["requires-python"]
    if file["yanked"] is not False:
        attributes["data-yanked"] = "" if file["yanked"] is True else str(file["yanked"])
    if file["provenance"]:
        attributes["data-provenance"] = file["provenance"]
    text = " ".join(f'{name}="{html.escape(value)}"' for name, value in attributes.items())
    return f"<a {text}>{html.escape(file['filename'])}</a>"


def _page(title: str, links: str) -> bytes:
    return (
        '<!DOCTYPE html>\n<html lang="en">\n  <head>\n    <meta charset="utf-8">\n'
        f'    <meta name="pypi:repository-version" content="{API}">\n    <title>{title}</title>\n'
        f"  </head>\n  <body>\n    <h1>{title}</h1>\n{links}  </body>\n</html>\n"
    ).encode()


def _json(value: Mapping[str, Any] | ProjectPage) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True) + "\n").encode()
