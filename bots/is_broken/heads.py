"""Heads and commits of git repositories, by git itself."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from .config import Repository
from .errors import IndexFailed
from .model import Change, ChangeKind

SECONDS = 120.0
MOST = 500
"""Commits between two heads that are looked at."""


def heads(repositories: Iterable[Repository], root: Path) -> dict[str, str]:
    """The revision of each branch that is followed. Raises `IndexFailed`."""
    found = {}
    for one in repositories:
        lines = _git("ls-remote", "--exit-code", address(one.url, root), f"refs/heads/{one.branch}").split()
        found[one.name] = lines[0]
    return found


def commits(one: Repository, old: str, new: str, root: Path, scratch: Path) -> tuple[Change, ...]:
    """What was committed on the branch from one revision to another, oldest first. Raises `IndexFailed`."""
    clone = scratch / f"{one.name}.git"
    if clone.exists():
        _git("-C", str(clone), "fetch", "--quiet", "--force", "origin", f"+refs/heads/{one.branch}:refs/heads/followed")
    else:
        _git("clone", "--quiet", "--bare", address(one.url, root), str(clone))
    span = [f"{old}..{new}"] if old else [new]
    lines = _git(
        "-C", str(clone), "log", "--first-parent", f"--max-count={MOST}", "--reverse", "--format=%H %ct", *span
    )
    pairs = [line.split() for line in lines.splitlines()]
    name = one.package or one.name
    return tuple(Change(ChangeKind.HEAD, name, old, revision, float(when)) for revision, when in pairs)


def checkout(url: str, branch: str, root: Path, folder: Path) -> str:
    """Clone the head of a branch; its revision. Raises `IndexFailed`."""
    _git("clone", "--quiet", "--depth", "1", "--branch", branch, address(url, root), str(folder))
    return _git("-C", str(folder), "rev-parse", "HEAD").strip()


def address(url: str, root: Path) -> str:
    """A repository's address; a folder is relative to the root of the tree."""
    return url if "://" in url or url.startswith("git@") else (root / url).resolve().as_uri()


def _git(*words: str) -> str:
    environ = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    try:
        result = subprocess.run(
            ["git", *words], env=environ, capture_output=True, text=True, check=False, timeout=SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise IndexFailed(f"git {words[0]} gave no answer in {SECONDS:.0f} s") from error
    if result.returncode:
        raise IndexFailed(f"git {' '.join(words)}: {result.stderr.strip() or 'there is no such branch'}")
    return result.stdout
