"""``./noxw -s pin -- add|read|list|show|update|remove|try|export``."""

from __future__ import annotations

import argparse
import os
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

from ..tree import Package, canonical
from . import apply, difference
from .edit import Value, put, remove
from .model import GitPin, Hold, PathPin, PinError, Pins, parse
from .source import Found, Repository, parse_target

__all__ = ["add_options", "from_text", "run"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """The subcommands and their options."""
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, words: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=words, description=words)

    add = command("add", "pin packages to a branch, tag, pull request or folder; or hold a package's versions")
    add.add_argument(
        "words", nargs="+", metavar="[NAME ...] URL#BRANCH | PATH | SPEC", help="such as tcpip URL#fix/rst"
    )
    add.add_argument("--why", default="", help="shown wherever the pin is")
    add.add_argument("--owner", default="")
    add.add_argument("--expires", type=date.fromisoformat, metavar="DATE", help="when somebody must look at it again")
    given = command("read", "pin what the lines `pin: URL#BRANCH` of a pull request's text name")
    given.add_argument("file", help="the text; - for standard input")
    command("list", "every pin, and which are behind, merged, expired or in conflict")
    command("show", "all that is known of one pin").add_argument("name")
    command("update", "follow branches to where they are now").add_argument("names", nargs="*", metavar="NAME")
    command("remove", "take pins out").add_argument("names", nargs="+", metavar="NAME")
    trial = command("try", "build and check the website with and without a branch, and show the difference")
    trial.add_argument("words", nargs="+", metavar="[NAME ...] URL#BRANCH")
    trial.add_argument(
        "--bench", action="append", default=[], metavar="NAME", help="compare this package's benchmarks too"
    )
    command("export", "print the pins as requirements, for uv's --override")


def run(root: Path, packages: list[Package], chosen: argparse.Namespace, today: date) -> str:
    """Do what was asked and return what to print. Raises `PinError`; then `pins.toml` is as it was."""
    commands: dict[str, Callable[[], str]] = {
        "add": lambda: _add(root, packages, chosen),
        "read": lambda: _read(root, packages, chosen.file),
        "list": lambda: _list(root, packages, today),
        "show": lambda: _show(root, packages, chosen.name, today),
        "update": lambda: _update(root, packages, chosen.names),
        "remove": lambda: _remove(root, packages, chosen.names),
        "try": lambda: _try(root, packages, chosen),
        "export": lambda: "\n".join(apply.export(apply.current(root))),
    }
    return commands[chosen.command]()


def from_text(text: str) -> Iterator[str]:
    """The targets of the lines ``pin: URL#BRANCH`` in a pull request's text."""
    for line in text.splitlines():
        if line.strip().lower().startswith("pin:"):
            yield line.partition(":")[2].strip().strip("`<>")


def _add(root: Path, packages: list[Package], chosen: argparse.Namespace) -> str:
    beside: dict[str, Value] = {
        key: getattr(chosen, key) for key in ("why", "owner", "expires") if getattr(chosen, key)
    }
    *names, target = chosen.words
    text = _text(root)
    if "#" in target:
        made = _from_git(root, packages, names, target)
        for found in made:
            text = put(remove(text, "path", found.name), "git", found.name, _git_values(found) | beside)
        said = [f"{p.name} is pinned to {p.followed} at {p.rev[:12]}" for p in made]
    elif (Path.cwd() / target / "pyproject.toml").exists():
        (project,) = _at(Path.cwd() / target)
        place = os.path.relpath(Path.cwd() / target, apply.file_of(root).parent)
        values: dict[str, Value] = {"path": place, "version": project.version}
        text = put(remove(text, "git", project.name), "path", project.name, values | beside)
        said = [f"{project.name} is pinned to the folder {place}"]
    elif len(names) == 1 and target[:1] in set("<>=!~"):
        values = {"spec": target} | {("until" if k == "expires" else k): v for k, v in beside.items() if k != "owner"}
        text = put(text, "hold", canonical(names[0]), values)
        said = [f"{names[0]} is held: {target}"]
    else:
        raise PinError(
            f"{target!r} is neither URL#BRANCH, nor a folder with a pyproject.toml, nor a bound such as '<47'"
        )
    pins = _write(root, text)
    return "\n".join([*said, *apply.passed_over(pins, packages)])


def _read(root: Path, packages: list[Package], file: str) -> str:
    """A pin for each line of a text that asks for one."""
    text, said = _text(root), []
    for target in from_text(sys.stdin.read() if file == "-" else Path(file).read_text()):
        for pin in _from_git(root, packages, [], target):
            text = put(remove(text, "path", pin.name), "git", pin.name, _git_values(pin))
            said.append(f"{pin.name} is pinned to {pin.followed} at {pin.rev[:12]}")
    _write(root, text)
    return "\n".join(said) or "the text pins nothing"


def _from_git(root: Path, packages: list[Package], names: Sequence[str], target: str) -> list[GitPin]:
    """A pin of each package named, or of each that the branch changed."""
    url, ref = parse_target(target)
    repository = Repository(root)
    rev = repository.fetch(url, ref)
    held = {canonical(p.name): p for p in repository.packages(rev)}
    if names:
        wanted = [_named(held, name, target) for name in names]
    else:
        wanted = repository.changed(rev)
        if not wanted:
            raise PinError(f"{target} changes no package since it left the base; name one to pin it all the same")
    return [GitPin(canonical(p.name), url, ref, rev, p.subdirectory, p.version) for p in wanted]


def _named(held: dict[str, Found], name: str, target: str) -> Found:
    for candidate in (canonical(name), canonical(f"mirage-{name}")):
        if candidate in held:
            return held[candidate]
    raise PinError(f"{target} holds no package {name}; it holds {', '.join(sorted(held)) or 'none'}")


def _git_values(pin: GitPin) -> dict[str, Value]:
    kinds = {"heads": "branch", "tags": "tag", "pull": "pull"}
    kind, _, short = pin.ref.removeprefix("refs/").partition("/")
    followed: Value = int(short.removesuffix("/head")) if kind == "pull" else short
    place: dict[str, Value] = {"subdirectory": pin.subdirectory} if pin.subdirectory else {}
    return {"url": pin.url, kinds[kind]: followed, "rev": pin.rev, **place, "version": pin.version}


def _at(folder: Path) -> list[Found]:
    project = tomllib.loads((folder / "pyproject.toml").read_text()).get("project", {})
    if not {"name", "version"} <= project.keys():
        raise PinError(f"{folder}/pyproject.toml names no project with a version")
    return [Found(canonical(project["name"]), "", project["version"])]


def _list(root: Path, packages: list[Package], today: date) -> str:
    pins = apply.current(root)
    if not pins:
        return "nothing is pinned"
    rows = [("package", "from", "version", "owner", "expires", "state")]
    for name, pin in sorted(pins.sources.items()):
        place = f"{pin.followed} @ {pin.rev[:12]}" if isinstance(pin, GitPin) else str(pin.path)
        state = "; ".join(_states(root, packages, pins, pin, today))
        rows.append((name, place, pin.version, pin.owner or "-", str(pin.expires or "-"), state))
    for name, hold in sorted(pins.hold.items()):
        late = "expired" if hold.until and hold.until < today else "held"
        rows.append((name, str(hold.spec), "-", "-", str(hold.until or "-"), late))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*table, *apply.passed_over(pins, packages)])


def _states(root: Path, packages: list[Package], pins: Pins, pin: GitPin | PathPin, today: date) -> list[str]:
    """What somebody should know of a pin."""
    found = []
    if pin.expires and pin.expires < today:
        found.append(f"expired on {pin.expires}")
    hold = pins.hold.get(pin.name)
    if hold and not hold.spec.contains(pin.version, prereleases=True):
        found.append(f"in conflict with its hold {hold.spec}")
    if isinstance(pin, GitPin):
        repository = Repository(root)
        if pin.name in {p.name for p in packages} and repository.merged(pin.rev, pin.subdirectory):
            found.append("merged")
        try:
            now = repository.resolve(pin.url, pin.ref)
            found.append("current" if now == pin.rev else f"behind, {pin.followed} is at {now[:12]}")
        except PinError as error:
            found.append(f"unknown: {error}")
    return found or ["in use"]


def _show(root: Path, packages: list[Package], name: str, today: date) -> str:
    pins = apply.current(root)
    for candidate in (canonical(name), canonical(f"mirage-{name}")):
        pin: GitPin | PathPin | Hold | None = pins.sources.get(candidate) or pins.hold.get(candidate)
        if pin is not None:
            lines = [f"{key:<13} {value}" for key, value in vars(pin).items() if value not in ("", None)]
            if not isinstance(pin, Hold):
                lines.append(f"{'state':<13} {'; '.join(_states(root, packages, pins, pin, today))}")
            return "\n".join(lines)
    raise PinError(f"{name} is not pinned")


def _update(root: Path, packages: list[Package], names: Sequence[str]) -> str:
    pins, repository, text, said = apply.current(root), Repository(root), _text(root), []
    for name in _known(pins, names, pins.git):
        pin = pins.git[name]
        rev = repository.fetch(pin.url, pin.ref)
        if rev == pin.rev:
            said.append(f"{name} is at {rev[:12]} already")
            continue
        version = {canonical(p.name): p for p in repository.packages(rev)}.get(name)
        if version is None:
            raise PinError(f"{pin.followed} of {pin.url} has no {name} any more; nothing was changed")
        new = replace(pin, rev=rev, version=version.version, subdirectory=version.subdirectory)
        text = put(text, "git", name, _git_values(new))
        said.append(f"{name}: {pin.rev[:12]} -> {rev[:12]}")
    _write(root, text)
    return "\n".join(said) or "nothing is pinned to git"


def _remove(root: Path, packages: list[Package], names: Sequence[str]) -> str:
    pins, text = apply.current(root), _text(root)
    for name in _known(pins, names, {**pins.sources, **pins.hold}):
        for kind in ("git", "path", "hold"):
            text = remove(text, kind, name)
    _write(root, text)
    return f"no longer pinned: {', '.join(names)}"


def _known(pins: Pins, names: Sequence[str], table: Mapping[str, object]) -> list[str]:
    found = []
    for name in names or list(table):
        match = next((c for c in (canonical(name), canonical(f"mirage-{name}")) if c in table), None)
        if match is None:
            raise PinError(f"{name} is not pinned; pinned are: {', '.join(table) or 'none'}")
        found.append(match)
    return found


def _try(root: Path, packages: list[Package], chosen: argparse.Namespace) -> str:
    *names, target = chosen.words
    text = _text(root)
    for pin in _from_git(root, packages, names, target):
        text = put(remove(text, "path", pin.name), "git", pin.name, _git_values(pin))
    parse(text, apply.file_of(root).parent)
    return difference.compare(root, text, chosen.bench)


def _text(root: Path) -> str:
    file = apply.file_of(root)
    return file.read_text() if file.exists() else ""


def _write(root: Path, text: str) -> Pins:
    """Replace the file by a text that can be read; an empty one is no file."""
    file = apply.file_of(root)
    pins = parse(text, file.parent)
    if text.strip():
        scratch = file.with_suffix(".new")
        scratch.write_text(text)
        scratch.replace(file)
    else:
        file.unlink(missing_ok=True)
    return pins
