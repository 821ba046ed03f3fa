"""What was sent and is not acknowledged: one record for each segment or super-segment, in sequence order.

A record holds its octets, so that a retransmission is a slice of it; a SACK block that covers only a part
cuts it in two.
"""

from __future__ import annotations

from mirage.types.devices import Buffer

__all__ = ["Sent", "cut"]


class Sent:
    """Octets `start` to `end` of the sequence space, as they were last sent."""

    __slots__ = ("end", "fin", "lost", "parts", "sacked", "start", "time", "times")

    def __init__(self, start: int, end: int, parts: list[Buffer], fin: bool, time: float) -> None:
        self.start = start
        self.end = end
        """Behind the last octet; a FIN counts as one."""
        self.parts = parts
        self.fin = fin
        """Whether the last number is that of a FIN."""
        self.time = time
        """When it was sent last."""
        self.times = 1
        """How often it was sent."""
        self.sacked = False
        self.lost = False
        """Whether it is taken for lost and was not sent again since."""

    def split(self, at: int) -> Sent:
        """Keep what is before `at`; returns the rest, which has to be put behind this one."""
        head, tail = cut(self.parts, at - self.start)
        rest = Sent(at, self.end, tail, self.fin, self.time)
        rest.times, rest.sacked, rest.lost = self.times, self.sacked, self.lost
        self.end, self.parts, self.fin = at, head, False
        return rest


def cut(parts: list[Buffer], size: int) -> tuple[list[Buffer], list[Buffer]]:
    """The first `size` octets of `parts`, and the rest."""
    left = size
    for index, part in enumerate(parts):
        if left < len(part):
            if left == 0:
                return parts[:index], parts[index:]
            view = memoryview(part)
            return [*parts[:index], view[:left]], [view[left:], *parts[index + 1 :]]
        left -= len(part)
    return parts, []
