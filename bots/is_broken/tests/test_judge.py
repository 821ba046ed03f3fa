"""Changes between locks, the bounds that take some of them in, and outcomes."""

from __future__ import annotations

import pytest

from bots.is_broken.judge import changes, constraints, difference, outcome, overrides, without
from bots.is_broken.model import Change, ChangeKind, Lock, Outcome, Probe, Release

GOOD, BAD = Probe(True), Probe(False)


@pytest.mark.parametrize(
    ("attempts", "control", "before", "expected"),
    [
        ([GOOD], True, None, Outcome.GOOD),
        ([GOOD], True, Outcome.REGRESSED, Outcome.FIXED),
        ([GOOD], None, Outcome.UNRESOLVABLE, Outcome.FIXED),
        ([BAD, GOOD], True, Outcome.GOOD, Outcome.FLAKY),
        ([BAD, BAD], True, Outcome.GOOD, Outcome.REGRESSED),
        ([BAD, BAD], None, None, Outcome.REGRESSED),
        ([BAD, BAD], False, Outcome.GOOD, Outcome.INFRASTRUCTURE),
    ],
)
def test_outcomes(attempts: list[Probe], control: bool | None, before: Outcome | None, expected: Outcome) -> None:
    """A failing control is never upstream's fault."""
    assert outcome(attempts, control, before) is expected


def test_changes_are_the_releases_between_two_locks() -> None:
    """Without yanked ones, pre-releases, and those for other Pythons; a new distribution is one change."""
    lists = {
        "a": [
            Release("a", "1.0", 0.0),
            Release("a", "1.1", 1.0),
            Release("a", "1.2", 2.0, yanked=""),
            Release("a", "2.0rc1", 3.0, prerelease=True),
            Release("a", "2.0", 4.0, requires_python=">=3.14"),
            Release("a", "2.1", 5.0),
            Release("a", "3.0", 6.0),
        ],
        "z": [Release("z", "8", 7.0), Release("z", "9", 8.0)],
    }
    found = changes(Lock("3.11", ("a==1.0", "b==1", "gone==1")), Lock("3.11", ("a==2.1", "b==1", "z==9")), lists)
    assert [(c.name, c.old, c.new, c.when) for c in found] == [
        ("a", "1.0", "1.1", 1.0),
        ("a", "1.0", "2.1", 5.0),
        ("z", "", "9", 8.0),
    ]


def test_the_way_back_is_one_change() -> None:
    """From a release that was yanked to the one before it."""
    lists = {"a": [Release("a", "1.0", 0.0), Release("a", "1.1", 1.0), Release("a", "2.0", 2.0, yanked="bad")]}
    base, newest = Lock("3.11", ("a==2.0",)), Lock("3.11", ("a==1.1",))
    (change,) = changes(base, newest, lists)
    assert (change.old, change.new) == ("2.0", "1.1")
    assert constraints(base, newest, ()) == ["a==2.0"]
    assert constraints(base, newest, (change,)) == ["a<=1.1"]


def test_bounds_are_ceilings() -> None:
    """Of what was good, or of what is taken in."""
    base, newest = Lock("3.11", ("a==1", "b==1")), Lock("3.11", ("a==3", "b==2", "new==5"))
    taken = (Change(ChangeKind.RELEASE, "a", "1", "2"),)
    assert constraints(base, newest, taken) == ["a<=2", "b<=1", "new<=5"]


def test_a_git_upstream_is_at_the_revision_that_is_good_or_taken() -> None:
    """And off while a release of it is what was good."""
    url = "git+https://g.example/a"
    base, newest = Lock("3.11", (f"a @ {url}@111",)), Lock("3.11", (f"a @ {url}@333",))
    taken = (Change(ChangeKind.HEAD, "a", "111", "222"),)
    assert overrides(base, newest, ()) == [f"a @ {url}@111"]
    assert overrides(base, newest, taken) == [f"a @ {url}@222"]
    released = Lock("3.11", ("a==1.0",))
    assert overrides(released, newest, ()) == []
    assert constraints(released, newest, ()) == ["a==1.0"]
    assert overrides(released, newest, taken) == [f"a @ {url}@222"]
    assert constraints(released, newest, taken) == []
    assert difference(base, newest) == (f"a {url}@111 -> {url}@333",)


def test_holding_back_takes_a_culprit_and_what_came_after_it() -> None:
    """Only of its own name, and only of the latest culprit."""
    a1, a2 = Change(ChangeKind.RELEASE, "a", "0", "1", 1.0), Change(ChangeKind.RELEASE, "a", "0", "2", 3.0)
    b1, b2 = Change(ChangeKind.RELEASE, "b", "0", "1", 2.0), Change(ChangeKind.RELEASE, "b", "0", "2", 4.0)
    assert without((a1, a2, b1, b2), (a1, b1)) == (a1, a2)
    assert without((a1, a2, b1, b2), (a2,)) == (a1, b1, b2)
