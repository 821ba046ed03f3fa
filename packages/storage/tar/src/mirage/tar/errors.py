"""What can be wrong with an archive."""

from mirage.types import DeviceError

__all__ = ["CorruptArchive", "HostileName", "UnsupportedArchive"]


class CorruptArchive(DeviceError):
    """The octets are no tar archive, or a damaged one, or one that two readers would read differently."""


class HostileName(CorruptArchive):
    """An entry has a name that is no key: an absolute path, say, or one with ``..``. Nothing of the archive is read."""


class UnsupportedArchive(DeviceError):
    """The archive uses something that this package does not read; the message says what."""
