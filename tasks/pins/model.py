"""What `pins.toml` says::

    [git.mirage-tcpip]                      [path.mirage-net]         [hold.cryptography]
    url = "https://example.org/fork.git"    path = "../net"           spec = "<47"
    branch = "fix/rst"                      version = "0.2.0"         why = "47 dropped what tls needs"
    rev = "5f0c..."                         why = "a new driver"      until = 2026-12-01
    subdirectory = "packages/stack/tcpip"   owner = "@ann"
    version = "0.2.0"                       expires = 2026-12-01
    why = "a reset in SYN-SENT"
    owner = "@ann"
    expires = 2026-12-01

A git pin has one of `branch`, `tag` and `pull` (a pull request's number). Only `why`, `owner` and dates may be absent.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet

__all__ = ["FILE", "GitPin", "Hold", "PathPin", "PinError", "Pins", "parse", "read"]

FILE = "pins.toml"
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_REVISION = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


class PinError(Exception):
    """A pin cannot be read, made or resolved; the message says which and what to do."""


@dataclass(frozen=True)
class GitPin:
    """A package from a git repository."""

    name: str
    url: str
    ref: str
    """The full name of what is followed, such as ``refs/heads/fix/rst``."""
    rev: str
    subdirectory: str
    version: str
    why: str = ""
    owner: str = ""
    expires: date | None = None

    @property
    def followed(self) -> str:
        """The branch, tag or pull request as a person says it."""
        return self.ref.removeprefix("refs/heads/").removeprefix("refs/").removesuffix("/head")

    def requirement(self, extras: str = "") -> str:
        """The pin as a requirement (PEP 508)."""
        place = f"#subdirectory={self.subdirectory}" if self.subdirectory else ""
        return f"{self.name}{extras} @ git+{_address(self.url)}@{self.rev}{place}"


@dataclass(frozen=True)
class PathPin:
    """A package from a folder of this machine, with whatever is uncommitted there."""

    name: str
    path: Path
    version: str
    why: str = ""
    owner: str = ""
    expires: date | None = None

    def requirement(self, extras: str = "") -> str:
        """The pin as a requirement (PEP 508)."""
        return f"{self.name}{extras} @ {self.path.resolve().as_uri()}"


@dataclass(frozen=True)
class Hold:
    """Releases of a package that are not to be taken."""

    name: str
    spec: SpecifierSet
    why: str = ""
    until: date | None = None


@dataclass(frozen=True)
class Pins:
    """All that is pinned, each kind by name."""

    git: dict[str, GitPin] = field(default_factory=dict)
    path: dict[str, PathPin] = field(default_factory=dict)
    hold: dict[str, Hold] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.git or self.path or self.hold)

    @property
    def sources(self) -> dict[str, GitPin | PathPin]:
        """The packages that come from elsewhere."""
        return {**self.git, **self.path}


def read(file: Path) -> Pins:
    """The pins in a file; none if it does not exist. Raises `PinError`."""
    return parse(file.read_text(), file.parent) if file.exists() else Pins()


def parse(text: str, folder: Path) -> Pins:
    """The pins in a text; paths in it start at `folder`. Raises `PinError`."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PinError(f"{FILE} is no TOML: {error}") from error
    if unknown := sorted(data.keys() - {"git", "path", "hold"}):
        raise PinError(f"{FILE}: there are [git.NAME], [path.NAME] and [hold.NAME], not [{unknown[0]}]")
    git = {name: _git(name, _table(data, "git", name)) for name in data.get("git", {})}
    path = {name: _path(name, _table(data, "path", name), folder) for name in data.get("path", {})}
    hold = {name: _hold(name, _table(data, "hold", name)) for name in data.get("hold", {})}
    if both := sorted(git.keys() & path.keys()):
        raise PinError(
            f"{FILE}: {both[0]} is pinned to git and to a path; remove one: ./noxw -s pin -- remove {both[0]}"
        )
    return Pins(git, path, hold)


def _address(url: str) -> str:
    return Path(url).resolve().as_uri() if url.startswith(("/", ".")) else url


def _table(data: dict[str, Any], kind: str, name: str) -> dict[str, Any]:
    table = data[kind][name]
    if not _NAME.fullmatch(name) or not isinstance(table, dict):
        raise PinError(f"{FILE}: [{kind}.{name}] is no table named after a distribution, such as [git.mirage-tcpip]")
    fields = {
        "git": {"url", "branch", "tag", "pull", "rev", "subdirectory", "version", "why", "owner", "expires"},
        "path": {"path", "version", "why", "owner", "expires"},
        "hold": {"spec", "why", "until"},
    }[kind]
    for key, value in table.items():
        if key not in fields:
            raise PinError(f"{FILE}: [{kind}.{name}] has {key}; it may have {', '.join(sorted(fields))}")
        wanted: type = date if key in {"expires", "until"} else int if key == "pull" else str
        if not isinstance(value, wanted):
            raise PinError(f"{FILE}: {key} of [{kind}.{name}] is to be {wanted.__name__}, not {value!r}")
    return dict(table)


def _git(name: str, table: dict[str, Any]) -> GitPin:
    refs = [k for k in ("branch", "tag", "pull") if k in table]
    if len(refs) != 1 or not {"url", "rev", "version"} <= table.keys():
        raise PinError(f"{FILE}: [git.{name}] needs url, rev, version, and one of branch, tag and pull")
    forms = {"branch": "refs/heads/{}", "tag": "refs/tags/{}", "pull": "refs/pull/{}/head"}
    ref = forms[refs[0]].format(table.pop(refs[0]))
    if not _REVISION.fullmatch(table["rev"]):
        raise PinError(f"{FILE}: rev of [git.{name}] is no full revision; ./noxw -s pin -- update {name} writes it")
    return GitPin(name, ref=ref, **({"subdirectory": ""} | table))


def _path(name: str, table: dict[str, Any], folder: Path) -> PathPin:
    if not {"path", "version"} <= table.keys():
        raise PinError(f"{FILE}: [path.{name}] needs path and version")
    place = folder / table.pop("path")
    if not (place / "pyproject.toml").exists():
        raise PinError(f"{FILE}: [path.{name}]: there is no {place}/pyproject.toml")
    return PathPin(name, path=place, **table)


def _hold(name: str, table: dict[str, Any]) -> Hold:
    try:
        spec = SpecifierSet(table.pop("spec"))
    except (KeyError, InvalidSpecifier) as error:
        raise PinError(f'{FILE}: [hold.{name}] needs a spec such as "<47": {error}') from error
    return Hold(name, spec, **table)
