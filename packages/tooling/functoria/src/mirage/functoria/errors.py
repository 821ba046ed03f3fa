"""What can go wrong in a configuration, and where it was written.

Every error of the language is a `ConfigError` that knows the line of the user's own file it is about: the nearest
calling frame that belongs neither to this package nor to a module that called `language`.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable
from dataclasses import dataclass

from mirage.types import MirageError

__all__ = ["ConfigError", "Location", "UnknownKey", "caller", "language", "nearest"]

_language: set[str] = {"mirage.functoria"}


@dataclass(frozen=True, slots=True)
class Location:
    """A line of a file."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class ConfigError(MirageError):
    """A configuration is wrong; `message` says what was expected and what was found, `location` where."""

    def __init__(self, message: str, location: Location | None = None) -> None:
        super().__init__(f"{location}: {message}" if location else message)
        self.message = message
        self.location = location


class UnknownKey(ConfigError):
    """A key was set that the configuration does not have."""


def language(package: str) -> None:
    """Count a package as part of the language: errors are never blamed on its lines."""
    _language.add(package)


def caller() -> Location | None:
    """The line of the user's file that called into the language; None for what the language defines itself."""
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return None  # the language itself is being imported
        name = frame.f_globals.get("__name__", "")
        if not any(name == package or name.startswith(f"{package}.") for package in _language):
            return Location(frame.f_code.co_filename, frame.f_lineno)
        if frame.f_back is None:
            break
        frame = frame.f_back
    return None


def nearest(word: str, words: Iterable[str]) -> str:
    """' Did you mean X?' for the closest of `words`, or the empty text when none is close."""
    found = difflib.get_close_matches(word, list(words), n=1, cutoff=0.5)
    return f" Did you mean {found[0]!r}?" if found else ""
