"""Made-up histories of upstream releases: what breaks, by rule, and an `Ask` that counts."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable
from dataclasses import dataclass, field

from ..bisect import Verdict
from ..model import Change, ChangeKind


def release(project: str, number: int, when: float) -> Change:
    """The release NUMBER.0 of a project."""
    return Change(ChangeKind.RELEASE, project, "0.0", f"{number}.0", when)


@dataclass(frozen=True)
class Rule:
    """What fails: every project named has a release from one number on, and before another."""

    spans: tuple[tuple[str, int, int], ...]

    def fails(self, installed: dict[str, int]) -> bool:
        """Whether these releases, 0 for the good one, fail together."""
        return all(first <= installed.get(name, 0) < end for name, first, end in self.spans)


@dataclass
class History:
    """Changes with the rules of what they break, and the questions asked of them."""

    changes: list[Change]
    rules: list[Rule]
    unknown: frozenset[str] = frozenset()
    """Projects whose releases cannot be had without all the others of these."""
    asked: list[tuple[Change, ...]] = field(default_factory=list)

    def verdict(self, changes: Iterable[Change]) -> Verdict:
        """The truth about a set."""
        installed = {c.name: int(c.new.partition(".")[0]) for c in changes}
        if self.unknown & installed.keys() and not self.unknown <= installed.keys():
            return Verdict.UNKNOWN
        return Verdict.FAIL if any(rule.fails(installed) for rule in self.rules) else Verdict.PASS

    def __call__(self, changes: tuple[Change, ...], /) -> Verdict:
        """`verdict`, remembered."""
        assert len({c.name for c in changes}) == len(changes), "two releases of one project cannot be installed"
        assert changes not in self.asked, "the same was asked twice"
        self.asked.append(changes)
        return self.verdict(changes)

    def is_minimal(self, changes: tuple[Change, ...]) -> bool:
        """Whether a set fails and none of its proper subsets does."""
        subsets = (s for size in range(len(changes)) for s in itertools.combinations(changes, size))
        fails = self.verdict(changes) is Verdict.FAIL
        return fails and not any(self.verdict(s) is Verdict.FAIL for s in subsets)


def monotone(random_: random.Random, releases: int, culprits: int, projects: int | None = None) -> History:
    """Releases in an order by chance, broken for good by that many culprits together."""
    names = [f"p{i}" for i in range(projects or releases)]
    owners = names + [random_.choice(names) for _ in range(releases - len(names))]
    random_.shuffle(owners)
    counts = dict.fromkeys(names, 0)
    changes = []
    for when, owner in enumerate(owners):
        counts[owner] += 1
        changes.append(release(owner, counts[owner], float(when)))
    chosen = random_.sample(names, culprits)
    spans = tuple((name, random_.randint(1, counts[name]), 1 << 30) for name in chosen)
    return History(changes, [Rule(spans)])
