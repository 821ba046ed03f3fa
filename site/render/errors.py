"""What the renderer says when the content is wrong: where, what, and what was expected instead."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ContentError", "Problem"]


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong. Printed as ``file:line: message``, the form that editors jump to."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"


class ContentError(ValueError):
    """The content cannot be rendered. `problems` has everything that was found, not just the first."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(map(str, self.problems)))

    @classmethod
    def at(cls, file: Path | str, line: int, message: str) -> ContentError:
        """One problem in one place."""
        return cls([Problem(str(file), line, message)])
