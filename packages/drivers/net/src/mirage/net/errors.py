"""What may go wrong with a network device, local misuse and remote misbehaviour apart."""

from __future__ import annotations

from mirage.types import DeviceError

__all__ = ["BadOffload", "MalformedHeader", "NetworkUnavailable"]


class NetworkUnavailable(DeviceError):
    """The device cannot be opened, or is gone; the message says why and what to do."""


class BadOffload(DeviceError, ValueError):
    """A caller's `FrameMeta` contradicts itself, its frame, or what is enabled."""


class MalformedHeader(DeviceError):
    """What came in front of a frame is no header of virtio-net."""
