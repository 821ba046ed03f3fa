"""What can go wrong: a description that is none, and files that have drifted from it."""

from mirage.types import MirageError

__all__ = ["AssemblageError", "InvalidDescription"]


class AssemblageError(MirageError):
    """Root of this package's errors."""


class InvalidDescription(AssemblageError, ValueError):
    """A `pyproject.toml` from which no description can be read; the message names the key."""
