"""What git says of a branch: its revision, the packages it changed, whether the base has it already.

Revisions are fetched into a repository of their own in `_build`, which borrows the objects of this one, so that nothing
here changes and a fetch brings only what is new.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tarfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .model import PinError

__all__ = ["Found", "Repository", "git", "parse_target"]

SECONDS = 60
"""How long git may take to reach a repository."""
_LOOKED_AT = 500
"""How many commits that touch a package are looked through for one that has a pin's change."""


@dataclass(frozen=True)
class Found:
    """A package as a revision has it."""

    name: str
    subdirectory: str
    version: str


def parse_target(target: str) -> tuple[str, str]:
    """``URL#BRANCH``, ``URL#tags/TAG`` or ``URL#pull/N`` as an address and a ref's full name. Raises `PinError`."""
    url, mark, name = target.partition("#")
    if not url or not mark or not name or url.startswith("-"):
        raise PinError(f"{target!r} is not URL#BRANCH, URL#tags/TAG or URL#pull/NUMBER")
    if name.startswith("tags/"):
        return url, f"refs/{name}"
    if name.startswith("pull/"):
        if not name[5:].isdigit():
            raise PinError(f"{name!r} is no pull request: pull/ and its number")
        return url, f"refs/{name}/head"
    return url, f"refs/heads/{name}"


class Repository:
    """This tree's repository, and what was fetched beside it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.cache = root / "_build" / "pins" / "git"

    def resolve(self, url: str, ref: str) -> str:
        """The revision that a ref has now. Raises `PinError`, which names the address and the branch."""
        said = self._remote("ls-remote", "--", url, ref, f"{ref}^{{}}", what=f"{ref} of {url}")
        lines = [line.split("\t") for line in said.splitlines()]
        found = {name: rev for rev, name in lines}
        try:
            return found.get(f"{ref}^{{}}") or found[ref]  # an annotated tag is followed to its commit
        except KeyError:
            short = ref.removeprefix("refs/heads/").removeprefix("refs/")
            raise PinError(f"{url} has no {short}; look at what it has: git ls-remote {url}") from None

    def fetch(self, url: str, ref: str) -> str:
        """Bring a ref's revision here, and return it. Raises `PinError`."""
        rev = self.resolve(url, ref)
        if not self._has(rev):
            self._remote("fetch", "--quiet", "--no-tags", "--", url, f"+{ref}:refs/pins/{rev}", what=f"{ref} of {url}")
        return rev

    def export(self, url: str, ref: str, rev: str, subdirectory: str, target: Path) -> Path:
        """The files of a revision's folder, written into `target` unless they are there; the folder. Raises `PinError`.

        A revision that is not here is fetched: by its own name, or with the branch that it was seen on.
        """
        if target.exists():
            return target
        if not self._has(rev):
            for wanted in (rev, ref):
                with contextlib.suppress(PinError):  # some servers give revisions only by the name of a branch
                    self._remote("fetch", "--quiet", "--no-tags", "--", url, f"+{wanted}:refs/pins/{rev}", what=url)
                if self._has(rev):
                    break
            else:
                raise PinError(f"{rev[:12]}, to which {ref} of {url} is pinned, cannot be had from there any more")
        scratch = target.with_name(f"{target.name}.new")
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        archive = scratch.with_suffix(".tar")
        self._git("archive", "--format=tar", f"--output={archive}", f"{rev}:{subdirectory}")
        with tarfile.open(archive) as tar:
            tar.extractall(scratch, filter="data")
        archive.unlink()
        scratch.replace(target)
        return target

    def packages(self, rev: str) -> list[Found]:
        """Every package that a fetched revision holds: this project's layout, or one package at its root."""
        files = self._git("ls-tree", "-r", "--name-only", rev).splitlines()
        found = []
        for file in files:
            parts = file.split("/")
            if parts[-1] == "pyproject.toml" and (len(parts) == 1 or (len(parts) == 4 and parts[0] == "packages")):
                project = tomllib.loads(self._git("show", f"{rev}:{file}")).get("project", {})
                if "name" in project and "version" in project:
                    found.append(Found(project["name"], "/".join(parts[:-1]), project["version"]))
        return found

    def changed(self, rev: str) -> list[Found]:
        """The packages that a fetched revision changed since it left the base."""
        base = self._git("merge-base", self.head(), rev).strip()
        files = self._git("diff", "--name-only", base, rev).splitlines()
        return [p for p in self.packages(rev) if any(f.startswith(f"{p.subdirectory}/") for f in files)]

    def merged(self, rev: str, subdirectory: str = "") -> bool:
        """Whether this tree's HEAD has the revision, or what it changed in a package's folder.

        The second is what is left of a branch that was squashed or rebased: since it left the base, some revision had
        the files that it changed just as it has them, or some commit made just its change. Asks no other machine: of a
        revision that was never fetched only the first is known.
        """
        if git(self.root, "merge-base", "--is-ancestor", rev, "HEAD").returncode == 0:
            return True
        if not (self.cache / "HEAD").exists() or git(self.cache, "cat-file", "-e", f"{rev}^{{commit}}").returncode:
            return False
        head = self.head()
        base = git(self.cache, "merge-base", head, rev).stdout.strip()
        below = ["--", subdirectory] if subdirectory else []
        names = git(self.cache, "diff", "--name-only", "-z", "--no-renames", base, rev, *below).stdout.split("\0")
        files = ["--", *filter(None, names)]
        if not base or len(files) == 1:
            return False
        since = git(self.cache, "rev-list", f"--max-count={_LOOKED_AT}", f"{base}..{head}", *files).stdout.split()
        if any(git(self.cache, "diff", "--quiet", rev, one, *files).returncode == 0 for one in since):
            return True
        ours = self._patches("diff", base, rev, *below)
        return bool(ours & self._patches("log", "-p", f"--max-count={_LOOKED_AT}", f"{base}..{head}", *below))

    def _patches(self, *arguments: str) -> set[str]:
        """What identifies the changes that a git command shows, wherever in their files they stand."""
        shown = git(self.cache, *arguments)
        said = git(self.cache, "patch-id", "--stable", text=shown.stdout)
        return {line.split()[0] for line in said.stdout.splitlines()}

    def head(self) -> str:
        """The base's revision."""
        result = git(self.root, "rev-parse", "HEAD")
        if result.returncode:
            raise PinError(f"{self.root} is no git repository, so there is no base to compare with")
        return result.stdout.strip()

    def _has(self, rev: str) -> bool:
        self._prepare()
        return git(self.cache, "cat-file", "-e", f"{rev}^{{tree}}").returncode == 0

    def _prepare(self) -> None:
        if not (self.cache / "HEAD").exists():
            self.cache.mkdir(parents=True, exist_ok=True)
            git(self.cache, "init", "--quiet", "--bare")
            objects = git(self.root, "rev-parse", "--path-format=absolute", "--git-path", "objects").stdout.strip()
            if objects:
                (self.cache / "objects" / "info" / "alternates").write_text(f"{objects}\n")

    def _git(self, *arguments: str) -> str:
        self._prepare()
        result = git(self.cache, *arguments)
        if result.returncode:
            raise PinError(f"git {' '.join(arguments)}: {result.stderr.strip()}")
        return result.stdout

    def _remote(self, *arguments: str, what: str) -> str:
        self._prepare()
        try:
            result = git(self.cache, *arguments)
        except subprocess.TimeoutExpired:
            raise PinError(f"{what}: no answer within {SECONDS} s; nothing was changed") from None
        if result.returncode:
            last = [line for line in _lines(result.stderr) if line][-1:] or ["git failed"]
            raise PinError(f"{what} cannot be read, so nothing was changed: {last[0]}")
        return result.stdout


def git(place: Path, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    """Run git in a folder, with a text to read. It never asks: neither for a password nor for a host's key."""
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_SSH_COMMAND": "ssh -oBatchMode=yes", "LC_ALL": "C"}
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        environment.pop(name, None)
    command = ["git", *arguments]
    return subprocess.run(
        command,
        cwd=place,
        env=environment,
        input=text,
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        check=False,
        timeout=SECONDS,
    )


def _lines(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if not line.startswith("hint:"):
            yield line.strip()
