"""What is released, in which version, and why: facts in, plan out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.version import Version

from release import gate
from release.model import Application, Facts, Fragment, Member, Need, Published
from release.plan import plan
from release.versions import Level, ceiling, following


def member(name: str, requirements: Iterable[str] = (), kinds: Iterable[str] = (), version: str = "0.1.0") -> Member:
    path = f"packages/core/{name}"
    fragments = tuple(Fragment("x", kind, f"It {kind}.", f"{path}/changes.d/x.{kind}.md") for kind in kinds)
    return Member(f"mirage-{name}", path, Version(version), name, tuple(requirements), (), fragments)


def released(*names: str, version: str = "0.1.0", yanked: str | None = None) -> dict[str, tuple[Published, ...]]:
    return {f"mirage-{name}": (Published(Version(version), "c0ffee", yanked),) for name in names}


def facts(*members: Member, **others: Any) -> Facts:
    return Facts(tuple(members), **others)


BASE = "mirage-base>=0.1,<0.2"
CHANGED = ("src/mirage/base/__init__.py",)


def test_a_first_release_has_the_declared_version() -> None:
    """Providers come before their users."""
    found = plan(facts(member("app", [BASE], ["added"], "0.3.0"), member("base", kinds=["added"])))
    assert [(p.name, p.old, p.new) for p in found.packages] == [
        ("mirage-base", None, "0.1.0"),
        ("mirage-app", None, "0.3.0"),
    ]
    assert found.packages[0].reasons == ("it has never been released",)
    assert not found.refusals


def test_what_did_not_change_stays() -> None:
    """Nothing to release is an empty plan, which the gate refuses."""
    found = plan(facts(member("base"), published=released("base")))
    assert not found.packages
    assert found.others == 1
    assert "nothing has changed" in gate.refusals(found, [], [])[0]


@pytest.mark.parametrize(
    ("kind", "old", "new"),
    [
        ("fixed", "0.1.0", "0.1.1"),
        ("added", "0.1.0", "0.1.1"),
        ("removed", "0.1.3", "0.2.0"),
        ("security", "1.2.3", "1.2.4"),
        ("added", "1.2.3", "1.3.0"),
        ("removed", "1.2.3", "2.0.0"),
    ],
)
def test_fragments_choose_the_number(kind: str, old: str, new: str) -> None:
    """The table of the runbook."""
    one = member("base", kinds=[kind], version=old)
    found = plan(facts(one, published=released("base", version=old), changed={"mirage-base": CHANGED}))
    assert found.packages[0].new == new


def test_a_break_forces_the_number_and_moves_its_users() -> None:
    """griffe's finding outweighs the fragment; dependents are widened and released, theirs are not."""
    found = plan(
        facts(
            member("base", kinds=["fixed"]),
            member("middle", [BASE]),
            member("top", ["mirage-middle>=0.1,<0.2"]),
            applications=(Application("site", (BASE,)),),
            published=released("base", "middle", "top"),
            changed={"mirage-base": CHANGED},
            breaks={"mirage-base": ("mirage.base.one: public object was removed",)},
        )
    )
    assert [(p.name, p.new) for p in found.packages] == [("mirage-base", "0.2.0"), ("mirage-middle", "0.1.1")]
    assert "public API breaks" in found.packages[0].reasons[-1]
    assert found.packages[1].reasons == ("it admits mirage-base 0.2.0 now",)
    assert {(b.file, b.new) for b in found.bounds} == {
        ("packages/core/middle/pyproject.toml", "mirage-base>=0.1,<0.3"),
        ("site/pyproject.toml", "mirage-base>=0.1,<0.3"),
    }
    assert not found.refusals


def test_a_floor_rises_to_where_a_name_is() -> None:
    """A user that imports what the last release lacks needs the one that comes."""
    found = plan(
        facts(
            member("base", kinds=["added"]),
            member("app", [BASE], ["fixed"]),
            published=released("base", "app"),
            changed={"mirage-base": CHANGED, "mirage-app": CHANGED},
            needs={("mirage-app", "mirage-base"): (Need("mirage.base.new", "src/a.py:3", None),)},
        )
    )
    (bound,) = found.bounds
    assert bound.new == "mirage-base>=0.1.1,<0.2"
    assert bound.why == "it needs mirage.base.new (src/a.py:3), which mirage-base has from 0.1.1 on"


def test_why_a_floor_rises_is_told_in_full_and_in_short() -> None:
    """Of the names that force a floor three are shown; those that an earlier release has force nothing."""
    coming = tuple(Need(f".n{i} of mirage.base", f"tests/a.py:{i}", None) for i in range(5))
    there = Need("mirage.base.there", "src/a.py:1", Version("0.1.1"))
    app = member("app", ["mirage-base>=0.1,<0.2"], ["fixed"])
    base = member("base", kinds=["added"])
    releases = released("app") | {"mirage-base": tuple(Published(Version(f"0.1.{i}"), "c0ffee") for i in range(3))}
    for needs, floor, words in (
        ((there, *coming), "0.1.3", ".n0 of mirage.base (tests/a.py:0), .n1 of mirage.base (tests/a.py:1), .n2 of "),
        ((there,), "0.1.1", "it needs mirage.base.there (src/a.py:1), which mirage-base has from 0.1.1 on"),
    ):
        found = plan(facts(app, base, published=releases, needs={("mirage-app", "mirage-base"): needs}))
        (bound,) = found.bounds
        assert bound.new == f"mirage-base>={floor},<0.2"
        assert words in bound.why
        assert ("and 2 more, which" in bound.why) == (floor == "0.1.3")
        assert bound.why in found.packages[-1].reasons


def test_a_bound_moves_at_both_ends_and_both_are_told() -> None:
    """A break of a provider whose new name is used."""
    found = plan(
        facts(
            member("base", kinds=["removed"]),
            member("app", [BASE], ["fixed"]),
            published=released("base", "app"),
            needs={("mirage-app", "mirage-base"): (Need(".new of mirage.base", "src/a.py:3", None),)},
        )
    )
    (bound,) = found.bounds
    assert bound.new == "mirage-base>=0.2.0,<0.3"
    assert bound.why == (
        "it admits mirage-base 0.2.0 now; "
        "it needs .new of mirage.base (src/a.py:3), which mirage-base has from 0.2.0 on"
    )


def test_a_floor_set_by_hand_is_kept() -> None:
    """An option of a command is no name: who needs it says so, with the version that has it, and takes it along."""
    base = member("base", kinds=["added"], version="0.1.1")
    app = member("app", ["mirage-base>=0.1.1,<0.2"], ["fixed"])
    known = {"published": released("base", "app"), "changed": {"mirage-base": CHANGED}}
    found = plan(facts(base, app, **known), ["mirage-app"])
    assert [(p.name, p.new) for p in found.packages] == [("mirage-base", "0.1.1"), ("mirage-app", "0.1.1")]
    assert found.packages[0].reasons[-1] == "mirage-app needs mirage-base>=0.1.1,<0.2"
    assert not found.bounds
    assert not found.refusals


def test_a_floor_that_no_release_reaches() -> None:
    """Whether the provider comes in too low a version or stays where it is, the gate is shut."""
    app = member("app", ["mirage-base>=0.1.2,<0.2"], ["fixed"])
    coming = plan(facts(member("base", kinds=["added"]), app, published=released("base", "app")))
    assert any("excludes 0.1.1 on purpose" in refusal for refusal in coming.refusals)
    staying = plan(facts(member("base"), app, published=released("base", "app")))
    assert staying.refusals == (
        "mirage-app needs mirage-base>=0.1.2,<0.2, and no release of mirage-base is one of these",
    )


def test_only_some_and_what_they_drag_along() -> None:
    """A patch train holds the packages that were named, and the providers that they cannot do without."""
    all_of_it = facts(
        member("base", kinds=["added"]),
        member("app", [BASE], ["fixed"]),
        member("other", [BASE], ["fixed"]),
        published=released("base", "app", "other"),
        changed={f"mirage-{name}": CHANGED for name in ("base", "app", "other")},
        needs={("mirage-app", "mirage-base"): (Need("mirage.base.new", "src/a.py:3", None),)},
    )
    assert [p.name for p in plan(all_of_it, ["mirage-app"]).packages] == ["mirage-base", "mirage-app"]
    assert [p.name for p in plan(all_of_it, ["mirage-other"]).packages] == ["mirage-other"]


def test_a_yanked_release_is_named_and_its_number_never_used_again() -> None:
    """A bad release is followed by the next number, and the page says why."""
    found = plan(
        facts(
            member("base", kinds=["fixed"]),
            published=released("base", yanked="loses frames"),
            changed={"mirage-base": CHANGED},
        )
    )
    assert found.packages[0].new == "0.1.1"
    assert "0.1.0 was yanked: loses frames" in found.packages[0].reasons


@pytest.mark.parametrize(
    ("members", "others", "said"),
    [
        (
            [member("base")],
            {"published": released("base"), "changed": {"mirage-base": CHANGED}},
            "no fragment says how",
        ),
        ([member("base", ["x>=1"], ["added"])], {}, "without a ceiling"),
        ([member("base", ["x"], ["added"])], {}, "without a floor and a ceiling"),
        (
            [member("a", ["x>=1,<2"], ["added"]), member("b", ["x>=2,<3"], ["added"])],
            {},
            "no version of x fits everybody",
        ),
        (
            [member("a", ["mirage-b>=0.1,<1"], ["added"]), member("b", ["mirage-a>=0.1,<1"], ["added"])],
            {},
            "in a circle",
        ),
        ([member("a", ["mirage-b>=0.1,!=0.1.0,<1"], ["added"]), member("b", [], ["added"])], {}, "on purpose"),
    ],
)
def test_the_gate_is_shut(members: list[Member], others: dict[str, Any], said: str) -> None:
    """Each reason, in words."""
    assert any(said in refusal for refusal in plan(facts(*members, **others)).refusals)


def test_dirt_and_pins_shut_the_gate() -> None:
    """Both are named, with what to do."""
    found = plan(facts(member("base", kinds=["added"])))
    assert gate.refusals(found, [], []) == []
    dirt, pin = gate.refusals(found, ["a", "b", "c", "d", "e"], ["mirage-base"])
    assert dirt == "the tree is not clean: a, b, c and 2 more; commit or stash them"
    assert pin == "mirage-base is pinned; ./noxw -s pin -- remove mirage-base"


names = st.sampled_from("abcdefgh")


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.dictionaries(names, st.tuples(st.sets(names), st.booleans(), st.booleans()), min_size=1))
def test_a_plan_is_closed_and_in_order(drawn: dict[str, tuple[set[str], bool, bool]]) -> None:
    """Whatever changes or breaks: each user's bounds admit what comes, and each package comes after its providers."""
    members: list[Member] = []
    changed: dict[str, tuple[str, ...]] = {}
    breaks: dict[str, tuple[str, ...]] = {}
    for name, (needs, changes, broken) in drawn.items():
        below = sorted(n for n in needs if n in drawn and n < name)
        members.append(member(name, [f"mirage-{n}>=0.1,<0.2" for n in below], ["fixed"] if changes else []))
        if changes:
            changed[f"mirage-{name}"] = CHANGED
            breaks |= {f"mirage-{name}": ("gone",)} if broken else {}
    found = plan(facts(*members, published=released(*drawn), changed=changed, breaks=breaks))
    assert not found.refusals
    coming = {p.name: Version(p.new) for p in found.packages}
    order = [p.name for p in found.packages]
    moved = {(b.file, b.old): b.new for b in found.bounds}
    for each in members:
        for text in each.requirements:
            new = moved.get((f"{each.path}/pyproject.toml", text), text)
            provider, _, bound = new.partition(">=")
            if provider in coming:
                assert coming[provider] < Version(bound.partition("<")[2])
                if each.name in order:
                    assert order.index(provider) < order.index(each.name)
            assert (new != text) <= (each.name in coming)
    assert all(p.old is not None and coming[p.name] > Version(p.old) for p in found.packages)


@settings(max_examples=50, deadline=None)
@given(st.tuples(*[st.integers(0, 30)] * 3), st.sampled_from(Level), st.booleans())
def test_the_next_version_is_higher_and_within_its_promise(
    last: tuple[int, int, int], level: Level, hand: bool
) -> None:
    """Only a break leaves the ceiling behind."""
    old = Version(".".join(map(str, last)))
    new = following(old, level, old)
    assert new > old
    assert (new >= Version(ceiling(old))) == (level is Level.BREAK)
    if hand:
        assert following(old, level, Version("99.0.0")) == Version("99.0.0")
