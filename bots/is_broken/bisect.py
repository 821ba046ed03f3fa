"""The smallest set of changes that turns good into bad, found by asking as few questions as can be. Pure.

A question is a set of changes, at most one a name, and means: the last good environment with just these taken in. The
answer is a `Verdict`. Given that nothing passes and everything fails:

1. Each name goes from what was good to its newest: a *move*. In the order of appearance upstream, the smallest
   failing prefix of the moves ends with a culprit. It is asked alone; where it passes alone, the search is repeated in
   front of it with the culprit always taken in, and so on until what was found fails by itself. That is log2(n) + 1
   questions a culprit.
2. Of each culprit, the first release (or commit) with which the set fails is sought in the same way.
3. Every proper subset is asked too. One that fails takes the set's place: subsets are asked smallest first, so that it
   is minimal itself.

Steps 1 and 2 rest on monotony: whatever contains a failing set fails. It does not always hold, since an upgrade may
mend what another broke. The set found fails all the same, because it was asked; step 3 sees to its being minimal; and
where step 1 collects more than `FEW` moves, or meets answers that are unknown, *ddmin* (Zeller and Hildebrandt, 2002),
which rests on nothing, reduces them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from .model import Change

FEW = 5
"""Members up to which every proper subset is asked; a larger set is only known to fail with no single one missing."""


class Verdict(StrEnum):
    """The answer to a question."""

    PASS = "pass"
    FAIL = "fail"
    UNKNOWN = "unknown"
    """There is no such environment, or nothing could be learnt from it."""


class Ask(Protocol):
    """Tries a set of changes on top of what was good."""

    def __call__(self, changes: tuple[Change, ...], /) -> Verdict:
        """Answer a question; equal questions are asked once."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a search came to."""

    changes: tuple[Change, ...]
    """They fail together. Order of appearance."""
    questions: int
    """Different ones that were asked until the set was named."""
    confirmations: int = 0
    """Those asked after that, to see that no proper subset fails."""
    minimal: bool = True
    """Whether every proper subset was seen not to fail."""


class _Spent(Exception):
    """There are no questions left."""


def find(changes: Iterable[Change], ask: Ask, budget: int = 60) -> Found:
    """Search among changes of which all together fail and none passes; neither of the two is asked again.

    Changes of one name are given oldest first. With the budget spent, what is known to fail by then is the answer.
    """
    search = _Search(changes, ask, budget)
    try:
        search.isolate()
        search.refine()
        named = search.asked
        minimal = search.confirm()
    except _Spent:
        return Found(search.order(search.failing), search.asked, minimal=False)
    return Found(search.order(search.failing), named, search.asked - named, minimal)


class _Search:
    """`failing` is, at every moment, a set that is known to fail."""

    def __init__(self, changes: Iterable[Change], ask: Ask, budget: int) -> None:
        self.ask = ask
        self.budget = budget
        self.asked = 0
        self.steps: dict[str, list[Change]] = {}
        for change in changes:
            self.steps.setdefault(f"{change.kind.value} {change.name}", []).append(change)
        self.failing = frozenset(steps[-1] for steps in self.steps.values())
        self.known = {frozenset[Change](): Verdict.PASS, self.failing: Verdict.FAIL}

    def order(self, changes: Iterable[Change]) -> tuple[Change, ...]:
        """Those whose time is not known come last, as if they had appeared just now."""
        return tuple(sorted(changes, key=lambda c: (c.when is None, c.when or 0.0, c.name, c.new)))

    def fails(self, changes: frozenset[Change]) -> bool:
        """Whether a set is known, or turns out, to fail."""
        return self.verdict(changes) is Verdict.FAIL

    def verdict(self, changes: frozenset[Change]) -> Verdict:
        """The answer to a question. Raises `_Spent`."""
        if changes not in self.known:
            if self.asked >= self.budget:
                raise _Spent
            self.asked += 1
            self.known[changes] = self.ask(self.order(changes))
        return self.known[changes]

    def isolate(self) -> None:
        """Step 1: the moves."""
        moves = self.order(self.failing)
        found: frozenset[Change] = frozenset()
        limit = len(moves)
        clear = True
        while limit and clear and len(found) < FEW:
            good, bad = self.boundary(limit, lambda n, found=found: found.union(moves[:n]))  # type: ignore[misc]
            clear = bad == good + 1
            found |= frozenset(moves[good:bad])
            limit = good
            self.failing = found.union(moves[:limit])
            if self.fails(found):
                self.failing = found
                break
        if not clear or len(self.failing) > FEW:
            self.failing = frozenset(self.ddmin(self.order(self.failing)))

    def boundary(self, limit: int, at: Callable[[int], frozenset[Change]]) -> tuple[int, int]:
        """The last n that passes and the first behind it that fails, where 0 passes and `limit` fails.

        They are neighbours unless all between them are unknown.
        """
        good, bad = 0, limit
        unknown: set[int] = set()
        while left := [n for n in range(good + 1, bad) if n not in unknown]:
            middle = min(left, key=lambda n: abs(2 * n - good - bad))
            match self.verdict(at(middle)):
                case Verdict.PASS:
                    good = middle
                case Verdict.FAIL:
                    bad = middle
                case Verdict.UNKNOWN:
                    unknown.add(middle)
        return good, bad

    def refine(self) -> None:
        """Step 2: the first release of each."""
        for newest in self.order(self.failing):
            steps = self.steps[f"{newest.kind.value} {newest.name}"]
            rest = self.failing - {newest}
            _, bad = self.boundary(len(steps), lambda n, rest=rest, steps=steps: rest | {steps[n - 1]})  # type: ignore[misc]
            self.failing = rest | {steps[bad - 1]}

    def confirm(self) -> bool:
        """Step 3: whether it is certain that no proper subset fails."""
        members = self.order(self.failing)
        if len(members) > FEW:
            self.failing = frozenset(self.ddmin(members))
            members = self.order(self.failing)
            if len(members) > FEW:
                return False
        for size in range(1, len(members)):
            for subset in map(frozenset, itertools.combinations(members, size)):
                if self.fails(subset):
                    self.failing = subset
                    return True
        return True

    def ddmin(self, members: Sequence[Change]) -> Sequence[Change]:
        """A failing part of a failing set that passes, or is unknown, with any single one missing."""
        parts = 2
        while len(members) > 1:
            size = -(-len(members) // parts)
            chunks = [members[i : i + size] for i in range(0, len(members), size)]
            smaller = next((c for c in chunks if self.fails(frozenset(c))), None)
            if smaller is not None:
                members, parts = smaller, 2
            else:
                rests = ([m for m in members if m not in c] for c in chunks)
                less = next((r for r in rests if self.fails(frozenset(r))), None)
                if less is not None:
                    members, parts = less, max(parts - 1, 2)
                elif size == 1:
                    break
                else:
                    parts = min(2 * parts, len(members))
            self.failing = frozenset(members)
        return members
