"""The set that is named always fails, none of its proper subsets does, and few questions are asked."""

from __future__ import annotations

import itertools
import random
import statistics

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bots.is_broken.bisect import FEW, Verdict, find
from bots.is_broken.model import Change
from bots.is_broken.testing.histories import History, Rule, monotone, release


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Some projects with some releases, and rules that may be mended again, so that monotony need not hold."""
    counts = draw(st.lists(st.integers(1, 4), min_size=1, max_size=7))
    owners = draw(st.permutations([name for name, count in enumerate(counts) for _ in range(count)]))
    numbers = [0] * len(counts)
    changes = []
    for when, owner in enumerate(owners):
        numbers[owner] += 1
        changes.append(release(f"p{owner}", numbers[owner], float(when)))
    rules = []
    for _ in range(draw(st.integers(1, 3))):
        size = draw(st.integers(1, min(3, len(counts))))
        names = draw(st.permutations(range(len(counts))))[:size]
        spans = [(f"p{n}", draw(st.integers(1, counts[n])), draw(st.sampled_from([2, 3, 99]))) for n in names]
        rules.append(Rule(tuple(spans)))
    return History(changes, rules)


def newest(history: History) -> tuple[Change, ...]:
    """Everything taken in."""
    return tuple({change.name: change for change in history.changes}.values())


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(histories())
def test_the_set_fails_and_no_proper_subset_does(history: History) -> None:
    """In random histories with mends, several breaks at once and many releases a project."""
    assume(history.verdict(newest(history)) is Verdict.FAIL)
    found = find(history.changes, history)
    assert found.minimal
    assert history.is_minimal(found.changes)
    assert len(history.asked) == found.questions + found.confirmations


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.integers(2, 8), st.randoms(use_true_random=False), st.floats(0.1, 0.9))
def test_nothing_is_taken_for_granted(size: int, random_: random.Random, share: float) -> None:
    """Verdicts by lot, unknown ones too: the set fails, and no subset does, or none that lacks a single member."""
    changes = [release(f"p{i}", 1, float(i)) for i in range(size)]
    lots: dict[tuple[Change, ...], Verdict] = {(): Verdict.PASS, tuple(changes): Verdict.FAIL}

    def ask(subset: tuple[Change, ...], /) -> Verdict:
        weights = (1 - share, share / 2, share / 2)
        return lots.setdefault(subset, random_.choices(list(Verdict), weights)[0])

    found = find(changes, ask, budget=1000)
    assert lots[found.changes] is Verdict.FAIL
    assert found.minimal == (len(found.changes) <= FEW)
    for missing in range(1, len(found.changes) if found.minimal else 2):
        for subset in itertools.combinations(found.changes, len(found.changes) - missing):
            assert lots[subset] is not Verdict.FAIL


def test_the_first_release_that_breaks_is_named() -> None:
    """Not the newest one that still does."""
    history = History(
        [release("a", 1, 0), release("b", 1, 1), release("a", 2, 2), release("a", 3, 3)], [Rule((("a", 2, 99),))]
    )
    assert [c.spelled for c in find(history.changes, history).changes] == ["a 2.0"]


def test_what_was_broken_and_mended_is_not_named() -> None:
    """The release that breaks today's newest is, though an older one was broken for a while."""
    history = History(
        [release("a", 1, 0), release("a", 2, 1), release("b", 1, 2)], [Rule((("a", 1, 2),)), Rule((("b", 1, 99),))]
    )
    assert [c.spelled for c in find(history.changes, history).changes] == ["b 1.0"]


def test_releases_that_need_each_other_are_named_together() -> None:
    """Where none can be had without the others, nothing smaller can be known."""
    changes = [release(f"p{i}", 1, float(i)) for i in range(12)]
    history = History(changes, [Rule((("p3", 1, 99),))], unknown=frozenset({"p3", "p7", "p8"}))
    assert {c.name for c in find(changes, history).changes} == {"p3", "p7", "p8"}


def test_more_culprits_than_few_are_still_found() -> None:
    """By ddmin, and said to be known with no single one missing only."""
    changes = [release(f"p{i}", 1, float(i)) for i in range(20)]
    history = History(changes, [Rule(tuple((f"p{i}", 1, 99) for i in range(3, 10)))])
    found = find(changes, history, budget=500)
    assert [c.name for c in found.changes] == [f"p{i}" for i in range(3, 10)]
    assert not found.minimal


def test_with_the_budget_spent_what_is_known_to_fail_is_named() -> None:
    """And never a set that was not seen to fail."""
    for budget in range(12):
        history = monotone(random.Random(budget), 40, 2)
        found = find(history.changes, history, budget)
        assert history.verdict(found.changes) is Verdict.FAIL
        assert len(history.asked) <= budget
        assert not found.minimal


@pytest.mark.parametrize(
    ("releases", "culprits", "most"), [(40, 1, 7), (40, 2, 13), (40, 3, 19), (300, 1, 10), (300, 2, 19)]
)
@pytest.mark.parametrize("spread", [1, 3])
@pytest.mark.slow
def test_few_questions_are_asked(releases: int, culprits: int, most: int, spread: int) -> None:
    """The median over a hundred histories, with one release a project and with three."""
    counts = []
    for seed in range(100):
        history = monotone(random.Random(seed), releases, culprits, releases // spread)
        found = find(history.changes, history)
        assert history.is_minimal(found.changes)
        counts.append(found.questions)
    assert statistics.median(counts) <= most
