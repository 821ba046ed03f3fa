"""Middleware: functions from a service to a service, the helpers to write them, and a few that most sites want.

A service answers with a response or with an awaitable of one. `after` and `rescue` treat both alike, and keep a direct
answer direct, so that a filter costs a synchronous handler no task.

Invariant: a filter never changes a response that it was given, which may be shared; it makes another.
"""

from __future__ import annotations

import json as _json
import logging
import traceback
from collections.abc import Awaitable, Callable, Mapping
from html import escape
from typing import TypeAlias

from mirage.cohttp import ConnectionLost, RemoteProtocolError
from mirage.cohttp.message import Headers, Request, Response, Service
from mirage.types import MonotonicClock

from .answer import html, with_headers
from .errors import HttpError, reason

__all__ = [
    "Filter",
    "Renderer",
    "access_log",
    "after",
    "debug_page",
    "error_pages",
    "plain_page",
    "rescue",
    "security_headers",
]

Filter: TypeAlias = Callable[[Service], Service]
Renderer: TypeAlias = Callable[[Request, HttpError], str | bytes]
"""Makes the HTML page of an error. `__cause__` of the error is the exception behind a 500."""

_log = logging.getLogger("mirage.opium")


def after(service: Service, change: Callable[[Request, Response], Response]) -> Service:
    """The service whose every response goes through `change`."""

    async def later(request: Request, answer: Awaitable[Response]) -> Response:
        return change(request, await answer)

    def filtered(request: Request) -> Response | Awaitable[Response]:
        answer = service(request)
        return change(request, answer) if isinstance(answer, Response) else later(request, answer)

    return filtered


def rescue(service: Service, recover: Callable[[Request, Exception], Response]) -> Service:
    """The service whose exceptions become responses; `recover` may raise again."""

    async def later(request: Request, answer: Awaitable[Response]) -> Response:
        try:
            return await answer
        except Exception as error:
            return recover(request, error)

    def filtered(request: Request) -> Response | Awaitable[Response]:
        try:
            answer = service(request)
        except Exception as error:
            return recover(request, error)
        return answer if isinstance(answer, Response) else later(request, answer)

    return filtered


def access_log(write: Callable[[str], None], clock: MonotonicClock | None = None) -> Filter:
    """One line for each response: client, request, status, octets of a whole body, and with a clock milliseconds."""

    def filtered(service: Service) -> Service:
        def logged(request: Request) -> Response | Awaitable[Response]:
            start = clock.elapsed_ns() if clock else 0

            def log(request: Request, response: Response) -> Response:
                size = len(response.body) if isinstance(response.body, bytes) else "-"
                # What came from outside is shown by its escapes, so that it never makes a line of its own.
                what = ascii(f"{request.method} {request.target}")[1:-1]
                took = f" {(clock.elapsed_ns() - start) / 1e6:.1f}ms" if clock else ""
                write(f'{request.client or "-"} "{what}" {response.status} {size}{took}')
                return response

            return after(service, log)(request)

        return logged

    return filtered


SECURITY_HEADERS: Mapping[str, str] = {
    "content-security-policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "strict-origin-when-cross-origin",
    "x-content-type-options": "nosniff",
}


def security_headers(changes: Mapping[str, str | None] | None = None) -> Filter:
    """Adds `SECURITY_HEADERS` to responses that lack them; `changes` replaces values, and drops a field with None."""
    wanted = {**SECURITY_HEADERS, **{name.lower(): value for name, value in (changes or {}).items()}}
    fields = Headers((name, value) for name, value in wanted.items() if value is not None).raw

    def add(request: Request, response: Response) -> Response:
        present = {name for name, _ in response.headers.raw}
        missing = [field for field in fields if field[0] not in present]
        return Response(response.status, Headers.from_raw(response.headers.raw + missing), response.body)

    return lambda service: after(service, add)


def plain_page(request: Request, error: HttpError) -> str:
    """A small HTML page that follows the reader's choice of light or dark and asks for nothing else."""
    title = f"{error.status} {escape(reason(error.status))}"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="color-scheme" content="light dark">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title></head>\n<body><main><h1>{title}</h1>\n<p>{escape(error.detail)}</p></main></body></html>\n"
    )


def debug_page(request: Request, error: HttpError) -> str:
    """The plain page with the traceback of the exception behind it. It shows source code: for development only."""
    page = plain_page(request, error)
    if error.__cause__ is None:
        return page
    trace = escape("".join(traceback.format_exception(error.__cause__)))
    return page.replace("</main>", f"<pre>{trace}</pre></main>")


def error_pages(render: Renderer = plain_page) -> Filter:
    """Exceptions become responses, and bare error responses become pages.

    `HttpError` and cohttp's `RemoteProtocolError` are answered with their status, `ConnectionLost` passes; any other
    exception is logged with its traceback and answered with a 500 that tells the client nothing. A response of status
    400 or above without content, or with plain text of at most 1000 octets (taken as the detail), gets a page from
    `render`; fields such as `Allow` stay. A client that accepts JSON and not HTML gets a problem document (RFC 9457).
    """

    def page(request: Request, error: HttpError) -> Response:
        if _wants_json(request):
            problem = {"title": reason(error.status), "status": error.status, "detail": error.detail}
            response = Response(
                error.status, Headers([("content-type", "application/problem+json")]), _json.dumps(problem).encode()
            )
        else:
            try:
                response = html(render(request, error), error.status)
            except Exception:
                _log.exception("the renderer of error pages failed on a %d", error.status)
                return error.response()
        return with_headers(response, *error.headers) if error.headers else response

    def recover(request: Request, error: Exception) -> Response:
        if isinstance(error, HttpError):
            return page(request, error)
        if isinstance(error, RemoteProtocolError):
            return page(request, HttpError(error.status, str(error)))
        if isinstance(error, ConnectionLost):
            raise error  # nobody is left to be answered
        _log.error("%s %s failed", request.method, ascii(request.target), exc_info=error)
        failure = HttpError(500, "Something went wrong here; it has been noted.")
        failure.__cause__ = error
        return page(request, failure)

    def dress(request: Request, response: Response) -> Response:
        detail = _bare(response)
        if detail is None:
            return response
        kept = [(name, value) for name, value in response.headers if name not in _OF_CONTENT]
        return page(request, HttpError(response.status, detail, kept))

    def filtered(service: Service) -> Service:
        # As `after` and `rescue` would do, in one step, since every request takes it.
        async def later(request: Request, answer: Awaitable[Response]) -> Response:
            try:
                response = await answer
            except Exception as error:
                return recover(request, error)
            return response if response.status < 400 else dress(request, response)

        def paged(request: Request) -> Response | Awaitable[Response]:
            try:
                answer = service(request)
            except Exception as error:
                return recover(request, error)
            if not isinstance(answer, Response):
                return later(request, answer)
            return answer if answer.status < 400 else dress(request, answer)

        return paged

    return filtered


_OF_CONTENT = frozenset(
    {"content-type", "content-length", "content-encoding", "etag", "last-modified", "cache-control"}
)


def _bare(response: Response) -> str | None:
    """The detail of an error response that is not a page of its own, else None."""
    if not isinstance(response.body, bytes) or len(response.body) > 1000 or "content-encoding" in response.headers:
        return None
    kind = response.headers.get("content-type", "text/plain")
    if response.body and not (kind or "").lower().startswith("text/plain"):
        return None
    title, _, detail = response.body.decode(errors="replace").partition("\n")
    # A first line that repeats the status is the page's title anyhow.
    return detail.strip() if title.startswith(f"{response.status} ") else f"{title}\n{detail}".strip()


def _wants_json(request: Request) -> bool:
    accept = request.headers.get("accept", "") or ""
    return "json" in accept and "text/html" not in accept
