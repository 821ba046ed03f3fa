"""What the steps of a night hand to each other, and their form in JSON.

Times are seconds since 1970 (UTC) as `float`. Everything is frozen: a step returns new values, `store` writes them.
Names of distributions are in their one spelling (PEP 503), versions as their index spells them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

INFRASTRUCTURE_KEY = "infrastructure"
"""The key of the one finding that all trouble with machines, networks and indices shares."""


class Outcome(StrEnum):
    """How a job ended, seen beside the control and the night before."""

    GOOD = "good"
    REGRESSED = "regressed"
    """It fails with what is new, twice, and does not with the last good lock."""
    FIXED = "fixed"
    """It passes, and did not the night before."""
    UNRESOLVABLE = "unresolvable"
    """There is no set of releases to try: their declared requirements contradict each other."""
    FLAKY = "flaky"
    """It failed, and passed when it was run again."""
    INFRASTRUCTURE = "infrastructure"
    """The machine, the network or an index failed, or the control did: nothing is known of upstream."""

    @property
    def passed(self) -> bool:
        """Whether the suite passed in the end."""
        return self in {Outcome.GOOD, Outcome.FIXED, Outcome.FLAKY}


class ChangeKind(StrEnum):
    """What it is that can change upstream."""

    RELEASE = "release"
    HEAD = "head"
    """The head of a git branch."""
    PYTHON = "python"
    """A patch version of Python, found on the machine."""


@dataclass(frozen=True, slots=True)
class Release:
    """One release of a distribution, as an index lists it."""

    project: str
    version: str
    uploaded: float | None = None
    """When its first file was; None where the index does not say."""
    yanked: str | None = None
    """The reason that was given, perhaps empty; None where it is not yanked."""
    prerelease: bool = False
    requires_python: str = ""
    """Such as ``>=3.9``; empty for any."""


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that is new upstream since the last good night."""

    kind: ChangeKind
    name: str
    """A distribution, a repository of the configured list, or a Python such as ``3.13``."""
    old: str
    """What was good: a version or a revision; empty for a distribution that was not needed before."""
    new: str
    when: float | None = None
    """When it appeared upstream."""
    link: str = ""
    """Its changelog, or the difference between two revisions."""
    prerelease: bool = False

    @property
    def spelled(self) -> str:
        """How people name it: ``urllib3 2.0.2``, ``mirage/ocaml-dns 1a2b3c4d5e6f``."""
        return f"{self.name} {self.new[:12] if self.kind is ChangeKind.HEAD else self.new}"


@dataclass(frozen=True, slots=True)
class Lock:
    """The exact third-party releases of an environment."""

    python: str
    """Such as ``3.11``."""
    requirements: tuple[str, ...]
    """``name==version``, or ``name @ git+URL@REVISION``, in order."""

    @property
    def hash(self) -> str:
        """16 hexadecimal digits; equal sets for equal Pythons have the same."""
        return hashlib.sha256("\n".join((self.python, *self.requirements)).encode()).hexdigest()[:16]

    @property
    def versions(self) -> dict[str, str]:
        """Version, or ``git+URL@REVISION``, by name."""
        pairs = (line.partition(" @ " if " @ " in line else "==") for line in self.requirements)
        return {name: version for name, _, version in pairs}


class LaneKind(StrEnum):
    """Which releases a job takes."""

    CONTROL = "control"
    """Those of the last good night."""
    NEWEST = "newest"
    """The newest that the declared ranges admit."""
    LOWEST = "lowest"
    """The declared floors."""
    PRE = "pre"
    """The newest, pre-releases among them."""
    DOWNSTREAM = "downstream"
    """The newest, under another project's own tests."""


@dataclass(frozen=True, slots=True)
class Lane:
    """A column of the matrix."""

    kind: LaneKind
    project: str = ""
    """Of a downstream lane: the name in the configured list."""

    @property
    def name(self) -> str:
        """``newest``, or ``downstream-NAME``."""
        return f"{self.kind.value}-{self.project}" if self.project else self.kind.value


@dataclass(frozen=True, slots=True)
class Job:
    """One run of one suite: a cell of the matrix."""

    lane: Lane
    target: str
    """What is built and booted: ``unix``, ``hvt``, ... or ``-`` where a suite builds nothing."""
    python: str
    """Such as ``3.11``."""
    package: str = "website"
    """The row: what is tested."""

    @property
    def key(self) -> str:
        """Such as ``newest-website-unix-3.11``; a file name, and the word behind ``repro``."""
        return f"{self.lane.name}-{self.package}-{self.target}-{self.python}"


class Reason(StrEnum):
    """Why a suite did not pass."""

    NONE = ""
    FAILED = "failed"
    TIME = "out of time"
    MEMORY = "out of memory"
    OUTPUT = "too much output"
    CONFLICT = "resolver conflict"
    INSTALL = "could not be installed"
    INDEX = "the index failed"
    CONTROL = "the control failed"


@dataclass(frozen=True, slots=True)
class Failure:
    """What is known of a failed run from its output."""

    reason: Reason
    step: str
    """The part of the suite: ``install``, ``build``, the name of a test."""
    line: str
    """The first line that says it failed, as it was printed."""
    signature: str
    """That line without what differs from run to run; equal signatures are one failure."""
    excerpt: str
    """The output around it, trimmed for people; plain text that nobody has escaped."""


@dataclass(frozen=True, slots=True)
class JobResult:
    """How one job ended."""

    job: Job
    outcome: Outcome
    lock: str = ""
    """The lock's hash; empty where nothing was resolved."""
    started: float = 0.0
    seconds: float = 0.0
    attempts: int = 1
    failure: Failure | None = None
    """None only where the first attempt passed. Of a flaky job: how the first attempt failed."""
    log: str = ""
    """The whole output: a path below the data folder, ``logs/NIGHT/KEY.log``; empty where there was none."""
    finding: str = ""
    """The key of the finding that explains it."""


@dataclass(frozen=True, slots=True)
class Culprits:
    """The smallest set of changes that turns good into bad, and what it cost to know."""

    changes: tuple[Change, ...]
    """In the order of their appearance upstream."""
    probes: int = 0
    """Suites that were really run (or resolutions, for a conflict); those remembered are not counted."""
    minimal: bool = True
    """Whether every proper subset was seen not to fail; False where the time did not suffice."""

    @property
    def spelled(self) -> str:
        """``urllib3 2.0.2`` or ``a 1.2 with b 3.0``."""
        return " with ".join(change.spelled for change in self.changes)


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a person needs to act on a finding; every text is plain, nobody has escaped it."""

    failure: Failure
    difference: tuple[str, ...] = ()
    """What differs between the last good lock and the failing one: ``urllib3 1.26.20 -> 2.0.2``."""
    notes: tuple[str, ...] = ()
    """A sentence a culprit: when it was released, and where its changelog is."""
    reproduce: str = ""
    """One line: ``./noxw -s is_broken -- repro KEY``."""
    hold: str = ""
    """Lines for ``pins.toml`` that keep the culprit out; empty where none would."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is broken: the unit of a report."""

    key: str
    """`finding_key` of its culprits and signature, or `INFRASTRUCTURE_KEY`."""
    outcome: Outcome
    """REGRESSED, UNRESOLVABLE or INFRASTRUCTURE."""
    culprits: Culprits
    """Without changes for infrastructure, or where what broke it is none of the known changes."""
    signature: str
    explanation: Explanation
    jobs: tuple[str, ...] = ()
    """The keys of the jobs that it breaks, in order."""
    lock: str = ""
    """The hash of the last good lock with just the culprits taken in; empty where nothing was resolved."""
    first: float = 0.0
    """The night that saw it first."""
    last: float = 0.0
    """The latest night that saw it."""


@dataclass(frozen=True, slots=True)
class Night:
    """One run of the bot."""

    started: float
    ended: float = 0.0
    """0 while it is under way."""
    revision: str = ""
    """The tree's own commit."""
    changes: tuple[Change, ...] = ()
    results: tuple[JobResult, ...] = ()
    findings: tuple[str, ...] = ()
    """The keys of what is broken at its end; the findings are in the state."""
    probes: int = 0
    quiet: bool = False
    """Nothing was new, so nothing was run: `results` are those of the night before."""

    @property
    def name(self) -> str:
        """``20260131T031700Z``: sorts by time, and is a file name."""
        return stamp(self.started)


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a finding in one channel. Written by `report` before and after each thing it does."""

    channel: str
    """``github``, ``files``, ``mail``, ..."""
    number: int = 0
    """The issue's; 0 where there is none."""
    open: bool = True
    good_nights: int = 0
    """Nights in a row without it, since it was last seen."""
    said: str = ""
    """The hash of what was said last: an equal text is not said again."""
    pending: str = ""
    """What was begun and not yet seen done; empty when all is settled."""
    night: str = ""
    """The name of the night that this was brought up to date with."""
    opened: str = ""
    """The name of the night that it was opened in, for the nightly cap."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A suite's verdict on a lock, remembered so that it is never run again."""

    passed: bool
    failure: Failure | None = None
    seconds: float = 0.0
    when: float = 0.0


@dataclass(frozen=True, slots=True)
class State:
    """Everything the bot remembers: one JSON file."""

    version: int = 1
    good: dict[str, Lock] = field(default_factory=dict)
    """The last good lock, by `Job.key` of the lane that proved it."""
    heads: dict[str, str] = field(default_factory=dict)
    """The last good revision of each watched repository, by name."""
    pythons: dict[str, str] = field(default_factory=dict)
    """The patch version of each Python that the last good night had: ``3.11`` to ``3.11.9``."""
    seen: str = ""
    """A hash of everything upstream, and of our own tree, as of the last finished night: equal means no work."""
    probes: dict[str, Probe] = field(default_factory=dict)
    """By what was run and the lock's hash: ``website-unix/0123456789abcdef``."""
    locks: dict[str, Lock] = field(default_factory=dict)
    """Every lock that a result or a finding speaks of, by hash."""
    findings: dict[str, Finding] = field(default_factory=dict)
    """Those that are broken, and those mended whose reports are not closed yet, by key."""
    reports: dict[str, dict[str, Report]] = field(default_factory=dict)
    """By the finding's key, then by channel."""
    current: Night | None = None
    """A night that was begun and not ended: the next run goes on with it."""
    nights: tuple[Night, ...] = ()
    """Oldest first."""


def finding_key(changes: tuple[Change, ...], signature: str) -> str:
    """12 hexadecimal digits that are the same for the same culprits and the same failure."""
    named = sorted(f"{change.kind.value} {change.name} {change.new}" for change in changes)
    return hashlib.sha256("\0".join((*named, signature)).encode()).hexdigest()[:12]


def stamp(when: float) -> str:
    """A time as ``20260131T031700Z``."""
    return datetime.fromtimestamp(when, UTC).strftime("%Y%m%dT%H%M%SZ")
