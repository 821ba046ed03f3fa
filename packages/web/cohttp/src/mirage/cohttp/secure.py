"""From http to https: a service that sends clients there, and one that has them remember it."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final

from ._wire import check_host
from .errors import RemoteProtocolError
from .message import Headers, Request, Response, Service

__all__ = ["YEAR", "redirect_to_https", "strict_transport"]

YEAR: Final = 365 * 24 * 3600


def redirect_to_https(port: int = 443) -> Service:
    """Answers every request with its own place under https, path and query included, at another port of the host.

    The status is 308, with which a client sends the same method and content again (RFC 9110 section 15.4.9). The host
    is the one that the request names, as it must: nothing else knows by which of its names the server was meant.
    """

    def service(request: Request) -> Response:
        host = _host(request)
        if host is None:
            return _text(400, "The request does not say which host it is for.")
        target = request.target
        if not target.startswith("/"):
            target = "/" if target == "*" else request.path + (f"?{request.query}" if request.query else "")
        location = f"https://{host}{'' if port == 443 else f':{port}'}{target}"
        response = _text(308, f"This is served over https: {location}")
        response.headers.raw.append((b"location", location.encode("latin-1")))
        return response

    return service


def _host(request: Request) -> str | None:
    """The host without its port: of an absolute target, else of the Host field (RFC 9112 section 3.2.2)."""
    authority = request.headers.get("host", "") or ""
    if "://" in request.target:
        authority = request.target.partition("://")[2].partition("/")[0].partition("?")[0]
    try:
        check_host(authority.encode("ascii"))
    except (RemoteProtocolError, UnicodeEncodeError):
        return None
    if authority.startswith("["):
        return authority.partition("]")[0] + "]"
    return authority.partition(":")[0] or None


def _text(status: int, text: str) -> Response:
    headers = Headers.from_raw([(b"content-type", b"text/plain; charset=utf-8")])
    return Response(status, headers, f"{text}\n".encode())


def strict_transport(service: Service, *, max_age: int = YEAR, subdomains: bool = False) -> Service:
    """The same service, whose answers tell browsers to come by https only, for `max_age` seconds (RFC 6797).

    For a service over TLS: RFC 6797 section 7.2 forbids the field over plain http, where browsers ignore it.
    """
    value = f"max-age={max_age}{'; includeSubDomains' if subdomains else ''}".encode()

    def marked(response: Response) -> Response:
        if "strict-transport-security" not in response.headers:
            response.headers.raw.append((b"strict-transport-security", value))
        return response

    async def later(answer: Awaitable[Response]) -> Response:
        return marked(await answer)

    def wrapped(request: Request) -> Response | Awaitable[Response]:
        answer = service(request)
        return marked(answer) if isinstance(answer, Response) else later(answer)

    return wrapped
