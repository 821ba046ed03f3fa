"""What one does with an expression: the function set of the original, over whole texts."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ._expression import Re, compile_pattern

__all__ = ["Delim", "Pattern", "Text", "find_groups", "find_matches", "matches", "quote", "split", "split_delim"]

Pattern = Re | re.Pattern[str] | str
"""An expression, a compiled pattern, or a text in the syntax of `re`."""


@dataclass(frozen=True, slots=True)
class Text:
    """A stretch of a text that the expression did not match."""

    text: str


@dataclass(frozen=True, slots=True)
class Delim:
    """A stretch of a text that the expression matched."""

    text: str


def _compiled(expression: Pattern) -> re.Pattern[str]:
    if isinstance(expression, Re):
        return expression.compile()
    return compile_pattern(expression) if isinstance(expression, str) else expression


def quote(content: str) -> str:
    """`content` in the syntax of `re`, so that it matches itself and nothing else."""
    return re.escape(content)


def matches(expression: Pattern, content: str) -> bool:
    """Whether the whole of `content` matches."""
    return _compiled(expression).fullmatch(content) is not None


def find_matches(expression: Pattern, content: str) -> list[str]:
    """Every stretch that matches, from the left, without overlap."""
    return [found.group() for found in _compiled(expression).finditer(content)]


def find_groups(expression: Pattern, content: str) -> list[dict[str, str]]:
    """For every match the texts of its named groups; a group that took no part is absent."""
    return [
        {name: value for name, value in found.groupdict().items() if value is not None}
        for found in _compiled(expression).finditer(content)
    ]


def split_delim(expression: Pattern, content: str) -> list[Text | Delim]:
    """All of `content` in order: what matched as `Delim`, what lies between as `Text`, empty stretches left out."""
    parts: list[Text | Delim] = []
    end = 0
    for found in _compiled(expression).finditer(content):
        if found.start() > end:
            parts.append(Text(content[end : found.start()]))
        if found.group():
            parts.append(Delim(found.group()))
        end = found.end()
    if end < len(content):
        parts.append(Text(content[end:]))
    return parts


def split(expression: Pattern, content: str) -> list[str]:
    """The texts between the matches, empty ones included; always one more than there are matches.

    Unlike `re.split` it never mixes groups into the answer.
    """
    parts: list[str] = []
    end = 0
    for found in _compiled(expression).finditer(content):
        parts.append(content[end : found.start()])
        end = found.end()
    parts.append(content[end:])
    return parts
