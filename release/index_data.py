"""What is published: `site/index/`, from which the site's build makes `/simple/` and `/opam/`.

::

    site/index/releases.json     a list of releases, see `entry`
    site/index/files/FILE        their files, with FILE.sig (ssh-keygen -Y) and FILE.provenance (PEP 740), if any

It only grows. Files are written first and the list last, each whole or not at all, so that a reader sees a release with
all its files or none of it; a yank changes one field of the list.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from packaging.version import Version

from tasks import files

from .errors import Failed, TrainError
from .model import Published

__all__ = ["FOLDER", "IndexData", "entry"]

FOLDER = Path("site") / "index"
"""Below the tree's root."""


def entry(
    name: str, version: str, *, date: str, train: str, commit: str, uploaded: int, paths: Iterable[Path]
) -> dict[str, Any]:
    """A release as the list holds it. `uploaded` is in seconds since 1970; `date` is ``YYYY-MM-DD``."""
    when = datetime.fromtimestamp(uploaded, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    said = [
        {"filename": p.name, "sha256": files.sha256(p), "size": p.stat().st_size, "upload_time": when}
        for p in sorted(paths)
    ]
    found: dict[str, Any] = {"name": name, "version": version, "date": date, "train": train, "commit": commit}
    return found | {"files": said, "yanked": None, "signatures": [], "attestations": []}


class IndexData:
    """The folder of what is published."""

    def __init__(self, root: Path) -> None:
        self.folder = root / FOLDER
        self.list = self.folder / "releases.json"

    @property
    def releases(self) -> list[dict[str, Any]]:
        """Every release, in the order in which they were published. Raises `TrainError`."""
        try:
            found = json.loads(self.list.read_text())
        except FileNotFoundError:
            return []
        except ValueError as error:
            raise TrainError(f"{self.list} is no JSON: {error}; git restores it") from error
        if not isinstance(found, list):
            raise TrainError(f"{self.list} is no list of releases; git restores it")
        return found

    def published(self) -> dict[str, tuple[Published, ...]]:
        """The releases of each package, lowest version first."""
        found: dict[str, list[Published]] = {}
        for each in self.releases:
            one = Published(Version(each["version"]), each.get("commit", ""), each["yanked"])
            found.setdefault(each["name"], []).append(one)
        return {name: tuple(sorted(each, key=lambda p: p.version)) for name, each in found.items()}

    def add_file(self, path: Path) -> bool:
        """Copy a file to where it is published, and whether it is new. Raises `Failed` if its name has other octets."""
        target = self.folder / "files" / path.name
        there, given = files.sha256(target), files.sha256(path)
        if there and there != given:
            raise Failed(
                f"{path.name} was published with SHA-256 {there} and is now given with {given}; "
                "what is published never changes: release a new version"
            )
        if not there:
            files.write(target, path.read_bytes())
        return not there

    def add(self, new: Iterable[Mapping[str, Any]]) -> int:
        """Add releases to the list at once, and how many were new. Raises `Failed` where one changed."""
        known = {(e["name"], e["version"]): e for e in self.releases}
        fresh = []
        for each in new:
            there = known.get((each["name"], each["version"]))
            if there is None:
                for file in each["files"]:
                    if files.sha256(self.folder / "files" / file["filename"]) != file["sha256"]:
                        raise Failed(f"{file['filename']} is not in {self.folder / 'files'} as it was built")
                fresh.append(dict(each))
            elif _digests(there) != _digests(each):
                raise Failed(f"{each['name']} {each['version']} is published with other files; release a new version")
        if fresh:
            self._write([*self.releases, *fresh])
        return len(fresh)

    def yank(self, name: str, version: str, why: str) -> dict[str, Any]:
        """Mark a release as one that nobody should choose any more. Raises `TrainError` if there is none."""
        releases = self.releases
        for each in releases:
            if each["name"] == name and Version(each["version"]) == Version(version):
                each["yanked"] = why
                self._write(releases)
                return each
        there = ", ".join(e["version"] for e in releases if e["name"] == name) or "nothing"
        raise TrainError(f"{name} {version} was never published; of {name} there is {there}")

    def _write(self, releases: list[dict[str, Any]]) -> None:
        files.write(self.list, json.dumps(releases, indent=1, ensure_ascii=False) + "\n")


def _digests(release: Mapping[str, Any]) -> set[tuple[str, str]]:
    return {(f["filename"], f["sha256"]) for f in release["files"]}
