"""The command: what was typed, as calls of the train."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tasks import files
from tasks.pins.apply import current
from tasks.pins.model import PinError

from . import gate, graph, journal, page, plan, rehearse, stages, status, survey
from .errors import Refused, TrainError
from .git import Git
from .index_data import FOLDER, IndexData
from .journal import TRAINS, Journal
from .model import Plan
from .train import Train, run

__all__ = ["Shell", "main"]

EXAMPLES = """examples:
  plan --dry-run                    what would be released, and why; nothing is written
  plan                              write it into the tree and commit it; _build or release/trains has the page
  plan tcpip dns                    only these, and what they need
  run                               every stage that is left, from wherever the train is
  build | stage | verify | publish | announce    one stage; --dry-run says what it would do
  run --sign ~/.ssh/id_ed25519      sign every file and the index's root
  publish --upload URL              upload by twine too
  verify --without opam             on a machine without opam; publish wants --accept-unverified then
  status                            every train, every stage, how long it took
  yank tcpip==0.1.1 "loses frames"  nobody should choose this release any more
  abandon "why"                     give the train up that has not published yet
  rehearse                          all of it on a clone, in _build/rehearsal; the tree stays as it is
"""


@dataclass(frozen=True)
class Shell:
    """What the command has of the world around it."""

    now: Callable[[], float] = time.time
    """Seconds since 1970."""
    echo: Callable[[str], object] = print
    """Where each line of a stage goes, as it is said."""


def main(root: Path, arguments: Sequence[str], shell: Shell | None = None) -> int:
    """The command; its exit status is 0 only when what was asked for was done."""
    try:
        chosen = _parser().parse_args(arguments)
    except SystemExit as end:
        return int(end.code or 0)
    try:
        return _COMMANDS.get(chosen.command, _stage)(root, chosen, shell or Shell())
    except TrainError as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("release: interrupted; the same command goes on from there", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "./noxw -s release --",
        description="The release train; release/README.md is its runbook.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, words: str) -> argparse.ArgumentParser:
        return commands.add_parser(
            name, help=words, description=words, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
        )

    for name, words in (
        ("plan", "find what changed, say what is released and why, write versions and bounds"),
        ("build", "build every file twice and compare the bytes"),
        ("stage", "make an index of them, and the website from that index alone"),
        ("verify", "install with pip, uv and opam, test each wheel, upgrade"),
        ("publish", "add the files to site/index"),
        ("announce", "changelogs, the release's page, tags"),
        ("run", "every stage that is left"),
    ):
        _stage_options(command(name, words), name)
    made = command("status", "the trains and their stages")
    made.add_argument("train", nargs="?", help="only this one, with its steps")
    made = command("yank", "mark a release as one that nobody should choose")
    made.add_argument("release", metavar="NAME==VERSION")
    made.add_argument("why")
    made.add_argument("--sign", type=Path, metavar="KEY", help="sign the index's root again")
    made.add_argument("--dry-run", action="store_true")
    made = command("abandon", "give up a train that has not published yet")
    made.add_argument("why")
    made.add_argument("--dry-run", action="store_true")
    made = command("rehearse", "the whole train on a clone, up to installing from the booted website's index")
    _stage_options(made, "rehearse")
    return parser


def _stage_options(made: argparse.ArgumentParser, name: str) -> None:
    made.add_argument("--dry-run", action="store_true", help="say what would be done; write nothing")
    if name in {"plan", "run", "rehearse"}:
        made.add_argument("names", nargs="*", metavar="NAME", help="only these packages, and what they need")
    if name in {"plan", "run"}:
        made.add_argument("--train", help="the train's name (default: today's date)")
    if name in {"verify", "run", "rehearse"}:
        made.add_argument(
            "--without",
            type=lambda text: text.split(","),
            default=[],
            metavar="CHECK,...",
            help="leave out: opam, pip, uv, upgrade, newest, lowest, slow",
        )
    if name in {"publish", "run"}:
        made.add_argument("--sign", type=Path, metavar="KEY", help="an SSH key that signs each file and the root")
        made.add_argument("--upload", metavar="URL", help="a repository that twine uploads to")
        made.add_argument("--accept-unverified", action="store_true", help="publish although verify left something out")
    if name in {"announce", "run"}:
        made.add_argument("--github", metavar="OWNER/NAME", help="draft a release there (GITHUB_TOKEN)")
        made.add_argument("--opam", metavar="OWNER/NAME", help="prepare a pull request for an opam repository there")


def _settings(chosen: argparse.Namespace) -> dict[str, object]:
    names = ("without", "sign", "upload", "accept_unverified", "github", "opam")
    found = {name: getattr(chosen, name, None) for name in names}
    return {name: str(value) if isinstance(value, Path) else value for name, value in found.items() if value}


def _open(root: Path) -> Journal | None:
    """The train that is under way, if one is: one whose last words are not committed has not arrived either."""
    git = Git(root)
    return next((j for j in journal.journals(root) if not j.finished or git.dirty_of(str(j.file))), None)


def _stage(root: Path, chosen: argparse.Namespace, shell: Shell) -> int:
    """One stage of the train that is under way, or of the last one that arrived."""
    found = _open(root) or next(reversed(journal.journals(root)), None)
    if found is None:
        raise Refused("no train is under way; ./noxw -s release -- plan makes one")
    train = Train(root, found, now=shell.now, echo=shell.echo, settings=_settings(chosen))
    run(train, stages.ALL[chosen.command], chosen.dry_run)
    return 0


def _plan(root: Path, chosen: argparse.Namespace, shell: Shell) -> int:
    train = _planned(root, chosen, shell)
    if train is None:
        return 0
    run(train, stages.ALL["plan"])
    print(f"Read {TRAINS / train.name}.md, then: ./noxw -s release -- run")
    return 0


def _planned(root: Path, chosen: argparse.Namespace, shell: Shell) -> Train | None:
    """The train under way, or a new one with its plan; None when it was only to be shown."""
    found = _open(root)
    if found is not None:
        if found.state("plan") == "done" and chosen.command == "plan" and not chosen.dry_run:
            raise Refused(
                f"the train {found.train} is under way, {found.next} is next: ./noxw -s release -- run; "
                "or give it up: ./noxw -s release -- abandon WHY"
            )
        if not chosen.dry_run or chosen.command == "run":
            return Train(root, found, now=shell.now, echo=shell.echo, settings=_settings(chosen))
    made = plan.plan(survey.survey(root), [_full(root, name) for name in chosen.names])
    print(page.table(made))
    date = datetime.fromtimestamp(shell.now(), UTC).date().isoformat()
    name = chosen.train if getattr(chosen, "train", None) else _name(root, date)
    refusals = gate.refusals(made, Git(root).dirty(["_build/"]), _pins(root))
    if refusals or chosen.dry_run:
        place = _leave(root, made, name, date)
        print(f"\nThe page: {place}")
    if refusals:
        raise Refused("the gate is shut:\n" + "\n".join(f"  - {refusal}" for refusal in refusals))
    if chosen.dry_run:
        return None
    new = Journal.create(root, name, date)
    new.data |= {"base": Git(root).head(), "plan": page.as_data(made)}
    new.save()
    return Train(root, new, now=shell.now, echo=shell.echo, settings=_settings(chosen))


def _leave(root: Path, made: Plan, name: str, date: str) -> Path:
    """The page of a plan that is only looked at."""
    place = root / "_build" / "release" / "plan"
    files.write(place / f"{name}.md", page.page(made, name, date))
    files.write(place / f"{name}.svg", graph.svg(made.packages, f"The packages of the train {name}"))
    return place / f"{name}.md"


def _full(root: Path, name: str) -> str:
    known = [m.name for m in survey.members(root)]
    for candidate in (name, f"mirage-{name}"):
        if candidate in known:
            return candidate
    raise Refused(f"there is no package {name}; there are {', '.join(n.removeprefix('mirage-') for n in known)}")


def _name(root: Path, date: str) -> str:
    taken = {j.train for j in journal.journals(root)}
    return next(n for n in [date, *(f"{date}-{i}" for i in range(2, len(taken) + 3))] if n not in taken)


def _pins(root: Path) -> list[str]:
    try:
        pins = current(root)
    except PinError as error:
        raise Refused(str(error)) from error
    return [*pins.sources, *pins.hold]


def _run(root: Path, chosen: argparse.Namespace, shell: Shell) -> int:
    train = _planned(root, chosen, shell)
    if train is None:
        return 0
    for stage in stages.ALL.values():
        if chosen.dry_run and train.journal.state(stage.name) == "done":
            continue
        run(train, stage, chosen.dry_run)
    if not chosen.dry_run:
        print(status.table(train.journal))
    return 0


def _status(root: Path, chosen: argparse.Namespace, shell: Shell) -> int:
    found = [j for j in journal.journals(root) if chosen.train in {None, j.train}]
    if not found:
        print("no train yet" if chosen.train is None else f"there is no train {chosen.train}")
        return int(chosen.train is not None)
    for each in found:
        print(status.table(each, steps=chosen.train is not None), end="\n\n")
    return 0


def _yank(root: Path, chosen: argparse.Namespace, shell: Shell) -> int:
    name, _, version = chosen.release.partition("==")
    name = _full(root, name)
    if not version:
        raise Refused(f"{chosen.release} names no version: NAME==VERSION")
    if chosen.dry_run:
        print(f"yank: would mark {name} {version} in {FOLDER}/releases.json and commit that")
        return 0
    entry = IndexData(root).yank(name, version, chosen.why)
    if chosen.sign:
        stages.publish.sign_root(root, chosen.sign)
    git = Git(root)
    if git.dirty_of(FOLDER.as_posix()):
        git("commit", "--quiet", "-m", f"release: {name} {version} is yanked: {chosen.why}", "--", FOLDER.as_posix())
    print(f"{name} {entry['version']} is yanked: {chosen.why}")
    print(f"Mend it with a fragment, then: ./noxw -s release -- run {name.removeprefix('mirage-')}")
    return 0


def _abandon(root: Path, chosen: argparse.Namespace, shell: Shell) -> int:
    found = _open(root)
    if found is None:
        raise Refused("no train is under way")
    if found.state("publish") != "waiting":
        raise Refused(f"the train {found.train} has begun to publish; finish it and yank what is bad")
    if chosen.dry_run:
        print(f"abandon: would give up {found.train} and commit that")
        return 0
    found.data["abandoned"] = chosen.why
    found.save()
    train = Train(root, found)
    train.git.commit(train.own_paths, f"release: the train {train.name} is given up", train.mark("abandoned"))
    print(f"the train {train.name} is given up; the versions that it wrote stay, and the next plan takes them")
    return 0


def _rehearse(root: Path, chosen: argparse.Namespace, shell: Shell) -> int:
    return rehearse.rehearse(root, chosen.names, chosen.without, chosen.dry_run)


_COMMANDS: dict[str, Callable[[Path, argparse.Namespace, Shell], int]] = {
    "plan": _plan,
    "run": _run,
    "status": _status,
    "yank": _yank,
    "abandon": _abandon,
    "rehearse": _rehearse,
}
