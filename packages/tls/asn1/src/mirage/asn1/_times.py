"""UTCTime and GeneralizedTime (X.680 46, 47; X.690 11.7, 11.8), as aware `datetime` values in UTC."""

from __future__ import annotations

import random
import re
from datetime import UTC, datetime, timedelta

from ._grammar import DER, Content, Element, Rules, Run
from ._primitive import string_decoders
from .errors import DecodeError, EncodeError

__all__ = ["generalized_time", "utc_time"]

_UTC = re.compile(rb"(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(?:(\d\d))?(?:Z|([+-])(\d\d)(\d\d))")
_GENERALIZED = re.compile(
    rb"(\d{4})(\d\d)(\d\d)(\d\d)(?:(\d\d)(?:(\d\d))?)?(?:[.,](\d{1,20}))?(?:Z|([+-])(\d\d)(\d\d)?)?"
)
_LONGEST = 48


def _aware(
    head: int, fields: tuple[int, int, int, int, int, int], ahead: int = 0, more: timedelta | None = None
) -> datetime:
    """The time with these fields, given for a zone `ahead` minutes ahead of UTC."""
    try:
        time = datetime(*fields, tzinfo=UTC)
        if more is not None:
            time += more
        return time - timedelta(minutes=ahead) if ahead else time
    except (ValueError, OverflowError) as error:
        raise DecodeError(f"no such time: {error}", head) from None


def _ahead(head: int, sign: bytes | None, hours: bytes | None, minutes: bytes | None) -> int:
    if sign is None:
        return 0
    total = 60 * int(hours or b"0") + int(minutes or b"0")
    if total >= 24 * 60 or int(minutes or b"0") >= 60:
        raise DecodeError("an offset from UTC of a day or more", head)
    return total if sign == b"+" else -total


def _utc_der(data: bytes, head: int, start: int, stop: int, run: Run) -> datetime:
    text = data[start:stop]
    if len(text) != 13 or text[12] != 90 or not text[:12].isdigit():
        raise DecodeError("a UTCTime is YYMMDDHHMMSSZ in DER (X.690 11.8)", head)
    number = int(text[:12])
    date, clock = divmod(number, 1_000_000)
    year = date // 10000
    # RFC 5280 4.1.2.5.1: 50 to 99 are 19YY, 00 to 49 are 20YY.
    fields = (year + (1900 if year >= 50 else 2000), date // 100 % 100, date % 100)
    try:
        return datetime(*fields, clock // 10000, clock // 100 % 100, clock % 100, tzinfo=UTC)
    except ValueError as error:
        raise DecodeError(f"no such time: {error}", head) from None


def _utc_ber(data: bytes, head: int, start: int, stop: int, run: Run) -> datetime:
    found = _UTC.fullmatch(data[start : min(stop, start + _LONGEST)]) if stop - start <= _LONGEST else None
    if not found:
        raise DecodeError("a UTCTime is YYMMDDHHMM[SS] and then Z or +HHMM (X.680 47.3)", head)
    year, month, day, hour, minute = (int(part) for part in found.groups()[:5])
    century = 1900 if year >= 50 else 2000
    second = int(found[6] or b"0")
    return _aware(head, (century + year, month, day, hour, minute, second), _ahead(head, found[7], found[8], found[9]))


class _UtcTime(Element[datetime]):
    __slots__ = ()

    def _decoders(self, rules: Rules) -> tuple[Content | None, Content | None]:
        return string_decoders(rules, _utc_der if rules is DER else _utc_ber, self.key)

    def _content_of(self, value: datetime) -> bytes:
        time = _in_utc(value)
        if not 1950 <= time.year <= 2049 or time.microsecond:
            raise EncodeError("a UTCTime has whole seconds of the years 1950 to 2049; use a GeneralizedTime")
        return time.strftime("%y%m%d%H%M%SZ").encode()

    def _random(self, rng: random.Random, size: int) -> datetime:
        return datetime(1950, 1, 1, tzinfo=UTC) + timedelta(seconds=rng.randrange(100 * 365 * 86400))


def _general(strict: bool) -> Content:
    def decode(data: bytes, head: int, start: int, stop: int, run: Run) -> datetime:
        found = _GENERALIZED.fullmatch(data[start:stop]) if stop - start <= _LONGEST else None
        if not found:
            raise DecodeError("a GeneralizedTime is YYYYMMDDHHMMSS[.f]Z (X.680 46.3)", head)
        year, month, day, hour, minute, second, fraction, sign, hours, minutes = found.groups()
        if strict:
            # X.690 11.7: seconds, a point, no zeros at the end of the fraction, and Z.
            if minute is None or second is None or data[stop - 1] != 90:
                raise DecodeError("a GeneralizedTime is YYYYMMDDHHMMSS[.f]Z in DER (X.690 11.7)", head)
            if fraction is not None and (fraction[-1] == 48 or b"," in data[start:stop]):
                raise DecodeError(
                    "a fraction of a second has a point and no zeros at its end in DER (X.690 11.7)", head
                )
        fields = (int(year), int(month), int(day), int(hour), int(minute or b"0"), int(second or b"0"))
        more = None
        if fraction is not None:
            # The fraction is of the smallest unit given.
            unit = 1_000_000 * (1 if second is not None else 60 if minute is not None else 3600)
            more = timedelta(microseconds=int(fraction) * unit // 10 ** len(fraction))
        return _aware(head, fields, _ahead(head, sign, hours, minutes), more)

    return decode


class _GeneralizedTime(Element[datetime]):
    __slots__ = ()

    def _decoders(self, rules: Rules) -> tuple[Content | None, Content | None]:
        return string_decoders(rules, _general(rules is DER), self.key)

    def _content_of(self, value: datetime) -> bytes:
        time = _in_utc(value)
        text = f"{time.year:04d}{time:%m%d%H%M%S}"
        if time.microsecond:
            text += f".{time.microsecond:06d}".rstrip("0")
        return f"{text}Z".encode()

    def _random(self, rng: random.Random, size: int) -> datetime:
        time = datetime(1, 1, 1, tzinfo=UTC) + timedelta(seconds=rng.randrange(9998 * 365 * 86400))
        return time + timedelta(microseconds=rng.choice((0, 0, 500_000, rng.randrange(1_000_000))))


def _in_utc(value: datetime) -> datetime:
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise EncodeError("a time is a datetime with its zone, as datetime.now(timezone.utc)")
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise EncodeError("a time outside of the years 1 to 9999 in UTC") from None


utc_time = _UtcTime(23)
"""UTCTime: whole seconds of 1950 to 2049."""

generalized_time = _GeneralizedTime(24)
"""GeneralizedTime: years 1 to 9999; fractions are kept to the microsecond."""
