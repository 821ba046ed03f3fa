"""What may go wrong when a block device is opened. What an open one raises is in `mirage.types`."""

from __future__ import annotations

from mirage.types import DeviceError

__all__ = ["BlockBusy", "BlockUnavailable"]


class BlockUnavailable(DeviceError):
    """The file cannot be used as a block device; the message says why and what to do."""


class BlockBusy(BlockUnavailable):
    """Somebody else has the file open in a way that excludes this one."""
