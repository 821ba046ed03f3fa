"""Whole nights over a small project of one's own: the real bot, with index, clock and limits in one's hand."""

from __future__ import annotations

import itertools
import platform
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from .. import store
from ..attempt import Workshop
from ..cells import Bench
from ..config import Config
from ..model import Night, State
from ..night import Run
from ..project import Project
from ..registry import Registry
from ..resolve import Resolver

PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
"""The Python that the nights are run on: the one that runs this."""
DAY = 86400.0


@dataclass
class Stage:
    """A folder with a ``project``, its ``data``, and environments that go when a night is over."""

    folder: Path
    urls: tuple[str, ...]
    """The indices, the one that is asked first in front."""
    config: Config
    now: float
    """When the night before was; each is a day after it."""
    environ: dict[str, str] = field(default_factory=dict)
    """For uv."""
    stop: threading.Event = field(default_factory=threading.Event)
    said: list[str] = field(default_factory=list)
    _clock: Iterator[int] = field(default_factory=itertools.count)

    @property
    def data(self) -> Path:
        """Where state and logs are."""
        return self.folder / "data"

    @property
    def state(self) -> State:
        """What is on disk."""
        return store.load(self.data)

    def clock(self) -> float:
        """A second later at every look."""
        return self.now + next(self._clock)

    @contextmanager
    def run(self, *, only: str = "", since: str = "") -> Iterator[Run]:
        """A night that was not begun yet."""
        registry = Registry(self.urls)
        environ = {**registry.environ, **self.environ}
        root = self.folder / "project"
        workshop = Workshop(
            self.folder / "environments",
            root,
            interpreters={PYTHON: sys.executable},
            environ=environ,
            stopped=self.stop.is_set,
            clock=self.clock,
        )
        bench = Bench(self.config, self.data, workshop, self.state, said=self.said.append)
        pythons = {PYTHON: platform.python_version()}
        scratch = self.folder / "scratch"
        resolver = Resolver(environ)
        try:
            yield Run(
                self.config,
                Project(root),
                bench,
                registry,
                resolver,
                self.clock,
                pythons,
                only=only,
                since=since,
                scratch=scratch,
            )
        finally:
            workshop.close()

    def night(self, *, only: str = "", since: str = "") -> Night:
        """Run one, a day after the one before."""
        self.now += DAY
        with self.run(only=only, since=since) as run:
            return run.run()
