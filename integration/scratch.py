"""An index of this tree's own packages that a test knows beforehand: a copy of the site that has it.

Every package is there at its version, and the lowest of them all, `mirage-types`, in two more: one that is better, and
one that was yanked.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tasks import tree

from .targets import ROOT, SITE

DATE = "2026-11-25"
LOWEST, BETTER, YANKED = "mirage-types", "0.1.90", "0.1.91"


def has_releases() -> bool:
    """Whether the site itself has an index with releases in it."""
    path = SITE / "index" / "releases.json"
    return path.exists() and bool(json.loads(path.read_text()))


def site(place: Path) -> Path:
    """A copy of the site in `place` that has the scratch index; its folder."""
    _copy(place)
    wheels = place / "dist"
    wheels.mkdir()
    jobs = [(package, "") for package in tree.packages()]
    jobs += [(package, version) for package in tree.select([LOWEST]) for version in (BETTER, YANKED)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda job: _build(*job, place / "source", wheels), jobs))
    index = place / "site" / "index"
    (index / "files").mkdir(parents=True)
    (index / "releases.json").write_text(json.dumps([_entry(path, index) for path in sorted(wheels.glob("*.whl"))]))
    return place / "site"


def _copy(place: Path) -> None:
    """All that the site is rendered from, but what was released."""
    unwanted = shutil.ignore_patterns("tests", "index", "__pycache__", ".mirage*", "_build", "main.py")
    shutil.copytree(SITE, place / "site", ignore=unwanted)
    shutil.copytree(ROOT / "docs", place / "docs", ignore=shutil.ignore_patterns("__pycache__"))
    for package in tree.packages():
        for file in [package.path / "pyproject.toml", package.path / "README.md", *package.path.glob("changes.d/*.md")]:
            copy = place / file.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copy)


def _build(package: tree.Package, version: str, source: Path, out: Path) -> None:
    """A package's wheel, under another version where one is given."""
    copy = source / f"{package.short}-{version}"
    copy.mkdir(parents=True)
    for name in ("src", "backend"):
        if (package.path / name).exists():
            shutil.copytree(package.path / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(package.path / "README.md", copy)
    text = (package.path / "pyproject.toml").read_text()
    # Without a back end of its own: the library OS need not be compiled to be installed.
    text = text.replace('build-backend = "libos_backend"\nbackend-path = ["backend"]', 'build-backend = "uv_build"')
    if version:
        text = text.replace(f'version = "{package.pyproject["project"]["version"]}"', f'version = "{version}"', 1)
    (copy / "pyproject.toml").write_text(text)
    command = ["uv", "build", "--quiet", "--offline", "--no-sources", "--wheel", "--out-dir", str(out), str(copy)]
    subprocess.run(command, check=True)


def _entry(path: Path, index: Path) -> dict[str, Any]:
    """The list's entry of a wheel, which is put where the index keeps its files."""
    shutil.copy(path, index / "files")
    data = path.read_bytes()
    name, version = path.name.split("-")[:2]
    yanked = "made for a test" if version == YANKED else None
    file = {"filename": path.name, "sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    file["upload_time"] = f"{DATE}T12:00:00Z"
    entry = {"name": name.replace("_", "-"), "version": version, "date": DATE, "train": "scratch"}
    return entry | {"files": [file], "yanked": yanked}
