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

from ._device import DeviceNetwork, check_mac
from ._wire import build_offload_request
from .errors import NetworkUnavailable

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
        super().__init__(descriptor, mac=check_mac(mac), mtu=mtu, loop=loop)
        self._may_offload = offload

    @classmethod
    def parse(cls, text: str, *, loop: asyncio.AbstractEventLoop | None = None) -> SocketNetwork:
        """Take over the descriptor in ``NUMBER,mac=ADDRESS[,mtu=OCTETS][,offload]``, as `mirage-gateway run` gives it
        to its command. Raises `ValueError`, and `NetworkUnavailable` when the descriptor is none.
        """
        number, *words = text.split(",")
        options = dict(word.partition("=")[::2] for word in words)
        mac, mtu = options.pop("mac", ""), options.pop("mtu", "1500")
        offload = options.pop("offload", None)
        if options or offload not in {None, ""} or not all(n.isascii() and n.isdigit() for n in (number, mtu)):
            raise ValueError(f"{text!r} is no socket of frames: NUMBER,mac=ADDRESS[,mtu=OCTETS][,offload]")
        try:
            os.fstat(int(number))
        except OSError as error:
            raise NetworkUnavailable(f"descriptor {number} is no open socket: {error.strerror}") from None
        address = bytes.fromhex(mac.replace(":", ""))
        return cls(int(number), mac=address, mtu=int(mtu), offload=offload is not None, loop=loop)

    def _set_offload(self, offload: Offload) -> bool:
        if not self._may_offload:
            return offload is Offload.NONE
        try:
            os.write(self._frames.descriptor, build_offload_request(offload))
        except BlockingIOError:
            return offload is Offload.NONE  # nothing is agreed on; the other end can only make frames whole
        except OSError as error:
            self._frames.gone(error)
        return True
