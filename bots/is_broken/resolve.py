"""Requirements to a lock, by uv; a contradiction among them is an answer, a silent index is an error."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from packaging.utils import canonicalize_name

from .errors import BotError, IndexFailed
from .model import LaneKind, Lock

_LINE = re.compile(r"([A-Za-z0-9._-]+)(==| @ )(\S+)")


class Conflict(Exception):
    """No set of releases satisfies the requirements; the message is the resolver's explanation."""


def uv() -> str:
    """The path of uv. Raises `BotError`."""
    found = shutil.which("uv")
    if found is None:
        raise BotError("uv is not on PATH: run this through ./noxw")
    return found


class Resolver:
    """Resolves for an index that is given by the environment."""

    def __init__(self, environ: Mapping[str, str], seconds: float = 300.0) -> None:
        self.environ = {**os.environ, **environ, "UV_NO_SOURCES": "1"}
        for key in ("UV_CONSTRAINT", "UV_OVERRIDE", "UV_PRERELEASE", "UV_RESOLUTION", "UV_PYTHON"):
            self.environ.pop(key, None)
        self.seconds = seconds
        self.runs = 0

    def resolve(
        self,
        python: str,
        requirements: Iterable[str],
        constraints: Iterable[str] = (),
        overrides: Iterable[str] = (),
        *,
        lane: LaneKind = LaneKind.NEWEST,
        refresh: bool = False,
        exclude_newer: str = "",
    ) -> Lock:
        """The releases that a lane takes on a Python such as ``3.11``. Raises `Conflict` and `IndexFailed`.

        `refresh` asks the index again about everything that uv remembers; `exclude_newer` is a date, as if it was then.
        """
        self.runs += 1
        with tempfile.TemporaryDirectory(prefix="is-broken-") as scratch:
            words = [uv(), "pip", "compile", "--no-header", "--no-annotate", "--quiet", "--color", "never"]
            words += ["--python-version", python, _write(scratch, "requirements.in", requirements)]
            words += ["--constraints", _write(scratch, "constraints.txt", constraints)]
            words += ["--overrides", _write(scratch, "overrides.txt", overrides)]
            words += ["--refresh"] if refresh else []
            words += ["--exclude-newer", exclude_newer] if exclude_newer else []
            words += ["--prerelease", "allow" if lane is LaneKind.PRE else "if-necessary-or-explicit"]
            words += ["--resolution", "lowest-direct" if lane is LaneKind.LOWEST else "highest"]
            try:
                result = subprocess.run(
                    words,
                    env=self.environ,
                    cwd=scratch,
                    capture_output=True,
                    text=True,
                    check=False,
                    stdin=subprocess.DEVNULL,
                    timeout=self.seconds,
                )
            except subprocess.TimeoutExpired as error:
                raise IndexFailed(f"the resolver gave no answer in {self.seconds:.0f} s") from error
        if result.returncode == 0:
            return Lock(python, _requirements(result.stdout))
        if "No solution found" in result.stderr:
            raise Conflict(_explanation(result.stderr))
        raise IndexFailed(f"uv could not resolve: {_explanation(result.stderr)}")


def _write(folder: str, name: str, lines: Iterable[str]) -> str:
    (Path(folder) / name).write_text("".join(f"{line}\n" for line in lines))
    return name


def _requirements(text: str) -> tuple[str, ...]:
    found = filter(None, map(_LINE.match, text.splitlines()))
    return tuple(sorted(f"{canonicalize_name(match[1])}{match[2]}{match[3]}" for match in found))


def _explanation(text: str) -> str:
    """uv's words without its drawing and their fixed beginning, on one line."""
    line = " ".join(re.sub(r"[×╰─▶│]|\s+", " ", text).split())
    return re.sub(r"^(?:error: )?No solution found when resolving dependencies:? (?:cause: )?", "", line)
