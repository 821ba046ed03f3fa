"""Callbacks for sockets of the stack that a program waits for by `loop.add_reader` and `loop.add_writer`.

They are level-triggered as a selector's are: in each iteration of the loop every socket that is watched is looked at,
and what is ready is queued once. A program that watches no sockets pays for one look at an empty dictionary.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ._socket import StackSocket

if TYPE_CHECKING:
    from ._loop import StackEventLoop

__all__ = ["Watchers"]


class Watchers:
    """The sockets that have descriptors, and who waits for them."""

    def __init__(self, loop: StackEventLoop) -> None:
        self._loop = loop
        self._sockets: dict[int, StackSocket] = {}
        self._handles: dict[tuple[StackSocket, int], asyncio.Handle] = {}

    def know(self, descriptor: int, sock: StackSocket) -> None:
        """A socket has got a descriptor."""
        self._sockets[descriptor] = sock

    def unknow(self, descriptor: int) -> None:
        """The descriptor is going away."""
        sock = self._sockets.pop(descriptor)
        self.remove(sock, selectors.EVENT_READ)
        self.remove(sock, selectors.EVENT_WRITE)

    def socket(self, file: Any) -> StackSocket | None:
        """The socket of the stack that a descriptor, or an object that has one, stands for."""
        if isinstance(file, StackSocket):
            return file
        if not self._sockets:
            return None
        if not isinstance(file, int):
            file = file.fileno()
        return self._sockets.get(file)

    def add(self, sock: StackSocket, event: int, callback: Callable[..., Any], args: tuple[Any, ...]) -> asyncio.Handle:
        """Call this whenever the socket is ready; what was to be called before is not any more."""
        self.remove(sock, event)
        handle = asyncio.Handle(callback, args, self._loop)
        self._handles[sock, event] = handle
        return handle

    def remove(self, sock: StackSocket, event: int) -> bool:
        """Wait no more; whether anybody did."""
        handle = self._handles.pop((sock, event), None)
        if handle is None:
            return False
        handle.cancel()
        return True

    def queue_ready(self) -> None:
        """Queue the callbacks of the sockets that are ready, so that this iteration of the loop does not wait."""
        if not self._handles:
            return
        for (sock, event), handle in list(self._handles.items()):
            if sock.readable() if event == selectors.EVENT_READ else sock.writable():
                self._loop._ready.append(handle)  # type: ignore[attr-defined]  # as asyncio's own _add_callback does
