"""Joins an interface of a stack to a network device: frames in, frames out.

Invariants: at most `_FRAMES` frames, or what the device gives at once (256 KiB for those of `mirage.net`), come in per
iteration of the loop, so that one peer cannot starve the rest; the views that the device gave are done with before it
is asked for more; frames that the device has no room for wait, at most `_KEPT` of them, in order; what comes on top is
dropped and counted, as on any full queue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mirage.types import Buffer, DeviceError, FrameMeta, Network, OffloadNetwork

if TYPE_CHECKING:
    from mirage.tcpip.ip.interface import Interface
    from mirage.tcpip.stack import Stack

    from ._turn import Turn

__all__ = ["Driver"]

_FRAMES = 64
_SINGLY = 8
"""How often one frame is asked for, once one came alone, before it is seen again whether more come at once."""
_KEPT = 1024
_RETRY_FIRST, _RETRY_LAST = 0.001, 0.1
_PLAIN = FrameMeta()

_Frame = tuple[FrameMeta, list[Buffer]]


class Driver:
    """One device of a loop. Made by `StackEventLoop.attach`."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, turn: Turn, stack: Stack, interface: Interface, device: Network
    ) -> None:
        self.interface = interface
        self.device = device
        self.stack = stack
        self.dropped = 0
        """Frames that found no room."""
        self.failed: DeviceError | None = None
        """Why the device is not used any more."""
        self._loop = loop
        self._turn = turn
        self._many = device if isinstance(device, OffloadNetwork) else None
        self._singly = 0
        self._kept: list[_Frame] = []
        self._retry: asyncio.TimerHandle | None = None
        self._retry_after = _RETRY_FIRST
        self._descriptor: int | None = device.fileno() if hasattr(device, "fileno") else None
        if self._descriptor is not None:
            loop.add_reader(self._descriptor, self.receive)
        else:
            device.on_readable(self._came)

    # In

    def _came(self) -> None:
        """A device without a descriptor says that frames wait, perhaps in the middle of something."""
        if self.failed is None:
            self._loop.call_soon(self.receive)

    def receive(self) -> None:
        """Give the stack the next frames."""
        try:
            if self._many is not None:
                self._turn.settle()
                frames: Sequence[tuple[FrameMeta, memoryview]] = self._receive_many(self._many)
            else:
                frames = self._receive_each()
        except DeviceError as error:
            self._fail(error)
            return
        if not frames:
            return
        if self._descriptor is None and len(frames) >= _FRAMES:
            self._came()
        self._turn.feed(self.stack, self.interface, frames)

    def _receive_many(self, device: OffloadNetwork) -> Sequence[tuple[FrameMeta, memoryview]]:
        """What waits. Where two hosts wait for each other each frame comes alone, and to hear that there is no other
        costs as much as the frame did; so then just one is asked for, and if there are more, the loop comes back."""
        if self._singly:
            self._singly -= 1
            return device.receive_many(1)
        frames = device.receive_many(_FRAMES)
        if len(frames) == 1 and self._descriptor is not None:
            self._singly = _SINGLY
        return frames

    def _receive_each(self) -> list[tuple[FrameMeta, memoryview]]:
        frames: list[tuple[FrameMeta, memoryview]] = []
        while len(frames) < _FRAMES and (frame := self.device.receive()) is not None:
            frames.append((_PLAIN, memoryview(bytes(frame))))
        return frames

    # Out

    def transmit(self) -> None:
        """Send what the stack has put out."""
        frames = self.interface.take_output()
        if self.failed is not None:
            self.dropped += len(frames)
            return
        if self._kept:
            self._keep(frames)
            if self._retry is None:
                self._send_kept()
            return
        try:
            taken = self._send(frames)
        except DeviceError as error:
            self._fail(error)
            return
        if taken < len(frames):
            self._keep(frames[taken:])
            self._wait()

    def _send(self, frames: list[_Frame]) -> int:
        if self._many is not None:
            return self._many.send_many(frames)
        for number, (_, parts) in enumerate(frames):
            if not self.device.send(parts):
                return number
        return len(frames)

    def _keep(self, frames: list[_Frame]) -> None:
        """Have frames wait, apart from buffers that the device will use again."""
        room = max(_KEPT - len(self._kept), 0)
        self.dropped += max(len(frames) - room, 0)
        self._kept += [(meta, [_owned(part) for part in parts]) for meta, parts in frames[:room]]

    def _wait(self) -> None:
        self._retry = self._loop.call_later(self._retry_after, self._try_again)
        self._retry_after = min(self._retry_after * 2, _RETRY_LAST)

    def _try_again(self) -> None:
        self._retry = None
        if self._kept and self.failed is None:
            self._send_kept()

    def _send_kept(self) -> None:
        try:
            taken = self._send(self._kept)
        except DeviceError as error:
            self._fail(error)
            return
        if taken:
            self._retry_after = _RETRY_FIRST
        del self._kept[:taken]
        if self._kept:
            self._wait()

    # The end

    def _fail(self, error: DeviceError) -> None:
        """The device is gone: connections will time out, or go over another interface."""
        self.failed = error
        self.close()
        self._loop.call_exception_handler(
            {"message": f"the network device of {self.interface.name} does not work any more", "exception": error}
        )

    def close(self) -> None:
        """Stop listening to the device, which stays open."""
        if self._descriptor is not None:
            self._loop.remove_reader(self._descriptor)
            self._descriptor = None
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        self._kept.clear()


def _owned(part: Buffer) -> Buffer:
    return part if type(part) is bytes or (type(part) is memoryview and type(part.obj) is bytes) else bytes(part)
