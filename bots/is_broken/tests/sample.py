"""A made-up night, and the finding that it made."""

from __future__ import annotations

from dataclasses import replace

from bots.is_broken.model import (
    Change,
    ChangeKind,
    Culprits,
    Explanation,
    Failure,
    Finding,
    Job,
    JobResult,
    Lane,
    LaneKind,
    Lock,
    Night,
    Outcome,
    Reason,
    State,
    finding_key,
)

EPOCH = 1_795_575_600.0
"""25 November 2026, 03:00 UTC."""
DAY = 86400.0

CHANGE = Change(ChangeKind.RELEASE, "leftpad", "1.9", "2.0", EPOCH - 3600, "https://leftpad.example/changes")
FAILURE = Failure(
    Reason.FAILED,
    "build",
    "ImportError: cannot import name 'pad'",
    "ImportError: cannot import name '…'",
    "output\nhere",
)
JOB = Job(Lane(LaneKind.NEWEST), "unix", "3.11")
OLD, NEW = Lock("3.11", ("leftpad==1.9",)), Lock("3.11", ("leftpad==2.0",))


def finding(
    *changes: Change, failure: Failure = FAILURE, jobs: tuple[str, ...] = (JOB.key,), night: int = 0
) -> Finding:
    """What a night found."""
    changes = changes or (CHANGE,)
    explanation = Explanation(
        failure,
        difference=("leftpad 1.9 -> 2.0", "other 1 -> 2"),
        notes=("leftpad 2.0 was released on 25 November 2026; its changelog: https://leftpad.example/changes",),
        reproduce=f"./noxw -s is_broken -- repro {JOB.key}",
        hold='[hold.leftpad]\nspec = "<2.0"',
    )
    key = finding_key(changes, failure.signature)
    when = EPOCH + night * DAY
    return Finding(
        key,
        Outcome.REGRESSED,
        Culprits(changes, 7),
        failure.signature,
        explanation,
        jobs=jobs,
        first=EPOCH,
        last=when,
    )


def bad(number: int, *found: Finding, outcome: Outcome = Outcome.REGRESSED) -> Night:
    """The night of that number, in which these were broken."""
    results = tuple(
        JobResult(JOB, outcome, NEW.hash, EPOCH + number * DAY, 60.0, 2, one.explanation.failure, finding=one.key)
        for one in found
    )
    return Night(EPOCH + number * DAY, EPOCH + number * DAY + 600, "a" * 40, one_each(found), results, keys(found), 7)


def one_each(found: tuple[Finding, ...]) -> tuple[Change, ...]:
    """The changes that findings blame."""
    return tuple(change for one in found for change in one.culprits.changes)


def keys(found: tuple[Finding, ...]) -> tuple[str, ...]:
    """The keys of findings."""
    return tuple(one.key for one in found)


def good(number: int, lock: Lock = OLD, revision: str = "a" * 40) -> Night:
    """The night of that number, in which all was well."""
    start = EPOCH + number * DAY
    return Night(start, start + 600, revision, (), (JobResult(JOB, Outcome.GOOD, lock.hash, start, 50.0),))


def after(state: State, night: Night, *found: Finding) -> State:
    """The state as the bot hands it on: with the night, and with its findings beside those that it has."""
    findings = {**state.findings, **{one.key: one for one in found}}
    locks = {**state.locks, OLD.hash: OLD, NEW.hash: NEW}
    return replace(state, findings=findings, locks=locks, nights=(*state.nights, night))
