"""Work that a network device does for the stack above it: checksums and segmentation.

A device that can do such work fits `OffloadNetwork` besides `Network`. Until a stack calls `enable_offload`, nothing is
offloaded and the device is a plain `Network`, so that a stack which knows nothing of this needs to know nothing.
`FrameMeta` is what the header of virtio-net says (VIRTIO 1.2, 5.1.6), without its layout.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from .devices import Buffer, Network

__all__ = ["Checksum", "FrameMeta", "Offload", "OffloadNetwork", "Segmentation"]


class Offload(enum.Flag):
    """What can be offloaded. The segmentation flags need `CHECKSUM`."""

    NONE = 0
    CHECKSUM = enum.auto()
    """Frames may come and go with a `Checksum.PARTIAL`."""
    TSO4 = enum.auto()
    """TCP over IPv4 may come and go as super-frames (`Segmentation.TCP4`)."""
    TSO6 = enum.auto()
    """The same over IPv6 (`Segmentation.TCP6`)."""
    ECN = enum.auto()
    """Super-frames may have CWR set (RFC 3168); without this, they are sent as ordinary frames."""


class Checksum(enum.IntEnum):
    """What is known of the transport checksum of a frame. (An integer, because such values are hashed per frame.)"""

    COMPLETE = 0
    """It is in the frame; the receiver checks it."""
    PARTIAL = 1
    """Only the pseudo-header's sum is in the frame: who sends it on a wire adds the rest. The data was never on a wire
    and is intact."""
    VERIFIED = 2
    """It was checked on the way here and is right. Only of received frames."""


class Segmentation(enum.IntEnum):
    """What a super-frame is cut into before it meets a wire."""

    NONE = 0
    TCP4 = 1
    TCP6 = 2


class FrameMeta(NamedTuple):
    """What accompanies a frame. (A named tuple, because it is made and hashed once per frame on hot paths.)"""

    checksum: Checksum = Checksum.COMPLETE
    checksum_start: int = 0
    """With `PARTIAL`: the octet of the frame from which on it is summed, that is the start of the TCP or UDP header."""
    checksum_offset: int = 0
    """With `PARTIAL`: where the sum belongs, counted from `checksum_start`: 16 for TCP, 6 for UDP."""
    segmentation: Segmentation = Segmentation.NONE
    segment_size: int = 0
    """Octets of payload in each of the frames that a super-frame stands for (the last may be shorter)."""
    header_size: int = 0
    """Octets of all headers of a super-frame, Ethernet's included. A hint in what was received; exact when sending."""
    ecn: bool = False
    """CWR is set in the super-frame and belongs to its first segment only."""


@runtime_checkable
class OffloadNetwork(Network, Protocol):
    """A `Network` that can take work off the stack, and carries many frames in one call.

    `send` and `receive` stay as they are: they carry frames with a complete checksum. After `enable_offload`, a stack
    receives by `receive_many` only, because `receive` could not say what is offloaded.
    """

    def enable_offload(self, wanted: Offload) -> Offload:
        """Have as much of `wanted` as the device can do, and nothing else; returns what is enabled from now on.

        May be called again, with `Offload.NONE` to end it; frames that wait already are as they were.
        Raises `DeviceError`, `DeviceClosed`.
        """
        ...

    @property
    def max_frame(self) -> int:
        """The longest frame or super-frame in octets, header included, that may be sent or may come now."""
        ...

    def send_many(self, frames: Sequence[tuple[FrameMeta, Sequence[Buffer]]]) -> int:
        """Send frames, each given in slices, in order. Returns how many were taken; the device had no room for the
        rest, which is *not* counted as dropped: try again when there may be room, or give it up.

        Every frame is checked by itself: the ones before a bad one are sent. Raises `OutOfRange` for a length, as
        `send` does, `DeviceError` for a `FrameMeta` that contradicts its frame or what is enabled, `DeviceClosed`.
        """
        ...

    def receive_many(self, limit: int = 64) -> Sequence[tuple[FrameMeta, memoryview]]:
        """The next frames, at most `limit`, none when none waits; there may be more whenever any are returned.

        The views are valid until the next `receive` or `receive_many`. Raises `DeviceError`, `DeviceClosed`.
        """
        ...
