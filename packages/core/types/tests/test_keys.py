"""What a key is."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mirage.types import InvalidKey, check_key, split_key

SEGMENT = st.text(st.characters(exclude_characters="\0/\\", exclude_categories=["Cs"]), min_size=1).filter(
    lambda text: text not in {".", ".."}
)


@given(st.lists(SEGMENT))
def test_segments_round_trip(segments: list[str]) -> None:
    """Whatever segments are joined, splitting gives them back."""
    key = "/".join(segments)
    assert check_key(key) == key
    assert split_key(key) == tuple(segments)


@given(st.text(st.sampled_from("a./\\\0 \n\ud800"), max_size=8))
def test_agrees_with_the_definition(text: str) -> None:
    """The regular expression accepts exactly what the definition in prose does."""
    segments = text.split("/") if text else []
    valid = all(s not in {"", ".", ".."} and not set(s) & set("\\\0\ud800") for s in segments)
    if valid:
        assert check_key(text) == text
    else:
        with pytest.raises(InvalidKey):
            check_key(text)


@pytest.mark.parametrize(("key", "segment"), [("a/../b", "'..'"), ("a/", "''"), ("x/a\\b", r"'a\\\\b'")])
def test_message_shows_the_segment(key: str, segment: str) -> None:
    """The error says which segment is at fault, and survives pickling."""
    with pytest.raises(InvalidKey, match="its segment " + segment) as caught:
        check_key(key)
    assert caught.value.key == key
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.key, str(again)) == (key, str(caught.value))
