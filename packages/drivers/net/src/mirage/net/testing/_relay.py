"""A hostile link in real time: two devices, perhaps TAPs of two namespaces, joined by a `VirtualNetwork`.

It has a process of its own, so that neither end's program takes time from it, and ends with the one that made it.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import select
import time
from collections.abc import Iterator
from typing import Any

from mirage.net._device import DeviceNetwork
from mirage.types.testing import VirtualClock

from ._virtual import Bottleneck, VirtualNetwork, VirtualPort

__all__ = ["Relay", "relay"]

_LONGEST_WAIT = 0.2


class Relay:
    """Carries frames between two devices as a `VirtualNetwork` would, its clock the time of day."""

    def __init__(
        self,
        left: DeviceNetwork,
        right: DeviceNetwork,
        *,
        seed: int = 0,
        largest: int | None = None,
        rate: int | None = None,
        queue: int | None = None,
        **properties: Any,
    ) -> None:
        """The properties are those of `VirtualNetwork`, and its `largest`. With a `rate`, in octets per second, there
        is a `Bottleneck` each way, before which `queue` octets wait."""
        self._clock = VirtualClock()
        self.network = VirtualNetwork(self._clock, seed=seed, **properties)
        self.network.largest = largest
        self._ends = [(device, self._port(device)) for device in (left, right)]
        if rate is not None:
            for _, port in self._ends:
                port.bottleneck = Bottleneck(rate, queue)

    def _port(self, device: DeviceNetwork) -> VirtualPort:
        port = self.network.port(mac=device.mac, mtu=device.mtu, capacity=1 << 16)

        def arrived() -> None:
            while (frame := port.receive()) is not None:
                device.send((frame,))  # a device without room drops it, as an interface does

        port.on_readable(arrived)
        return port

    def run(self, end: int) -> None:
        """Carry frames until something comes from the descriptor `end`, or its other end is closed."""
        watched = [end, *(device.fileno() for device, _ in self._ends)]
        started = time.monotonic_ns()
        clock = self._clock
        while True:
            due = clock.next_timer()
            wait = _LONGEST_WAIT if due is None else max(due - (time.monotonic_ns() - started), 0) / 1e9
            # `select` waits for microseconds where `poll` waits for milliseconds: then what is due soon would be late,
            # or looking again and again would keep a processor from the two ends.
            ready, _, _ = select.select(watched, (), (), min(wait, _LONGEST_WAIT))
            if end in ready:
                return
            clock.advance_ns(max(time.monotonic_ns() - started - clock.elapsed_ns(), 0))
            for device, port in self._ends:
                if device.fileno() in ready:
                    for _, frame in device.receive_many():
                        port.send((frame,))
            clock.advance_ns(0)


@contextlib.contextmanager
def relay(left: DeviceNetwork, right: DeviceNetwork, **properties: Any) -> Iterator[None]:
    """Join two devices for as long as the block lasts, in a process of its own; `properties` are those of `Relay`."""
    ours, theirs = os.pipe()

    def carry() -> None:
        os.close(theirs)
        Relay(left, right, **properties).run(ours)

    process = multiprocessing.get_context("fork").Process(target=carry, daemon=True)
    process.start()
    os.close(ours)
    try:
        yield
        if not process.is_alive():
            raise RuntimeError(f"the relay ended by itself, with exit code {process.exitcode}")
    finally:
        os.close(theirs)
        process.join()
