"""Requests are read within bounds and refused with the right status."""

import asyncio
import json as stdlib_json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mirage.opium import (
    Fields,
    HttpError,
    Request,
    Response,
    accepted,
    cookies,
    error_pages,
    no_content,
    query,
    read_form,
    read_json,
)
from mirage.opium.testing import Client, Options, request

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
JSON_TYPE = {"content-type": "application/json"}


@given(values)
def test_json_comes_through(value: object) -> None:
    """Any JSON value is read as it was written."""
    assert asyncio.run(read_json(request("POST", "/", json=value))) == value


@given(st.binary(max_size=20) | st.text('[]{}":,\\u01e+-. nN', max_size=20).map(str.encode))
def test_json_raises_only_400(body: bytes) -> None:
    """Any octets are a value or the declared refusal; the standard parser is the oracle."""
    try:
        expected = stdlib_json.loads(body.decode(), parse_constant=lambda name: 1 / 0)
    except (ValueError, ZeroDivisionError):
        with pytest.raises(HttpError) as refusal:
            asyncio.run(read_json(request("POST", "/", headers=JSON_TYPE, body=body)))
        assert refusal.value.status == 400
    else:
        assert asyncio.run(read_json(request("POST", "/", headers=JSON_TYPE, body=body))) == expected


@pytest.mark.parametrize(
    ("body", "kind", "status", "says"),
    [
        (b"{}", "text/plain", 415, "has to come as application/json"),
        (b"{}", "", 415, "has to come as application/json"),
        (b"{}", "application/json; charset=latin-1", 415, "UTF-8"),
        (b"{,}", "application/json", 400, "at line 1, column 2"),
        (b"\n\n[1 2]", "application/json", 400, "at line 3, column 4"),
        (b'"\xff"', "application/json", 400, "octet 1 is wrong"),
        (b"NaN", "application/json", 400, "NaN is not a JSON value"),
        (b"-Infinity", "application/json", 400, "-Infinity is not a JSON value"),
        (b"[" * 60_000, "application/json", 400, "nested too deeply"),
        (b"9" * 5000, "application/json", 400, "Exceeds the limit"),
    ],
)
def test_json_refusals_are_clear(body: bytes, kind: str, status: int, says: str) -> None:
    """The detail says what to send instead, or where the mistake is."""
    with pytest.raises(HttpError, match=says) as refusal:
        asyncio.run(read_json(request("POST", "/", headers={"content-type": kind}, body=body), limit=65536))
    assert refusal.value.status == status


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; Charset=UTF-8", "application/ld+json"])
def test_json_media_types(kind: str) -> None:
    """Case and charset do not matter, and structured suffixes are JSON (RFC 6839)."""
    assert asyncio.run(read_json(request("POST", "/", headers={"content-type": kind}, body=b"[1]"))) == [1]


@given(st.dictionaries(st.text(), st.text()))
def test_forms_come_through(form: dict[str, str]) -> None:
    """Any texts are read as they were encoded."""
    assert dict(asyncio.run(read_form(request("POST", "/", form=form)))) == form


@pytest.mark.parametrize(
    ("body", "kind", "status", "says"),
    [
        (b"a=1", "multipart/form-data; boundary=x", 415, "x-www-form-urlencoded"),
        (b"a=%ff", "application/x-www-form-urlencoded", 400, "form is not UTF-8"),
        (b"&".join([b"a=1"] * 1001), "application/x-www-form-urlencoded", 400, "more than 1000 fields"),
    ],
)
def test_form_refusals_are_clear(body: bytes, kind: str, status: int, says: str) -> None:
    """Another encoding, broken text, too many fields."""
    with pytest.raises(HttpError, match=says) as refusal:
        asyncio.run(read_form(request("POST", "/", headers={"content-type": kind}, body=body)))
    assert refusal.value.status == status


@pytest.mark.parametrize("options", [{"json": "x" * 100}, {"form": {"x": "y" * 100}}], ids=["json", "form"])
def test_contents_are_bounded(options: Options) -> None:
    """RFC 9110 section 15.5.14: the body refuses before it is parsed, and the client hears 413."""
    read = read_json if "json" in options else read_form

    async def service(request: Request) -> Response:
        await read(request, limit=99)
        return no_content()

    assert Client(error_pages()(service)).post("/", **options).status == 413


def test_query_keeps_every_value() -> None:
    """The first value by name, all of them on request, blanks included."""
    fields = query(request("GET", "/x?a=1&b=&a=%C3%BC+2&c"))
    assert dict(fields) == {"a": "1", "b": "", "c": ""}
    assert fields.all("a") == ["1", "ü 2"]
    assert fields.all("z") == []
    assert len(Fields()) == 0
    assert repr(fields) == "Fields({'a': ['1', 'ü 2'], 'b': [''], 'c': ['']})"


@given(st.text(max_size=30))
def test_queries_raise_only_400(text: str) -> None:
    """Any text after the question mark is fields or the declared refusal."""
    try:
        query(request("GET", "/?" + text))
    except HttpError as error:
        assert error.status == 400  # noqa: PT017 - any other exception fails the test


def test_queries_are_bounded() -> None:
    """A thousand fields are enough."""
    with pytest.raises(HttpError, match="query has more than 1000 fields"):
        query(request("GET", "/?" + "&" * 1000))


def test_cookies_are_pairs() -> None:
    """RFC 6265 section 4.2.1; the first of a name, quotes taken off, what is no pair passed over."""
    header = 'a=1; b="two"; a=3; =x; bad name=1; c; d=; e=f=g; q="'
    assert cookies(request("GET", "/", headers={"cookie": header})) == {
        "a": "1",
        "b": "two",
        "d": "",
        "e": "f=g",
        "q": '"',
    }
    assert cookies(request("GET", "/")) == {}


OFFERS = ("text/html", "application/json", "image/png")


@pytest.mark.parametrize(
    ("field", "chosen"),
    [
        (None, "text/html"),
        ("*/*", "text/html"),
        ("application/json", "application/json"),
        ("text/html;q=0.5, application/json;q=0.8", "application/json"),
        ("text/*;q=0.9, */*;q=0.1", "text/html"),
        ("text/html;q=0, */*", "application/json"),
        ("*/*;q=1, application/*;q=0, text/*;q=0", "image/png"),
        ("TEXT/HTML ; Q=1.000", "text/html"),
        ("text/html;level=1, image/png;q=0.001", "image/png"),
        ("image/jpeg", None),
        ("*/*;q=0", None),
        ("", None),
        ("text/html;q=2, ,/,;;", None),
    ],
)
def test_the_media_type_that_is_liked_best(field: str | None, chosen: str | None) -> None:
    """RFC 9110 12.5.1: weights decide, of the most specific range; of equals the first offer; none is None."""
    headers = {} if field is None else {"accept": field}
    assert accepted(request("GET", "/", headers=headers), OFFERS) == chosen


@given(st.text("*/textapplijson;q=0.15, ", max_size=40))
def test_any_accept_field_chooses_an_offer_or_none(field: str) -> None:
    """Nothing that a client writes raises."""
    assert accepted(request("GET", "/", headers={"accept": field}), OFFERS) in {*OFFERS, None}
