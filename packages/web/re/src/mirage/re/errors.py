"""What can be wrong with an expression; always the writer's mistake, never that of the text that is searched."""

from __future__ import annotations

from mirage.types import MirageError

__all__ = ["CatastrophicPattern", "InvalidPattern"]


class InvalidPattern(MirageError, ValueError):
    """The expression cannot be compiled; the message draws where."""


class CatastrophicPattern(InvalidPattern):
    """Some text would keep the matcher busy for a time exponential in its length."""
