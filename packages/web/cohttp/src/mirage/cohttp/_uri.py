"""Where a request goes: the parts of an http or https URI that a client needs (RFC 9110 section 4.2, RFC 3986)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ._events import Fields, RequestHead
from ._wire import check_host, check_target
from .errors import LocalProtocolError, RemoteProtocolError
from .message import Headers

__all__ = ["IDEMPOTENT", "URI", "InvalidURI", "parse_uri", "request_head"]

# RFC 9110 9.2.2: what may be repeated when a connection ends before the answer.
IDEMPOTENT = frozenset(("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"))


class InvalidURI(LocalProtocolError, ValueError):
    """The text is not an http or https URI that a request can be sent to."""


@dataclass(frozen=True, slots=True)
class URI:
    """An http or https URI, taken apart."""

    host: str
    """To connect to; an IPv6 address without its brackets."""
    port: int
    authority: str
    """For the Host field."""
    target: str
    """Path and query, as the request line carries them."""
    secure: bool = False
    """Whether its scheme is https."""


def parse_uri(text: str) -> URI:
    """Take an http or https URI apart. Raises `InvalidURI`."""
    scheme, colon, rest = text.partition("://")
    if not colon:
        raise InvalidURI(f"{text!r} is not an absolute URI: write http://{text}")
    if scheme.lower() not in ("http", "https"):
        raise InvalidURI(f"the scheme of {text!r} is neither http nor https")
    secure = scheme.lower() == "https"
    rest = rest.partition("#")[0]
    end = min((i for i in (rest.find("/"), rest.find("?")) if i >= 0), default=len(rest))
    authority, target = rest[:end], rest[end:]
    if not target.startswith("/"):
        target = "/" + target
    try:
        check_host(authority.encode("ascii"))
        check_target("GET", target.encode("ascii"))
    except UnicodeEncodeError:
        raise InvalidURI(f"{text!r} has characters outside of ASCII: percent-encode them") from None
    except RemoteProtocolError as error:
        raise InvalidURI(f"{text!r} is not a URI: {error}") from None
    host, port = _split_authority(authority, 443 if secure else 80)
    if not host:
        # RFC 9110 4.2.1: "A sender MUST NOT generate an "http" URI with an empty host identifier."
        raise InvalidURI(f"{text!r} names no host")
    if not all(0 < len(label) < 64 for label in host.removesuffix(".").split(".")):
        # RFC 1035 2.3.4: "labels: 63 octets or less"; resolvers of names fail in ways of their own.
        raise InvalidURI(f"{text!r} has a part of its host's name that is empty or longer than 63 octets")
    if not 0 < port < 65536:
        raise InvalidURI(f"{port} is not a port: it must be from 1 to 65535")
    return URI(host, port, authority, target, secure)


def _split_authority(authority: str, default: int) -> tuple[str, int]:
    if authority.startswith("["):
        host, _, port = authority[1:].partition("]")
        port = port[1:]
    else:
        host, _, port = authority.partition(":")
    return host, int(port) if port else default


def request_head(method: str, uri: URI, headers: Iterable[tuple[str, str]], length: int | None) -> RequestHead:
    """The head of a request; `length` is that of its content, None when it is to be chunked."""
    fields: Fields = [(b"host", uri.authority.encode("ascii")), *Headers(headers).raw]
    if length is None:
        fields.append((b"transfer-encoding", b"chunked"))
    elif length or method in ("POST", "PUT", "PATCH"):
        # RFC 9110 8.6: "A user agent SHOULD send Content-Length in a request when the method defines a meaning"
        fields.append((b"content-length", b"%d" % length))
    return RequestHead(method, uri.target, fields)
