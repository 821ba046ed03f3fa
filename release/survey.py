"""Looks at the tree and its history: the facts that a plan is made from.

Files are taken from the working tree, which the gate wants clean; history from git. The sources of earlier releases are
read from the commits that the index names.
"""

from __future__ import annotations

import tempfile
import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import Version

from .compare import Comparison
from .errors import Refused, TrainError
from .git import Git
from .index_data import IndexData
from .model import Application, Facts, Fragment, Member, Published
from .versions import KINDS, Level

__all__ = ["DISTRIBUTED", "applications", "members", "survey"]

DISTRIBUTED = ("src", "backend", "pyproject.toml", "README.md")
"""What of a package's folder goes into its files; a change of anything else (its tests, ...) releases nothing."""
_PYPROJECT = "pyproject.toml"
_APPLICATIONS = ("site", "integration", "bots")


def survey(root: Path) -> Facts:
    """Everything a plan depends on. Raises `TrainError`."""
    found, git = members(root), Git(root)
    published = IndexData(root).published()
    last = {m.name: published[m.name][-1] for m in found if m.name in published}
    built_from = {r.commit: f"{m.name} {r.version}" for m in found for r in published.get(m.name, ())}
    for commit, release in built_from.items():
        if not git.has(commit):
            raise TrainError(
                f"{release} was built from {commit[:12] or 'an unknown commit'}, which is not here; "
                "fetch the whole history: git fetch --unshallow"
            )
    changed = _changed(git, found, last)
    others = tuple(applications(root))
    with tempfile.TemporaryDirectory(prefix="mirage-plan-") as scratch:
        comparison = Comparison(git, Path(scratch), found, published)
        breaks = comparison.breaks()
        needs = comparison.needs([*_boarding(found, changed, breaks), *others])
    return Facts(tuple(found), others, published, changed, breaks, needs)


def members(root: Path) -> list[Member]:
    """Every package of the tree, by path."""
    return [_member(root, file) for file in sorted(root.glob("packages/*/*/pyproject.toml"))]


def applications(root: Path) -> list[Application]:
    """What in the tree needs packages and is none."""
    found = []
    for name in _APPLICATIONS:
        file = root / name / "pyproject.toml"
        if file.exists():
            data = tomllib.loads(file.read_text())
            project = data.get("project", {})
            texts = [*_strings(project.get("dependencies", ())), *_grouped(data.get("dependency-groups", {}))]
            found.append(Application(name, tuple(texts)))
    return found


def _member(root: Path, file: Path) -> Member:
    data = tomllib.loads(file.read_text())
    project, path = data["project"], file.parent.relative_to(root).as_posix()
    extras = _grouped(project.get("optional-dependencies", {}))
    return Member(
        canonicalize_name(project["name"]),
        path,
        Version(project["version"]),
        project.get("description", ""),
        (*_strings(project.get("dependencies", ())), *extras),
        tuple(_grouped(data.get("dependency-groups", {}))),
        tuple(_fragments(root, path)),
    )


def _fragments(root: Path, path: str) -> Iterable[Fragment]:
    for file in sorted((root / path / "changes.d").glob("*.md")):
        topic, _, kind = file.stem.rpartition(".")
        if not topic or kind not in KINDS:
            raise Refused(f"{file.relative_to(root)} is not TOPIC.KIND.md; the kinds are {', '.join(sorted(KINDS))}")
        yield Fragment(topic, kind, " ".join(file.read_text().split()), file.relative_to(root).as_posix())


def _strings(values: Iterable[Any]) -> list[str]:
    return [v for v in values if isinstance(v, str)]


def _grouped(groups: Mapping[str, Iterable[Any]]) -> list[str]:
    return [text for values in groups.values() for text in _strings(values)]


def _changed(git: Git, found: Iterable[Member], last: Mapping[str, Published]) -> dict[str, tuple[str, ...]]:
    since = cache(lambda commit: git.changed(commit))
    changed = {}
    for member in found:
        if member.name not in last:
            continue
        commit, start = last[member.name].commit, f"{member.path}/"
        files = [f.removeprefix(start) for f in since(commit) if f.startswith(start)]
        files = [f for f in files if f.partition("/")[0] in DISTRIBUTED]
        if _PYPROJECT in files and _described_alike(git, commit, f"{member.path}/{_PYPROJECT}"):
            files.remove(_PYPROJECT)
        changed[member.name] = tuple(files)
    return {name: files for name, files in changed.items() if files}


def _described_alike(git: Git, commit: str, file: str) -> bool:
    """Whether a pyproject.toml builds the same as it did: dependency groups and tools' settings do not count."""
    texts = [git.show(commit, file), (git.root / file).read_text()]
    before, now = ({**data, "tool": data.get("tool", {}).get("uv")} for data in map(tomllib.loads, texts))
    return all(before.get(key) == now.get(key) for key in ("build-system", "project", "tool"))


def _boarding(
    everybody: Iterable[Member], changed: Mapping[str, tuple[str, ...]], breaks: Mapping[str, tuple[str, ...]]
) -> Iterable[Member]:
    """Who may be released: the others' floors stay as they were published and proved."""
    found = list(everybody)
    broken = {m.name for m in found if m.name in breaks or any(KINDS[f.kind] is Level.BREAK for f in m.fragments)}
    return [m for m in found if m.name in changed or m.fragments or broken & m.needs.keys()]
