"""A socket of frames: another program, such as `mirage.gateway`, is at its other end.

The socket keeps messages apart (SOCK_SEQPACKET or SOCK_DGRAM); each is a header of virtio-net and a frame. There is no
ioctl to agree on offloads, so this end sends a word (`build_offload_request`), and the other end takes everything.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket

from mirage.types import Offload

from ._device import DeviceNetwork
from ._wire import build_offload_request

__all__ = ["SocketNetwork"]

_BUFFER = 4 << 20
"""Octets that the kernel is asked to keep; it gives what net.core.wmem_max permits."""


class SocketNetwork(DeviceNetwork):
    """One end of a socket of frames. Fits `OffloadNetwork`."""

    def __init__(
        self,
        sock: socket.socket | int,
        *,
        mac: bytes,
        mtu: int = 1500,
        offload: bool = True,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """Take over a socket, or the descriptor of one. `mac` is this end's address.

        `offload`: whether the other end takes frames with work left to do, as `mirage.gateway` does.
        """
        descriptor = sock if isinstance(sock, int) else sock.detach()
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as same:
            same.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
        super().__init__(descriptor, mac=mac, mtu=mtu, loop=loop)
        self._may_offload = offload

    def _set_offload(self, offload: Offload) -> bool:
        if not self._may_offload:
            return offload is Offload.NONE
        try:
            os.write(self._fd, build_offload_request(offload))
        except BlockingIOError:
            return offload is Offload.NONE  # nothing is agreed on; the other end can only make frames whole
        except OSError as error:
            self._gone(error)
        return True
