"""For tests: an index as the release train leaves one in `site/index`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mirage.index import File

__all__ = ["change", "publish"]


def publish(folder: Path, train: str, date: str, files: Iterable[File]) -> None:
    """Add a train's files to the index in `folder`; those of one name and version are one release."""
    path = folder / "releases.json"
    rows: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
    (folder / "files").mkdir(parents=True, exist_ok=True)
    fresh: dict[tuple[str, str], list[File]] = {}
    for file in files:
        (folder / "files" / file.filename).write_bytes(file.data)
        fresh.setdefault((file.name, str(file.version)), []).append(file)
    for (name, version), members in fresh.items():
        said = [
            {"filename": f.filename, "sha256": f.sha256, "size": len(f.data), "upload_time": f"{date}T12:00:00Z"}
            for f in members
        ]
        row = {"name": name, "version": version, "date": date, "train": train, "files": said}
        rows.append(row | {"yanked": None, "signatures": []})
    path.write_text(json.dumps(rows))


def change(folder: Path, name: str, version: str, /, **fields: Any) -> None:
    """Change the list's entry of one release."""
    path = folder / "releases.json"
    rows = json.loads(path.read_text())
    for row in rows:
        if (row["name"], row["version"]) == (name, version):
            row.update(fields)
    path.write_text(json.dumps(rows))
