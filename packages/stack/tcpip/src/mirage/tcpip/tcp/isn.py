"""Numbers that nobody off the path can guess: initial sequence numbers, timestamp offsets, ephemeral ports."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from .secrets import Draw, Secret

__all__ = ["EPHEMERAL_PORTS", "InitialNumbers", "PortChooser"]

EPHEMERAL_PORTS: Final = range(32768, 61000)
"""RFC 6335 6 has 49152-65535 and RFC 6056 3.2 more of them; this is what Linux takes, so firewalls know it."""


class InitialNumbers:
    """RFC 6528: a clock of 4 microseconds plus a keyed hash over the four-tuple, and timestamps in the same way."""

    __slots__ = ("_isn", "_timestamp")

    def __init__(self, draw: Draw) -> None:
        self._isn = Secret(draw)
        self._timestamp = Secret(draw)

    def isn(self, local: bytes, local_port: int, remote: bytes, remote_port: int, now: float) -> int:
        """RFC 6528 3: ISN = M + F(localip, localport, remoteip, remoteport, secretkey), 32 bits.

        A later incarnation of the same connection therefore starts above the one before (RFC 9293 3.4.1), and those
        of other connections tell nothing about it.
        """
        clock = int(now * 250_000)
        return (clock + self._isn.hash(local, remote, local_port << 16 | remote_port)) & 0xFFFFFFFF

    def timestamp_offset(self, local: bytes, remote: bytes) -> int:
        """RFC 7323 5.4 and 7.1: what is added to the millisecond clock to make TSval, 32 bits.

        Of addresses alone, without the ports: between the same two hosts timestamps go up from one connection to the
        next, so that TIME-WAIT can be cut short (RFC 6191); they tell nobody the uptime.
        """
        return self._timestamp.hash(local, remote) & 0xFFFFFFFF


class PortChooser:
    """Ephemeral ports. For connections RFC 6056 3.3.3, algorithm 3: ports go up one by one for each destination, from a
    place that is a secret, so that none comes again soon. For datagrams any, by chance."""

    __slots__ = ("_counters", "_draw", "_ports", "_secret")

    def __init__(self, draw: Draw, ports: range = EPHEMERAL_PORTS) -> None:
        self._draw = draw
        self._secret = Secret(draw)
        self._ports = ports
        # RFC 6056 3.3.4: several counters, so that connecting here tells little about who else connects where. Of a
        # fixed number: memory does not grow with destinations.
        self._counters = [int.from_bytes(draw(2), "big") for _ in range(64)]

    def choose(self, local: bytes, remote: bytes, remote_port: int, taken: Callable[[int], bool]) -> int | None:
        """A port that is not `taken`, or None when all are."""
        place = self._secret.hash(local, remote, remote_port)
        slot = (place >> 48) % len(self._counters)
        count = len(self._ports)
        for _ in range(count):
            port = self._ports[(place + self._counters[slot]) % count]
            self._counters[slot] += 1
            if not taken(port):
                return port
        return None

    def any(self, taken: Callable[[int], bool]) -> int | None:
        """A port by chance that is not `taken` (RFC 6056 3.3.1), or None when all are: who has seen one cannot tell the
        next, from which a question to a name server may go (RFC 5452 9.2)."""
        count = len(self._ports)
        start = int.from_bytes(self._draw(4), "big")
        for number in range(count):
            port = self._ports[(start + number) % count]
            if not taken(port):
                return port
        return None
