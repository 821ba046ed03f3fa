"""What can go wrong: a wrong grammar, a value that has no encoding, and octets that are no value."""

from __future__ import annotations

from mirage.types import MirageError

__all__ = ["Asn1Error", "DecodeError", "EncodeError", "GrammarError"]


class Asn1Error(MirageError):
    """Root of this package's errors."""


class GrammarError(Asn1Error, TypeError):
    """Local misuse: the grammar itself is ambiguous or breaks a rule of X.680."""


class _AtPath(Asn1Error, ValueError):
    """An error somewhere inside a value; `path` leads there from the outermost grammar."""

    def __init__(self, problem: str, path: tuple[str | int, ...] = ()) -> None:
        super().__init__(problem)
        self.problem = problem
        self.path = path

    def within(self, step: str | int) -> None:
        """Say that the part with the problem is itself a part of something, under this name or index."""
        self.path = (step, *self.path)

    @property
    def where(self) -> str:
        """The path as text: `tbs.extensions[2].critical`; empty for the outermost value."""
        text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.path)
        return text.removeprefix(".")


class EncodeError(_AtPath):
    """Local misuse: the value has no encoding under this grammar."""

    def __str__(self) -> str:
        return f"{self.where}: {self.problem}" if self.path else self.problem


class DecodeError(_AtPath):
    """Remote misbehaviour: the octets are not the encoding of a value of this grammar.

    `offset` counts octets from the start of what was given to `decode`.
    """

    def __init__(self, problem: str, offset: int, path: tuple[str | int, ...] = ()) -> None:
        super().__init__(problem, path)
        self.offset = offset

    def __str__(self) -> str:
        return f"{self.where or 'value'} at octet {self.offset}: {self.problem}"

    def __reduce__(self) -> tuple[type[DecodeError], tuple[str, int, tuple[str | int, ...]]]:
        return type(self), (self.problem, self.offset, self.path)
