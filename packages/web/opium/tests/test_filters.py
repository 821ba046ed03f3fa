"""Filters treat direct and awaited answers alike and never change a response in place."""

import logging
from collections.abc import Awaitable

import pytest
from mirage.cohttp import ConnectionLost, ContentTooLarge
from mirage.opium import (
    Filter,
    Headers,
    HttpError,
    Request,
    Response,
    Service,
    access_log,
    after,
    debug_page,
    error_pages,
    html,
    json,
    rescue,
    security_headers,
    text,
    with_headers,
)
from mirage.opium.testing import Client, request

HTML = "text/html; charset=utf-8"
GET = request("GET", "/")


def awaited(service: Service) -> Service:
    """The same service, answering later."""

    def later(request: Request) -> Response | Awaitable[Response]:
        async def answer() -> Response:
            response = service(request)
            return response if isinstance(response, Response) else await response

        return answer()

    return later


def raising(error: Exception) -> Service:
    """A service that fails at once."""

    def service(request: Request) -> Response:
        raise error

    return service


both = pytest.mark.parametrize("wrap", [lambda service: service, awaited], ids=["direct", "awaited"])


@both
def test_after_changes_both_kinds(wrap: Filter) -> None:
    """The change sees the response, however it came."""
    service = after(wrap(lambda request: text("x")), lambda request, response: with_headers(response, ("x-a", "1")))
    assert Client(service).get("/").headers.get("x-a") == "1"


@both
def test_rescue_catches_both_kinds(wrap: Filter) -> None:
    """An exception before and one during the wait are the same to the client."""
    service = rescue(wrap(raising(KeyError("k"))), lambda request, error: text(repr(error)))
    assert Client(service).get("/").text == "KeyError('k')"


def test_direct_answers_stay_direct() -> None:
    """All stock filters together cost a synchronous handler no coroutine."""
    service: Service = lambda request: text("x")  # noqa: E731
    for stock in (error_pages(), security_headers(), access_log([].append)):
        service = stock(service)
    assert isinstance(service(GET), Response)


@both
@pytest.mark.parametrize("status", [400, 404, 405, 413, 503])
def test_error_responses_get_pages(wrap: Filter, status: int) -> None:
    """Short plain text is the detail, escaped; the fields that are not about content stay."""
    refusal = HttpError(status, "<b>", [("allow", "GET")]).response()
    answer = Client(error_pages()(wrap(lambda request: refusal))).get("/")
    assert answer.status == status
    assert answer.headers.get_all("content-type") == [HTML]
    assert answer.headers.get("allow") == "GET"
    assert "<p>&lt;b&gt;</p>" in answer.text
    assert f"<h1>{status} " in answer.text


@pytest.mark.parametrize("body", ["404 Not Found\nNo page.\n", "No page."])
def test_a_first_line_with_the_status_is_not_repeated(body: str) -> None:
    """Plain-text services often begin so."""
    answer = Client(error_pages()(lambda request: text(body, 404))).get("/", headers={"accept": "application/json"})
    assert answer.json() == {"title": "Not Found", "status": 404, "detail": "No page."}


@both
def test_raised_statuses_are_answered(wrap: Filter) -> None:
    """`HttpError` with its fields, and what the protocol says of the client."""
    raised = HttpError(401, "Who?", [("www-authenticate", "Basic")])
    answer = Client(error_pages()(wrap(raising(raised)))).get("/")
    assert (answer.status, answer.headers.get("www-authenticate")) == (401, "Basic")
    assert Client(error_pages()(wrap(raising(ContentTooLarge("too long"))))).get("/").status == 413


@both
def test_nobody_is_answered_when_the_client_is_gone(wrap: Filter) -> None:
    """The transport, which knows, gets the exception."""
    with pytest.raises(ConnectionLost):
        Client(error_pages()(wrap(raising(ConnectionLost("gone"))))).get("/")


@both
def test_exceptions_are_logged_and_not_shown(wrap: Filter, caplog: pytest.LogCaptureFixture) -> None:
    """The client learns nothing, the log everything, on one line whatever the target holds."""
    service = error_pages()(wrap(raising(RuntimeError("secret"))))
    with caplog.at_level(logging.ERROR):
        answer = Client(service).get("/x\nforged")
    assert answer.status == 500
    assert "secret" not in answer.text
    assert caplog.records[0].getMessage() == r"GET '/x\nforged' failed"
    assert caplog.records[0].exc_info is not None
    assert "secret" in str(caplog.records[0].exc_info[1])


def test_debug_pages_show_the_traceback() -> None:
    """Only of failures, and escaped."""
    client = Client(error_pages(debug_page)(raising(RuntimeError("<secret>"))))
    assert "RuntimeError: &lt;secret&gt;" in client.get("/").text
    assert "<pre>" not in Client(error_pages(debug_page)(raising(HttpError(404)))).get("/").text


def test_a_renderer_that_fails_does_not_hide_the_error(caplog: pytest.LogCaptureFixture) -> None:
    """The plain text is sent in place of the page."""

    def render(request: Request, error: HttpError) -> str:
        raise ValueError("template")

    answer = Client(error_pages(render)(raising(HttpError(404, "No.", [("x-a", "1")])))).get("/")
    assert (answer.status, answer.text, answer.headers.get("x-a")) == (404, "No.\n", "1")
    assert "renderer of error pages failed on a 404" in caplog.text


@pytest.mark.parametrize(
    "response",
    [
        text("fine"),
        html("<p>own page", 404),
        json({"error": 1}, 400),
        text("x" * 1001, 400),
        Response(404, Headers(), [b"chunks"]),
        Response(404, Headers([("content-encoding", "gzip"), ("content-type", "text/plain")]), b"\x1f\x8b"),
    ],
)
def test_pages_of_ones_own_are_left_alone(response: Response) -> None:
    """Success, other types, long texts, streams and encoded content pass as they are."""
    assert error_pages()(lambda request: response)(GET) is response


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("application/json", "application/problem+json"),
        ("application/problem+json, */*;q=0.1", "application/problem+json"),
        ("text/html, application/json;q=0.5", HTML),
        ("*/*", HTML),
        ("", HTML),
    ],
)
def test_programs_get_problem_documents(accept: str, kind: str) -> None:
    """RFC 9457 for whoever asks for JSON and not for HTML."""
    answer = Client(error_pages()(raising(HttpError(404, "No.")))).get("/", headers={"accept": accept})
    assert answer.headers.get("content-type") == kind
    if "problem" in kind:
        assert answer.json() == {"title": "Not Found", "status": 404, "detail": "No."}


class Clock:
    """Two milliseconds pass between any two looks at it."""

    now = 0

    def elapsed_ns(self) -> int:
        self.now += 2_000_000
        return self.now


@both
def test_access_log_writes_a_line(wrap: Filter) -> None:
    """Client, request, status, size, time; control characters are escaped."""
    lines: list[str] = []
    Client(access_log(lines.append, Clock())(wrap(lambda request: text("four")))).get("/a\n\x1b[2J")
    Client(access_log(lines.append)(wrap(lambda request: Response(200, Headers(), [b"x"])))).get("/")
    assert lines == [r'memory "GET /a\n\x1b[2J" 200 4 2.0ms', 'memory "GET /" 200 -']


@both
def test_security_headers_fill_in_what_is_missing(wrap: Filter) -> None:
    """A response's own field stays, a change replaces, None drops; a shared response is not touched."""
    shared = with_headers(text("x"), ("Referrer-Policy", "no-referrer"))
    changes = {"Content-Security-Policy": "default-src 'none'", "cross-origin-opener-policy": None}
    client = Client(security_headers(changes)(wrap(lambda request: shared)))
    for _ in range(2):
        headers = client.get("/").headers
        assert headers.get_all("referrer-policy") == ["no-referrer"]
        assert headers.get_all("content-security-policy") == ["default-src 'none'"]
        assert headers.get("x-content-type-options") == "nosniff"
        assert "cross-origin-opener-policy" not in headers
