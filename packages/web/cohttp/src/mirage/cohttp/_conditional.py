"""Conditional requests (RFC 9110 section 13): whether a request is carried out, answered with 304, or refused with 412.

Pure functions over header fields and a representation's validators.
"""

from __future__ import annotations

import calendar
import enum
import functools
import re
from typing import Final

from .message import Headers

__all__ = ["Outcome", "evaluate", "parse_date", "range_applies"]

_DAYS: Final = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
_MONTHS: Final = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_TIME: Final = r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
_MONTH: Final = rf"(?P<month>{'|'.join(_MONTHS)})"
# RFC 9110 5.6.7: "A recipient that parses a timestamp value in an HTTP field MUST accept all three HTTP-date formats."
_DATES: Final = (
    re.compile(rf"(?:{'|'.join(_DAYS)}), (?P<day>\d\d) {_MONTH} (?P<year>\d{{4}}) {_TIME} GMT\Z", re.ASCII),
    re.compile(rf"[A-Z][a-z]+day, (?P<day>\d\d)-{_MONTH}-(?P<year>\d\d) {_TIME} GMT\Z", re.ASCII),
    re.compile(rf"(?:{'|'.join(_DAYS)}) {_MONTH} (?P<day>[ \d]\d) {_TIME} (?P<year>\d{{4}})\Z", re.ASCII),
)
# RFC 9110 8.8.3: entity-tag = [ weak ] opaque-tag; etagc = %x21 / %x23-7E / obs-text
_TAG: Final = re.compile(r'[ \t]*(W/)?("[\x21\x23-\x7e\x80-\xff]*")[ \t]*(?:,|\Z)|[ \t]*,')


class Outcome(enum.Enum):
    """What the preconditions of a request come to."""

    PROCEED = 200
    NOT_MODIFIED = 304
    FAILED = 412


def evaluate(method: str, headers: Headers, etag: str | None, modified: float | None) -> Outcome:
    """The outcome for a representation that exists, in the order of RFC 9110 section 13.2.2 (its numbers below).

    `etag` is an entity-tag with its quotes, `modified` in seconds since 1970; None where there is none.
    """
    reads = method in {"GET", "HEAD"}
    if (wanted := headers.get("if-match")) is not None:  # 1
        if not _matches(wanted, etag, weak=False):
            return Outcome.FAILED
    elif modified is not None:  # 2
        date = _date_field(headers, "if-unmodified-since")
        if date is not None and int(modified) > date:
            return Outcome.FAILED
    if (wanted := headers.get("if-none-match")) is not None:  # 3
        if _matches(wanted, etag, weak=True):
            return Outcome.NOT_MODIFIED if reads else Outcome.FAILED
    elif reads and modified is not None:  # 4
        date = _date_field(headers, "if-modified-since")
        if date is not None and int(modified) <= date:
            return Outcome.NOT_MODIFIED
    return Outcome.PROCEED


def range_applies(headers: Headers, etag: str | None, modified: float | None, *, immutable: bool) -> bool:
    """Whether If-Range lets the Range of a GET apply (RFC 9110 section 13.1.5, and number 5 of 13.2.2).

    RFC 9110 8.8.2.2: a date is a strong validator only where the value cannot have changed twice within a second, as
    when it is `immutable`; any other date does not match, and the whole representation is sent.
    """
    wanted = headers.get("if-range")
    if wanted is None:
        return True
    if wanted.startswith(('"', "W/")):
        # RFC 9110 13.1.5: "A recipient of an If-Range header field MUST use the strong comparison function"
        return etag is not None and wanted == etag and not etag.startswith("W/")
    return immutable and modified is not None and parse_date(wanted) == int(modified)


def _matches(field: str, etag: str | None, *, weak: bool) -> bool:
    """Whether a list of entity-tags, or "*", matches (RFC 9110 section 8.8.3.2). A malformed list matches nothing."""
    if field.strip(" \t") == "*":
        return True
    found = False
    position = 0
    while position < len(field):
        match = _TAG.match(field, position)
        if match is None:
            return False
        if etag is not None and match[2] is not None:
            if weak:
                found = found or match[2] == etag.removeprefix("W/")
            else:
                found = found or (match[1] is None and match[2] == etag)
        position = match.end()
    return found


def _date_field(headers: Headers, name: str) -> int | None:
    # RFC 9110 13.1.3: "A recipient MUST ignore the If-Modified-Since header field if the received field value is not a
    # valid HTTP-date, the field value has more than one member, ..."
    value = headers.get(name)
    return None if value is None else parse_date(value)


@functools.lru_cache(maxsize=256)
def parse_date(text: str) -> int | None:
    """Seconds since 1970 of an HTTP-date in any of its three forms, or None. Two-digit years are 1970 to 2069."""
    for pattern in _DATES:
        match = pattern.match(text)
        if match:
            break
    else:
        return None
    year = int(match["year"])
    if len(match["year"]) == 2:
        year += 1900 if year >= 70 else 2000
    month, day = _MONTHS.index(match["month"]) + 1, int(match["day"])
    hour, minute, second = int(match["hour"]), int(match["minute"]), int(match["second"])
    if not year or not 1 <= day <= calendar.monthrange(year, month)[1] or hour > 23 or minute > 59 or second > 60:
        return None
    return calendar.timegm((year, month, day, hour, minute, second))
