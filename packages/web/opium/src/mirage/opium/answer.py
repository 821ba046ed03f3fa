"""Responses: text, HTML, JSON, redirects and cookies. Whatever cannot be sent raises `InvalidResponse` here."""

from __future__ import annotations

import json as _json
import re
from typing import Literal
from urllib.parse import quote

from mirage.cohttp.message import Headers, Response

from .errors import InvalidResponse

__all__ = ["html", "json", "no_content", "redirect", "set_cookie", "text", "with_headers"]

_COOKIE_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # a token, RFC 9110 section 5.6.2
_COOKIE_VALUE = re.compile(r"[\x21\x23-\x2B\x2D-\x3A\x3C-\x5B\x5D-\x7E]*")  # cookie-octets, RFC 6265 section 4.1.1
_COOKIE_ATTRIBUTE = re.compile(r"[\x20-\x3A\x3C-\x7E]*")  # av-octets, likewise


def _typed(content: bytes, media_type: str, status: int) -> Response:
    return Response(status, Headers.from_raw([(b"content-type", media_type.encode("ascii"))]), content)


def text(content: str, status: int = 200) -> Response:
    """Plain text."""
    return _typed(content.encode(), "text/plain; charset=utf-8", status)


def html(content: str | bytes, status: int = 200) -> Response:
    """An HTML page; octets are taken to be UTF-8. Escaping what it is made of is the caller's part."""
    return _typed(content.encode() if isinstance(content, str) else content, "text/html; charset=utf-8", status)


def json(value: object, status: int = 200) -> Response:
    """A value as JSON. Raises `InvalidResponse` for a value that JSON does not have, NaN among them."""
    try:
        encoded = _json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidResponse(f"not a JSON value: {error}") from None
    return _typed(encoded, "application/json", status)


def no_content() -> Response:
    """Done, and nothing to say (204)."""
    return Response(204)


def redirect(location: str, status: Literal[301, 302, 303, 307, 308] = 302) -> Response:
    """Send the client elsewhere. Octets that no URL holds are percent-encoded.

    Raises `InvalidResponse` for an empty location, and for a scheme other than http and https. That a location which
    came from outside stays on this site is for the caller to check.
    """
    encoded = quote(location.encode(errors="surrogatepass"), safe="%/:=&?~#+!$,;'@()*[]-._")
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):", encoded)
    if not encoded or (scheme and scheme[1].lower() not in {"http", "https"}):
        raise InvalidResponse(f"{location!r} is nowhere to redirect to: give a path or an http URL")
    return Response(status, Headers([("location", encoded)]))


def with_headers(response: Response, *fields: tuple[str, str]) -> Response:
    """The response with fields added at the end; the one given stays as it was, as others may hold it."""
    return Response(response.status, Headers.from_raw([*response.headers.raw, *Headers(fields).raw]), response.body)


def set_cookie(
    response: Response,
    name: str,
    value: str,
    *,
    max_age: int | None = None,
    path: str = "/",
    domain: str | None = None,
    secure: bool = True,
    http_only: bool = True,
    same_site: Literal["Strict", "Lax", "None"] = "Lax",
) -> Response:
    """The response with a cookie (RFC 6265 section 4.1); `max_age` is in seconds, 0 makes the client forget it.

    Text of any kind goes in after `urllib.parse.quote`. Raises `InvalidResponse` for what the grammar does not allow.
    """
    if not _COOKIE_NAME.fullmatch(name):
        raise InvalidResponse(f"{name!r} cannot name a cookie: letters, digits and !#$%&'*+-.^_`|~ can")
    if not _COOKIE_VALUE.fullmatch(value):
        raise InvalidResponse(
            f"the value of cookie {name!r} holds a blank, comma, semicolon, quote or control: quote it"
        )
    if not _COOKIE_ATTRIBUTE.fullmatch(path) or not _COOKIE_ATTRIBUTE.fullmatch(domain or ""):
        raise InvalidResponse(f"path or domain of cookie {name!r} holds a semicolon or a control character")
    if same_site == "None" and not secure:
        raise InvalidResponse(f"cookie {name!r}: clients drop SameSite=None without Secure")
    parts = [f"{name}={value}", f"Path={path}"]
    if max_age is not None:
        parts.append(f"Max-Age={max_age}")
    if domain is not None:
        parts.append(f"Domain={domain}")
    parts += ["Secure"] * secure + ["HttpOnly"] * http_only + [f"SameSite={same_site}"]
    return with_headers(response, ("set-cookie", "; ".join(parts)))
