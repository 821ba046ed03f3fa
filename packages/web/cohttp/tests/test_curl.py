"""`cohttp-curl` against our server, and curl against it too."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from mirage.cohttp import Headers, Request, Response
from mirage.cohttp.blocking import serve
from mirage.cohttp.curl import main


async def service(request: Request) -> Response:
    if request.path == "/gone":
        return Response(410, body=b"gone\n")
    if request.path == "/moved":
        return Response(302, Headers([("location", "/")]))
    if request.path == "/terminal":
        return Response(headers=Headers([("x-sequence", "\x9b2J")]))
    return Response(body=f"{request.method} {request.target}\n".encode() + await request.body.read())


@pytest.fixture
def url() -> Iterator[str]:
    with serve(service) as server:
        yield server.url


def test_prints_the_content(url: str, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """The content goes to standard output, and 2xx is success."""
    assert main([url + "/a?b"]) == 0
    assert capfdbinary.readouterr() == (b"GET /a?b\n", b"")


def test_verbose(url: str, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """-v shows both heads on standard error."""
    assert main(["-v", "-H", "X-A: b", url]) == 0
    shown = capfdbinary.readouterr().err
    assert b"> GET / HTTP/1.1\n" in shown
    assert b"> x-a: b\n" in shown
    assert b"< HTTP/1.1 200 OK\n" in shown


def test_heads_give_a_terminal_no_commands(url: str, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """What is not ASCII is shown by its escape."""
    assert main(["-v", url + "/terminal"]) == 0
    assert b"< x-sequence: \\x9b2J\n" in capfdbinary.readouterr().err


def test_methods_and_data(url: str, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """-X, -d and -o do what they say."""
    (tmp_path / "in").write_bytes(b"from a file")
    out = tmp_path / "out"
    assert main(["-X", "PUT", "-d", "@" + str(tmp_path / "in"), "-o", str(out), url]) == 0
    assert out.read_bytes() == b"PUT /\nfrom a file"
    assert main(["-d", "x=1", url]) == 0
    assert capfdbinary.readouterr().out == b"POST /\nx=1"


@pytest.mark.parametrize("path", ["/gone", "/moved"])
def test_other_than_2xx_fails(url: str, path: str, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """Exit 1, the content printed all the same; redirects are not followed."""
    assert main([url + path]) == 1
    assert b"the server answered" in capfdbinary.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cacert", "/nonexistent", "https://localhost/"], "nonexistent"),
        (["localhost"], "http://localhost"),
        (["NOBODY"], "cannot connect"),
        (["-H", "nonsense", "http://localhost/"], "NAME:VALUE"),
        (["-d", "@/nonexistent", "http://localhost/"], "nonexistent"),
    ],
)
def test_errors(arguments: list[str], message: str, nobody: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Errors are one line that says what to do, and exit 1."""
    assert main([argument.replace("NOBODY", nobody) for argument in arguments]) == 1
    shown = capsys.readouterr().err
    assert message in shown
    assert shown.count("\n") == 1


@pytest.mark.slow
def test_help() -> None:
    """--help gives examples."""
    ran = subprocess.run(
        [sys.executable, "-c", "from mirage.cohttp.curl import main; main()", "--help"], capture_output=True, text=True
    )
    assert ran.returncode == 0
    assert "examples:" in ran.stdout


@pytest.mark.tool("curl")
@pytest.mark.parametrize(
    ("arguments", "output"),
    [
        (["/a"], b"GET /a\n"),
        (["-d", "x=1", "/"], b"POST /\nx=1"),
        (["-I", "/"], None),
        (["--http1.0", "/"], b"GET /\n"),
        (["-H", "Expect: 100-continue", "-d", "y", "/"], b"POST /\ny"),
        (["-H", "Transfer-Encoding: chunked", "-d", "z", "/"], b"POST /\nz"),
    ],
)
def test_real_curl(url: str, arguments: list[str], output: bytes | None) -> None:
    """curl gets the same."""
    *options, path = arguments
    ran = subprocess.run(["curl", "-sS", "--noproxy", "*", *options, url + path], capture_output=True)
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert b"HTTP/1.1 200 OK" in ran.stdout if output is None else ran.stdout == output
