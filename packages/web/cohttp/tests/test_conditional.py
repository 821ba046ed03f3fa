"""RFC 9110 section 13: preconditions and their order."""

import email.utils

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mirage.cohttp._conditional import Outcome, evaluate, parse_date, range_applies
from mirage.cohttp._date import http_date
from mirage.cohttp.message import Headers

ETAG = '"abc"'
MODIFIED = 1_417_392_000.75
AT = "Mon, 01 Dec 2014 00:00:00 GMT"
BEFORE = "Sun, 30 Nov 2014 23:59:59 GMT"
AFTER = "Mon, 01 Dec 2014 00:00:01 GMT"

PROCEED, NOT_MODIFIED, FAILED = Outcome.PROCEED, Outcome.NOT_MODIFIED, Outcome.FAILED


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({}, PROCEED),
        # 13.1.1 If-Match, strong comparison
        ({"if-match": '"abc"'}, PROCEED),
        ({"if-match": "*"}, PROCEED),
        ({"if-match": '"x", "abc"'}, PROCEED),
        ({"if-match": '"a,b" , ,"abc"'}, PROCEED),
        ({"if-match": '"x"'}, FAILED),
        ({"if-match": 'W/"abc"'}, FAILED),
        ({"if-match": ""}, FAILED),
        ({"if-match": "abc"}, FAILED),
        ({"if-match": '"abc" "x"'}, FAILED),
        # 13.1.2 If-None-Match, weak comparison
        ({"if-none-match": '"abc"'}, NOT_MODIFIED),
        ({"if-none-match": 'W/"abc"'}, NOT_MODIFIED),
        ({"if-none-match": '"x","abc"'}, NOT_MODIFIED),
        ({"if-none-match": "*"}, NOT_MODIFIED),
        ({"if-none-match": '"x"'}, PROCEED),
        ({"if-none-match": "abc"}, PROCEED),
        # 13.1.3 If-Modified-Since
        ({"if-modified-since": AT}, NOT_MODIFIED),
        ({"if-modified-since": AFTER}, NOT_MODIFIED),
        ({"if-modified-since": BEFORE}, PROCEED),
        ({"if-modified-since": "yesterday"}, PROCEED),
        ({"if-modified-since": f"{AT}, {AT}"}, PROCEED),
        # 13.1.4 If-Unmodified-Since
        ({"if-unmodified-since": AT}, PROCEED),
        ({"if-unmodified-since": BEFORE}, FAILED),
        ({"if-unmodified-since": "yesterday"}, PROCEED),
        # 13.2.2: the order
        ({"if-match": '"abc"', "if-unmodified-since": BEFORE}, PROCEED),
        ({"if-match": '"x"', "if-none-match": '"abc"'}, FAILED),
        ({"if-match": '"abc"', "if-none-match": '"abc"'}, NOT_MODIFIED),
        ({"if-none-match": '"x"', "if-modified-since": AT}, PROCEED),
        ({"if-none-match": '"abc"', "if-modified-since": BEFORE}, NOT_MODIFIED),
        ({"if-unmodified-since": BEFORE, "if-modified-since": AFTER}, FAILED),
    ],
)
def test_preconditions(fields: dict[str, str], outcome: Outcome) -> None:
    """Each field by itself, and which of two counts."""
    assert evaluate("GET", Headers(fields.items()), ETAG, MODIFIED) is outcome
    assert evaluate("HEAD", Headers(fields.items()), ETAG, MODIFIED) is outcome


def test_changing_methods_fail_where_reading_ones_need_nothing() -> None:
    """13.1.2 and 13.1.3: for other methods If-None-Match gives 412, and If-Modified-Since is ignored."""
    assert evaluate("PUT", Headers([("If-None-Match", "*")]), ETAG, MODIFIED) is FAILED
    assert evaluate("PUT", Headers([("If-Modified-Since", AFTER)]), ETAG, MODIFIED) is PROCEED


def test_several_field_lines_are_one_list() -> None:
    """RFC 9110 5.3: lines of one name are joined."""
    headers = Headers([("If-None-Match", '"x"'), ("If-None-Match", '"abc"')])
    assert evaluate("GET", headers, ETAG, None) is NOT_MODIFIED


@pytest.mark.parametrize(
    ("field", "etag", "immutable", "applies"),
    [
        ('"abc"', ETAG, False, True),
        ('"x"', ETAG, False, False),
        ('W/"abc"', ETAG, False, False),
        ('W/"abc"', 'W/"abc"', False, False),
        (AT, ETAG, True, True),
        (AT, ETAG, False, False),
        (AFTER, ETAG, True, False),
        ("yesterday", ETAG, True, False),
    ],
)
def test_if_range(field: str, etag: str, immutable: bool, applies: bool) -> None:
    """13.1.5: strong comparison; a date only where it is a strong validator, and then exactly."""
    assert range_applies(Headers([("If-Range", field)]), etag, MODIFIED, immutable=immutable) is applies


def test_dates_in_three_forms() -> None:
    """5.6.7: the example of the standard, in each form that a recipient must accept."""
    for text in ("Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"):
        assert parse_date(text) == 784111777


@settings(deadline=None)
@given(st.integers(0, 253_402_300_799))
def test_dates_round_trip(seconds: int) -> None:
    """What is formatted is parsed, and is what the standard library writes."""
    assert parse_date(http_date(seconds)) == seconds
    assert http_date(seconds) == email.utils.formatdate(seconds, usegmt=True)


@settings(deadline=None)
@given(st.text() | st.from_regex(r"\A(Sun|Mon), \d\d (Feb|Nov) \d{4} \d\d:\d\d:\d\d GMT\Z"))
def test_dates_that_are_none(text: str) -> None:
    """Anything else is None, never an exception: no thirtieth of February, no year 0."""
    seconds = parse_date(text)
    assert seconds is None or isinstance(seconds, int)
    for bad in ("Sun, 30 Feb 2020 00:00:00 GMT", "Sun, 01 Nov 0000 00:00:00 GMT", "Sun, 01 Nov 2020 24:00:00 GMT"):
        assert parse_date(bad) is None


@settings(deadline=None)
@given(st.text(st.sampled_from('"abcW/*, \t\\')))
def test_any_list_is_understood_or_not(text: str) -> None:
    """No list of entity-tags raises or takes long."""
    assert evaluate("GET", Headers([("If-None-Match", text)]), ETAG, None) in {PROCEED, NOT_MODIFIED}
