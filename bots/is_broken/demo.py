"""Upstream breaks the website's build, and mends it again: five nights of the real bot, in some minutes, on loopback.

Real are the website, its build, uv, the bisection and github3.py. Made up are an index that is asked before the
configured one, with releases of three libraries that the website is rendered with, and the GitHub that is told.
"""

from __future__ import annotations

import json
import platform
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from . import store
from .attempt import Workshop
from .cells import Bench
from .channels import Around, open_channels
from .config import FOLDER, Config, Limits, Reporting, Step, Suite
from .errors import BotError
from .model import Night
from .night import Run
from .process import run as run_bounded
from .project import Project
from .publish import FOLDER as FOLDER_PUBLISHED
from .publish import publish
from .registry import Registry, addresses
from .report import Event, Summary, report
from .resolve import Resolver, uv
from .testing.fake_github import FakeGitHub
from .testing.upstream import Upstream

DAY = 86400.0
LIBRARIES = ("markupsafe", "pygments", "jinja2")
CULPRIT = "markupsafe"
BUILD = "from integration import targets; targets.build('{target}', echo=lambda text: print(text, end=''))"
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"


def main(stopped: threading.Event) -> int:
    """Run it: 0 when everything happened as it should. Raises `BotError`."""
    with tempfile.TemporaryDirectory(prefix="is-broken-demo-") as folder, Upstream() as upstream:
        clock = Clock(time.time() - 10 * DAY)
        with FakeGitHub("mirage/mirage", clock.now) as github:
            return Demo(Path(folder), upstream, github, clock, stopped).play()


@dataclass
class Clock:
    """Every night comes when the one before is over."""

    when: float

    def now(self) -> float:
        """Seconds since 1970."""
        self.when += 1
        return self.when


@dataclass
class Demo:
    """The play: `play` is its acts, everything else is the stage."""

    folder: Path
    upstream: Upstream
    github: FakeGitHub
    clock: Clock
    stopped: threading.Event
    counts: dict[Event, int] = field(default_factory=dict)
    probes: int = 0

    def __post_init__(self) -> None:
        self.config = Config(
            lanes=("control", "newest"),
            suites=(
                Suite(
                    "website",
                    (
                        Step(
                            "build",
                            ("python", "-c", "from integration import targets; targets.build('{target}', echo=print)"),
                        ),
                    ),
                    targets=("unix",),
                    groups=("site:render", "integration:check"),
                    environ={"PYTHONPATH": "{root}"},
                ),
            ),
            limits=Limits(seconds=600.0),
            reporting=Reporting(("github",), "mirage/mirage", api=self.github.url),
        )
        self.registry_urls = (self.upstream.url, *addresses())

    def play(self) -> int:
        """The acts."""
        say("upstream: an index on loopback offers the releases that there are")
        versions = self.releases()
        self.night("all is well")
        say(f"upstream: {CULPRIT} {versions[CULPRIT].next(0)} drops a function; the other two release as well")
        for name in LIBRARIES:
            versions[name].publish(self, 0, broken=name == CULPRIT)
        self.night("the build is broken")
        say(f"upstream: another release of {LIBRARIES[1]}, which mends nothing")
        versions[LIBRARIES[1]].publish(self, 1)
        self.night("still broken")
        say(f"upstream: {CULPRIT} {versions[CULPRIT].next(1)} has the function again")
        versions[CULPRIT].publish(self, 1)
        self.night("mended")
        say("upstream: nothing new")
        self.night("nothing new, so nothing is run")
        for issue in self.github.issues:
            say(f"issue {issue.number}: {issue.title}: {issue.state}, {len(issue.comments)} comments")
        opened, updated, closed = (self.counts.get(e, 0) for e in (Event.OPENED, Event.SEEN, Event.CLOSED))
        print(f"is_broken: opened {opened}, updated {updated}, closed {closed}, probes {self.probes}", flush=True)
        return 0 if (opened, updated, closed) == (1, 1, 1) else 1

    def releases(self) -> dict[str, Library]:
        """Offer on loopback what the configured index has now."""
        wants = Project(FOLDER.parent.parent).requirements(self.config.suites[0])
        resolver = Resolver(Registry(addresses()).environ)
        lock = resolver.resolve(PYTHON, wants).versions
        found = {}
        for name in LIBRARIES:
            found[name] = Library(name, lock[name], self.files(name, lock[name], resolver.environ))
            found[name].publish(self, None)
        return found

    def files(self, name: str, version: str, environ: dict[str, str]) -> dict[str, bytes]:
        """The Python files of a release; it works without the compiled ones."""
        place = self.folder / "taken" / name
        log = self.folder / "taken.log"
        words = [uv(), "pip", "install", "--no-deps", "--python", sys.executable, "--target", str(place)]
        if run_bounded([*words, f"{name}=={version}"], log, Limits(), seconds=120, environ=environ).status:
            raise BotError(f"{name} {version} cannot be had from the configured index: {log.read_text()[-500:]}")
        return {
            str(file.relative_to(place)): file.read_bytes()
            for file in sorted(place.rglob("*"))
            if file.is_file() and file.suffix not in {".so", ".pyc"} and ".dist-info" not in str(file)
        }

    def night(self, title: str) -> Night:
        """The bot's night, and what it says of it."""
        say(f"night: {title}")
        self.clock.when += DAY
        data = self.folder / "data"
        registry = Registry(self.registry_urls)
        project = Project(FOLDER.parent.parent)
        workshop = Workshop(
            self.folder / "environments",
            project.root,
            project.editables,
            {PYTHON: sys.executable},
            registry.environ,
            self.stopped.is_set,
            self.clock.now,
        )
        bench = Bench(self.config, data, workshop, store.load(data), said=lambda line: say(f"  {line}"))
        pythons = {PYTHON: platform.python_version()}
        scratch = self.folder / "scratch"
        run = Run(
            self.config, project, bench, registry, Resolver(registry.environ), self.clock.now, pythons, scratch=scratch
        )
        night = run.run()
        self.probes += night.probes
        self.tell(run, night, data)
        return night

    def tell(self, run: Run, night: Night, data: Path) -> Summary:
        """Report through github3.py to the GitHub on loopback."""
        environ = {self.config.reporting.token: self.github.token}
        around = Around(self.config.reporting, data / "reports", environ, self.clock.now, lambda seconds: None)
        state, said = report(run.bench.state, night, open_channels(around), lambda state: store.save(data, state))
        for channel, key, event in said.events:
            say(f"  {channel}: {event.value} {key}")
            self.counts[event] = self.counts.get(event, 0) + 1
        if said.failed:
            raise BotError("; ".join(said.failed))
        publish(state, data, data / FOLDER_PUBLISHED)
        status = json.loads((data / FOLDER_PUBLISHED / "status.json").read_text())
        say(f"  published: {len(status['nights'])} nights, the badge says {status['word']!r}")
        return said


@dataclass
class Library:
    """A distribution whose releases are made up."""

    name: str
    version: str
    files: dict[str, bytes]

    def next(self, number: int) -> str:
        """A release after the real one, below the ceiling that the website has."""
        return f"{self.version.partition('.')[0]}.999.{number}"

    def publish(self, demo: Demo, number: int | None, broken: bool = False) -> None:
        """Publish the real release, or one that is after it."""
        files = dict(self.files)
        if broken:
            module = f"{self.name}/__init__.py"
            files[module] += b"\ndel escape\n"
        demo.upstream.release(
            self.name,
            self.version if number is None else self.next(number),
            files,
            uploaded=demo.clock.now(),
            requires=("markupsafe>=2.0",) if self.name == "jinja2" else (),
            links={"Changelog": f"https://{self.name}.example/changes"},
        )


_started = time.monotonic()


def say(line: str) -> None:
    """Print a line with the seconds that have passed."""
    print(f"[{time.monotonic() - _started:6.1f}] {line}", flush=True)
