"""The nightly bot: names the upstream release, or the pair, that broke the website's build, and says so once.

Without a part it runs a whole night. A night that was stopped, or crashed, goes on where it was.

parts:
  watch     what is new upstream since the last good night; runs nothing
  try       run every suite on what is new, and judge
  bisect    find the smallest set of changes behind what regressed, and end the night
  report    say what the last night found, in the configured channels; publish the status page's data
  repro     KEY: run the suite of a finding or a job again, here and now, and show what it prints
  history   the nights so far
  demo      an upstream on loopback breaks the website's build and mends it; the bot opens, updates and closes

Examples:
  ./noxw -s is_broken
  ./noxw -s is_broken -- --only newest-website --dry-run
  ./noxw -s is_broken -- --since 2026-01-01 --only newest
  ./noxw -s is_broken -- repro 0123456789ab
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from . import store, watch
from .attempt import Workshop
from .cells import Bench
from .channels import Around, open_channels
from .config import FILE, FOLDER, Config, load
from .errors import BotError
from .model import Night, State
from .night import Run
from .process import Interrupted
from .project import Project
from .publish import FOLDER as FOLDER_PUBLISHED
from .publish import publish
from .pythons import interpreters
from .registry import Registry, addresses
from .report import report
from .resolve import Resolver

ROOT = FOLDER.parent.parent
DATA = FOLDER / "data"
PARTS = ("night", "watch", "try", "bisect", "report", "repro", "history", "demo")


def options() -> argparse.ArgumentParser:
    """The words that it takes."""
    parser = argparse.ArgumentParser(
        prog="./noxw -s is_broken --",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("part", nargs="?", default="night", choices=PARTS, metavar="PART", help="see above")
    parser.add_argument("key", nargs="?", default="", metavar="KEY", help="what to reproduce")
    parser.add_argument("--since", default="", metavar="DATE", help="take what was newest then for what was good")
    parser.add_argument(
        "--only", default="", metavar="PATTERN", help="only jobs whose key has this in it; * and ? work"
    )
    parser.add_argument("--dry-run", action="store_true", help="change no file of the bot's, and tell nobody")
    parser.add_argument("--jobs", type=int, default=0, metavar="N", help="suites at a time")
    parser.add_argument("--config", type=Path, default=FILE, metavar="FILE", help="default: bots/is_broken/config.toml")
    parser.add_argument("--data", type=Path, default=DATA, metavar="FOLDER", help="default: bots/is_broken/data")
    parser.add_argument("--root", type=Path, default=ROOT, metavar="FOLDER", help="the tree to look after")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the program: 0 when what was asked for was done, whatever it found; 75 when it is to be run again."""
    parser = options()
    chosen = parser.parse_args(arguments)
    if (chosen.part == "repro") != bool(chosen.key):
        parser.error("a KEY belongs behind `repro`, and only there")
    if chosen.jobs < 0:
        parser.error("--jobs has to be 1 or more")
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    try:
        return run(chosen, stopped)
    except Interrupted:
        print("is_broken: stopped; the state is saved, and the next run goes on from here", file=sys.stderr)
        return 75
    except BotError as error:
        print(f"is_broken: {error}", file=sys.stderr)
        return 2


def run(chosen: argparse.Namespace, stopped: threading.Event) -> int:
    """Do a part. Raises `BotError` and `Interrupted`."""
    if chosen.part == "demo":
        from . import demo

        return demo.main(stopped)
    config = load(chosen.config)
    config = replace(config, jobs=chosen.jobs or config.jobs)
    if chosen.part == "history":
        print(history(store.load(chosen.data)))
        return 0
    with store.alone(chosen.data):
        if chosen.part == "report":
            state = store.load(chosen.data)
            return told(config, chosen.data, state, state.nights[-1]) if state.nights else 0
        with tempfile.TemporaryDirectory(prefix="is-broken-") as scratch:
            night = prepared(chosen, config, Path(scratch), stopped)
            if chosen.part == "repro":
                return repro(night, config, chosen.key, Path(scratch))
            return _part(chosen, config, night)


def _part(chosen: argparse.Namespace, config: Config, night: Run) -> int:
    done: Night | None = None
    if chosen.part == "night":
        done = night.run()
    elif chosen.part == "watch":
        night.bench.dry = True
        night.begin()
        night.look()
        print(watch.told(night.upstream, night.bench.state))
    else:
        night.begin()
        night.look()
        if chosen.part == "try":
            night.try_all()
        else:
            night.bisect_all()
            done = night.end(settled=not chosen.only and not chosen.since)
    if done is None:
        return 0
    print(summary(done, night.bench))
    return 0 if chosen.dry_run else told(config, chosen.data, night.bench.state, done)


def prepared(chosen: argparse.Namespace, config: Config, scratch: Path, stopped: threading.Event) -> Run:
    """A night over the tree, with everything that it needs of this machine. Raises `BotError`."""
    registry = Registry(addresses())
    found = interpreters(config.pythons)
    project = Project(chosen.root)
    workshop = Workshop(
        scratch / "environments",
        project.root,
        project.editables,
        {minor: path for minor, (_, path) in found.items()},
        registry.environ,
        stopped.is_set,
        copies=config.jobs > 1,
    )
    state = store.load(chosen.data)
    bench = Bench(config, chosen.data, workshop, state, dry=chosen.dry_run, said=_say)
    return Run(
        config,
        project,
        bench,
        registry,
        Resolver(registry.environ),
        time.time,
        {minor: version for minor, (version, _) in found.items()},
        targets(_say),
        chosen.only,
        chosen.since,
        scratch,
    )


def targets(say: Callable[[str], None]) -> frozenset[str]:
    """The targets that this machine can run; those that it cannot are said."""
    found = {"-", "unix", "unix-gateway"}
    if os.access("/dev/kvm", os.R_OK | os.W_OK):
        found |= {"hvt"} | ({"hvt-tap"} if os.geteuid() == 0 else set())
    else:
        say("the target hvt is passed over: there is no /dev/kvm that may be used; ./noxw -s doctor says more")
    return frozenset(found)


def told(config: Config, data: Path, state: State, night: Night) -> int:
    """Report a night, and publish it: 0, or 1 where a channel could not be used. Raises `BotError`."""
    around = Around(config.reporting, data / "reports", os.environ, time.time, time.sleep)
    state, said = report(
        state,
        night,
        open_channels(around),
        lambda saved: store.save(data, saved),
        cap=config.reporting.cap,
        close_after=config.reporting.close_after,
    )
    changed = publish(state, data, data / FOLDER_PUBLISHED)
    print(f"published: {len(changed)} files changed below {data / FOLDER_PUBLISHED}")
    for channel, key, event in said.events:
        print(f"{channel}: {event.value} {key}")
    for channel, key in said.capped:
        print(f"{channel}: {key} waits for another night, {config.reporting.cap} are enough for one")
    for sentence in said.failed:
        print(f"is_broken: {sentence}", file=sys.stderr)
    return 1 if said.failed else 0


def repro(night: Run, config: Config, key: str, scratch: Path) -> int:
    """Run what a finding, or a job of the last nights, ran; 0 where it passes, 1 where it fails. Raises `BotError`."""
    state = night.bench.state
    results = [result for one in reversed(state.nights) for result in one.results]
    finding = state.findings.get(key)
    if finding is not None:
        result = next((one for one in results if one.job.key in finding.jobs), None)
        lock = state.locks.get(finding.lock or (result.lock if result else ""))
    else:
        result = next((one for one in results if one.job.key == key), None)
        lock = state.locks.get(result.lock) if result else None
    if result is None or lock is None:
        known = sorted({*state.findings, *(one.job.key for one in results)})
        raise BotError(f"nothing is known of {key!r} that could be run again; there are {', '.join(known) or 'none'}")
    cell = next((c for c in night.cells() if result.job in (*night.jobs(c), c.job(result.job.lane.kind))), None)
    if cell is None:
        raise BotError(f"{result.job.key} is in the configuration no more")
    print(f"{result.job.key}, with:\n  " + "\n  ".join(lock.requirements), flush=True)
    log = scratch / "repro.log"
    probe = night.bench.workshop.attempt(cell.suite, cell.target, lock, log, config.limits)
    print(log.read_text(errors="replace"))
    print(f"is_broken: {'it passes' if probe.failure is None else probe.failure.signature}")
    return 0 if probe.passed else 1


def summary(night: Night, bench: Bench) -> str:
    """A night in a few lines."""
    state = bench.state
    lines = [f"{result.job.key:<50} {result.outcome.value}" for result in night.results]
    for key in night.findings:
        finding = state.findings[key]
        lines.append(f"{key}  {finding.culprits.spelled or finding.outcome.value}: {finding.signature}")
        if finding.outcome.value != "infrastructure":
            lines.append(f"  {finding.explanation.reproduce}")
    new = "nothing is new" if night.quiet else f"probes {night.probes}, {bench.spared} known already"
    lines.append(f"is_broken: {len(night.findings)} broken, {new}, {night.ended - night.started:.0f} s")
    return "\n".join(lines)


def history(state: State) -> str:
    """A line a night, newest first."""
    lines = []
    for night in reversed(state.nights):
        outcomes = [result.outcome.value for result in night.results]
        counts = ", ".join(f"{outcomes.count(one)} {one}" for one in dict.fromkeys(outcomes))
        lines.append(f"{night.name}  {'quiet: ' if night.quiet else ''}{counts or 'nothing was run'}")
        for key in night.findings:
            known = state.findings.get(key)
            lines.append(f"  {key}  {known.culprits.spelled or known.signature if known else 'mended since'}")
    return "\n".join(lines) or "no night has been yet"


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
