"""What can be wrong with a blob."""

from mirage.types import DeviceError

__all__ = ["CorruptBlob"]


class CorruptBlob(DeviceError):
    """The octets are no blob of `crunch`, or not the ones that it made. Make the blob again from its source."""
