"""Questions to an index."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mirage.index import Index, InvalidIndex, NoVersion, UnknownProject, build
from mirage.index.testing import wheel
from packaging.requirements import Requirement

BASE = "http://127.0.0.1:8000/"
FILES = [
    *(wheel("mirage-types", v) for v in ("0.1.0", "0.1.1", "0.2.0", "0.3.0a1")),
    wheel("mirage-net", "0.1.0", ["mirage-types>=0.1,<0.2"]),
    wheel("mirage-net", "0.2.0", ["mirage-types>=0.1,<0.3"]),
    wheel("mirage-tcpip", "0.1.0", ["mirage-net>=0.2", "mirage-types>=0.1.1", "dnspython>=2"]),
    wheel("mirage-old", "0.1.0", ["mirage-net<0.2"]),
]
INDEX = Index(build(FILES, base=BASE, yanks={("mirage-types", "0.1.1"): "broken"}))


def chosen(*requirements: str) -> dict[str, str]:
    """A closure as text."""
    return {name: str(r.version) for name, r in INDEX.closure(map(Requirement, requirements)).items()}


def test_search_looks_into_names_and_summaries() -> None:
    """In either case; the newest good release of each is shown."""
    assert [r.name for r in INDEX.search("NET of")] == ["mirage-net"]
    assert [(r.name, str(r.version)) for r in INDEX.search("types")] == [("mirage-types", "0.2.0")]
    assert INDEX.search("nothing like it") == []


def test_a_closure_takes_the_newest_that_all_bounds_admit() -> None:
    """A bound met later takes an earlier choice back; a yanked release is not chosen while there is another."""
    assert chosen("mirage-net") == {"mirage-net": "0.2.0", "mirage-types": "0.2.0"}
    assert chosen("mirage-net<0.2") == {"mirage-net": "0.1.0", "mirage-types": "0.1.0"}
    assert chosen("mirage-types>0.1", "mirage-net<0.2") == {"mirage-net": "0.1.0", "mirage-types": "0.1.1"}


def test_a_closure_that_cannot_be_names_the_bounds() -> None:
    """Who asked for what is in the error."""
    with pytest.raises(NoVersion, match=r"mirage-net fits mirage-old 0.1.0 \(mirage-net<0.2\) and you"):
        chosen("mirage-old", "mirage-net>=0.2")
    with pytest.raises(UnknownProject, match="dnspython"):
        chosen("mirage-tcpip")


def test_dependents_are_those_of_newest_releases() -> None:
    """Direct ones with their bounds; the others have none of their own."""
    assert {n: str(s) for n, s in INDEX.dependents("mirage-types").items()} == {
        "mirage-net": "<0.3,>=0.1",
        "mirage-tcpip": ">=0.1.1",
    }
    assert list(INDEX.dependents("mirage-types", direct=False)) == ["mirage-net", "mirage-old", "mirage-tcpip"]


def test_versions_that_work_with_every_dependent() -> None:
    """Just those that the bounds of all admit together, without yanked ones."""
    fit = INDEX.fits("mirage-types")
    assert [str(v) for v in fit.versions] == ["0.2.0"]
    assert fit.admitted.contains("0.1.9")
    assert not fit.admitted.contains("0.3.0")
    assert INDEX.fits("mirage-net").versions == ()  # mirage-old wants <0.2, mirage-tcpip >=0.2


def test_what_is_needed_and_not_there_is_said() -> None:
    """An index that does not hold all is known to."""
    assert INDEX.absent() == {"dnspython": ["mirage-tcpip"]}


@given(version=st.sampled_from(["0.1.0", "0.1.1", "0.2.0", "0.3.0a1"]))
def test_a_version_is_found(version: str) -> None:
    """Whatever is published can be shown, yanked or not."""
    release = INDEX.release("Mirage_Types", version)
    assert str(release.version) == version
    assert release.yanked == ("broken" if version == "0.1.1" else None)


def test_an_unknown_version_lists_what_there_is() -> None:
    """The error helps."""
    with pytest.raises(UnknownProject, match=r"it holds 0.1.0, 0.2.0"):
        INDEX.release("mirage-net", "7")


@pytest.mark.parametrize(
    "tree",
    [{}, {"simple/index.json": b"["}, {"simple/index.json": b"[]"}, {"simple/index.json": b'{"projects": [1]}'}],
)
def test_what_is_no_index_is_said_to_be_none(tree: dict[str, bytes]) -> None:
    """The one declared error."""
    with pytest.raises(InvalidIndex):
        Index(tree)
