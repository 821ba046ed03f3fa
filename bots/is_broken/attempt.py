"""Try a suite on a lock: make the environment, run the steps, say what failed first. The step `try` of a night."""

from __future__ import annotations

import os
import re
import shutil
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
    _kept: list[Path] = field(default_factory=list)

    def attempt(self, suite: Suite, target: str, lock: Lock, log: Path, limits: Limits) -> Probe:
        """Run a suite once; everything printed is appended to `log`. Raises `IndexFailed` and `process.Interrupted`."""
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
        values = {"root": str(self.root), "target": target}
        environ = {
            "PATH": f"{bin_}:{os.environ.get('PATH', '')}",
            "VIRTUAL_ENV": str(environment),
            "PYTHONDONTWRITEBYTECODE": "1",
            "MIRAGE_TARGETS": "" if target == "-" else target,
            **{key: _filled(word, values) for key, word in suite.environ.items()},
        }
        for step in suite.steps:
            words = [_filled(word, values) for word in step.run]
            if failure := self._step(step.name, words, log, limits, left(), environ, self.root / suite.folder):
                return ended(failure)
        return ended(None)

    def close(self) -> None:
        """Remove every environment."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self._kept.clear()

    def _environment(self, suite: Suite, lock: Lock) -> Path:
        path = self.folder / f"{suite.name}-{lock.hash}"
        if path in self._kept:
            self._kept.remove(path)
        self._kept.append(path)
        while len(self._kept) > KEPT:
            shutil.rmtree(self._kept.pop(0), ignore_errors=True)
        return path

    def _install(
        self, suite: Suite, lock: Lock, path: Path, log: Path, limits: Limits, left: Callable[[], float]
    ) -> Failure | None:
        shutil.rmtree(path, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / f"{lock.hash}.txt"
        file.write_text("".join(f"{line}\n" for line in lock.requirements))
        interpreter = self.interpreters.get(lock.python, lock.python)
        install = [uv(), "pip", "install", "--color", "never", "--python", str(path), "--no-deps"]
        commands = [
            [uv(), "venv", "--color", "never", "--python", interpreter, str(path)],
            [*install, "-r", str(file)],
        ]
        if suite.packages and self.editables:
            commands.append([*install, *(word for one in self.editables for word in ("-e", one))])
        environ = {**self.environ, "UV_NO_SOURCES": "1"}
        for words in commands:
            begun = log.stat().st_size if log.exists() else 0
            if failure := self._step("install", words, log, limits, left(), environ, self.root):
                said = _tail(log, begun)
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
        return signature.read(ended.reason, name, _tail(log, begun), ended.why)


def _filled(word: str, values: dict[str, str]) -> str:
    for key, value in values.items():
        word = word.replace(f"{{{key}}}", value)
    return word


def _tail(log: Path, begun: int) -> str:
    """What a step added to a log: all of it, for its first failing line may be its first line."""
    with log.open("rb") as file:
        file.seek(begun)
        return file.read().decode(errors="replace")
