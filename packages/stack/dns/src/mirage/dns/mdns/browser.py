"""Asking and remembering (RFC 6762 sections 5.2, 7.1, 10; RFC 6763 section 4), without I/O.

What is wanted is a name with a type of records; only records that are wanted are kept, and at most so many. A wanted
list (a PTR) is asked for again and again, with growing pauses; anything else until it is known, and again before its
time is over.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import dns.rdatatype

from ..message import Name
from ._wire import MAX_SIZE, Message, Question, Record, size_of, split

__all__ = ["Browser"]

_FIRST, _LONGEST = 1.0, 3600.0
"""Seconds from the first question to the second, and at most between two (section 5.2)."""
_REFRESH = (0.80, 0.85, 0.90, 0.95)
"""When a record is asked for again, as parts of its life (section 5.2)."""
_GOODBYE = 1.0
"""Seconds that a record lives on after its goodbye, or after another has taken its place (sections 10.1, 10.2)."""


@dataclass(slots=True)
class _Kept:
    record: Record
    since: float
    expires: float
    refreshed: int = 0
    """How many of `_REFRESH` are over."""
    jitter: float = 0.0

    def refresh_at(self) -> float:
        if self.refreshed >= len(_REFRESH):
            return math.inf
        return self.since + self.record.ttl * (_REFRESH[self.refreshed] + self.jitter)


@dataclass(slots=True)
class _Wanted:
    due: float
    pause: float = _FIRST
    lists: bool = False
    kept: dict[Record, _Kept] = field(default_factory=dict)


class Browser:
    """`changed` has the names and types of which something came or went since it was cleared."""

    def __init__(self, uniform: Callable[[float, float], float], max_records: int) -> None:
        self._uniform = uniform
        self._max_records = max_records
        self._wanted: dict[tuple[Name, int], _Wanted] = {}
        self._count = 0
        self.dropped = 0
        self.changed: set[tuple[Name, int]] = set()

    def want(self, name: Name, rdtype: int, now: float) -> None:
        """Begin to ask; does nothing where that was done."""
        # Section 5.2: the first question waits a little, so that hosts that start together do not ask together.
        due = now + self._uniform(0.02, 0.12)
        lists = rdtype == dns.rdatatype.PTR
        self._wanted.setdefault((name, rdtype), _Wanted(due, lists=lists))

    def want_no_more(self, name: Name, rdtype: int) -> None:
        """Stop to ask, and forget."""
        wanted = self._wanted.pop((name, rdtype), None)
        if wanted is not None:
            self._count -= len(wanted.kept)

    def records(self, name: Name, rdtype: int) -> list[Record]:
        """What is known."""
        wanted = self._wanted.get((name, rdtype))
        return [] if wanted is None else list(wanted.kept)

    def input(self, records: Iterable[Record], now: float) -> None:
        """Take what somebody said."""
        records = list(records)
        flushed: set[tuple[Name, int]] = set()
        for record in records:
            wanted = self._wanted.get(record.key)
            if wanted is None:
                continue
            if record.unique and record.key not in flushed:
                flushed.add(record.key)
                self._flush(wanted, records, now)
            kept = wanted.kept.get(record)
            if record.ttl == 0:
                if kept is not None:
                    kept.expires = min(kept.expires, now + _GOODBYE)
                    kept.refreshed = len(_REFRESH)
                continue
            if kept is None:
                if self._count >= self._max_records:
                    self.dropped += 1
                    continue
                self._count += 1
                self.changed.add(record.key)
            jitter = self._uniform(0.0, 0.02)
            wanted.kept.pop(record, None)
            wanted.kept[record] = _Kept(record, now, now + record.ttl, jitter=jitter)

    def _flush(self, wanted: _Wanted, records: list[Record], now: float) -> None:
        """Section 10.2: a unique record takes the place of those that are older than a second and not repeated."""
        for kept in wanted.kept.values():
            if kept.record not in records and now - kept.since > 1.0:
                kept.expires = min(kept.expires, now + _GOODBYE)
                kept.refreshed = len(_REFRESH)

    def next_deadline(self) -> float:
        """When `poll` has something to do."""
        times = [math.inf]
        for wanted in self._wanted.values():
            if wanted.lists or not wanted.kept:
                times.append(wanted.due)
            times += [min(kept.expires, kept.refresh_at()) for kept in wanted.kept.values()]
        return min(times)

    def poll(self, now: float) -> list[Message]:
        """Forget what is over, and ask for what is due."""
        questions: list[tuple[Question, _Wanted]] = []
        for (name, rdtype), wanted in self._wanted.items():
            for record in [record for record, kept in wanted.kept.items() if kept.expires <= now]:
                del wanted.kept[record]
                self._count -= 1
                self.changed.add((name, rdtype))
                wanted.due, wanted.pause = min(wanted.due, now + _FIRST), _FIRST
            ask = False
            for kept in wanted.kept.values():
                while kept.refresh_at() <= now:
                    kept.refreshed += 1
                    ask = True
            if wanted.due <= now and (wanted.lists or not wanted.kept):
                ask = True
                wanted.due, wanted.pause = now + wanted.pause, min(wanted.pause * 2, _LONGEST)
            if ask:
                questions.append((Question(name, rdtype), wanted))
        return list(self._messages(questions, now))

    def _messages(self, questions: list[tuple[Question, _Wanted]], now: float) -> Iterable[Message]:
        for at in range(0, len(questions), 16):
            group = questions[at : at + 16]
            asked = tuple(question for question, _ in group)
            # Section 7.1: what has more than half of its life left need not be told again.
            known = [
                Record(r.name, r.rdtype, r.data, int(kept.expires - now))
                for _, wanted in group
                for r, kept in wanted.kept.items()
                if kept.expires - now > r.ttl / 2
            ]
            room = MAX_SIZE - 12 - sum(len(q.name.to_wire() or b"") + 4 for q in asked)
            first: list[Record] = []
            while known and size_of(known[0]) <= room:
                room -= size_of(known[0])
                first.append(known.pop(0))
            yield Message(False, questions=asked, answers=tuple(first), truncated=bool(known))
            rest = list(split(known))
            for index, more in enumerate(rest):
                yield Message(False, answers=more, truncated=index < len(rest) - 1)
