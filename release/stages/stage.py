"""stage: an index of everything that is to be published, and the website built and booted from it alone.

The index holds what was published before, what was built now, and what these need from others, as the registry of this
machine has it. The website's own files go to a folder without any package's source, into an environment that has seen
nothing but this index.
"""

from __future__ import annotations

import os
import shutil
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mirage.index import Directory, File, Index, build, write
from mirage.types import MirageError
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tasks import files

from .. import survey
from ..clients import PLAIN, distribution_files, environment, run, served_folder
from ..errors import Failed
from ..index_data import FOLDER, IndexData
from ..train import Stage, Train
from .build import source
from .publish import base_address

__all__ = ["STAGE", "beside", "everything", "prepare", "requirement"]

_SITE_GROUPS = (("site", "render"), ("integration", "check"))
"""What the website is rendered and checked with."""


def _run(train: Train) -> None:
    train.step("stage", "what others provide", lambda: _beside(train), lambda kept: _there(train.work / "beside", kept))
    train.step("stage", "index", lambda: _index(train), lambda _: (train.work / "index" / "SHA256SUMS").exists())
    train.step("stage", "website", lambda: _website(train))


def _there(folder: Path, kept: dict[str, str]) -> bool:
    return all(files.sha256(folder / name) == digest for name, digest in kept.items())


def _beside(train: Train) -> dict[str, str]:
    """Fetch what others provide, from the registry that this machine is set up with."""
    tree = source(train)
    ours = {m.name for m in survey.members(tree)}
    wanted = {text for m in survey.members(tree) for text in m.requirements}
    wanted |= {text for application in survey.applications(tree) for text in _group(tree, application.path)}
    outside = sorted(text for text in wanted if canonicalize_name(Requirement(text).name) not in ours)
    target = train.work / "beside"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    if outside:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        command += ["--only-binary", ":all:", "--dest", str(target)]
        constraints = tree / "constraints.txt"
        command += ["--constraint", str(constraints)] if constraints.exists() else []
        run([*command, *outside])
    return {f.name: files.sha256(f) for f in sorted(target.iterdir())}


def _group(tree: Path, folder: str) -> list[str]:
    """The requirements of the groups that the website is made with."""
    file = tree / folder / "pyproject.toml"
    data = tomllib.loads(file.read_text()) if file.exists() else {}
    groups = [data.get("dependency-groups", {}).get(name, []) for place, name in _SITE_GROUPS if place == folder]
    return [text for group in groups for text in group if isinstance(text, str)]


def everything(train: Train) -> list[File]:
    """The staged files: published before, built now, and what others provide."""
    when = train.git.date(train.commit)
    published = train.root / FOLDER / "files"
    before = [published / file["filename"] for release in IndexData(train.root).releases for file in release["files"]]
    now = [path for package in train.packages for path in train.files(package["name"])]
    known = {path.name for path in now}
    return distribution_files([*now, *(p for p in before if p.name not in known), *beside(train)], when)


def beside(train: Train) -> list[Path]:
    """The files that others provide."""
    return [path for path in (train.work / "beside").iterdir() if path.name.endswith((".whl", ".tar.gz"))]


def _index(train: Train) -> dict[str, int]:
    target, scratch = train.work / "index", train.work / "index.new"
    shutil.rmtree(scratch, ignore_errors=True)
    staged = everything(train)
    try:
        write(scratch, build(staged, base=base_address(train.root)))
        index = Index(Directory(scratch))
        problems = index.problems()
        absent = [f"{name}, which {', '.join(who)} needs" for name, who in index.absent().items()]
    except MirageError as error:
        raise Failed(f"the index cannot be made: {error}") from error
    if problems or absent:
        raise Failed("; ".join([*problems, *(f"the index lacks {what}" for what in absent)]))
    shutil.rmtree(target, ignore_errors=True)
    scratch.rename(target)
    return {"projects": len(index.projects), "files": len(staged)}


def requirement(train: Train, package: dict[str, Any], *, extras: bool = True) -> str:
    """A planned package in its planned version, with all its extras."""
    names = _extras(source(train) / package["path"]) if extras else []
    return f"{package['name']}{'[' + ','.join(names) + ']' if names else ''}=={package['new']}"


def _extras(path: Path) -> list[str]:
    return sorted(tomllib.loads((path / "pyproject.toml").read_text())["project"].get("optional-dependencies", {}))


def prepare(train: Train, tree: Path, away: Path) -> Path:
    """Put a tree's website into a folder without sources, with an environment from the staged index; its Python."""
    _carry(tree, away)
    with served_folder(train.work / "index") as address:
        python = environment(away / ".venv")
        install = ["uv", "--no-config", "--no-cache", "pip", "install", "--quiet", "--python", str(python)]
        run([*install, "--default-index", f"{address}simple/", *_needed(train)], drop=PLAIN)
    return python


def _website(train: Train) -> str:
    """Build, boot and check the website where no source is in reach; its last line."""
    away = train.work / "away"
    shutil.rmtree(away, ignore_errors=True)
    python = prepare(train, source(train), away)
    train.echo("stage: the website's environment is ready")
    check = [str(python), "-m", "integration.website", "--check", "-t", "unix"]
    path = f"{python.parent}:{os.environ['PATH']}"
    said = run(check, cwd=away, env={"PYTHONPATH": str(away), "PATH": path}, drop=PLAIN, seconds=900)
    for line in said.splitlines():
        train.echo(f"stage: | {line}")
    shutil.rmtree(away, ignore_errors=True)
    return said.splitlines()[-1]


def _carry(tree: Path, away: Path) -> None:
    """The website, its checks and its words; of packages only their descriptions, which it shows."""
    for name in ("site", "integration", "docs", "tasks"):
        if (tree / name).exists():
            shutil.copytree(tree / name, away / name)
    for file in sorted(tree.glob("packages/*/*/*")):
        if file.suffix in {".toml", ".md"}:
            target = away / file.relative_to(tree)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)
    for file in tree.iterdir():
        if file.is_file():
            shutil.copy(file, away / file.name)


def _needed(train: Train) -> Iterable[str]:
    """Every package of the tree with its extras: those of the train in their new versions; and the website's groups."""
    planned = {p["name"] for p in train.packages}
    yield from (requirement(train, p) for p in train.packages)
    yield from (m.name for m in survey.members(source(train)) if m.name not in planned)
    for place, group in _SITE_GROUPS:
        if _group(source(train), place):
            yield from ("--group", f"{source(train) / place / 'pyproject.toml'}:{group}")


def _describe(train: Train) -> list[str]:
    return [
        "fetch what the packages need from others",
        f"make an index of {2 * len(train.packages)} new files and all that was published before",
        "build and boot the website from it, with no source in reach, and check every page",
    ]


def _intact(train: Train) -> bool:
    kept = train.journal.steps("stage").get("what others provide", {})
    return _there(train.work / "beside", kept) and (train.work / "index" / "SHA256SUMS").exists()


STAGE = Stage("stage", _run, _describe, _intact)
