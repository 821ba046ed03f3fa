"""Try a suite on a lock: make the environment, run the steps, say what failed first. The step `try` of a night."""

from __future__ import annotations

import os
import re
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from . import process, signature
from .config import Limits, Suite
from .errors import IndexFailed
from .model import Failure, Lock, Probe, Reason
from .resolve import uv

KEPT = 4
"""Environments that are kept for the next attempt on the same lock."""
_NOT_COPIED = (".git", ".nox", ".noxw", "_build", "dist", "__pycache__", ".*_cache", ".hypothesis")
_INDEX = re.compile(
    r"[Ff]ailed to fetch|error sending request|[Cc]onnection (?:refused|reset|timed out)|dns error|operation timed out"
    r"|HTTP status (?:server error )?\(?5\d\d|[Tt]oo many requests|network is unreachable"
)


@dataclass(slots=True)
class Workshop:
    """Environments below a folder of its own, for suites of one tree."""

    folder: Path
    root: Path
    editables: tuple[str, ...] = ()
    """What ``uv pip install -e`` takes of our own packages."""
    interpreters: dict[str, str] = field(default_factory=dict)
    """The path of each Python such as ``3.11``."""
    environ: dict[str, str] = field(default_factory=dict)
    """What makes uv use the configured index."""
    stopped: Callable[[], bool] = lambda: False
    clock: Callable[[], float] = time.time
    copies: bool = False
    """Whether each thread works in a copy of the tree: what suites build there is not for two at once."""
    _kept: list[Path] = field(default_factory=list)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def attempt(self, suite: Suite, target: str, lock: Lock, log: Path, limits: Limits) -> Probe:
        """Run a suite once; everything printed is appended to `log`. Raises `IndexFailed` and `process.Interrupted`.

        Logs are published, so where things lie on this machine is taken out of them.
        """
        try:
            return self._attempt(suite, target, lock, log, limits)
        finally:
            if log.exists():
                log.write_bytes(self._placeless(log.read_bytes()))

    def _placeless(self, text: bytes) -> bytes:
        """A text without the machine's own paths."""
        places = {str(self._tree()): ".", str(self.root): ".", str(self.folder): "/environments"}
        places |= {uv(): "uv", **{path: f"python{minor}" for minor, path in self.interpreters.items()}}
        for place in sorted(places, key=len, reverse=True):
            text = text.replace(place.encode(), places[place].encode())
        return text

    def _attempt(self, suite: Suite, target: str, lock: Lock, log: Path, limits: Limits) -> Probe:
        began, when = time.monotonic(), self.clock()

        def ended(failure: Failure | None) -> Probe:
            return Probe(failure is None, failure, round(time.monotonic() - began, 2), when)

        def left() -> float:
            return max(1.0, limits.seconds - (time.monotonic() - began))

        environment = self._environment(suite, lock)
        if not (environment / "ready").exists():
            if failure := self._install(suite, lock, environment, log, limits, left):
                shutil.rmtree(environment, ignore_errors=True)
                return ended(failure)
            (environment / "ready").touch()
        bin_ = environment / "bin"
        root = self._tree()
        values = {"root": str(root), "target": target}
        environ = {
            "PATH": f"{bin_}:{os.environ.get('PATH', '')}",
            "VIRTUAL_ENV": str(environment),
            "MIRAGE_TARGETS": "" if target == "-" else target,
            "MIRAGE_PINNED": "",  # pins and holds are for people: a night looks at what upstream released
            **{key: _filled(word, values) for key, word in suite.environ.items()},
        }
        for step in suite.steps:
            words = [_filled(word, values) for word in step.run]
            if failure := self._step(step.name, words, log, limits, left(), environ, root / suite.folder):
                return ended(failure)
        return ended(None)

    def close(self) -> None:
        """Remove every environment."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self._kept.clear()

    def _environment(self, suite: Suite, lock: Lock) -> Path:
        path = self.folder / f"{suite.name}-{lock.hash}{self._thread()}"
        with self._lock:
            if path in self._kept:
                self._kept.remove(path)
            self._kept.append(path)
            mine = [one for one in self._kept if one.name.endswith(self._thread())]
            for old in mine[:-KEPT]:
                self._kept.remove(old)
                shutil.rmtree(old, ignore_errors=True)
        return path

    def _thread(self) -> str:
        """A word for what belongs to a thread alone; empty where all share one tree."""
        return f"-{threading.get_ident():x}" if self.copies else ""

    def _tree(self) -> Path:
        """The tree, or the thread's copy of it."""
        if not self.copies:
            return self.root
        copy = self.folder / f"tree{self._thread()}"
        if not copy.exists():
            shutil.copytree(self.root, copy, symlinks=True, ignore=shutil.ignore_patterns(*_NOT_COPIED))
        return copy

    def _install(
        self, suite: Suite, lock: Lock, path: Path, log: Path, limits: Limits, left: Callable[[], float]
    ) -> Failure | None:
        shutil.rmtree(path, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        file = path.with_suffix(".txt")
        file.write_text("".join(f"{line}\n" for line in lock.requirements))
        interpreter = self.interpreters.get(lock.python, lock.python)
        install = [uv(), "pip", "install", "--color", "never", "--python", str(path), "--no-deps"]
        commands = [
            [uv(), "venv", "--color", "never", "--python", interpreter, str(path)],
            [*install, "-r", str(file)],
        ]
        if suite.packages and self.editables:
            root, tree = str(self.root), str(self._tree())
            ours = (tree + one.removeprefix(root) for one in self.editables)
            commands.append([*install, *(word for one in ours for word in ("-e", one))])
        environ = {**self.environ, "UV_NO_SOURCES": "1"}
        for words in commands:
            begun = log.stat().st_size if log.exists() else 0
            if failure := self._step("install", words, log, limits, left(), environ, self.root):
                said = self._said(log, begun)
                if failure.reason is Reason.TIME or _INDEX.search(said):
                    raise IndexFailed(f"nothing could be installed: {failure.line}")
                return signature.read(Reason.INSTALL, "install", said)
        return None

    def _step(
        self,
        name: str,
        words: list[str],
        log: Path,
        limits: Limits,
        seconds: float,
        environ: dict[str, str],
        cwd: Path,
    ) -> Failure | None:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a") as file:
            file.write(f"==== {name}: {' '.join(words)}\n")
        begun = log.stat().st_size
        ended = process.run(words, log, limits, seconds=seconds, environ=environ, cwd=cwd, stopped=self.stopped)
        if ended.reason is Reason.NONE:
            return None
        if ended.reason is Reason.FAILED and ended.status < 0:
            with log.open("a") as file:
                file.write(f"\nended by signal {-ended.status}\n")
        return signature.read(ended.reason, name, self._said(log, begun), ended.why)

    def _said(self, log: Path, begun: int) -> str:
        """What a step added to a log: all of it, for its first failing line may be its first line."""
        with log.open("rb") as file:
            file.seek(begun)
            return self._placeless(file.read()).decode(errors="replace")


def _filled(word: str, values: dict[str, str]) -> str:
    for key, value in values.items():
        word = word.replace(f"{{{key}}}", value)
    return word
