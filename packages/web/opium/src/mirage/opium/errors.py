"""What can go wrong, local misuse and remote misbehaviour apart."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus

from mirage.cohttp.message import Headers, Response
from mirage.types import MirageError

__all__ = ["HttpError", "InvalidResponse", "InvalidRoute", "OpiumError", "RouteConflict", "RouteValueError", "reason"]


class OpiumError(MirageError):
    """Root of this package's errors."""


class InvalidRoute(OpiumError, ValueError):
    """Local: what was written is not a route."""


class RouteConflict(OpiumError):
    """Local: two routes of one router could both be meant by one request."""


class RouteValueError(OpiumError, ValueError):
    """Local: a value has no place in a URL of this route."""


class InvalidResponse(OpiumError, ValueError):
    """Local: a value that cannot be sent, such as a cookie with a semicolon in it."""


class HttpError(OpiumError):
    """Remote: the request deserves this status. A handler raises it; `error_pages` answers with it."""

    def __init__(self, status: int, detail: str = "", headers: Iterable[tuple[str, str]] = ()) -> None:
        super().__init__(f"{status} {reason(status)}" + (f": {detail}" if detail else ""))
        self.status = status
        self.detail = detail
        self.headers = tuple(headers)

    def response(self) -> Response:
        """The answer as plain text."""
        fields = [*self.headers, ("content-type", "text/plain; charset=utf-8")]
        return Response(self.status, Headers(fields), f"{self.detail or reason(self.status)}\n".encode())


def reason(status: int) -> str:
    """The phrase that goes with a status (RFC 9110 section 15)."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
