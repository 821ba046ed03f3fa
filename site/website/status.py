"""How old the published nights are, said at the moment of reading.

The pages are rendered long before they are read, so they name the time of the latest night and no age. Where a page has
``<!--age SECONDS-->...<!--/age-->`` the service puts the age in words instead of what stands between the two, which is
true at any time and is what is read where no such service is in between.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable

from mirage.cohttp.message import Headers, Request, Response, Service
from mirage.opium import html
from mirage.types import KeyValueRO, NotFound, WallClock

__all__ = ["STALE", "aged", "badge", "told"]

STALE = 2 * 86400
"""Seconds after which what was published is not to be believed any more."""

_AGE = re.compile(rb"<!--age (\d{1,12})-->.*?<!--/age-->", re.S)


def told(seconds: float) -> str:
    """An age as a sentence, HTML: that it is stale, where it is."""
    if seconds < 0:
        return "By this machine’s clock that is yet to come, so one of the two clocks is wrong."
    age = _words(seconds)
    if seconds > STALE:
        return (
            f'<strong class="stale">This is stale:</strong> that was {age} ago, and there should be a night every day.'
        )
    return f"That was {age} ago."


def _words(seconds: float) -> str:
    for size, name in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= 2 * size or (seconds >= size and name == "minute"):
            count = int(seconds // size)
            return f"{count} {name}{'' if count == 1 else 's'}"
    return "less than a minute"


def aged(store: KeyValueRO, key: str, clock: WallClock) -> Service:
    """A service that answers with a page of the store, the age in it said."""

    def serve(request: Request) -> Response:
        now = clock.now_ns() / 1e9
        page = _AGE.sub(lambda found: told(now - int(found[1])).encode(), store.get(key))
        answer = html(page)
        return Response(answer.status, Headers([*_fields(answer), ("cache-control", "no-cache")]), answer.body)

    return serve


def badge(store: KeyValueRO, pages: Service, page: str, clock: WallClock) -> Service:
    """A service that answers with the badge; with the one that says that it is stale where the page's night is."""

    def serve(request: Request) -> Response | Awaitable[Response]:
        try:
            found = _AGE.search(store.get(page))
        except NotFound:
            found = None
        if found is None or clock.now_ns() / 1e9 - int(found[1]) <= STALE:
            return pages(request)
        fields = [("content-type", "image/svg+xml; charset=utf-8"), ("cache-control", "no-cache")]
        return Response(200, Headers(fields), store.get("status/badge-stale.svg"))

    return serve


def _fields(answer: Response) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in answer.headers.raw]
