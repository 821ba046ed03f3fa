"""Tells people of findings: once, in the right place, again only when something changed, and quiet when it is mended.

`step` is the rule, for any channel. A finding that is broken is OPENED, or REOPENED where it was closed; it is CHANGED
when its `wording.digest` is another, else merely SEEN (its text is brought up to date, and nobody is told). One that is
gone is CLOSED after `close_after` good nights in a row. A night that cannot tell counts for nothing.

`report` walks through findings and channels. Before anything is said, the state is saved with what is about to be said
as `Report.pending`; after it, with what became of it. After a crash between the two the same message is delivered
again, and every channel promises to recognise what it has said already (`Channel.deliver`). So nothing is lost or said
twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Protocol

from . import wording
from .errors import Postponed, Refused
from .model import INFRASTRUCTURE_KEY, Finding, Night, Report, State

__all__ = ["Channel", "Event", "Message", "Summary", "Verdict", "report", "step", "verdict"]


class Verdict(StrEnum):
    """What a night says of a finding."""

    BROKEN = "broken"
    GONE = "gone"
    UNKNOWN = "unknown"
    """Its jobs did not run, or failed for another reason."""


class Event(StrEnum):
    """What is to be said in a channel."""

    NOTHING = "nothing"
    OPENED = "opened"
    CHANGED = "changed"
    SEEN = "seen"
    REOPENED = "reopened"
    CLOSED = "closed"

    @property
    def told(self) -> bool:
        """Whether people are told of it, and do not only find it when they look."""
        return self not in {Event.NOTHING, Event.SEEN}


@dataclass(frozen=True, slots=True)
class Message:
    """One thing to be said. Equal messages are one."""

    event: Event
    finding: Finding
    night: str
    """The name of the night that says it."""
    when: float
    """When that night began."""
    title: str
    body: str
    """Markdown: the whole text as it is now."""
    comment: str
    """Markdown: what is new; empty for OPENED and SEEN."""

    @property
    def identity(self) -> str:
        """A word that no other message has."""
        return f"{self.finding.key}-{self.event.value}-{self.night}"


class Channel(Protocol):
    """A place where findings are said."""

    @property
    def name(self) -> str:
        """The key of its reports in the state."""

    def deliver(self, message: Message, number: int) -> int:
        """Say it, unless this very message was said already; the number of the place where (0: there is none).

        `number` is what the last delivery about this finding gave. It may be called again with an equal message, after
        a crash, at any point of the first call. Raises `Postponed` where it is to be tried later, `Refused` where that
        would not help.
        """


@dataclass(slots=True)
class Summary:
    """What was said in a night."""

    events: list[tuple[str, str, Event]] = field(default_factory=list)
    """Channel, key of the finding, and what was said."""
    capped: list[tuple[str, str]] = field(default_factory=list)
    """Channel and key of what waits for another night because there is enough for one."""
    failed: list[str] = field(default_factory=list)
    """Sentences about channels that could not be used to the end."""

    def count(self, event: Event) -> int:
        """How many findings had an event, in whatever channels."""
        return len({key for _, key, one in self.events if one is event})


def verdict(finding: Finding, night: Night) -> Verdict:
    """What a night says of a finding.

    A job that fails for another reason hides whether this one is mended, and one that was not run says nothing.
    """
    if finding.key in night.findings:
        return Verdict.BROKEN
    if finding.key == INFRASTRUCTURE_KEY:
        return Verdict.GONE if night.results else Verdict.UNKNOWN
    outcomes = {result.outcome for result in night.results if result.job.key in finding.jobs}
    return Verdict.GONE if outcomes and all(outcome.passed for outcome in outcomes) else Verdict.UNKNOWN


def step(before: Report, seen: Verdict, said: str, night: str, close_after: int) -> tuple[Report, Event]:
    """What becomes of a report in a night, and what is to be said. `said` is the digest of what is known now.

    The same night a second time, after a crash, gives what is left to do.
    """
    settled = before.night == night and not before.pending
    if seen is Verdict.BROKEN:
        after = replace(before, open=True, good_nights=0, said=said, night=night, pending="")
        if not before.said:
            return replace(after, opened=night), Event.OPENED
        if not before.open:
            return after, Event.REOPENED
        if before.said != said:
            return after, Event.CHANGED
        return (before, Event.NOTHING) if settled else (after, Event.SEEN)
    # What was begun, and perhaps done before the crash, has to be closed like what is known to be open.
    if seen is Verdict.UNKNOWN or settled or not before.open or not (before.said or before.pending):
        return before, Event.NOTHING
    after = replace(before, good_nights=before.good_nights + 1, night=night, pending="")
    if after.good_nights < close_after:
        return after, Event.NOTHING
    return replace(after, open=False), Event.CLOSED


def report(
    state: State,
    night: Night,
    channels: Sequence[Channel],
    save: Callable[[State], None],
    *,
    cap: int = 5,
    close_after: int = 2,
) -> tuple[State, Summary]:
    """Say in every channel what a finished night has found. Returns the state, which was saved at every step.

    `cap`: new reports a night and channel; the others wait for the next. `close_after`: good nights before one is
    closed.
    """
    teller = _Teller(state, night, save, cap, close_after)
    for channel in channels:
        try:
            for key in _ordered(state):
                teller.tell(channel, key)
        except (Postponed, Refused) as error:
            teller.summary.failed.append(f"{channel.name}: {error}")
    teller.forget(channels)
    return teller.state, teller.summary


def _ordered(state: State) -> list[str]:
    """Infrastructure first, then what breaks most: the cap leaves out the rest."""
    return sorted(state.findings, key=lambda key: (key != INFRASTRUCTURE_KEY, -len(state.findings[key].jobs), key))


@dataclass(slots=True)
class _Teller:
    """A night's reporting. `state` is always what was saved last."""

    state: State
    night: Night
    save: Callable[[State], None]
    cap: int
    close_after: int
    summary: Summary = field(default_factory=Summary)

    def tell(self, channel: Channel, key: str) -> None:
        """Say of one finding in one channel what is to be said. Raises what `Channel.deliver` does."""
        finding, name = self.state.findings[key], self.night.name
        before = self.state.reports.get(key, {}).get(channel.name) or Report(channel.name)
        seen = verdict(finding, self.night)
        after, event = step(before, seen, wording.digest(finding), name, self.close_after)
        if after == before:
            return
        if event is Event.OPENED and self._opened(channel.name, key) >= self.cap:
            self.summary.capped.append((channel.name, key))
            return
        if event is not Event.NOTHING:
            self._put(key, replace(before, pending=f"{event.value} {name}"))
            message = _message(self.state, self.night, finding, event, after.good_nights)
            after = replace(after, number=channel.deliver(message, before.number))
            self.summary.events.append((channel.name, key, event))
        self._put(key, after)

    def forget(self, channels: Sequence[Channel]) -> None:
        """Take out the findings that are gone and of which nothing is left to be said."""
        done = {key for key in self.state.findings if self._is_done(key, channels)}
        if done:
            findings = {key: one for key, one in self.state.findings.items() if key not in done}
            self._keep(replace(self.state, findings=findings))

    def _opened(self, channel: str, key: str) -> int:
        """How many others were opened in a channel in this night."""
        others = (reports for other, reports in self.state.reports.items() if other != key)
        return sum(channel in reports and reports[channel].opened == self.night.name for reports in others)

    def _is_done(self, key: str, channels: Sequence[Channel]) -> bool:
        if verdict(self.state.findings[key], self.night) is not Verdict.GONE:
            return False
        reports = [self.state.reports.get(key, {}).get(channel.name) for channel in channels]
        return all(r is None or not (r.open and (r.said or r.pending)) for r in reports)

    def _put(self, key: str, one: Report) -> None:
        reports = {**self.state.reports.get(key, {}), one.channel: one}
        self._keep(replace(self.state, reports={**self.state.reports, key: reports}))

    def _keep(self, state: State) -> None:
        self.save(state)
        self.state = state


def _message(state: State, night: Night, finding: Finding, event: Event, good: int) -> Message:
    earlier = [n for n in state.nights if n.name != night.name]
    comment = notice = ""
    if event is Event.CHANGED:
        last = next((n for n in reversed(earlier) if finding.key in n.findings), None)
        broke = (r.job.key for r in last.results if r.finding == finding.key) if last else ()
        comment = wording.changed(finding, frozenset(broke))
    elif event is Event.REOPENED:
        comment = wording.recurred(finding)
    elif event is Event.CLOSED:
        notice = wording.mended(finding, state, night)
        comment = wording.closing(notice, good)
    nights = sum(finding.key in n.findings for n in earlier) + (event is not Event.CLOSED)
    text = wording.body(finding, max(nights, 1), notice)
    return Message(event, finding, night.name, night.started, wording.title(finding), text, comment)
