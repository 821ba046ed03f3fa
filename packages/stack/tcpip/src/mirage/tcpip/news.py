"""How a sans-I/O stack tells what happened: it keeps a list of the endpoints that have news.

An `Endpoint` (a connection, a listener, a UDP endpoint) says that it has news whenever there is something to read, room
to write again, a change of state, or an error. What exactly is read off the endpoint itself, so news that come
several times before anybody looks are one. Whoever drives the stack calls `Stack.take_news()` after `input` and
`poll`, and looks at each.
"""

from __future__ import annotations

from typing import Any

__all__ = ["Endpoint", "News"]


class Endpoint:
    """Something of the stack that an application holds."""

    __slots__ = ("_has_news", "_news", "owner")

    def __init__(self, news: News) -> None:
        self._news = news
        self._has_news = False
        self.owner: Any = None
        """Whatever the driver wants to find again when there are news: its transport, say. Never read by the stack."""

    def tell(self) -> None:
        """Say that there are news, unless that was said already."""
        if not self._has_news:
            self._has_news = True
            self._news.endpoints.append(self)


class News:
    """The endpoints that have news, in the order in which they had them first."""

    __slots__ = ("endpoints",)

    def __init__(self) -> None:
        self.endpoints: list[Endpoint] = []

    def take(self) -> list[Endpoint]:
        """The endpoints that have had news since this was called last."""
        taken = self.endpoints
        if taken:
            self.endpoints = []
            for endpoint in taken:
                endpoint._has_news = False
        return taken
