"""The Date field, formatted once a second (RFC 9110 sections 5.6.7 and 6.6.1)."""

from __future__ import annotations

import time
from typing import Final

from mirage.types import WallClock

__all__ = ["DateCache", "SystemClock", "http_date"]

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_SECOND: Final = 1_000_000_000


class SystemClock:
    """The wall clock of the host: what a server uses that was given no other."""

    __slots__ = ()

    def now_ns(self) -> int:
        """Nanoseconds since 1970-01-01T00:00:00Z."""
        return time.time_ns()


def http_date(seconds: float) -> str:
    """A time in seconds since 1970 as an IMF-fixdate: "Sun, 06 Nov 1994 08:49:37 GMT"."""
    # RFC 9110 5.6.7: "An HTTP-date ... MUST" be in this form when it is generated; never in the locale's language.
    t = time.gmtime(seconds)
    day, month = _DAYS[t.tm_wday], _MONTHS[t.tm_mon - 1]
    return f"{day}, {t.tm_mday:02} {month} {t.tm_year:04} {t.tm_hour:02}:{t.tm_min:02}:{t.tm_sec:02} GMT"


class DateCache:
    """The current Date value of a clock."""

    __slots__ = ("_now", "_until", "_value")

    def __init__(self, clock: WallClock) -> None:
        self._now = clock.now_ns
        self._until = (0, 0)
        self._value = b""

    def value(self) -> bytes:
        """The value for this second."""
        now = self._now()
        start, end = self._until
        if not start <= now < end:  # also when the clock was set back
            second = now // _SECOND
            self._until = (second * _SECOND, (second + 1) * _SECOND)
            self._value = http_date(second).encode("ascii")
        return self._value
