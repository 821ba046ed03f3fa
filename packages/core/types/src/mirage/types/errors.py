"""The error root, and the errors that device interfaces declare.

Every error that this project raises on purpose is a `MirageError`. A package adds its own subclass tree below it and
keeps *local* misuse (the caller broke the contract) apart from *remote* misbehaviour (bytes from outside were wrong).
"""

from __future__ import annotations

__all__ = [
    "DeviceClosed",
    "DeviceError",
    "DirectoryExpected",
    "InvalidKey",
    "KeyValueError",
    "MirageError",
    "NoSpace",
    "NotFound",
    "OutOfRange",
    "ValueExpected",
]


class MirageError(Exception):
    """Root of every error that a mirage package raises on purpose."""


class DeviceError(MirageError):
    """A device could not do what was asked; the message says which device and why."""


class DeviceClosed(DeviceError):
    """The device was used after `close()`."""


class OutOfRange(DeviceError, ValueError):
    """A sector, offset or length lies outside the device."""


class NoSpace(DeviceError):
    """The device is full; nothing was written."""


class KeyValueError(DeviceError):
    """Root of the key-value errors; `key` is the key that was asked for."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key

    def __reduce__(self) -> tuple[type[KeyValueError], tuple[str, str]]:
        return type(self), (self.key, str(self))


class NotFound(KeyValueError):
    """No value and no directory has this key."""


class ValueExpected(KeyValueError):
    """The key names a directory where a value is needed."""


class DirectoryExpected(KeyValueError):
    """The key, or a proper prefix of it, names a value where a directory is needed."""


class InvalidKey(KeyValueError, ValueError):
    """The text is not a key (see `mirage.types.KeyValueRO` for what a key is)."""
