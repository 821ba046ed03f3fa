"""What the command can fail with: the user's mistakes, and builds that cannot be finished."""

from __future__ import annotations

from mirage.types import MirageError

__all__ = ["BuildError", "NetworkError", "ToolError", "UsageError"]


class ToolError(MirageError):
    """Root of this package's errors; the message says what to do."""


class UsageError(ToolError):
    """The command line asks for something that does not exist."""


class BuildError(ToolError):
    """The artifact cannot be made."""


class NetworkError(ToolError):
    """A running program cannot be looked into."""
