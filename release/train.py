"""The train itself: runs a stage's steps, each once, and remembers in the journal which are done.

A step that was killed is run again from its start, so its work must not mind: what it makes is put in place as a whole,
or is asked for first. Each line that a stage says is said between two such moments.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import Refused
from .git import Git
from .index_data import FOLDER
from .journal import STAGES, TRAINS, Journal

__all__ = ["Stage", "Train", "run"]


@dataclass
class Train:
    """A train under way in a tree: its journal, and what its stages share."""

    root: Path
    journal: Journal
    echo: Callable[[str], object] = print
    now: Callable[[], float] = time.time
    settings: dict[str, Any] = field(default_factory=dict)
    """What was said on the command line of this run: a signing key, where to upload, what to leave out."""

    @property
    def name(self) -> str:
        """The train's name."""
        return self.journal.train

    @property
    def git(self) -> Git:
        """The tree's git."""
        return Git(self.root)

    @property
    def work(self) -> Path:
        """Where its files are made; nothing in it is needed once it has arrived."""
        return self.root / "_build" / "release" / self.name

    @property
    def dist(self) -> Path:
        """The distribution files that it built."""
        return self.work / "dist"

    @property
    def packages(self) -> list[dict[str, Any]]:
        """The planned packages, providers first."""
        found: list[dict[str, Any]] = self.journal.data["plan"]["packages"]
        return found

    @property
    def commit(self) -> str:
        """What the packages are built from: the commit that the plan made."""
        return str(self.journal.steps("plan")["commit"])

    @property
    def own_paths(self) -> list[str]:
        """The train's own files in the tree, below its root; the gate does not count them as dirt."""
        stem = (TRAINS / self.name).as_posix()
        return [f"{stem}.{ending}" for ending in ("json", "md", "svg") if (self.root / f"{stem}.{ending}").exists()]

    def files(self, package: str) -> list[Path]:
        """The files that were built of a package."""
        return [self.dist / name for name in sorted(self.journal.steps("build")[package])]

    def step(
        self, stage: str, key: str, work: Callable[[], Any], still: Callable[[Any], bool] = lambda value: True
    ) -> Any:
        """Do a step unless it is done and its outcome is `still` there; return what is remembered of it (JSON)."""
        done = self.journal.steps(stage)
        if key in done and still(done[key]):
            return done[key]
        self.echo(f"{stage}: {key}")
        value = work()
        self.echo(f"{stage}: {key}, to be written down")
        self.journal.record(stage, key, value)
        return value

    def mark(self, what: str) -> str:
        """The line by which a commit of the train is found again."""
        return f"Train: {self.name}/{what}"

    def close(self) -> None:
        """Commit the journal of a train that has arrived."""
        self.git.commit(self.own_paths, f"release: the train {self.name} has arrived", self.mark("arrived"))


@dataclass(frozen=True)
class Stage:
    """One of `STAGES`."""

    name: str
    run: Callable[[Train], None]
    describe: Callable[[Train], list[str]]
    """What it would do, one line each."""
    intact: Callable[[Train], bool] = lambda train: True
    """Whether what it left behind is still there; else it runs again, and only what is missing is made."""


def run(train: Train, stage: Stage, dry_run: bool = False) -> None:
    """Bring a stage to its end, from wherever it is. Raises `TrainError`; then the same call goes on from there."""
    journal = train.journal
    if "abandoned" in journal.data:
        raise Refused(f"the train {train.name} was given up: {journal.data['abandoned']}")
    if dry_run:
        for line in stage.describe(train):
            train.echo(f"{stage.name}: would {line}")
        return
    for before in STAGES[: STAGES.index(stage.name)]:
        if journal.state(before) != "done":
            raise Refused(
                f"{stage.name} comes after {before}, which is {journal.state(before)}: ./noxw -s release -- {before}"
            )
    if journal.state(stage.name) == "done" and stage.intact(train):
        train.echo(f"{stage.name}: done already")
    else:
        with _timed(train, stage.name):
            journal.start(stage.name)
            stage.run(train)
        train.echo(f"{stage.name}: all its steps are done")
        journal.finish(stage.name)
        train.echo(f"{stage.name}: done")
    if stage.name == STAGES[-1]:
        train.close()


@contextmanager
def _timed(train: Train, stage: str) -> Iterator[None]:
    started = time.monotonic()
    try:
        yield
    finally:
        train.journal.spend(stage, time.monotonic() - started)
        train.journal.save()


def published_paths() -> list[str]:
    """What a publication changes in the tree."""
    return [FOLDER.as_posix()]
