"""What can go wrong: what the caller asked, what a file held, and what an index must never do."""

from mirage.types import MirageError

__all__ = [
    "BadDistribution",
    "FileChanged",
    "IndexingError",
    "InvalidIndex",
    "NoVersion",
    "UnknownProject",
    "Unmappable",
]


class IndexingError(MirageError):
    """Root of this package's errors."""


class BadDistribution(IndexingError, ValueError):
    """A file that is no wheel or sdist, or whose metadata is not valid; the message names the file."""


class FileChanged(IndexingError):
    """A published file was given with other octets. An index is append-only: make a new version."""


class InvalidIndex(IndexingError, ValueError):
    """A tree that was read as an index and is none."""


class NoVersion(IndexingError, LookupError):
    """No published version fits all bounds; the message says who set which."""


class Unmappable(IndexingError, ValueError):
    """A version or a bound that has no counterpart in opam's order; the message says why."""


class UnknownProject(IndexingError, LookupError):
    """The index holds no project of that name, or not that version of it."""
