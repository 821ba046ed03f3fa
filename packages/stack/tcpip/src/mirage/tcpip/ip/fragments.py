"""Fragments: putting packets together again, within bounds, and taking large ones apart (RFC 791 3.2, RFC 8200 4.5).

A packet whose fragments overlap is dropped as a whole, in both versions of IP (RFC 5722, RFC 8200 4.5): honest senders
never make any. Exact repetitions are let pass, because networks do repeat.
"""

from __future__ import annotations

from math import inf
from typing import NamedTuple

from ..counters import Counters
from ..settings import Settings

__all__ = ["Expired", "Reassembly", "Whole", "pieces"]

_LONGEST = 65535
_MAX_FRAGMENTS = 512
"""Of one packet: more are an attack on our memory."""
_OVERHEAD = 128
"""Octets that are counted for each fragment beside its own."""

Key = tuple[int, bytes, bytes, int, int]
"""Interface, source, destination, identification, and protocol (IPv4) or -1 (IPv6)."""


class Whole(NamedTuple):
    """A packet that has become whole."""

    payload: bytes
    first: memoryview
    """The packet that the first fragment came in, from the IP header on: it alone says what protocol is inside."""


class Expired(NamedTuple):
    """A packet that did not become whole in time."""

    interface: int
    first: memoryview | None
    """The packet that its first fragment came in, from the IP header on, if it came: an ICMP error quotes it."""


class _Partial:
    __slots__ = ("first", "fragments", "octets", "total", "until")

    def __init__(self, until: float) -> None:
        self.fragments: list[tuple[int, bytes]] = []
        self.total: int | None = None
        self.octets = 0
        self.until = until
        self.first: memoryview | None = None


class Reassembly:
    """The packets of which some fragments have come, over both versions."""

    def __init__(self, settings: Settings, counters: Counters) -> None:
        self._settings = settings
        self._counters = counters
        self._partial: dict[Key, _Partial] = {}
        self._octets = 0
        self.due = inf
        """When `poll` is wanted."""

    def add(self, key: Key, offset: int, data: memoryview, more: bool, packet: memoryview, now: float) -> Whole | None:
        """Take a fragment; the packet, once it is whole. `packet` is what this fragment came in."""
        if (more and len(data) % 8) or not data or offset + len(data) > _LONGEST:
            self._counters["fragments.malformed"] += 1
            return None
        partial = self._partial.get(key)
        if partial is None:
            if len(self._partial) >= self._settings.max_fragmented_packets:
                self._evict()
            partial = self._partial[key] = _Partial(now + self._settings.reassembly_timeout)
            self._renew_due()
        end = offset + len(data)
        known = partial.fragments
        for start, piece in known:
            if start == offset and len(piece) == len(data) and piece == data:
                return None  # the network repeated it
            if start < end and offset < start + len(piece):
                self._counters["fragments.overlapping"] += 1
                self._drop(key)
                return None
        if not more:
            if partial.total not in {None, end} or any(start + len(piece) > end for start, piece in known):
                self._counters["fragments.contradictory"] += 1
                self._drop(key)
                return None
            partial.total = end
        if len(known) >= _MAX_FRAGMENTS or (partial.total is not None and end > partial.total):
            self._counters["fragments.contradictory"] += 1
            self._drop(key)
            return None
        while self._octets + len(data) + _OVERHEAD > self._settings.max_fragments_octets:
            if self._evict() == key:
                return None
        known.append((offset, bytes(data)))
        partial.octets += len(data)
        self._octets += len(data) + _OVERHEAD
        if offset == 0:
            partial.first = memoryview(bytes(packet))
        if partial.total is not None and partial.octets == partial.total:
            known.sort()
            payload = b"".join(piece for _, piece in known)
            self._drop(key)
            assert partial.first is not None  # no gap and no overlap, so there is one at 0
            return Whole(payload, partial.first)
        return None

    def _evict(self) -> Key:
        """Keep within the caps: the oldest incomplete packet gives way."""
        oldest = next(iter(self._partial))
        self._counters["fragments.evicted"] += 1
        self._drop(oldest)
        return oldest

    def _drop(self, key: Key) -> None:
        partial = self._partial.pop(key)
        self._octets -= partial.octets + _OVERHEAD * len(partial.fragments)
        self._renew_due()

    def _renew_due(self) -> None:
        """All have the same time, so the oldest is the next."""
        self.due = next(iter(self._partial.values())).until if self._partial else inf

    def poll(self, now: float) -> list[Expired]:
        """Give up what is too old."""
        expired = []
        while self._partial:
            key = next(iter(self._partial))
            partial = self._partial[key]
            if partial.until > now:
                break
            self._counters["fragments.timeouts"] += 1
            expired.append(Expired(key[0], partial.first))
            self._drop(key)
        return expired


def pieces(payload: bytes, room: int) -> list[tuple[int, memoryview, bool]]:
    """Cut a payload into fragments of at most `room` octets: offset, octets, and whether more follow."""
    step = room // 8 * 8
    view = memoryview(payload)
    return [(at, view[at : at + step], at + step < len(payload)) for at in range(0, len(payload), step)]
