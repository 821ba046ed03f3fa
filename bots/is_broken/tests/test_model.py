"""Everything that is stored is read back as it was, and anything else is refused with the place."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bots.is_broken import model
from bots.is_broken.errors import StateError
from bots.is_broken.form import from_json, to_json
from bots.is_broken.model import Change, ChangeKind, Lock, State, finding_key, stamp


def every_field(kind: type, **given: Any) -> st.SearchStrategy[Any]:
    """Values of a dataclass with no field left at its default."""
    return st.builds(kind, **{f.name: given.get(f.name, ...) for f in fields(kind)})


st.register_type_strategy(float, st.floats(min_value=0, max_value=4e9))
for one in (model.Change, model.Lock, model.Job, model.Failure, model.JobResult, model.Finding, model.Probe):
    st.register_type_strategy(one, every_field(one))
nights = every_field(model.Night, results=st.lists(st.from_type(model.JobResult), max_size=2).map(tuple))
st.register_type_strategy(model.Night, nights)


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(every_field(State))
def test_a_state_is_read_back_as_it_was_written(state: State) -> None:
    """Through real JSON, with nothing lost."""
    assert from_json(State, json.loads(json.dumps(to_json(state)))) == state


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([], "State: expected an object, not list"),
        ({"version": "1"}, "State.version: expected int, not str"),
        ({"versoin": 1}, "there is no field 'versoin'"),
        ({"heads": {"a": 3}}, "State.heads.a: expected str, not int"),
        ({"nights": [{}]}, "State.nights[0]: lacks started"),
        ({"nights": [{"started": True}]}, "State.nights[0].started: expected a number, not bool"),
        ({"nights": [{"started": 1, "changes": [{"kind": "x"}]}]}, "State.nights[0].changes[0].kind: 'x' is no"),
    ],
)
def test_what_was_not_written_by_the_bot_is_refused_with_its_place(value: object, said: str) -> None:
    """A file that was cut short or edited by hand."""
    with pytest.raises(StateError, match=re.escape(said)) as caught:
        from_json(State, value)
    assert str(caught.value).startswith("State")


def test_defaults_are_not_written() -> None:
    """An empty state is an empty object."""
    assert to_json(State()) == {}


def test_a_lock_has_the_hash_of_what_is_in_it() -> None:
    """Equal sets share one, and another Python is another environment."""
    lock = Lock("3.11", ("a==1", "b==2"))
    assert lock.hash == Lock("3.11", ("a==1", "b==2")).hash
    assert len({lock.hash, Lock("3.12", lock.requirements).hash, Lock("3.11", ("a==1",)).hash}) == 3
    assert Lock("3.11", ("a==1", "b @ git+file:///r@abc")).versions == {"a": "1", "b": "git+file:///r@abc"}


def test_a_finding_is_known_by_its_culprits_and_its_failure_alone() -> None:
    """Dates, links and order do not make another of it."""
    a = Change(ChangeKind.RELEASE, "a", "1", "2")
    b = Change(ChangeKind.RELEASE, "b", "1", "2")
    later = Change(ChangeKind.RELEASE, "a", "1", "2", when=5.0, link="https://a.example")
    assert finding_key((a, b), "s") == finding_key((b, later), "s")
    assert len({finding_key((a,), "s"), finding_key((b,), "s"), finding_key((a, b), "s"), finding_key((a,), "t")}) == 4


def test_stamps_sort_by_time() -> None:
    """They are the names of folders."""
    assert stamp(0) == "19700101T000000Z"
    assert stamp(1769829420.9) == "20260131T031700Z"
