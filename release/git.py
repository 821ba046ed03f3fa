"""What the train asks of git, and what it does with it: every call is here."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from .errors import Failed

__all__ = ["Git"]


class Git:
    """A working tree's git. A command that fails raises `Failed` with git's own words."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def head(self) -> str:
        """The full revision of HEAD."""
        return self("rev-parse", "HEAD").strip()

    def dirty(self, beside: Sequence[str] = ()) -> list[str]:
        """The files that differ from HEAD or that git does not know, those below `beside` left out."""
        lines = self("status", "--porcelain", "-z", "--untracked-files=all", "--no-renames").split("\0")
        return [line[3:] for line in lines if line and not line[3:].startswith(tuple(beside))]

    def dirty_of(self, path: str) -> bool:
        """Whether something below a path differs from HEAD."""
        return bool(self("status", "--porcelain", "--", path).strip())

    def changed(self, since: str, until: str = "HEAD") -> list[str]:
        """The files that differ between two revisions."""
        said = self("diff", "--name-only", "--no-renames", "-z", since, until, "--")
        return [name for name in said.split("\0") if name]

    def show(self, revision: str, path: str) -> str:
        """A file's text at a revision."""
        return self("show", f"{revision}:{path}")

    def date(self, revision: str) -> int:
        """When a revision was committed, in seconds since 1970."""
        return int(self("log", "-1", "--format=%ct", revision).strip())

    def has(self, revision: str) -> bool:
        """Whether the repository holds a commit."""
        return self._run("cat-file", "-e", f"{revision}^{{commit}}").returncode == 0

    def export(self, revision: str, paths: Iterable[str], target: Path) -> None:
        """Write the files below `paths` as a revision has them into a folder; of paths it does not have, nothing."""
        wanted = list(paths)
        listed = self("ls-tree", "-r", "-z", "--name-only", revision, "--", *wanted).split("\0")
        if not any(listed):
            return
        result = self._octets("archive", "--format=tar", revision, "--", *_reached(wanted, listed))
        if result.returncode:
            raise Failed(f"git archive {revision}: {result.stderr.decode(errors='replace').strip()}")
        with tarfile.open(fileobj=io.BytesIO(result.stdout)) as archive:
            archive.extractall(target, filter="data")

    def commit(self, paths: Iterable[str], message: str, trailer: str) -> str:
        """Commit just these paths, as they are in the working tree, and return the revision.

        The trailer makes it safe to ask again: a commit that carries it already is returned as it is.
        """
        if found := self.find(trailer):
            return found
        wanted = list(paths)
        self("reset", "--quiet", "HEAD", "--", *wanted)  # of a commit that was stopped in the middle
        self("add", "--all", "--force", "--", *wanted)
        # --only: whatever else somebody has staged stays out of it, and stays staged.
        self("commit", "--quiet", "--allow-empty", "--only", "-m", message, "-m", trailer, "--", *wanted)
        return self.head()

    def find(self, trailer: str) -> str | None:
        """The newest commit of HEAD's history whose message has this line."""
        pattern = "".join(f"\\{c}" if c in ".[]*^$\\" else c for c in trailer)
        return self("log", "-1", "--format=%H", f"--grep=^{pattern}$").strip() or None

    def tag(self, name: str, revision: str, message: str) -> bool:
        """Make an annotated tag, and whether it is new. Raises `Failed` where it exists and is elsewhere."""
        there = self._run("rev-parse", "--verify", "--quiet", f"refs/tags/{name}^{{commit}}")
        if there.returncode == 0:
            if there.stdout.strip() != revision:
                raise Failed(f"the tag {name} is at {there.stdout.strip()[:12]} and not at {revision[:12]}")
            return False
        self("tag", "--annotate", "-m", message, name, revision)
        return True

    def __call__(self, *arguments: str) -> str:
        """What a git command prints."""
        result = self._run(*arguments)
        if result.returncode:
            raise Failed(f"git {' '.join(arguments)[:300]}: {result.stderr.strip()}")
        return result.stdout

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        done = self._octets(*arguments)
        out, err = (octets.decode(errors="surrogateescape") for octets in (done.stdout, done.stderr))
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    def _octets(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        environment = {k: v for k, v in os.environ.items() if k not in {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"}}
        environment |= {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"}
        command = ["git", *arguments]
        return subprocess.run(command, cwd=self.root, env=environment, capture_output=True, check=False)


def _reached(wanted: list[str], listed: list[str]) -> list[str]:
    """The paths that name something: git archive refuses those that do not."""
    return [path for path in wanted if any(file == path or file.startswith(f"{path}/") for file in listed)]
