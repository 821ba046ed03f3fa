"""What every server does with a service, whatever moves its octets: build the request, complete the response.

Nothing here does I/O. `error_response` is the short text for a status; `response_head` adds what the server owes (Date,
Content-Length) to what the service said.
"""

from __future__ import annotations

from dataclasses import dataclass

from ._events import Fields, RequestHead, ResponseHead
from ._wire import REASONS
from .errors import RemoteProtocolError
from .message import Body, FileBody, Headers, Request, RequestBody, Response

__all__ = [
    "Access",
    "build_request",
    "close_body",
    "error_response",
    "has_content",
    "response_head",
    "status_of",
    "whole",
]


@dataclass(frozen=True, slots=True)
class Access:
    """One line for an access log: an exchange that has ended."""

    client: str | None
    method: str
    target: str
    status: int
    octets: int
    """Octets of content sent."""
    seconds: float
    """From the request's head to the end of the response."""


def build_request(head: RequestHead, body: RequestBody, client: str | None) -> Request:
    """The request as a service sees it."""
    return Request(head.method, head.target, Headers.from_raw(head.headers), body, head.version, client)


def error_response(status: int, detail: str = "") -> Response:
    """A short plain text: the status with its phrase, and on a second line what was wrong."""
    phrase = REASONS.get(status, "Error")
    text = f"{status} {phrase}\n{detail}\n" if detail else f"{status} {phrase}\n"
    headers = Headers.from_raw([(b"content-type", b"text/plain; charset=utf-8")])
    return Response(status, headers, text.encode("utf-8", "replace"))


def status_of(error: Exception) -> tuple[int, str]:
    """The status and the detail that an error of a service is answered with: a client's own fault is told to it."""
    if isinstance(error, RemoteProtocolError):
        return error.status, str(error)
    return 500, ""


def response_head(response: Response, method: str, date: bytes) -> ResponseHead:
    """The head to send: the service's fields, with Date and Content-Length where they are missing."""
    given = response.headers.raw
    fields: Fields = [(b"date", date)]
    length = True
    for pair in given:
        name = pair[0]
        if name == b"date":
            fields = []
        elif name == b"content-length" or name == b"transfer-encoding":
            length = False
    fields += given
    if length:
        body = response.body
        size = len(body) if isinstance(body, bytes) else body.length if isinstance(body, FileBody) else -1
        status = response.status
        # RFC 9110 8.6: none in a 204. In a 304, or in answer to HEAD, it would have to be that of the 200 to GET, which
        # an empty body does not tell.
        if status != 204 and (size > 0 or (size == 0 and method != "HEAD" and status != 304)):
            fields.append((b"content-length", b"%d" % size))
    return ResponseHead(response.status, fields)


def has_content(connection_method: str, status: int) -> bool:
    """Whether the content is sent at all (RFC 9112 section 6.3 item 1)."""
    return connection_method != "HEAD" and status not in (204, 304)


def close_body(body: Body) -> None:
    """Release what a body holds, if it is one that is closed without waiting."""
    if not isinstance(body, bytes) and (close := getattr(body, "close", None)):
        close()


def whole(response: Response, most: int) -> bytes | None:
    """The body as bytes when it is that or a file of at most `most` octets; None when it is to be streamed."""
    body = response.body
    if isinstance(body, bytes):
        return body
    if isinstance(body, FileBody) and body.length <= most:
        data = body.read(0, body.length)
        body.close()
        return data
    return None
