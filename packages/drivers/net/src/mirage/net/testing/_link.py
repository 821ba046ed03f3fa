"""Two devices back to back: what one writes, header and all, the other reads."""

from __future__ import annotations

import asyncio
import socket

from mirage.net._device import DeviceNetwork
from mirage.types import Offload

__all__ = ["device_link"]


class _LinkedDevice(DeviceNetwork):
    """Grants what the test said; the header goes to the other end as it is."""

    grants = Offload.NONE

    def _set_offload(self, offload: Offload) -> bool:
        return offload & ~self.grants == Offload.NONE


def device_link(
    *,
    mtu: int = 1500,
    offload: Offload = Offload.CHECKSUM | Offload.TSO4 | Offload.TSO6 | Offload.ECN,
    loop: asyncio.AbstractEventLoop | None = None,
) -> tuple[DeviceNetwork, DeviceNetwork]:
    """Two devices whose `enable_offload` grants what is in `offload`.

    Nobody stands between them: a super-frame arrives as one, a partial checksum as it was. Enable the same on both.
    """
    # A socket that keeps messages apart is what /dev/net0 is: one write, one read.
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (left, right):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    devices = [
        _LinkedDevice(end.detach(), mac=bytes([2, 0, 0, 0, 0, number]), mtu=mtu, loop=loop)
        for number, end in ((1, left), (2, right))
    ]
    for device in devices:
        device.grants = offload
    return devices[0], devices[1]
