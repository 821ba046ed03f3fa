"""The packages of this tree, read from their `pyproject.toml` files: the one place that knows the layout.

A package lives in ``packages/FAMILY/NAME/``, is published as ``mirage-NAME`` and imported as ``mirage.NAME`` (with
underscores where NAME has dashes).
"""

from __future__ import annotations

import difflib
import re
import subprocess
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

MAY_IMPORT: dict[str, frozenset[str]] = {
    "core": frozenset(),
    "drivers": frozenset({"core"}),
    "stack": frozenset({"drivers", "core"}),
    "tls": frozenset({"stack", "core"}),
    "storage": frozenset({"stack", "core"}),
    "web": frozenset({"tls", "stack", "core"}),
    "services": frozenset({"web", "storage", "tls", "stack", "drivers", "core"}),
    "tooling": frozenset({"core"}),
}
"""The families, bottom first, and what each may import beside its own members."""

_REQUIREMENT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def canonical(name: str) -> str:
    """A distribution's name in its one spelling (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def requirement_name(requirement: str) -> str:
    """The canonical name of the distribution that a requirement asks for (PEP 508)."""
    found = _REQUIREMENT_NAME.match(requirement.strip())
    if found is None:
        raise ValueError(f"{requirement!r} is not a requirement")
    return canonical(found[0])


def guide_page(short: str) -> str:
    """The file below `docs/` of a package's guide page. `index.md` is the guide's own first page."""
    return "package-index.md" if short == "index" else f"{short}.md"


@dataclass(frozen=True)
class Package:
    """One publishable package."""

    family: str
    short: str
    """The folder's name: the distribution's without its ``mirage-``."""
    path: Path

    @cached_property
    def pyproject(self) -> dict[str, Any]:
        return tomllib.loads((self.path / "pyproject.toml").read_text())

    @property
    def name(self) -> str:
        """The distribution's name."""
        return f"mirage-{self.short}"

    @property
    def module(self) -> str:
        """The import name."""
        return f"mirage.{self.short.replace('-', '_')}"

    @property
    def source(self) -> Path:
        """The folder of the import package."""
        return self.path / "src" / "mirage" / self.short.replace("-", "_")

    @property
    def guide(self) -> Path:
        """The package's page of the guide."""
        return ROOT / "docs" / guide_page(self.short)

    @property
    def dependencies(self) -> list[str]:
        """Every run-time requirement, those of the extras included."""
        project = self.pyproject["project"]
        extras = project.get("optional-dependencies", {})
        return [*project.get("dependencies", ()), *(r for group in extras.values() for r in group)]

    @property
    def extras(self) -> list[str]:
        return sorted(self.pyproject["project"].get("optional-dependencies", {}))

    @property
    def editable(self) -> str:
        """What to give to ``uv pip install -e``: the path, with every extra."""
        extras = ",".join(self.extras)
        return f"{self.path}[{extras}]" if extras else str(self.path)

    def group(self, name: str) -> list[str]:
        """The requirements of a dependency group (PEP 735), none where it does not exist."""
        return [r for r in self.pyproject.get("dependency-groups", {}).get(name, ()) if isinstance(r, str)]


def packages() -> list[Package]:
    """Every package of the tree: families bottom first, names in order."""
    order = list(MAY_IMPORT)
    found = [
        Package(path.parent.parent.name, path.parent.name, path.parent)
        for path in ROOT.glob("packages/*/*/pyproject.toml")
    ]
    return sorted(found, key=lambda p: (order.index(p.family) if p.family in order else len(order), p.short))


def select(names: Iterable[str]) -> list[Package]:
    """The packages named, by folder or distribution name, in the order of the tree. Raises `LookupError`."""
    wanted = {name.removeprefix("mirage-") for name in names}
    everything = packages()
    names = [p.short for p in everything]
    if unknown := sorted(wanted.difference(names)):
        near = difflib.get_close_matches(unknown[0], names, n=1)
        meant = f"; did you mean {near[0]}?" if near else "."
        raise LookupError(f"there is no package named {', '.join(unknown)}{meant} There are: {' '.join(names)}")
    return [p for p in everything if p.short in wanted]


def dependents(changed: Iterable[Package]) -> list[Package]:
    """The packages given and every package that needs one of them, directly or not."""
    everything = packages()
    reached = {p.name for p in changed}
    while True:
        more = {p.name for p in everything if reached.intersection(map(requirement_name, p.dependencies))} - reached
        if not more:
            return [p for p in everything if p.name in reached]
        reached |= more


def changed_since(revision: str) -> list[str]:
    """The files that differ from a revision, those that git does not know yet included. Raises `LookupError`."""
    return [*_git("diff", "--name-only", revision, "--"), *_git("ls-files", "--others", "--exclude-standard")]


BESIDE = ("docs/", "site/", "tests/", "integration/", "bots/", "release/", ".ci/", ".github/")
"""What no package's own tests look at; the guards in `tests/` and the site's tests look at all of it."""


def affected_by(files: Iterable[str]) -> list[Package]:
    """The packages whose tests a change of these files can turn red.

    Those are the packages that hold one of the files, and all that depend on them. A file outside the packages that is
    neither `BESIDE` them nor a page of the top level (the lock, `conftest.py`, `tasks/`, ...) affects every package.
    """
    files = list(files)
    if any(not f.startswith(("packages/", *BESIDE)) and ("/" in f or not f.endswith(".md")) for f in files):
        return packages()
    touched = {tuple(Path(f).parts[1:3]) for f in files if f.startswith("packages/")}
    return dependents(p for p in packages() if (p.family, p.short) in touched)


def third_party(group_names: Iterable[str] = ()) -> list[str]:
    """Every requirement of the tree that is not one of our own packages, with those of the groups named."""
    ours = {p.name for p in packages()}
    found: set[str] = set()
    for package in packages():
        found.update(package.dependencies)
        for group in group_names:
            found.update(package.group(group))
    for folder in (".", "site", "integration", "bots"):
        pyproject = ROOT / folder / "pyproject.toml"
        if pyproject.exists():
            data = tomllib.loads(pyproject.read_text())
            found.update(data.get("project", {}).get("dependencies", ()))
            for group in data.get("dependency-groups", {}).values():
                found.update(r for r in group if isinstance(r, str))
    return sorted(r for r in found if requirement_name(r) not in ours)


def _git(*arguments: str) -> list[str]:
    result = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    if result.returncode:
        raise LookupError(f"git {' '.join(arguments)}: {result.stderr.strip()}")
    return result.stdout.splitlines()
