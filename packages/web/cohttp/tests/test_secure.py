"""From http to https: redirects that keep the path, and Strict-Transport-Security."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest
from mirage.cohttp import Headers, Request, Response
from mirage.cohttp.message import EmptyBody
from mirage.cohttp.secure import redirect_to_https, strict_transport


def ask(target: str, *hosts: str, method: str = "GET") -> Request:
    return Request(method, target, Headers([("host", host) for host in hosts]), EmptyBody())


@pytest.mark.parametrize(
    ("target", "host", "port", "location"),
    [
        ("/a/b?c=d&e", "site.test", 443, "https://site.test/a/b?c=d&e"),
        ("/", "site.test:8080", 443, "https://site.test/"),
        ("/a%20b", "site.test:8080", 8443, "https://site.test:8443/a%20b"),
        ("/", "[::1]:80", 8443, "https://[::1]:8443/"),
        ("//evil.test/", "site.test", 443, "https://site.test//evil.test/"),
        ("http://other.test/x?y", "site.test", 443, "https://other.test/x?y"),
        ("http://other.test", "site.test", 443, "https://other.test/"),
        ("*", "site.test", 443, "https://site.test/"),
    ],
)
def test_a_redirect_keeps_host_path_and_query(target: str, host: str, port: int, location: str) -> None:
    """RFC 9110 15.4.9: 308, with the place under https."""
    response = cast(Response, redirect_to_https(port)(ask(target, host)))
    assert response.status == 308
    assert response.headers.get("location") == location


@pytest.mark.parametrize("hosts", [(), ("",), ("a b",), ("user@site.test",), ("site.test/x",), ("site.test", "b.test")])
def test_without_one_host_there_is_no_redirect(hosts: tuple[str, ...]) -> None:
    """Nobody is sent to a place that the request does not name plainly."""
    response = cast(Response, redirect_to_https()(ask("/", *hosts)))
    assert response.status == 400
    assert "location" not in response.headers


def test_answers_tell_browsers_to_remember() -> None:
    """Those that come at once and those that come later; a service's own field stays as it is."""

    async def later(request: Request) -> Response:
        return Response(404)

    own = Headers([("Strict-Transport-Security", "max-age=0")])
    direct = strict_transport(lambda _: Response(200), max_age=60, subdomains=True)(ask("/", "site.test"))
    assert cast(Response, direct).headers.get("strict-transport-security") == "max-age=60; includeSubDomains"
    awaited = strict_transport(later)(ask("/", "site.test"))
    assert not isinstance(awaited, Response)

    async def main() -> Response:
        return await awaited

    assert asyncio.run(main()).headers.get("strict-transport-security") == "max-age=31536000"
    kept = cast(Response, strict_transport(lambda _: Response(200, own))(ask("/", "site.test")))
    assert kept.headers.get_all("strict-transport-security") == ["max-age=0"]
