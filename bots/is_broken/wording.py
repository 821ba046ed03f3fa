"""What a report says of a finding, as Markdown: pure functions of the state.

The first line of an issue's body is the mark by which it is found again. What is foreign stands in code (`markdown`).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from .markdown import block, line, link, span
from .model import ChangeKind, Finding, Night, Outcome, State

__all__ = [
    "body",
    "changed",
    "closing",
    "comment_mark",
    "day",
    "digest",
    "key_of",
    "mark",
    "mended",
    "recurred",
    "title",
]

LIMIT = 60_000
"""Characters of a body: GitHub takes 65536."""

_MARK = re.compile(r"<!-- is-broken ([a-z0-9]+) -->")
_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip


def day(when: float) -> str:
    """A time in words: ``24 November 2026, 03:17 UTC``."""
    at = datetime.fromtimestamp(when, UTC)
    return f"{at.day} {_MONTHS[at.month - 1]} {at.year}, {at:%H:%M} UTC"


def mark(key: str) -> str:
    """The hidden line that an issue's body begins with."""
    return f"<!-- is-broken {key} -->"


def key_of(text: str | None) -> str:
    """The key of the mark that a body begins with, empty for none. A mark further down is somebody's quotation."""
    found = _MARK.match(text or "")
    return found[1] if found else ""


def comment_mark(event: str, night: str) -> str:
    """The hidden line that a comment begins with, so that it is never said twice."""
    return f"<!-- is-broken {event} {night} -->"


def digest(finding: Finding) -> str:
    """A hash of what a person wants to hear about again when it changes.

    The output, what else differs between two locks and the number of probes change from night to night; the outcome,
    the culprits, what is broken and how to hold it back do not.
    """
    parts = [
        finding.outcome.value,
        [[c.kind.value, c.name, c.old, c.new] for c in finding.culprits.changes],
        finding.culprits.minimal,
        sorted(finding.jobs),
        finding.explanation.hold,
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def title(finding: Finding) -> str:
    """One line: who broke what, and how it shows."""
    what = line(finding.explanation.failure.line or finding.signature, 70)
    if finding.outcome is Outcome.INFRASTRUCTURE:
        return "The nightly run itself is in trouble"
    if not finding.culprits.changes:
        return line(f"The nightly run fails: {what}")
    who = line(finding.culprits.spelled, 70)
    verb = "cannot be installed" if finding.outcome is Outcome.UNRESOLVABLE else "breaks the build"
    if len(finding.culprits.changes) > 1 and finding.outcome is not Outcome.UNRESOLVABLE:
        verb = "break the build together"
    return line(f"{who} {verb}: {what}", 160)


def body(finding: Finding, nights: int, notice: str = "") -> str:
    """The whole text of an issue. `nights`: how many were seen with it; `notice` is said above everything else."""
    explanation, failure = finding.explanation, finding.explanation.failure
    parts = [mark(finding.key)]
    if notice:
        parts.append(f"> {notice}")
    parts.append(_verdict(finding))
    if failure.line:
        where = f", in {span(failure.step)}" if failure.step else ""
        parts.append(f"The first line that fails{where}:\n\n{block(failure.line, limit=2000)}")
    if explanation.notes:
        parts.append(_bullets(_sentence(note) for note in explanation.notes[:20]))
    parts.append("It breaks " + _jobs(finding.jobs) + ".")
    if explanation.reproduce:
        parts.append(f"To see it yourself:\n\n{block(explanation.reproduce, 'console')}")
    if explanation.hold:
        parts.append(f"Until it is mended, this in `pins.toml` keeps it out:\n\n{block(explanation.hold, 'toml')}")
    if explanation.difference:
        rows = "\n".join(explanation.difference[:400])
        parts.append(_folded("What differs between the last good set of releases and this one", block(rows)))
    if failure.excerpt:
        parts.append(_folded("Output", block(failure.excerpt)))
    count = "1 night" if nights == 1 else f"{nights} nights"
    parts.append(f"Seen first on {day(finding.first)}, last on {day(finding.last)}; {count} so far.")
    text = "\n\n".join(parts) + "\n"
    return text if len(text) <= LIMIT else _shortened(parts)


def _shortened(parts: Sequence[str]) -> str:
    """A body that would be too long, with its folded parts left out."""
    kept = [part for part in parts if not part.startswith("<details>")]
    return "\n\n".join([*kept, "The output is too long for this place: see the status page."])[:LIMIT] + "\n"


def _verdict(finding: Finding) -> str:
    changes = finding.culprits.changes
    if finding.outcome is Outcome.INFRASTRUCTURE:
        return (
            "The control, which takes the releases of the last good night, could not be run or fails too. So nothing "
            "is known of upstream, and nobody upstream is to blame: the machine, the network or the index is."
        )
    if not changes:
        return "None of the changes upstream explains it: it fails with the last good set of releases as well."
    names = _bullets(f"{span(change.spelled)}{_since(change.old, change.kind)}" for change in changes)
    if finding.outcome is Outcome.UNRESOLVABLE:
        told = "With this there is no set of releases that satisfies every declared requirement any more:"
    elif len(changes) == 1:
        told = "This alone turns a good night into a bad one:"
    else:
        told = f"These {len(changes)} together turn a good night into a bad one:"
    if not finding.culprits.minimal:
        proof = "The time did not suffice to show that none of them could be left out."
    elif len(changes) == 1:
        proof = f"Found with {_count(finding.culprits.probes, 'probe')}."
    else:
        proof = (
            f"Every part of this set was seen to be harmless. Found with {_count(finding.culprits.probes, 'probe')}."
        )
    return f"{told}\n\n{names}\n\n{proof}"


def _since(old: str, kind: ChangeKind) -> str:
    return f" (it was {span(old[:12] if kind is ChangeKind.HEAD else old)})" if old else " (not needed before)"


def _sentence(note: str) -> str:
    """A note; the address in it can be followed."""
    words = line(note, 500).split(" ")
    texts: list[str] = []
    run: list[str] = []
    for word in [*words, ""]:
        if word.startswith(("https://", "http://")) or word == "":
            texts += [span(" ".join(run), 500)] if run else []
            texts += [link(word.rstrip(".,"))] if word else []
            run = []
        else:
            run.append(word)
    return " ".join(texts)


def _jobs(jobs: Iterable[str]) -> str:
    names = [span(job) for job in jobs]
    shown = ", ".join(names[:30])
    return (shown if len(names) <= 30 else f"{shown} and {len(names) - 30} more") or "no job that is known"


def _bullets(items: Iterable[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def _folded(summary: str, inside: str) -> str:
    return f"<details><summary>{summary}</summary>\n\n{inside}\n\n</details>"


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def changed(finding: Finding, before: frozenset[str]) -> str:
    """The comment on a finding of which something else is known now; `before` are the jobs that it broke."""
    new, gone = [j for j in finding.jobs if j not in before], sorted(before - set(finding.jobs))
    said = []
    if new and before:
        said.append(f"It breaks {_jobs(new)} too now.")
    if gone:
        said.append(f"It does not break {_jobs(gone)} any more.")
    if not said:
        said.append("What is known of it has changed; the text above is up to date.")
    return " ".join(said)


def recurred(finding: Finding) -> str:
    """The comment on a finding that was closed and is back."""
    return f"It is back since {day(finding.last)}. It breaks {_jobs(finding.jobs)}."


def closing(reason: str, nights: int) -> str:
    """The comment that closes an issue."""
    return f"{reason}\n\nIt was good for {_count(nights, 'night')} in a row. Should it come back, this is opened again."


def mended(finding: Finding, state: State, night: Night) -> str:
    """Why a finding is gone, as far as the locks tell."""
    locks = [state.locks[r.lock].versions for r in night.results if r.job.key in finding.jobs and r.lock in state.locks]
    reasons = []
    for change in finding.culprits.changes:
        if change.kind is not ChangeKind.RELEASE:
            continue
        versions = sorted({lock[change.name] for lock in locks if change.name in lock})
        if change.new in versions:
            continue
        instead = f"{span(change.name)} is not needed any more"
        if versions:
            instead = f"{span(change.name + ' ' + ', '.join(versions))} is taken instead of {span(change.new)}"
        reasons.append(instead)
    if reasons:
        return f"Mended: {' and '.join(reasons)}."
    revisions = [n.revision for n in state.nights if n.started <= finding.last and n.revision]
    if night.revision and revisions and revisions[-1] != night.revision:
        return f"Mended on our side, between {span(revisions[-1][:12])} and {span(night.revision[:12])}."
    if finding.outcome is Outcome.INFRASTRUCTURE:
        return "The control is good again."
    return "It is good again with the same releases."
