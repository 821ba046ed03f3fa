"""What can go wrong with the bot itself; a job that fails is no error but a `JobResult`."""

from __future__ import annotations


class BotError(Exception):
    """The root; the message says what to do."""


class ConfigError(BotError):
    """The configuration cannot be used; the message begins with the file, the line and the key."""


class StateError(BotError):
    """A stored file does not hold what the bot writes there."""


class Busy(BotError):
    """Another night is under way."""


class IndexFailed(BotError):
    """A package index or a repository gave no usable answer: infrastructure, never a culprit."""


class Postponed(BotError):
    """A channel cannot be reached now, or asks for patience: what was to be said is said the next time."""


class Refused(BotError):
    """A channel will not take what is said, now or later: a person has to mend the configuration or a right."""
