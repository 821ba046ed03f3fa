"""One turn of the stack for one iteration of the loop: in, to whom it concerns, on, out.

What came in is handed to the applications while the iteration runs. When it ends, the stack is polled until it comes to
rest, and what it has put out goes to the devices in one batch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from math import inf
from typing import TYPE_CHECKING, Final

from mirage.types import FrameMeta

if TYPE_CHECKING:
    from mirage.tcpip import Endpoint
    from mirage.tcpip.ip.interface import Interface
    from mirage.tcpip.stack import Stack

    from ._driver import Driver

__all__ = ["Turn"]

_ROUNDS: Final = 8
"""How often in one iteration the applications may react to room in their connections before others get a turn."""
_NEVER: Final = inf


class Turn:
    """The stacks of a loop, their devices, and the timer that wakes the loop for them."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.stacks: list[Stack] = []
        self.drivers: list[Driver] = []
        self.deferred: list[Endpoint] = []
        """Those with news whose owners have not heard of them."""
        self._loop = loop
        self._fed = False
        self._wake_at = _NEVER
        self._wake: asyncio.TimerHandle | None = None

    def feed(self, stack: Stack, interface: Interface, frames: Sequence[tuple[FrameMeta, memoryview]]) -> None:
        """Frames have come: the stack takes them, and the applications hear of it."""
        stack.input(interface, frames, self._loop.time())
        self._fed = True
        news = stack.take_news()
        if news:
            self._tell(news)

    def settle(self) -> None:
        """Be done with the frames that came before, so that the device may use their buffers again."""
        if self._fed:
            self.end()

    def end(self) -> None:
        """Poll the stacks until they come to rest, and send what they have put out."""
        self._fed = False
        now = self._loop.time()
        if self.deferred:
            deferred, self.deferred = self.deferred, []
            self._tell(deferred)
        for stack in self.stacks:
            for _ in range(_ROUNDS):
                stack.poll(now)
                news = stack.take_news()
                if not news:
                    break
                self._tell(news)
            else:
                self._loop.call_soon(_nothing)  # others get a turn, and then it goes on at once
        for driver in self.drivers:
            if driver.interface.output:
                driver.transmit()
        deadline = _NEVER
        for stack in self.stacks:  # now that the frames are under way
            deadline = min(deadline, stack.next_deadline())
        if deadline < self._wake_at:
            self._wake_up_at(deadline)

    def _tell(self, news: list[Endpoint]) -> None:
        """Each owner hears of its endpoint's news, in its own context."""
        rest = iter(news)
        try:
            for endpoint in rest:
                owner = endpoint.owner
                if owner is not None:
                    owner.context.run(owner.news)
        except BaseException:
            self.deferred += rest
            raise

    def _wake_up_at(self, deadline: float) -> None:
        """Have an iteration then. The timer is moved only to earlier, and looks again when it is too early."""
        if self._wake is not None:
            self._wake.cancel()
        self._wake_at = deadline
        self._wake = self._loop.call_at(deadline, self._woken)

    def _woken(self) -> None:
        self._wake_at = _NEVER
        self._wake = None


def _nothing() -> None:
    """For an iteration that does not wait."""
