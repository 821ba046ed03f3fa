"""Claiming names and answering for them (RFC 6762 sections 6, 8, 9, 10), without I/O.

A `Claim` is a name and what is said of it: the host with its addresses, or a service. Its life:

    PROBING      three questions, 250 ms apart, whether somebody has the name; a conflict: the next name, PROBING
    ANNOUNCING   told to everybody, twice, a second apart
    ESTABLISHED  questions are answered; somebody else says otherwise: PROBING again
    (withdrawn)  a goodbye with TTL 0

The `Responder` gives messages to send; `node.Node` carries them.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype

from ..message import Name
from ._wire import Message, Question, Record, split
from .service import HOST_TTL

__all__ = ["Claim", "Phase", "Responder"]

PROBES = 3
PROBE_INTERVAL = 0.25
ANNOUNCEMENTS = 2
_LOST_TIE_WAIT = 1.0
_MANY_CONFLICTS, _CONFLICTS_WITHIN, _CONFLICT_WAIT = 15, 10.0, 5.0
"""RFC 6762 section 8.1: after fifteen conflicts within ten seconds, five seconds between attempts."""
_MOST_PENDING = 256


class Phase(enum.Enum):
    """How far a claim is."""

    PROBING = "probing"
    ANNOUNCING = "announcing"
    ESTABLISHED = "established"


@dataclass(slots=True)
class Claim:
    """A name that is ours, or is to be."""

    label: str
    """What the owner wished the name to be."""
    make_name: Callable[[str], Name]
    rename: Callable[[str, int], str]
    """The label after so many conflicts."""
    make_records: Callable[[Name], tuple[list[Record], list[Record]]]
    """Records that are unique, and those that are shared."""
    renamed: Callable[[Claim], None]
    """Called when the name has become another, or is established."""
    name: Name = field(init=False)
    unique: list[Record] = field(init=False)
    shared: list[Record] = field(init=False)
    phase: Phase = Phase.PROBING
    count: int = 0
    """Probes or announcements that were sent."""
    due: float = math.inf
    conflicts: int = 0
    recent: list[float] = field(default_factory=list)
    """When the last conflicts were."""
    slow: bool = False
    """There were too many of them."""

    def __post_init__(self) -> None:
        self.refresh()

    @property
    def current(self) -> str:
        """The label as it is now."""
        return self.rename(self.label, self.conflicts) if self.conflicts else self.label

    def refresh(self) -> None:
        """Make the records anew."""
        self.name = self.make_name(self.current)
        self.unique, self.shared = self.make_records(self.name)


@dataclass(slots=True)
class _Pending:
    """A record that is to be multicast."""

    record: Record
    due: float


class Responder:
    """Everything that this node says of itself."""

    def __init__(self, uniform: Callable[[float, float], float]) -> None:
        self._uniform = uniform
        self.claims: list[Claim] = []
        self._pending: dict[Record, _Pending] = {}
        self._multicast: dict[Record, float] = {}
        """When each of our records was multicast last."""
        self._waiting: dict[object, tuple[float, list[Question], set[Record]]] = {}
        """Questions whose asker has more known answers to send (section 7.2), by asker."""

    # claims

    def claim(self, claim: Claim, now: float) -> None:
        """Begin to claim a name."""
        self.claims.append(claim)
        self._probe(claim, now)

    def _probe(self, claim: Claim, now: float, wait: float | None = None) -> None:
        # Section 8.1: hosts that start together do not ask together.
        claim.phase, claim.count = Phase.PROBING, 0
        claim.due = now + (self._uniform(0.0, PROBE_INTERVAL) if wait is None else wait)
        for record in [*claim.unique, *claim.shared]:
            self._pending.pop(record, None)

    def withdraw(self, claim: Claim) -> Iterable[Message]:
        """The goodbye of a claim (section 10.1), which is ours no more."""
        self.claims.remove(claim)
        kept = {record for other in self.claims for record in other.shared}
        gone = [replace(r, ttl=0) for r in [*claim.unique, *claim.shared] if r not in kept]
        for record in gone:
            self._pending.pop(record, None)
            self._multicast.pop(record, None)
        if claim.phase is Phase.PROBING:
            return ()
        return [Message(True, answers=group) for group in split(gone)]

    def announce_again(self, claim: Claim, now: float) -> None:
        """What a claim says has changed (section 8.4)."""
        claim.refresh()
        if claim.phase is not Phase.PROBING:
            claim.phase, claim.count, claim.due = Phase.ANNOUNCING, 0, now

    def _conflict(self, claim: Claim, now: float) -> None:
        """Somebody has the name: take the next one (section 9)."""
        claim.conflicts += 1
        claim.recent = [time for time in claim.recent if now - time < _CONFLICTS_WITHIN] + [now]
        claim.slow = claim.slow or len(claim.recent) >= _MANY_CONFLICTS
        for record in [*claim.unique, *claim.shared]:
            self._multicast.pop(record, None)
            self._pending.pop(record, None)
        claim.refresh()
        self._probe(claim, now, _CONFLICT_WAIT if claim.slow else None)
        claim.renamed(claim)

    # time

    def next_deadline(self) -> float:
        """When `poll` has something to do."""
        times = [claim.due for claim in self.claims]
        times += [pending.due for pending in self._pending.values()]
        times += [due for due, _, _ in self._waiting.values()]
        return min(times, default=math.inf)

    def poll(self, now: float) -> list[Message]:
        """Messages to multicast."""
        for asker, (due, questions, known) in list(self._waiting.items()):
            if due <= now:
                del self._waiting[asker]
                self._schedule(questions, known, now)
        messages = [*self._claims_due(now)]
        answers = [pending.record for pending in self._pending.values() if pending.due <= now]
        for record in answers:
            del self._pending[record]
        if answers:
            extra = [record for record in self._additional(answers) if record not in answers]
            groups = list(split(answers))
            for at, group in enumerate(groups):
                more = next(split(extra), ()) if at == len(groups) - 1 and extra else ()
                messages.append(Message(True, answers=group, additional=more))
            self._mark(answers, now)
        return messages

    def _claims_due(self, now: float) -> Iterable[Message]:
        for claim in self.claims:
            if claim.due > now:
                continue
            if claim.phase is Phase.PROBING and claim.count < PROBES:
                claim.count += 1
                claim.due = now + PROBE_INTERVAL
                question = Question(claim.name, dns.rdatatype.ANY, unicast=True)
                yield Message(False, questions=(question,), authority=tuple(claim.unique))
                continue
            if claim.phase is Phase.PROBING:
                claim.phase, claim.count, claim.slow = Phase.ANNOUNCING, 0, False
                claim.renamed(claim)
            claim.count += 1
            claim.due = now + 1.0
            if claim.count >= ANNOUNCEMENTS:
                claim.phase, claim.due = Phase.ESTABLISHED, math.inf
            records = [*claim.shared, *claim.unique]
            self._mark(records, now)
            for group in split(records):
                yield Message(True, answers=group)

    def _mark(self, records: Iterable[Record], now: float) -> None:
        for record in records:
            self._multicast[record] = now

    # queries

    def query(self, message: Message, asker: object, now: float, *, legacy: bool) -> list[Message]:
        """Answers that go to the asker alone; all others are multicast by `poll`."""
        if message.authority:
            self._tie(message, now)
        known = {record for record in message.answers if self._knows(record)}
        if legacy:
            return self._legacy(message)
        if asker in self._waiting:
            due, questions, before = self._waiting[asker]
            before |= known
            questions = (questions + list(message.questions))[:_MOST_PENDING]
            self._waiting[asker] = (due, questions, before)
            return []
        if message.truncated and len(self._waiting) < _MOST_PENDING:
            # Section 7.2: more known answers come within half a second.
            self._waiting[asker] = (now + self._uniform(0.4, 0.5), list(message.questions), known)
            return []
        direct: list[Record] = []
        others = []
        for question in message.questions:
            if not question.unicast:
                others.append(question)
                continue
            for record in self._answers(question):
                # Section 5.4: what was not multicast for a quarter of its life is multicast all the same.
                stale = now - self._multicast.get(record, -math.inf) > record.ttl / 4
                if stale and not message.authority:
                    others.append(question._replace(rdtype=record.rdtype))
                if record not in known:
                    direct.append(record)
        self._schedule(others, known, now, probe=bool(message.authority))
        direct = list(dict.fromkeys(direct))
        return [Message(True, answers=group) for group in split(direct)]

    def _legacy(self, message: Message) -> list[Message]:
        """Section 6.7: for who asks as in ordinary DNS; its id and question come back, without our own bit."""
        records = [r for question in message.questions for r in self._answers(question)]
        answers = [replace(r, ttl=min(r.ttl, 10), unique=False) for r in dict.fromkeys(records)]
        if not answers:
            return []
        first = next(split(answers))
        questions = tuple(q._replace(unicast=False) for q in message.questions[:1])
        return [Message(True, questions=questions, answers=first, id=message.id)]

    def _schedule(self, questions: Iterable[Question], known: set[Record], now: float, *, probe: bool = False) -> None:
        found = [r for question in questions for r in self._answers(question) if r not in known]
        # Section 6: shared answers wait a little, so that many who answer do not do so at once.
        shared = any(not record.unique for record in found)
        due = now + (self._uniform(0.02, 0.12) if shared else 0.0)
        for record in found[:_MOST_PENDING]:
            # ... and no record is multicast twice within a second, or a quarter of one against a probe.
            earliest = self._multicast.get(record, -math.inf) + (PROBE_INTERVAL if probe else 1.0)
            self._pending.setdefault(record, _Pending(record, max(due, earliest)))

    def _knows(self, record: Record) -> bool:
        """Whether an asker that has this record needs no answer (section 7.1): at least half its time is left."""
        return any(
            record == ours and record.ttl >= ours.ttl / 2
            for claim in self.claims
            for ours in (*claim.unique, *claim.shared)
        )

    def _answers(self, question: Question) -> list[Record]:
        """Our records that answer a question, or the one that says that there are none (section 6.1)."""
        found: list[Record] = []
        negative: Record | None = None
        for claim in self.claims:
            if claim.phase is Phase.PROBING:
                continue
            records = [r for r in (*claim.unique, *claim.shared) if r.name == question.name]
            matching = [r for r in records if question.rdtype in {r.rdtype, dns.rdatatype.ANY}]
            found += matching
            if claim.name == question.name and not matching:
                negative = _nsec(claim)
        found = list(dict.fromkeys(found))
        return found or ([negative] if negative else [])

    def _additional(self, records: Iterable[Record]) -> list[Record]:
        """RFC 6763 section 12: what the asker needs next."""
        wanted: list[tuple[Name, int]] = []
        addresses = (dns.rdatatype.A, dns.rdatatype.AAAA)
        for record in records:
            target = getattr(record.data, "target", None)
            if record.rdtype == dns.rdatatype.PTR and target is not None:
                wanted += [(target, kind) for kind in (dns.rdatatype.SRV, dns.rdatatype.TXT)]
            if record.rdtype == dns.rdatatype.SRV and target is not None:
                wanted += [(target, kind) for kind in addresses]
        ours = {r.key for claim in self.claims if claim.phase is not Phase.PROBING for r in claim.unique}
        hosts = [claim for claim in self.claims if claim.unique and claim.unique[0].rdtype in addresses]
        if any(key in ours and key[1] == dns.rdatatype.SRV for key in wanted):
            wanted += [r.key for claim in hosts if claim.phase is not Phase.PROBING for r in claim.unique]
        return [r for claim in self.claims if claim.phase is not Phase.PROBING for r in claim.unique if r.key in wanted]

    def _tie(self, message: Message, now: float) -> None:
        """Somebody probes for a name that we probe for (section 8.2): the later data, in octets, wins."""
        for claim in self.claims:
            theirs = [record for record in message.authority if record.name == claim.name]
            if claim.phase is not Phase.PROBING or not theirs or claim.count == 0:
                continue
            if _sorted(claim.unique) < _sorted(theirs):
                self._probe(claim, now, _LOST_TIE_WAIT)

    # responses

    def response(self, message: Message, now: float) -> None:
        """Others' answers: conflicts with our names, and answers that we need not give any more."""
        records = [*message.answers, *message.additional]
        for claim in self.claims:
            ours = set(claim.unique)
            kinds = {record.rdtype for record in claim.unique}
            theirs = [r for r in records if r.name == claim.name and r.rdtype in kinds and r not in ours and r.ttl]
            if not theirs:
                continue
            if claim.phase is Phase.PROBING:
                self._conflict(claim, now)
            else:
                self._probe(claim, now)  # section 9: who loses that, is renamed
        for record in message.answers:
            # Section 7.4: another host has given our pending answer, to live as long.
            pending = self._pending.get(record)
            if pending is not None and record.ttl >= pending.record.ttl:
                del self._pending[record]


def _nsec(claim: Claim) -> Record:
    types = " ".join(dns.rdatatype.to_text(dns.rdatatype.RdataType.make(r.rdtype)) for r in claim.unique)
    data = dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.NSEC, f"{claim.name.to_text()} {types}")
    return Record(claim.name, dns.rdatatype.NSEC, data, HOST_TTL, unique=True)


def _sorted(records: Iterable[Record]) -> list[tuple[int, int, bytes]]:
    """RFC 6762 section 8.2.1: by class, type, and uncompressed data."""
    return sorted((int(dns.rdataclass.IN), int(r.rdtype), r.data.to_wire() or b"") for r in records)
