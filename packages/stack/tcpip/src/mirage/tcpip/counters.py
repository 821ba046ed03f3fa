"""Counters by name, as `netstat -s` shows them: what was dropped and why is never silent."""

from __future__ import annotations

from collections import defaultdict

__all__ = ["Counters"]


class Counters(defaultdict[str, int]):
    """A count for each event, by a dotted name: ``ip4.bad-checksum``, ``tcp.retransmitted``, ``udp.no-port``.

    Names begin with the protocol; the first event makes the name. Nothing in them grows with what a peer chooses.
    """

    def __init__(self) -> None:
        super().__init__(int)
