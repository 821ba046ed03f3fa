"""Front matter: the typed lines at the head of a Markdown file.

A document opens with a line ``---``, has one ``name: value`` on each line, and a second ``---``; the rest is Markdown.
A line that begins with two spaces continues the value above it, one that begins with ``#`` is a comment. What a value
means is told by the dataclass that reads it, not by its punctuation, so there is nothing to quote::

    ---
    title: How a request travels
    date: 2026-11-23
    tags: http, design
    ---
    The first paragraph ...

`read` makes an instance of that dataclass or raises `ContentError`, which names every field that is missing, unknown or
wrong with its file and line.
"""

from __future__ import annotations

import dataclasses
import datetime
import difflib
import re
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from .errors import ContentError, Problem

__all__ = ["Document", "convert", "make", "parse", "read"]

T = TypeVar("T")

_FENCE = "---"
_FIELD = re.compile(r"([a-z][a-z0-9_]*):(?:\s+(.*))?\Z")


@dataclass(frozen=True, slots=True)
class Document:
    """A file cut in two: its fields as text, each with its line, and its Markdown."""

    fields: dict[str, tuple[str, int]]
    body: str
    body_line: int
    """The number of the body's first line in the file."""
    end: int
    """The line of the closing fence: where a missing field would have stood."""


def parse(text: str, file: Path | str) -> Document:
    """Cut a file into its fields and its body. Raises `ContentError`."""
    lines = text.splitlines()
    if not lines or lines[0].rstrip() != _FENCE:
        raise ContentError.at(file, 1, f"expected front matter: a first line {_FENCE!r}, then one `name: value` a line")
    fields: dict[str, tuple[str, int]] = {}
    problems: list[Problem] = []
    last: str | None = None
    for number, line in enumerate(lines[1:], 2):
        if line.rstrip() == _FENCE:
            if problems:
                raise ContentError(problems)
            return Document(fields, "\n".join(lines[number:]) + "\n", number + 1, number)
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith("  ") and last is not None:
            value, at = fields[last]
            fields[last] = (f"{value} {line.strip()}".strip(), at)
        elif match := _FIELD.match(line.rstrip()):
            last = match[1]
            if last in fields:
                problems.append(
                    Problem(str(file), number, f"field {last!r} is given twice (also on line {fields[last][1]})")
                )
            fields[last] = (match[2] or "", number)
        else:
            problems.append(Problem(str(file), number, f"expected `name: value`, found {line.strip()!r}"))
    raise ContentError.at(file, len(lines), f"the front matter has no closing line {_FENCE!r}")


def read(kind: type[T], document: Document, file: Path | str) -> T:
    """An instance of the dataclass `kind` from the fields of a document. Raises `ContentError`."""
    return make(kind, dict(document.fields), file, document.end)


def make(kind: type[T], values: dict[str, tuple[Any, int]], file: Path | str, end: int) -> T:
    """An instance of `kind` from values with their lines; `end` is the line that a missing field is reported at."""
    hints = typing.get_type_hints(kind)
    known = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]  # any dataclass
    problems = []
    arguments: dict[str, Any] = {}
    for name, (value, line) in values.items():
        if name not in known:
            near = difflib.get_close_matches(name, [other for other in known if other not in values], 1)
            hint = f"did you mean {near[0]!r}?" if near else f"a {kind.__name__} has: {', '.join(known)}"
            problems.append(Problem(str(file), line, f"unknown field {name!r}; {hint}"))
            continue
        try:
            arguments[name] = convert(value, hints[name])
        except ValueError as error:
            problems.append(Problem(str(file), line, f"field {name!r}: {error}"))
    for name, field in known.items():
        optional = field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
        if name not in values and not optional:
            problems.append(
                Problem(str(file), end, f"field {name!r} is missing: a {kind.__name__} needs {_expected(hints[name])}")
            )
    if problems:
        raise ContentError(problems)
    return kind(**arguments)


def convert(value: Any, hint: Any) -> Any:
    """A value read as the type `hint` says. Raises ValueError with what was expected and what was found."""
    hint = _required(hint)
    wrong = ValueError(f"expected {_expected(hint)}, found {value!r}")
    text = _unquoted(value) if isinstance(value, str) else value
    if typing.get_origin(hint) is tuple:
        items = text if isinstance(text, list) else [item.strip() for item in str(text).strip("[]").split(",")]
        if not all(isinstance(item, str) and item for item in items):
            raise wrong
        return tuple(_unquoted(item) for item in items)
    if typing.get_origin(hint) is typing.Literal:
        if text not in typing.get_args(hint):
            raise wrong
        return text
    if hint is datetime.date:
        if not re.fullmatch(r"\d{4}-\d\d-\d\d", str(text)):
            raise wrong
        try:
            return datetime.date.fromisoformat(str(text))
        except ValueError:
            raise wrong from None
    if hint is int:
        if not re.fullmatch(r"-?\d+", str(text)):
            raise wrong
        return int(text)
    if not isinstance(text, str) or not text:
        raise wrong
    return text


def _unquoted(text: str) -> str:
    text = text.strip()
    return text[1:-1] if len(text) >= 2 and text[0] == text[-1] == '"' else text


def _required(hint: Any) -> Any:
    """The type without its None."""
    if typing.get_origin(hint) in {typing.Union, types.UnionType}:
        return next(part for part in typing.get_args(hint) if part is not type(None))
    return hint


def _expected(hint: Any) -> str:
    """A type in the words of someone who writes content."""
    hint = _required(hint)
    if typing.get_origin(hint) is tuple:
        return "texts separated by commas"
    if typing.get_origin(hint) is typing.Literal:
        return "one of " + ", ".join(map(repr, typing.get_args(hint)))
    return {datetime.date: "a date as YYYY-MM-DD", int: "a whole number"}.get(hint, "a text")
