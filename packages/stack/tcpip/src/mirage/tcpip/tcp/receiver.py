"""The receiving half of a connection: what has come, in order and not, and how much more may come.

Sequence numbers here are unwrapped: they count on past 2**32, so that they compare as numbers do.

* `nxt` is RCV.NXT: everything before it has come. `edge` is the right edge of the window that the peer was told; it
  never goes back (RFC 9293 3.8.6, "shrinking the window").
* In-order data waits in `chunks` for the application. A chunk may be a view into a buffer of the device: `own` copies
  what is left before that buffer is used again.
* What came beyond a gap is kept in `ranges`, sorted and apart from each other; they are the SACK blocks.
"""

from __future__ import annotations

from typing import Final

from mirage.types.devices import Buffer

__all__ = ["Receiver"]

_MAX_PIECES: Final = 2048
"""Pieces kept beyond gaps, or one for 512 octets of the buffer; more are dropped, so that tiny segments cannot take
more memory than they carry."""

_MANY: Final = 64
"""Pieces that wait for the application before it is seen whether they are small."""

_START_CAPACITY: Final = 256 * 1024


class _Range:
    """Octets from `start` to `end`, in pieces that follow each other."""

    __slots__ = ("end", "pieces", "start")

    def __init__(self, start: int, end: int, pieces: list[bytes]) -> None:
        self.start = start
        self.end = end
        self.pieces = pieces


class Receiver:
    """Receive sequence space, reassembly, window and SACK blocks of one connection."""

    __slots__ = (
        "_copied",
        "_measure_from",
        "_pieces",
        "capacity",
        "chunks",
        "dropped",
        "duplicate",
        "edge",
        "fin",
        "irs",
        "limit",
        "nxt",
        "ranges",
        "readable",
        "recent",
        "scale",
    )

    def __init__(self, limit: int, scale: int) -> None:
        self.irs = 0
        self.nxt = 0
        self.edge = 0
        self.scale = scale
        """The shift of the windows that we send."""
        self.limit = limit
        self.capacity = min(limit, _START_CAPACITY)
        self.chunks: list[Buffer] = []
        self.readable = 0
        """Octets in `chunks`."""
        self.ranges: list[_Range] = []
        self.recent: list[_Range] = []
        """The ranges, the one that grew last first (RFC 2018 4)."""
        self.duplicate: tuple[int, int] | None = None
        """What came twice since the last acknowledgment, to be told first (RFC 2883)."""
        self.dropped = 0
        """Pieces that found no room since this was looked at."""
        self.fin: int | None = None
        """The sequence number behind the peer's FIN, once it is known."""
        self._pieces = 0
        self._copied = 0
        self._measure_from = 0.0

    def start(self, irs: int) -> None:
        """The peer's initial sequence number is known."""
        self.irs = irs
        self.nxt = irs + 1
        self.edge = max(self.edge, self.nxt)

    def unwrap(self, sequence: int) -> int:
        """The number near RCV.NXT that stands as `sequence` on the wire."""
        return self.nxt + ((sequence - self.nxt + 0x80000000) & 0xFFFFFFFF) - 0x80000000

    def acceptable(self, start: int, length: int) -> bool:
        """Whether any of a segment lies in the window (RFC 9293 3.10.7.4, first check).

        An empty segment may also lie at the edge: a peer that has filled the window acknowledges from there, and if
        what it filled the window with is lost, two such peers would never hear each other again.
        """
        if length == 0:
            return self.nxt <= start <= self.edge
        return start < self.edge and start + length > self.nxt

    def take(self, start: int, payload: memoryview) -> bool:
        """Keep the new octets of an acceptable segment. True when `nxt` moved.

        Raises nothing; what lies outside the window or finds no room is left out, and the peer sends it again.
        """
        end = start + len(payload)
        if start < self.nxt:
            if self.duplicate is None:
                self.duplicate = (start, min(end, self.nxt))
            if end <= self.nxt:
                return False
            payload = payload[self.nxt - start :]
            start = self.nxt
        if end > self.edge:
            payload = payload[: self.edge - start]
            end = self.edge
        if start > self.nxt:
            self._keep(start, bytes(payload))
            return False
        self.chunks.append(payload)
        self.readable += end - start
        self.nxt = end
        if self.ranges:
            self._close_gap()
        return True

    def _keep(self, start: int, data: bytes) -> None:
        """Put octets beyond a gap among the ranges, merged with those they touch; octets there already stay."""
        end = start + len(data)
        if not data:
            return
        if self._pieces >= max(_MAX_PIECES, self.capacity >> 9):
            self.dropped += 1
            return
        ranges = self.ranges
        # Almost always it continues the last range or starts a new one behind it.
        index = len(ranges)
        while index and ranges[index - 1].end >= start:
            index -= 1
        merged = _Range(start, end, [data])
        touched = index
        while touched < len(ranges) and ranges[touched].start <= end:
            touched += 1
        for other in ranges[index:touched]:
            if other.start <= start and end <= other.end:
                self.duplicate = self.duplicate or (start, end)
                self._most_recent(other)
                return
        if touched > index:
            merged = _merge(ranges[index:touched], merged)
            for other in ranges[index:touched]:
                self.recent.remove(other)
                self._pieces -= len(other.pieces)
        ranges[index:touched] = [merged]
        self._pieces += len(merged.pieces)
        self.recent.insert(0, merged)

    def _most_recent(self, found: _Range) -> None:
        self.recent.remove(found)
        self.recent.insert(0, found)

    def _close_gap(self) -> None:
        """Move what follows `nxt` now from the ranges to the chunks."""
        while self.ranges and self.ranges[0].start <= self.nxt:
            found = self.ranges.pop(0)
            self.recent.remove(found)
            self._pieces -= len(found.pieces)
            if found.end <= self.nxt:
                continue
            skip = self.nxt - found.start
            for piece in found.pieces:
                if skip >= len(piece):
                    skip -= len(piece)
                    continue
                part = memoryview(piece)[skip:] if skip else piece
                skip = 0
                self.chunks.append(part)
                self.readable += len(part)
            self.nxt = found.end

    def sack_blocks(self, room: int) -> tuple[tuple[int, int], ...]:
        """At most `room` blocks to tell the peer, a duplicate first; the duplicate is told once."""
        blocks = []
        if self.duplicate is not None:
            blocks.append(self.duplicate)
            self.duplicate = None
        blocks += [(found.start, found.end) for found in self.recent[: room - len(blocks)]]
        return tuple(blocks[:room])

    def read(self, limit: int | None = None) -> Buffer:
        """Take at most `limit` octets that are in order; empty when there are none. A view is valid until `own`."""
        chunks = self.chunks
        if limit is None or limit >= self.readable:
            self.readable = 0
            if len(chunks) == 1:
                return chunks.pop()
            joined = b"".join(chunks)
            chunks.clear()
            return joined
        parts: list[Buffer] = []
        wanted = limit
        while wanted:
            first = chunks[0]
            if len(first) <= wanted:
                parts.append(chunks.pop(0))
                wanted -= len(first)
            else:
                parts.append(memoryview(first)[:wanted])
                chunks[0] = memoryview(first)[wanted:]
                wanted = 0
        self.readable -= limit
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def skip(self, count: int) -> None:
        """Take the first `count` octets, at most `readable`, without giving them: they were read in `chunks`."""
        chunks = self.chunks
        self.readable -= count
        whole = 0
        while count and len(chunks[whole]) <= count:
            count -= len(chunks[whole])
            whole += 1
        del chunks[:whole]
        if count:
            chunks[0] = memoryview(chunks[0])[count:]

    def _join(self) -> None:
        """Make one piece of many small ones: each would cost more than it carries."""
        if len(self.chunks) > _MANY + (self.readable >> 9):
            self.chunks[:] = [b"".join(self.chunks)]

    def own(self) -> None:
        """Copy what is still a view, because the buffer under it will be used again."""
        self.chunks[:] = [chunk if type(chunk) is bytes else bytes(chunk) for chunk in self.chunks]

    def advertise(self, mss: int) -> int:
        """The window for the next segment, in units of its scale; moves `edge`.

        The edge moves on only by a good step, an MSS or half the capacity, so that the peer is not tempted to send
        crumbs (RFC 9293 3.8.6.2.2).
        """
        if len(self.chunks) > _MANY:
            self._join()
        nxt, edge, capacity, scale = self.nxt, self.edge, self.capacity, self.scale
        step = nxt + capacity - self.readable - edge
        moves = step >= mss or step >= capacity >> 1
        window = edge + step - nxt if moves else edge - nxt
        if window <= 0:
            if nxt > edge:  # the peer's FIN may lie behind it
                self.edge = nxt
            return 0
        value = window >> scale
        if value > 65535:
            value = 65535
        if moves and nxt + (value << scale) > edge:
            self.edge = nxt + (value << scale)
        return value

    def worth_telling(self, mss: int) -> bool:
        """Whether the window has opened so far since the peer was told that it should hear (RFC 9293 3.8.6.2.2)."""
        free = self.capacity - self.readable
        step = self.nxt + free - self.edge
        return step >= self.capacity >> 1 or (self.edge - self.nxt < mss and step >= mss)

    def grow(self, taken: int, now: float, rtt: float) -> None:
        """The application took octets: when it takes half a buffer in a round trip, it gets a larger buffer.

        This is dynamic right-sizing: the window must hold two round trips' worth for the peer's slow start.
        """
        if self.capacity >= self.limit:
            return
        self._copied += taken
        if now - self._measure_from < rtt:
            if self._copied < self.capacity:
                return
        elif self._copied * 2 < self.capacity:
            self._copied = 0
            self._measure_from = now
            return
        self.capacity = min(self.limit, self.capacity * 2)
        self._copied = 0
        self._measure_from = now


def _merge(old: list[_Range], new: _Range) -> _Range:
    """One range of all these, which touch each other; where they overlap, what came first stays."""
    pieces: list[bytes] = []
    at = min(old[0].start, new.start)
    start = at
    data = new.pieces[0]
    for other in old:
        if at < other.start:  # of the new octets, those before this range
            pieces.append(data[at - new.start : other.start - new.start])
        pieces += other.pieces
        at = other.end
    if new.end > at:
        pieces.append(data[at - new.start :])
        at = new.end
    return _Range(start, at, pieces)
