"""Awkward requests, shared by the tests of the codec and the comparison with other parsers."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

OK = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def post(fields: bytes, body: bytes = b"") -> bytes:
    return b"POST / HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n" + body


def chunked(body: bytes) -> bytes:
    return post(b"Transfer-Encoding: chunked\r\n", body)


# name: (octets, the status that a server answers with; 200 when it accepts the request)
AWKWARD: dict[str, tuple[bytes, int]] = {
    "plain": (OK, 200),
    "bare LF": (b"GET / HTTP/1.1\nHost: a\n\n", 400),
    "bare LF in fields": (b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400),
    "bare CR in fields": (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\rY: c\r\n\r\n", 400),
    "bare CR in line": (b"GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "obs-fold": (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", 400),
    "first field folded": (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
    "one empty line before": (b"\r\n" + OK, 200),
    "two empty lines before": (b"\r\n\r\n" + OK, 400),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "no host, 1.0": (b"GET / HTTP/1.0\r\n\r\n", 200),
    "two hosts": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
    "two hosts, 1.0": (b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    "bad host": (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    "host with path": (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    "host with user": (b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400),
    "host list": (b"GET / HTTP/1.1\r\nHost: a:1, b\r\n\r\n", 400),
    "empty host": (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", 200),
    "host with port": (b"GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", 200),
    "CL and TE": (post(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"), 400),
    "CL twice, alike": (post(b"Content-Length: 2\r\nContent-Length: 2\r\n", b"ab"), 400),
    "CL twice, differing": (post(b"Content-Length: 2\r\nContent-Length: 3\r\n", b"abc"), 400),
    "CL list": (post(b"Content-Length: 2, 2\r\n", b"ab"), 400),
    "CL signed": (post(b"Content-Length: +2\r\n", b"ab"), 400),
    "CL negative": (post(b"Content-Length: -2\r\n", b"ab"), 400),
    "CL hexadecimal": (post(b"Content-Length: 0x2\r\n", b"ab"), 400),
    "CL empty": (post(b"Content-Length:\r\n"), 400),
    "CL with space inside": (post(b"Content-Length: 1 2\r\n", b"ab"), 400),
    "CL underscore": (post(b"Content-Length: 1_0\r\n", b"0123456789"), 400),
    "CL too long": (post(b"Content-Length: " + b"9" * 40 + b"\r\n"), 400),
    "CL beyond the limit": (post(b"Content-Length: 99999999999\r\n"), 413),
    "CL superscript": (post(b"Content-Length: \xb2\r\n", b"ab"), 400),
    "TE chunked": (chunked(b"2\r\nab\r\n0\r\n\r\n"), 200),
    "TE capitals": (post(b"Transfer-Encoding: CHUNKED\r\n", b"0\r\n\r\n"), 200),
    "TE twice": (post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"), 400),
    "TE identity": (post(b"Transfer-Encoding: identity\r\n"), 400),
    "TE unknown": (post(b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n"), 400),
    "TE gzip, chunked": (post(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"), 501),
    "TE chunked, gzip": (post(b"Transfer-Encoding: chunked, gzip\r\n", b"0\r\n\r\n"), 400),
    "TE empty": (post(b"Transfer-Encoding:\r\n", b"0\r\n\r\n"), 400),
    "TE vertical tab": (post(b"Transfer-Encoding: \x0bchunked\r\n", b"0\r\n\r\n"), 400),
    "TE in 1.0": (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "TE space before colon": (post(b"Transfer-Encoding : chunked\r\n", b"0\r\n\r\n"), 400),
    "chunk size empty": (chunked(b"\r\nab\r\n0\r\n\r\n"), 400),
    "chunk size space before": (chunked(b" 2\r\nab\r\n0\r\n\r\n"), 400),
    "chunk size space after": (chunked(b"2 \r\nab\r\n0\r\n\r\n"), 400),
    "chunk size 0x": (chunked(b"0x2\r\nab\r\n0\r\n\r\n"), 400),
    "chunk size signed": (chunked(b"+2\r\nab\r\n0\r\n\r\n"), 400),
    "chunk size overflow": (chunked(b"10000000000000002\r\nab\r\n0\r\n\r\n"), 400),
    "chunk size beyond the limit": (chunked(b"fffffffffff\r\nab"), 413),
    "chunk size bare LF": (chunked(b"2\nab\r\n0\r\n\r\n"), 400),
    "chunk too short": (chunked(b"3\r\nab\r\n0\r\n\r\n"), 400),
    "chunk too long": (chunked(b"1\r\nab\r\n0\r\n\r\n"), 400),
    "chunk data bare LF": (chunked(b"2\r\nab\n0\r\n\r\n"), 400),
    "chunk extension": (chunked(b"2;a=b\r\nab\r\n0\r\n\r\n"), 200),
    "chunk extension bare LF": (chunked(b"2;\nx\r\nab\r\n0\r\n\r\n"), 400),
    "chunk extension too long": (chunked(b"2;" + b"a" * 300 + b"\r\nab\r\n0\r\n\r\n"), 400),
    "chunk extensions too many": (chunked(b"1;aaaaaaaaaaaaaaaaaaaa\r\na\r\n" * 1000 + b"0\r\n\r\n"), 400),
    "trailer": (chunked(b"0\r\nX: y\r\n\r\n"), 200),
    "trailer that frames": (chunked(b"0\r\nContent-Length: 5\r\n\r\n"), 400),
    "trailer bare LF": (chunked(b"0\r\nX: y\n\r\n\r\n"), 400),
    "trailers too long": (chunked(b"0\r\n" + b"X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n" * 300 + b"\r\n"), 431),
    "space before colon": (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
    "tab before colon": (b"GET / HTTP/1.1\r\nHost: a\r\nX\t: a\r\n\r\n", 400),
    "field without colon": (b"GET / HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n", 400),
    "known name without colon": (b"GET / HTTP/1.1\r\nHost: a\r\nAccept\r\n\r\n", 400),
    "empty field name": (b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400),
    "field name not a token": (b"GET / HTTP/1.1\r\nHost: a\r\nX(y): b\r\n\r\n", 400),
    "field name not ASCII": (b"GET / HTTP/1.1\r\nHost: a\r\nX\xe9: b\r\n\r\n", 400),
    "NUL in value": (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n", 400),
    "control in value": (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x01b\r\n\r\n", 400),
    "DEL in value": (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x7fb\r\n\r\n", 400),
    "latin-1 in value": (b"GET / HTTP/1.1\r\nHost: a\r\nX: caf\xe9\r\n\r\n", 200),
    "tab around value": (b"GET / HTTP/1.1\r\nHost: a\r\nX:\tb\t\r\n\r\n", 200),
    "no white space before value": (b"GET / HTTP/1.1\r\nHost:a\r\n\r\n", 200),
    "two spaces": (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "two spaces before version": (b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "tab in line": (b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "space at end of line": (b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400),
    "space before method": (b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "method not a token": (b"G@T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "method unknown": (b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 200),
    "method in lower case": (b"get / HTTP/1.1\r\nHost: a\r\n\r\n", 200),
    "HTTP/0.9": (b"GET /\r\n\r\n", 400),
    "HTTP/1.2": (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505),
    "HTTP/2.0": (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "HTTP/1.10": (b"GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400),
    "version in lower case": (b"GET / http/1.1\r\nHost: a\r\n\r\n", 400),
    "target not ASCII": (b"GET /caf\xe9 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "target with fragment": (b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "target without slash": (b"GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "target with NUL": (b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "target with quote": (b'GET /" HTTP/1.1\r\nHost: a\r\n\r\n', 400),
    "target with bar": (b"GET /?a|b HTTP/1.1\r\nHost: a\r\n\r\n", 200),
    "target absolute": (b"GET http://b/x HTTP/1.1\r\nHost: a\r\n\r\n", 200),
    "target absolute, no host": (b"GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "target absolute, user": (b"GET http://u@b/x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "target ftp": (b"GET ftp://b/x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "target star": (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 200),
    "target star for GET": (b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "connect": (b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 200),
    "connect without port": (b"CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "connect to a path": (b"CONNECT /a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "authority for GET": (b"GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "line too long": (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    "fields too long": (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 40000 + b"\r\n\r\n", 431),
    "fields too many": (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 101 + b"\r\n", 431),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
}


@pytest.fixture(scope="session")
def awkward() -> dict[str, tuple[bytes, int]]:
    """Requests that parsers differ on, with the status that ours answers."""
    return AWKWARD


@pytest.fixture
def nobody() -> Iterator[str]:
    """The URL of a port where nobody listens, nor can while the test runs: it is taken, and that is all."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test that asks for `awkward_name` one case for each request of the table."""
    if "awkward_name" in metafunc.fixturenames:
        metafunc.parametrize("awkward_name", list(AWKWARD))
