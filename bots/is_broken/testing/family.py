"""A made-up family of packages and a project that uses it: whole nights, with upstream in one's hand."""

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
from ..config import Config, Limits, Step, Suite
from ..model import Night, State
from ..night import Run
from ..project import Project
from ..registry import Registry
from ..resolve import Resolver
from .upstream import Upstream

PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
DAY = 86400.0
EPOCH = 1_760_000_000.0
"""The first release of everything."""

CHECK = '''\
"""Passes unless a member of the family says that it breaks beside the others that are installed."""
import importlib, os, pathlib, sys

names = sorted(sys.argv[1:])
members = {name: importlib.import_module(name) for name in names}
number = {name: int(member.VERSION.split(".")[0]) for name, member in members.items()}
for name, member in members.items():
    if all(number.get(other, 0) >= least for other, least in member.BREAKS_BESIDE.items()) and member.BREAKS:
        raise AttributeError(f"module {name!r} has no attribute 'greet' (at {pathlib.Path(member.__file__).parent})")
    member.run(pathlib.Path(os.environ["FAMILY_NOTES"]))
print("all", len(members), "members are well")
'''


def module(version: str, breaks: bool = False, beside: dict[str, int] | None = None, run: str = "pass") -> str:
    """The source of a member; it breaks beside the members named, from these versions on; `run` is its check."""
    return (
        f"VERSION = {version!r}\nBREAKS = {breaks!r}\nBREAKS_BESIDE = {beside or {}!r}\n\ndef run(notes):\n    {run}\n"
    )


@dataclass
class Family:
    """Members ``fam-a``, ``fam-b``, ... at version 1.0, and a project with nights."""

    folder: Path
    upstream: Upstream
    members: tuple[str, ...] = ("a", "b", "c", "d")
    limits: Limits = field(default_factory=lambda: Limits(seconds=60.0, memory=512 << 20))
    lanes: tuple[str, ...] = ("control", "newest")
    targets: tuple[str, ...] = ("-",)
    config: Config = field(init=False)
    now: float = EPOCH + 100 * DAY
    stop: threading.Event = field(default_factory=threading.Event)
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        root = self.folder / "project"
        (root / "notes").mkdir(parents=True)
        (root / "check.py").write_text(CHECK)
        self._clock = itertools.count()
        for member in self.members:
            self.release(member, "1.0", day=0)
        names = [f"fam_{member}" for member in self.members]
        suite = Suite(
            "family",
            (Step("check", ("python", "check.py", *names)),),
            targets=self.targets,
            requirements=tuple(f"fam-{member}>=1" for member in self.members),
            packages=False,
            environ={"FAMILY_NOTES": str(self.folder / "notes")},
        )
        (self.folder / "notes").mkdir()
        self.config = Config(lanes=self.lanes, suites=(suite,), limits=self.limits, pythons=(PYTHON,))

    @property
    def data(self) -> Path:
        """Where state and logs are."""
        return self.folder / "data"

    @property
    def state(self) -> State:
        """What is on disk."""
        return store.load(self.data)

    def release(
        self,
        member: str,
        version: str,
        *,
        day: float,
        breaks: bool = False,
        beside: dict[str, int] | None = None,
        run: str = "pass",
        requires: tuple[str, ...] = (),
        requires_python: str = ">=3.8",
    ) -> None:
        """Publish a member's release, some days after the first."""
        others = {f"fam_{name}": least for name, least in (beside or {}).items()}
        self.upstream.release(
            f"fam-{member}",
            version,
            {f"fam_{member}.py": module(version, breaks, others, run)},
            uploaded=EPOCH + day * DAY,
            requires=requires,
            requires_python=requires_python,
            links={"Changelog": f"https://fam-{member}.example/changes"},
        )

    def clock(self) -> float:
        """A second later at every look."""
        return self.now + next(self._clock)

    @contextmanager
    def run(self, **options: object) -> Iterator[Run]:
        """A night that was not begun yet."""
        registry = Registry([self.upstream.url])
        environ = {**registry.environ, "UV_CACHE_DIR": str(self.folder / "cache"), "UV_HTTP_RETRIES": "0"}
        workshop = Workshop(
            self.folder / "environments",
            self.folder / "project",
            interpreters={PYTHON: sys.executable},
            environ=environ,
            stopped=self.stop.is_set,
            clock=self.clock,
        )
        bench = Bench(self.config, self.data, workshop, self.state, said=self.said.append)
        run = Run(
            self.config,
            Project(self.folder / "project"),
            bench,
            registry,
            Resolver(environ),
            self.clock,
            {PYTHON: platform.python_version()},
            scratch=self.folder / "scratch",
            **options,  # type: ignore[arg-type]
        )
        try:
            yield run
        finally:
            workshop.close()

    def night(self, **options: object) -> Night:
        """Run one, a day after the one before."""
        self.now += DAY
        with self.run(**options) as run:
            return run.run()
