"""What a Python file uses by name and did not before: what it imports, what stands behind a dot, keywords of its calls.

Nothing is known of types: ``x.take`` is a use of the name ``take``, whatever ``x`` is. Names in strings are not seen.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import Enum

__all__ = ["Kind", "Use", "more"]


class Kind(Enum):
    """How a name is used."""

    IMPORT = 1
    """``from mirage.types import Digest``; the name is ``mirage.types.Digest``."""
    MEMBER = 2
    """``x.take``, and ``case X(take=y)``."""
    KEYWORD = 3
    """``f(limit=1)``."""


@dataclass(frozen=True, slots=True)
class Use:
    """A name in a file."""

    kind: Kind
    name: str
    text: str
    """The name with what it is used of: ``self._connection.take``."""
    line: int


def more(now: str, before: str, words: Collection[str], file: str = "") -> Iterator[Use]:
    """The uses of these names in a text, without those that an older text has word for word, and as often.

    Of imports every name counts. Raises `SyntaxError`.
    """
    known = Counter((use.kind, use.text) for use in _uses(ast.parse(before, file), words))
    for use in _uses(ast.parse(now, file), words):
        known[use.kind, use.text] -= 1
        if known[use.kind, use.text] < 0:
            yield use


def _uses(tree: ast.AST, words: Collection[str]) -> Iterator[Use]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            if node.attr in words:
                yield Use(Kind.MEMBER, node.attr, ast.unparse(node), node.end_lineno or node.lineno)
        elif isinstance(node, ast.Call):
            for word in node.keywords:
                if word.arg is not None and word.arg in words:
                    yield Use(Kind.KEYWORD, word.arg, f"{ast.unparse(node.func)}({word.arg}=)", word.lineno)
        elif isinstance(node, ast.MatchClass):
            for name in node.kwd_attrs:
                if name in words:
                    yield Use(Kind.MEMBER, name, f"{ast.unparse(node.cls)}({name}=)", node.lineno)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (Use(Kind.IMPORT, name, name, node.lineno) for name in _imported(node))


def _imported(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif node.level == 0 and node.module:
        yield from (f"{node.module}.{alias.name}" for alias in node.names if alias.name != "*")
