"""What can stop a train."""

from __future__ import annotations

__all__ = ["Failed", "Refused", "TrainError"]


class TrainError(Exception):
    """Root of the release train's errors; the message says what to do."""


class Refused(TrainError):
    """The gate is shut: the tree, or the train's state, does not allow what was asked."""


class Failed(TrainError):
    """A step was tried and went wrong; the message holds what was printed. Mend it and run the stage again."""
