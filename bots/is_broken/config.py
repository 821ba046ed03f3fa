"""What the bot is told: `config.toml`, read with tomli and checked.

Every error names the file, the line and the key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli

from .errors import ConfigError

FOLDER = Path(__file__).resolve().parent
FILE = FOLDER / "config.toml"

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*\Z")


@dataclass(frozen=True, slots=True)
class Step:
    """A part of a suite."""

    name: str
    run: tuple[str, ...]
    """The words of a command; ``python`` is that of the environment, ``{target}`` the target's name."""


@dataclass(frozen=True, slots=True)
class Suite:
    """What is run to know whether we are broken: a row of the matrix."""

    name: str
    steps: tuple[Step, ...]
    targets: tuple[str, ...] = ("-",)
    """Those of `integration.targets`; one that this machine cannot run is passed over, and said."""
    groups: tuple[str, ...] = ()
    """Dependency groups beside the packages' own requirements: ``test`` of every package, ``site:render``, ..."""
    requirements: tuple[str, ...] = ()
    """More of them."""
    packages: bool = True
    """Whether the packages of the tree are installed."""
    folder: str = "."
    """Where it runs, relative to the root of the tree."""
    environ: Mapping[str, str] = field(default_factory=dict)
    """Variables; ``{root}`` in them is the root of the tree."""


@dataclass(frozen=True, slots=True)
class Repository:
    """A git repository whose head is watched."""

    name: str
    url: str
    branch: str = "main"
    package: str = ""
    """The distribution that it is the source of; empty where it is only watched."""


@dataclass(frozen=True, slots=True)
class Downstream:
    """Another project that depends on us, and how its own tests are run."""

    name: str
    url: str
    """A git repository, or a folder relative to the root of the tree."""
    test: tuple[str, ...]
    """The words of the command, run in its checkout with our packages installed; ``python`` is that environment's."""
    branch: str = "main"
    install: tuple[str, ...] = ()
    """Its requirements beside ours."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a job may use. A job that wants more is ended, and has failed."""

    seconds: float = 1800.0
    memory: int = 4 << 30
    """Octets that all its processes may use together."""
    output: int = 32 << 20
    """Octets that it may print."""
    file: int = 2 << 30
    """Octets of each file that it writes."""


@dataclass(frozen=True, slots=True)
class Reporting:
    """Where findings are said."""

    channels: tuple[str, ...] = ("files",)
    """``github``, ``files``, ``mail``, ``webhook``, or ``module:function`` of a plug-in; see `channels`."""
    repository: str = ""
    """``OWNER/NAME`` on GitHub."""
    token: str = "GITHUB_TOKEN"
    """The name of the environment variable that holds the token; without one the github channel writes files."""
    api: str = ""
    """The address of a GitHub Enterprise server; empty for github.com."""
    cap: int = 5
    """New issues a night."""
    close_after: int = 2
    """Good nights until an issue is closed."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Those of the channels, such as ``mail.host``."""


@dataclass(frozen=True, slots=True)
class Config:
    """The whole of it."""

    lanes: tuple[str, ...] = ("control", "newest", "lowest", "pre", "downstream")
    suites: tuple[Suite, ...] = ()
    pythons: tuple[str, ...] = ()
    """Such as ``3.11``; empty for every supported one that the machine has."""
    jobs: int = 1
    """Suites at a time."""
    keep: int = 60
    """Nights in the history."""
    attempts: int = 2
    """Runs of a suite before a failure is believed."""
    probes: int = 60
    """Suites that a bisection may run; with fewer its set is said not to be proven minimal."""
    limits: Limits = field(default_factory=Limits)
    reporting: Reporting = field(default_factory=Reporting)
    repositories: tuple[Repository, ...] = ()
    downstream: tuple[Downstream, ...] = ()


def load(file: Path = FILE) -> Config:
    """Read and check a file. Raises `ConfigError`."""
    try:
        return parse(file.read_text(), str(file))
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from error


def parse(text: str, where: str = "config.toml") -> Config:
    """Check a text. Raises `ConfigError`, whose message begins with `where`, the line and the key."""
    try:
        data = tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        raise ConfigError(f"{where}:{error.lineno}: {error.msg}") from error
    return Config(**_Reader(text, where).table(data, _TOP, ""))


class _Reader:
    """Checks tables against what they may hold, and finds the line of what is wrong."""

    def __init__(self, text: str, where: str) -> None:
        self.lines = text.splitlines()
        self.where = where

    def table(self, data: Any, kinds: Mapping[str, _Check], path: str) -> dict[str, Any]:
        """The values of a table, each checked."""
        if not isinstance(data, dict):
            raise self.wrong(path, "has to be a table")
        for key in data:
            if key not in kinds:
                raise self.wrong(_join(path, key), f"is not known; there are {', '.join(kinds)}")
        return {key: kinds[key](self, value, _join(path, key)) for key, value in data.items()}

    def wrong(self, path: str, what: str) -> ConfigError:
        """An error at the line where a key is set."""
        return ConfigError(f"{self.where}:{self.line(path)}: {path}: {what}")

    def line(self, path: str) -> int:
        """The line, from 1, that sets a key such as ``limits.memory`` or ``downstream[1].url``; its table's, else 1."""
        wanted = _parts(path)
        here: list[tuple[str, int]] = []
        counts: dict[str, int] = {}
        best = 1
        for number, line in enumerate(self.lines, 1):
            text = line.strip()
            if header := re.match(r"(\[\[?)\s*([\w.\"' -]+?)\s*\]", text):
                name = header[2]
                if header[1] == "[[":
                    counts[name] = counts.get(name, -1) + 1
                here = [(part, 0) for part in name.replace('"', "").split(".")]
                here[-1] = (here[-1][0], counts.get(name, 0))
                best = number if here == wanted[: len(here)] else best
            elif (key := re.match(r"[\"']?([\w.-]+)[\"']?\s*=", text)) and (
                [*here, *((part, 0) for part in key[1].split("."))] == [(n, i) for n, i in wanted][: len(here) + 1]
            ):
                return number
        return best


_Check = Callable[[_Reader, Any, str], Any]


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _parts(path: str) -> list[tuple[str, int]]:
    found = (re.fullmatch(r"(.*?)(?:\[(\d+)\])?", part) for part in path.split("."))
    return [(match[1], int(match[2] or 0)) for match in found if match]


def _text(reader: _Reader, value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise reader.wrong(path, f"has to be text, not {value!r}")
    return value


def _required(reader: _Reader, value: Any, path: str) -> str:
    if not _text(reader, value, path):
        raise reader.wrong(path, "must not be empty")
    return str(value)


def _name(reader: _Reader, value: Any, path: str) -> str:
    if not _NAME.match(_text(reader, value, path)):
        raise reader.wrong(path, f"{value!r} is no name: lower-case letters, digits, dots and dashes")
    return str(value)


def _flag(reader: _Reader, value: Any, path: str) -> bool:
    if not isinstance(value, bool):
        raise reader.wrong(path, f"has to be true or false, not {value!r}")
    return value


def _count(reader: _Reader, value: Any, path: str) -> int:
    if type(value) is not int or value < 1:
        raise reader.wrong(path, f"has to be a whole number from 1 on, not {value!r}")
    return value


def _seconds(reader: _Reader, value: Any, path: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e7:
        raise reader.wrong(path, f"has to be a number of seconds, not {value!r}")
    return float(value)


def _texts(reader: _Reader, value: Any, path: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise reader.wrong(path, f"has to be a list of texts, not {value!r}")
    return tuple(_required(reader, one, path) for one in value)


def _size(reader: _Reader, value: Any, path: str) -> int:
    units = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
    found = re.fullmatch(r"(\d+) ?(KiB|MiB|GiB)", value) if isinstance(value, str) else None
    if found is None or not int(found[1]):
        raise reader.wrong(path, f'has to be a size such as "512 MiB", not {value!r}')
    return int(found[1]) * units[found[2]]


def _choice(*words: str) -> _Check:
    def check(reader: _Reader, value: Any, path: str) -> tuple[str, ...]:
        for one in _texts(reader, value, path):
            if one not in words:
                raise reader.wrong(path, f"{one!r} is not known; there are {', '.join(words)}")
        return tuple(value)

    return check


def _within(kind: Callable[..., Any], kinds: Mapping[str, _Check]) -> _Check:
    return lambda reader, value, path: kind(**reader.table(value, kinds, path))


def _each(kind: Callable[..., Any], kinds: Mapping[str, _Check], *needed: str) -> _Check:
    def check(reader: _Reader, value: Any, path: str) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise reader.wrong(path, f"has to be a list of tables: [[{path}]]")
        found = []
        for number, one in enumerate(value):
            place = f"{path}[{number}]"
            table = reader.table(one, kinds, place)
            if lacking := [key for key in needed if key not in table]:
                raise reader.wrong(place, f"lacks {', '.join(lacking)}")
            found.append(kind(**table))
        if twice := [one.name for i, one in enumerate(found) if one.name in {two.name for two in found[:i]}]:
            raise reader.wrong(path, f"the name {twice[0]!r} stands there twice")
        return tuple(found)

    return check


def _options(reader: _Reader, value: Any, path: str) -> dict[str, str]:
    if not isinstance(value, dict):
        raise reader.wrong(path, "has to be a table")
    return {key: _text(reader, one, _join(path, key)) for key, one in value.items()}


_TOP: dict[str, _Check] = {
    "lanes": _choice("control", "newest", "lowest", "pre", "downstream"),
    "pythons": _texts,
    "suites": _each(
        Suite,
        {
            "name": _name,
            "steps": _each(Step, {"name": _required, "run": _texts}, "name", "run"),
            "targets": _choice("-", "unix", "unix-gateway", "hvt", "hvt-tap"),
            "groups": _texts,
            "requirements": _texts,
            "packages": _flag,
            "folder": _required,
            "environ": _options,
        },
        "name",
        "steps",
    ),
    "jobs": _count,
    "keep": _count,
    "attempts": _count,
    "probes": _count,
    "limits": _within(Limits, {"seconds": _seconds, "memory": _size, "output": _size, "file": _size}),
    "reporting": _within(
        Reporting,
        {
            "channels": _texts,
            "repository": _text,
            "token": _required,
            "api": _text,
            "cap": _count,
            "close_after": _count,
            "options": _options,
        },
    ),
    "repositories": _each(
        Repository, {"name": _name, "url": _required, "branch": _required, "package": _name}, "name", "url"
    ),
    "downstream": _each(
        Downstream,
        {"name": _name, "url": _required, "branch": _required, "test": _texts, "install": _texts},
        "name",
        "url",
        "test",
    ),
}
