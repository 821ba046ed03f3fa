"""Responses hold what was asked for; what cannot be sent is refused where it is made."""

import io
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mirage.cohttp import FileBody
from mirage.opium import (
    Headers,
    InvalidResponse,
    Request,
    Response,
    cookies,
    html,
    json,
    no_content,
    redirect,
    set_cookie,
    text,
    with_headers,
)
from mirage.opium.testing import Client, request


def test_content_has_its_type() -> None:
    """Text and pages are UTF-8, JSON is compact."""
    assert text("ü").body == b"\xc3\xbc"
    assert text("").headers.get("content-type") == "text/plain; charset=utf-8"
    assert html("<p>", 201).status == 201
    assert html(b"<p>").headers.get("content-type") == "text/html; charset=utf-8"
    assert json({"a": [1, "ü"]}).body == '{"a":[1,"ü"]}'.encode()
    assert json(None).headers.get("content-type") == "application/json"
    assert no_content() == Response(204)


@pytest.mark.parametrize("value", [float("nan"), {"a": float("inf")}, object(), b"", {1, 2}, "\ud800"])
def test_json_refuses_what_json_lacks(value: object) -> None:
    """The caller hears of it, not the client."""
    with pytest.raises(InvalidResponse, match="not a JSON value"):
        json(value)


@given(st.text(min_size=1))
def test_redirects_stay_one_field(location: str) -> None:
    """No text breaks out of its field: what is sent is visible ASCII."""
    try:
        sent = redirect(location).headers.get("location") or ""
    except InvalidResponse:
        return
    assert sent.isascii()
    assert all("!" <= char <= "~" for char in sent)


def test_redirects_leave_good_urls_alone() -> None:
    """What is encoded already is not encoded twice."""
    for url in ("/a%20b?x=1&y=%2F#z", "https://example.org/~a/(b);c,d", "//host/", "?page=2", "http://[::1]:80/"):
        assert redirect(url, 301).headers.get("location") == url
    assert redirect("/ü\r\nx: y").headers.get("location") == "/%C3%BC%0D%0Ax:%20y"


@pytest.mark.parametrize("location", ["", "javascript:alert(1)", "JavaScript:x", "data:,x"])
def test_redirects_need_somewhere_to_go(location: str) -> None:
    """No scheme but http and https."""
    with pytest.raises(InvalidResponse, match="nowhere to redirect to"):
        redirect(location)


def test_with_headers_leaves_the_given_response_alone() -> None:
    """A response that is shared by requests never grows."""
    shared = text("x")
    more = with_headers(shared, ("X-A", "1"))
    assert more.headers.get("x-a") == "1"
    assert "x-a" not in shared.headers
    assert more.body == shared.body


def test_cookies_are_secure_unless_told_otherwise() -> None:
    """The defaults are the careful ones."""
    plain = set_cookie(no_content(), "id", "abc").headers
    assert plain.get("set-cookie") == "id=abc; Path=/; Secure; HttpOnly; SameSite=Lax"
    loose = set_cookie(
        no_content(), "id", "", max_age=0, domain="x.org", path="/a", secure=False, http_only=False, same_site="Strict"
    )
    assert loose.headers.get("set-cookie") == "id=; Path=/a; Max-Age=0; Domain=x.org; SameSite=Strict"


@given(st.text(max_size=8), st.text(max_size=8))
def test_cookies_come_back_as_they_were_set(name: str, value: str) -> None:
    """Whatever the grammar allows is read again; everything else is refused."""
    try:
        field = set_cookie(no_content(), name, value).headers.get("set-cookie") or ""
    except InvalidResponse:
        return
    assert cookies(request("GET", "/", headers={"cookie": field.partition(";")[0]})) == {name: value}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"path": "/;x"}, "semicolon"),
        ({"domain": "a\nb"}, "control"),
        ({"secure": False, "same_site": "None"}, "without Secure"),
    ],
)
def test_cookie_attributes_are_checked(options: dict[str, object], says: str) -> None:
    """An attribute cannot smuggle in another."""
    with pytest.raises(InvalidResponse, match=says):
        set_cookie(no_content(), "id", "x", **options)  # type: ignore[arg-type]


def test_the_client_collects_every_kind_of_body() -> None:
    """Whole, in chunks, and in chunks that are awaited; none in the answer to HEAD."""

    async def later() -> object:
        for chunk in (b"c", b"d"):
            yield chunk

    def service(request: Request) -> Response:
        body = {"/whole": b"ab", "/chunks": [b"a", b"b"]}.get(request.path) or later()
        return Response(200, Headers(), body)  # type: ignore[arg-type]

    client = Client(service)
    assert [client.get(path).body for path in ("/whole", "/chunks", "/later")] == [b"ab", b"ab", b"cd"]
    assert client.head("/whole").body == b""
    assert Client(lambda request: json(5)).get("/").json() == 5


def test_the_client_closes_what_it_was_given() -> None:
    """A generator is closed after HEAD too, as a server would do."""
    closed = []

    def chunks() -> Iterator[bytes]:
        try:
            yield b"a"
        finally:
            closed.append("sync")

    async def later() -> AsyncIterator[bytes]:
        try:
            yield b"b"
        finally:
            closed.append("async")

    file = FileBody(io.BytesIO(b"0123456789"), 2, 3)
    assert Client(lambda request: Response(200, Headers(), file)).get("/").body == b"234"
    assert file.file.closed
    assert Client(lambda request: Response(200, Headers(), chunks())).get("/").body == b"a"
    assert Client(lambda request: Response(200, Headers(), later())).get("/").body == b"b"
    assert closed == ["sync", "async"]
    file = FileBody(io.BytesIO(b"x"), 0, 1)
    assert Client(lambda request: Response(200, Headers(), file)).head("/").body == b""
    assert file.file.closed
