"""The tree that is looked after: what it requires, what of it is installed, and when it is another."""

from __future__ import annotations

import hashlib
import re
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tasks import tree

from .config import Downstream, Step, Suite
from .errors import BotError

LOCK = "ci.lock.txt"
"""What was good before the bot ran first."""


class Project:
    """A folder, with or without packages below it."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.packages = tree.packages() if self.root == tree.ROOT else []

    @property
    def editables(self) -> tuple[str, ...]:
        """Our own packages, with every extra."""
        return tuple(package.editable for package in self.packages)

    def requirements(self, suite: Suite) -> tuple[str, ...]:
        """The third-party requirements of a suite, in order. Raises `BotError` for a group that is not there."""
        found = set(suite.requirements)
        if suite.packages:
            found.update(requirement for package in self.packages for requirement in package.dependencies)
        for group in suite.groups:
            folder, _, name = group.rpartition(":")
            files = [self.root / folder / "pyproject.toml"]
            if not folder:
                files += [package.path / "pyproject.toml" for package in self.packages]
            tables = [tomllib.loads(file.read_text()).get("dependency-groups", {}) for file in files if file.exists()]
            if not any(name in table for table in tables):
                raise BotError(f"the suite {suite.name} wants the dependency group {group}, which is nowhere")
            found.update(line for table in tables for line in _expanded(table, name))
        ours = {package.name for package in self.packages}
        return tuple(sorted(line for line in found if tree.requirement_name(line) not in ours))

    def locked(self) -> tuple[str, ...]:
        """The releases of the tree's own lock file, as bounds; none where it has none."""
        file = self.root / LOCK
        if not file.exists():
            return ()
        lines = (re.match(r"[A-Za-z0-9._-]+==\S+(?: ;[^\\]*)?", line) for line in file.read_text().splitlines())
        return tuple(match[0].strip() for match in lines if match)

    def revision(self) -> str:
        """The commit that is checked out; empty where there is no git."""
        return self._git("rev-parse", "HEAD").strip()

    def fingerprint(self) -> str:
        """12 hexadecimal digits of all files that could matter: the commit with its edits, or else the files."""
        digest = hashlib.sha256()
        listed = self._git("ls-files", "-s", "--", ".", ":!bots") if self.revision() else ""
        if listed:
            digest.update((listed + self._git("diff", "--", ".", ":!bots")).encode())
        else:
            for file in sorted(self.root.rglob("*")):
                if file.is_file() and "__pycache__" not in file.parts:
                    digest.update(f"{file.relative_to(self.root)}\0".encode() + file.read_bytes())
        return digest.hexdigest()[:12]

    def _git(self, *words: str) -> str:
        result = subprocess.run(["git", *words], cwd=self.root, capture_output=True, text=True, check=False)
        inside = result.returncode == 0
        return result.stdout if inside else ""


def _expanded(table: Mapping[str, Any], name: str) -> Iterator[str]:
    """The requirements of a dependency group, those of the groups that it includes too (PEP 735)."""
    for one in table.get(name, ()):
        if isinstance(one, str):
            yield one
        else:
            yield from _expanded(table, one["include-group"])


def downstream_suite(project: Downstream, folder: Path) -> Suite:
    """Another project's own tests, as a suite that runs in its checkout."""
    return Suite(
        name=project.name,
        steps=(Step("tests", project.test),),
        requirements=project.install,
        folder=str(folder),
        environ={"PYTHONPATH": str(folder)},
    )
