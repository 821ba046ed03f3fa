"""Between a device and a stack: how many frames are asked for, and that none is left behind."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

from mirage.net import DeviceNetwork
from mirage.runtime import StackEventLoop
from mirage.types import FrameMeta

HEADER = bytes(12)
FRAME = b"\xff" * 6 + b"\2\0\0\0\0\2" + b"\x88\xb5" + bytes(46)
"""A broadcast of a type that the stack does not know: it is counted."""


class Asked(DeviceNetwork):
    """A device that remembers how many frames it was asked for."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, mac=b"\2\0\0\0\0\1", mtu=1500)
        self.limits: list[int] = []

    def receive_many(self, limit: int = 64) -> list[tuple[FrameMeta, memoryview]]:
        self.limits.append(limit)
        return super().receive_many(limit)


def asked_for(bursts: Sequence[int]) -> tuple[list[int], int]:
    """What is asked of a device to which bursts of frames come, each when the one before was taken; and what came."""
    host, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    loop = StackEventLoop()
    device = Asked(ours.detach())
    interface = loop.attach(device)
    before = interface.frames_in

    async def main() -> None:
        sent = before
        for burst in bursts:
            for _ in range(burst):
                host.send(HEADER + FRAME)
            sent += burst
            while interface.frames_in < sent:
                await asyncio.sleep(0)

    try:
        with host:
            loop.run_until_complete(asyncio.wait_for(main(), 10))
    finally:
        loop.close()
        device.close()
    return device.limits, interface.frames_in - before


def test_frames_that_come_alone_are_fetched_alone() -> None:
    """After one has come alone, eight are asked for one by one; then it is looked again whether there are more."""
    limits, came = asked_for([1] * 11)
    assert came == 11
    assert limits == [64, *[1] * 8, 64, 1]


def test_a_burst_after_single_frames_loses_none() -> None:
    """What waits beyond the one that was asked for comes in the next turns, and then as many at once as there are."""
    limits, came = asked_for([1, 30, 30])
    assert came == 61
    assert limits[:10] == [64, *[1] * 8, 64]
    assert 1 not in limits[10:]


def test_bursts_are_fetched_whole() -> None:
    """Nobody is asked twice for what comes together."""
    assert asked_for([20, 20, 20]) == ([64] * 3, 60)
