"""Keys, fixed when the application is configured, and boot arguments, read from the unikernel's command line.

A **key** decides what is built: which device is picked (`if_key`, `match_key`), or a constant in the program. It is set
by `mirage configure --NAME VALUE`, by its environment variable, or else has its default. A **boot argument** decides
nothing about the build; the program parses it when it starts. Both have a `Kind`, which turns text into a value.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath, PurePosixPath
from typing import Any, Generic, TypeVar

from .errors import ConfigError, Location, caller

__all__ = ["BOOL", "FLOAT", "INT", "PATH", "STR", "BootArgument", "Key", "Kind", "boot_argument", "enum", "key"]

T = TypeVar("T")

_NAME = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*\Z")
_TRUE, _FALSE = {"true", "yes", "on", "1"}, {"false", "no", "off", "0"}


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """A kind of value: its name, how text becomes a value (raising ValueError), and how a value is shown."""

    name: str
    parse: Callable[[str], T]
    types: tuple[type, ...]
    show: Callable[[T], str] = str
    choices: tuple[str, ...] = ()

    def accepts(self, value: object) -> bool:
        """Whether a Python value is of this kind. A bool is no int."""
        if isinstance(value, bool) and bool not in self.types:
            return False
        return isinstance(value, self.types) and (not self.choices or value in self.choices)


def _parse_bool(text: str) -> bool:
    word = text.lower()
    if word not in _TRUE | _FALSE:
        raise ValueError(f"expected true or false, got {text!r}")
    return word in _TRUE


def _parse_int(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        raise ValueError(f"expected a whole number, got {text!r}") from None


def _parse_float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"expected a number, got {text!r}") from None


BOOL: Kind[bool] = Kind("true or false", _parse_bool, (bool,), lambda value: str(value).lower())
INT: Kind[int] = Kind("whole number", _parse_int, (int,))
FLOAT: Kind[float] = Kind("number", _parse_float, (float, int), lambda value: f"{value:g}")
STR: Kind[str] = Kind("text", str, (str,))
PATH: Kind[PurePath] = Kind("path", PurePosixPath, (PurePath,))


def enum(*choices: str) -> Kind[str]:
    """The kind of value that is one of a few words."""

    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"expected one of {', '.join(choices)}; got {text!r}")
        return text

    if not choices:
        raise ConfigError("enum() needs at least one choice", caller())
    return Kind("one of " + ", ".join(choices), parse, (str,), choices=choices)


@dataclass(frozen=True, eq=False)
class _Named(Generic[T]):
    name: str
    kind: Kind[T]
    default: T
    doc: str
    location: Location | None = field(default=None, repr=False)
    serial: int = field(default_factory=itertools.count().__next__, repr=False)

    what = "value"

    def __post_init__(self) -> None:
        if not _NAME.match(self.name):
            raise ConfigError(
                f"{self.name!r} cannot name a {self.what}: "
                "expected lower-case words joined by hyphens, as in http-port",
                self.location,
            )
        if not self.kind.accepts(self.default):
            raise ConfigError(
                f"the default of the {self.what} {self.name!r} must be a {self.kind.name}, got {self.default!r}",
                self.location,
            )

    @property
    def origin(self) -> str:
        """Where it is defined, for messages."""
        return f"at {self.location}" if self.location else "predefined"

    @property
    def attribute(self) -> str:
        """The name as a Python identifier."""
        return self.name.replace("-", "_")

    def parse(self, text: str, origin: str) -> T:
        """A value from text. Raises `ConfigError` that names the origin."""
        try:
            return self.kind.parse(text)
        except ValueError as error:
            raise ConfigError(f"{origin}: {error}") from None


class Key(_Named[T]):
    """A choice made when the application is configured. Compared by identity."""

    what = "key"
    environment: str | None = None

    def value(self, assignment: Mapping[str, Any]) -> T | None:
        """This key's value in an assignment, None where the assignment leaves it open."""
        return assignment.get(self.name)


class BootArgument(_Named[T]):
    """A choice made when the unikernel starts. Compared by identity."""

    what = "boot argument"


def key(name: str, kind: Kind[T], default: T, doc: str, *, environment: str | None = None) -> Key[T]:
    """A key. `environment` names a variable that sets it where the command line does not."""
    made = Key(name, kind, default, doc, caller())
    object.__setattr__(made, "environment", environment)
    return made


def boot_argument(name: str, kind: Kind[T], default: T, doc: str) -> BootArgument[T]:
    """A boot argument."""
    return BootArgument(name, kind, default, doc, caller())


def check_distinct(named: Sequence[_Named[Any]]) -> None:
    """Raise when two different keys, or two different boot arguments, bear one name."""
    seen: dict[str, _Named[Any]] = {}
    for one in named:
        other = seen.setdefault(one.name, one)
        if other is not one:
            raise ConfigError(
                f"two different {one.what}s are named {one.name!r}; the other is {other.origin}: "
                "use one object in both places, or two names",
                one.location,
            )
