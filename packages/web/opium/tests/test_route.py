"""Routes are read in both directions, and the two agree."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mirage.opium import (
    INT,
    REST,
    STR,
    HttpError,
    InvalidRoute,
    OpenRoute,
    Param,
    Params,
    RouteValueError,
    matching,
    pattern,
    root,
)
from mirage.re import DIGIT, LETTER, repeated

segments = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda s: s not in {".", ".."})
numbers = st.integers(-(10**18) + 1, 10**18 - 1)
rests = st.lists(segments.filter(lambda s: "/" not in s) | st.just(""), min_size=1).map("/".join)

person = root / "person" / STR / INT
files = root / "files" / STR / REST


@given(segments, numbers)
def test_url_and_match_are_inverse(name: str, age: int) -> None:
    """Whatever text and number: the URL is ASCII, has no raw delimiter, and gives back the values."""
    url = person.url(name, age)
    assert url.isascii()
    assert not set(url) & set('?# "<>\\')
    assert person.match(url) == (name, age)


@given(segments, rests)
def test_rest_keeps_its_slashes(name: str, rest: str) -> None:
    """REST is taken as it was given, empty segments included."""
    assert files.match(files.url(name, rest)) == (name, rest)


@given(st.lists(segments.filter(lambda s: "/" not in s), min_size=1, max_size=4), segments)
def test_literals_of_any_text_round_trip(literals: list[str], name: str) -> None:
    """A literal is plain text: nothing in it is special."""
    route: OpenRoute[()] = root
    for literal in literals:
        route = route / literal
    assert route.match(route.url()) == ()
    assert (route / STR).match((route / STR).url(name)) == (name,)


@given(st.text())
def test_match_raises_only_400(path: str) -> None:
    """Whatever is sent: values, None, or the declared refusal."""
    try:
        values = files.match(path)
    except HttpError as error:
        assert error.status == 400  # noqa: PT017 - any other exception fails the test
    else:
        assert values is None or files.match(files.url(*values)) == values


@given(st.text("/%25eF.a0"))
def test_whatever_matches_has_one_spelling_for_its_values(path: str) -> None:
    """The URL of the values of a path leads to the same values."""
    try:
        values = person.match("/person" + path)
    except HttpError:
        return
    assert values is None or person.match(person.url(*values)) == values


def test_an_encoded_slash_stays_within_its_segment() -> None:
    """Decoding happens after splitting and once; REST, which could not tell them apart, refuses it."""
    assert (root / STR).match("/a%2Fb") == ("a/b",)
    assert (root / STR).match("/a%252Fb") == ("a%2Fb",)
    assert (root / REST).match("/a%2Fb") is None


@pytest.mark.parametrize("path", ["/%", "/%4", "/%g0", "/%ff", "/%c0%af", "x", "", "/a/../b", "/%2e%2E/b", "/a/."])
def test_paths_that_no_client_means_are_400(path: str) -> None:
    """Broken escapes, broken UTF-8 (an overlong slash too), dot segments however they are spelled."""
    with pytest.raises(HttpError, match="400 Bad Request: The path"):
        person.match(path)


@pytest.mark.parametrize("text", ["007", "+1", "-0", "1.0", "", " 1", "1_0", "٣", "9" * 19, "--1"])
def test_int_takes_one_spelling_of_each_number(text: str) -> None:
    """What `int` would take beyond that is not the address of a page."""
    assert (root / INT).match("/" + text) is None


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: person.url("", 1), "empty str has no place in /person/:str/:int"),
        (lambda: person.url("..", 1), "clients resolve such segments away"),
        (lambda: person.url("a", 10**18), "more than 18 digits"),
        (lambda: person.url("\ud800", 1), "not encodable"),
        (lambda: files.url("a", "b/../c"), "clients resolve"),
        (lambda: (root / matching(repeated(DIGIT, 2, 2), "day")).url("1"), "'1' is no day of /:day: does not match"),
        (lambda: pattern("/:a").url(Params({"b": "c"})), "does not fit /:a"),
        (lambda: pattern("/*").url(Params()), "1 in splat"),
    ],
)
def test_values_without_a_place_are_refused(make: object, says: str) -> None:
    """The message names the value, the param and the route."""
    assert callable(make)
    with pytest.raises(RouteValueError, match=says):
        make()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: root / "a" / "" / "b", "nothing can follow the slash at the end of /a/"),
        (lambda: root / "/a", "empty segment"),
        (lambda: root / "a//b", "empty segment"),
        (lambda: root / "..", "resolve away"),
        (lambda: root / "\udc80", "UTF-8"),
        (lambda: pattern("a"), "begin with a slash"),
        (lambda: pattern("/**/a"), "takes all that remains"),
        (lambda: pattern("/:"), "name of its own"),
        (lambda: pattern("/:a/:a"), "name of its own"),
        (lambda: pattern("/a*"), "whole segment"),
        (lambda: pattern("/a//b"), "nothing can follow the slash"),
    ],
)
def test_what_is_no_route_is_refused_when_written(make: object, says: str) -> None:
    """A mistake shows at import, not at the first request."""
    assert callable(make)
    with pytest.raises(InvalidRoute, match=says):
        make()


def test_the_slash_at_the_end_is_part_of_the_route() -> None:
    """`/ ""` and a literal that ends in a slash add it; a route without does not match it."""
    assert (root / "blog" / "").url() == (root / "blog/").url() == "/blog/"
    assert (root / "blog").match("/blog/") is None
    assert (root / "blog/").match("/blog") is None
    assert root.url() == "/"
    assert root.match("/") == ()


def test_rest_needs_the_slash_before_it() -> None:
    """REST may be empty, but the path has to reach it."""
    assert (root / "f" / REST).match("/f/") == ("",)
    assert (root / "f" / REST).match("/f") is None
    assert (root / REST).match("/") == ("",)


def test_a_param_of_ones_own() -> None:
    """Any type with a text for each value will do."""
    flag = Param("flag", {"on": True, "off": False}.__getitem__, lambda on: "on" if on else "off", "flag")
    strict = Param("flag", lambda text: bool(["off", "on"].index(text)), flag.show, "flag")
    assert (root / strict).match("/on") == (True,)
    assert (root / strict).match("/perhaps") is None
    assert (root / strict).url(False) == "/off"


def test_matching_takes_whole_segments() -> None:
    """The expression has to cover the segment."""
    word = root / matching(repeated(LETTER, 1), "word")
    assert word.match("/abc") == ("abc",)
    assert word.match("/abc1") is None


def test_patterns_name_their_texts() -> None:
    """Names, splats in order, and the way back."""
    route = pattern("/person/:name/*/**")
    expected = Params({"name": "Ann"}, ("x", "y/z"))
    assert route.match("/person/Ann/x/y/z") == (expected,)
    assert route.url(expected) == "/person/Ann/x/y/z"
    assert pattern("/").match("/") == (Params(),)
    assert pattern("/a/").match("/a/") == (Params(),)
    assert expected["name"] == "Ann"
    assert hash(expected) == hash(Params({"name": "Ann"}, ("x", "y/z")))
    assert expected != Params({"name": "Ann"})


def test_routes_read_as_they_are_written() -> None:
    """The text form shows names, and `named` changes them."""
    assert str(root / "a" / STR.named("who") / REST.named("path")) == "/a/:who/**path"
    assert repr(root) == "<Route />"
    assert str(pattern("/:a/*")) == "/:a/*"
