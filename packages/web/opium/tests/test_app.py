"""An App puts its parts together in the order that its module text gives."""

import http.client
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from mirage.opium import App, HttpError, Request, Response, Service, after, root, text, with_headers
from mirage.opium.testing import Client


def stamp(name: str):  # type: ignore[no-untyped-def]
    """A filter that leaves its name on the response."""

    def stamping(service: Service) -> Service:
        return after(service, lambda request, response: with_headers(response, ("x-stamp", name)))

    return stamping


def test_the_first_filter_is_the_outermost() -> None:
    """It sees the request first and the response last; filters added later are inside."""
    app = App()
    app.get(root, lambda request: text("x"))
    app.use(stamp("outer"))
    assert Client(app).get("/").headers.get("x-stamp") == "outer"
    app.use(stamp("inner"), "the inner one")
    assert Client(app).get("/").headers.get("x-stamp") == "inner, outer"
    assert app.middleware == ["stamp", "the inner one"]


def test_filters_see_error_pages() -> None:
    """A 404 passes every filter as the page that will be sent."""
    app = App(errors=lambda request, error: f"page of {error.status}")
    app.use(stamp("s"))
    answer = Client(app).get("/nothing")
    assert (answer.status, answer.text, answer.headers.get("x-stamp")) == (404, "page of 404", "s")


def test_failing_filters_are_answered(caplog: pytest.LogCaptureFixture) -> None:
    """A filter's refusal and a filter's mistake get pages as well."""
    app = App()

    def gate(service: Service) -> Service:
        def guarded(request: Request) -> Response:
            if request.path == "/closed":
                raise HttpError(403, "Closed.")
            raise RuntimeError("mistake")

        return guarded

    app.use(gate)
    assert Client(app).get("/closed").status == 403
    answer = Client(app).get("/")
    assert answer.status == 500
    assert "mistake" in caplog.text
    assert "mistake" not in answer.text


def test_debug_shows_the_failure() -> None:
    """Only where it is switched on."""
    app = App()
    app.get(root, lambda request: text(str(1 // 0)))
    assert "ZeroDivisionError" not in Client(app).get("/").text
    app.debug = True
    assert "ZeroDivisionError" in Client(app).get("/").text


def test_an_app_is_a_service() -> None:
    """It can be mounted in another."""
    inner, outer = App(), App()
    inner.get(root / "x", lambda request: text("inner"))
    outer.mount(root / "sub", inner)
    assert Client(outer).get("/sub/x").text == "inner"


PROGRAM = """
import sys
from mirage.opium import INT, App, root, security_headers, text

app = App()
app.use(security_headers())
app.get(root / "twice" / INT, lambda request, number: text(str(2 * number)))
app.get(root / "broken", lambda request: text(str(1 // 0)))
sys.exit(app.run())
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """An application as a person would start it."""
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return path


@pytest.fixture
def served(program: Path) -> Iterator[tuple[subprocess.Popen[str], http.client.HTTPConnection]]:
    """The application, running with all that it can say, and a client that shares no code with it."""
    command = [sys.executable, str(program), "-p", "0", "-v", "-d"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = process.stdout.readline().strip()
    client = http.client.HTTPConnection(said.removeprefix("listening on http://"), timeout=10)
    try:
        yield process, client
    finally:
        client.close()
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run_serves_until_a_signal(
    served: tuple[subprocess.Popen[str], http.client.HTTPConnection], number: signal.Signals
) -> None:
    """Requests are answered and logged, failures shown to the developer, and the end is clean."""
    process, client = served
    for target, status, says in (
        ("/twice/21", 200, b"42"),
        ("/broken", 500, b"ZeroDivisionError"),
        ("/no", 404, b"404"),
    ):
        client.request("GET", target)
        answer = client.getresponse()
        assert answer.status == status
        assert says in answer.read()
        assert answer.getheader("x-content-type-options") == "nosniff"
    process.send_signal(number)
    _, log = process.communicate(timeout=30)
    assert process.returncode == 0, log
    assert '"GET /twice/21" 200 2 ' in log
    assert "ZeroDivisionError" in log


def test_run_lists_routes_and_middleware(capsys: pytest.CaptureFixture[str]) -> None:
    """-r and -m print and leave."""
    app = App()
    app.use(stamp("s"))
    app.get(root / "x", stamp)
    assert app.run(["-r", "-m"]) == 0
    assert capsys.readouterr().out == "METHOD  ROUTE  HANDLER\nGET     /x     stamp\nstamp\n"


@pytest.mark.parametrize("port", ["taken", "70000"])
def test_run_says_why_it_cannot_listen(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A port in use, and one that does not exist, end with status 1 and a sentence."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        chosen = str(taken.getsockname()[1]) if port == "taken" else port
        assert App().run(["--port", chosen]) == 1
    assert f"cannot listen on 127.0.0.1 port {chosen}: " in capsys.readouterr().err
