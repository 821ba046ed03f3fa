"""Floors and ceilings as sets of versions."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from release import bounds
from release.versions import ceiling

numbers = st.integers(0, 6)
versions = st.builds(lambda a, b, c: Version(f"{a}.{b}.{c}"), numbers, numbers, numbers)


@settings(max_examples=50, deadline=None)
@given(versions, versions, st.lists(versions, min_size=1, max_size=12))
def test_widening_admits_the_version_and_loses_nothing(floor: Version, new: Version, others: list[Version]) -> None:
    """Whatever fitted fits, the new version does, and what breaks it does not."""
    old = SpecifierSet(f">={floor},<{ceiling(floor)}")
    if new < floor:
        with pytest.raises(bounds.Incompatible):
            bounds.widened(old, new)
        return
    wide = bounds.widened(old, new)
    assert wide.contains(new)
    assert not wide.contains(Version(ceiling(new)))
    assert all(wide.contains(v) for v in others if old.contains(v))


@settings(max_examples=50, deadline=None)
@given(versions, versions, st.lists(versions, min_size=1, max_size=12))
def test_raising_keeps_just_what_is_not_below(floor: Version, new: Version, others: list[Version]) -> None:
    """A raised floor is the old bound and the new floor together."""
    old = SpecifierSet(f">={floor},<{ceiling(floor)}")
    if new >= Version(ceiling(floor)):
        with pytest.raises(bounds.Incompatible):
            bounds.raised(old, new)
        return
    high = bounds.raised(old, new)
    assert all(high.contains(v) == (old.contains(v) and v >= new) for v in [floor, new, *others])


@pytest.mark.parametrize(
    ("text", "version", "expected"),
    [
        ("a>=0.1,<0.2", "0.1.7", "a>=0.1,<0.2"),
        ("a>=0.1,<0.2", "0.2.0", "a>=0.1,<0.3"),
        ("a[x,b]>=1.2,<2", "2.0.0", "a[b,x]>=1.2,<3"),
        ('a>=1,<2; python_version < "3.13"', "2.1", 'a>=1,<3; python_version < "3.13"'),
        ("a>=0.1", "7.0", "a>=0.1"),
    ],
)
def test_the_form_stays(text: str, version: str, expected: str) -> None:
    """Extras and markers are kept, and a bound that fits is not touched."""
    specifier = bounds.widened(Requirement(text).specifier, Version(version))
    assert bounds.rewritten(text, specifier) == expected


@pytest.mark.parametrize("text", ["!=0.2.0,>=0.1,<0.3", "==0.1.*", "==0.1.0", "~=0.1.0"])
def test_what_is_excluded_on_purpose_stays_excluded(text: str) -> None:
    """Only a ceiling may move by itself."""
    with pytest.raises(bounds.Incompatible, match="on purpose"):
        bounds.widened(SpecifierSet(text), Version("0.2.0"))


def test_a_conflict_names_who_wants_what() -> None:
    """Two packages that cannot be installed together."""
    low, high = SpecifierSet(">=1,<2"), SpecifierSet(">=2,<3")
    (said,) = bounds.conflicts({"x": [("a", low), ("b", high)], "y": [("a", low), ("b", low)]})
    assert said == "no version of x fits everybody: a wants >=1,<2; b wants >=2,<3"


@pytest.mark.parametrize(
    ("text", "lacking"),
    [("a", ["floor", "ceiling"]), ("a<2", ["floor"]), ("a>1", ["ceiling"]), ("a~=1.0", []), ("a==1", [])],
)
def test_open_ends_are_seen(text: str, lacking: list[str]) -> None:
    """A dependency has a floor and a ceiling."""
    assert bounds.open_ends(Requirement(text)) == lacking
