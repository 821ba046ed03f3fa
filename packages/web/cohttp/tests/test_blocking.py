"""The blocking server and client, against each other."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator

import pytest
from mirage.cohttp import ConnectionLost, Headers, RemoteProtocolError, Request, Response, Timeouts
from mirage.cohttp.blocking import InvalidURI, Server, request, serve


async def ticks() -> AsyncIterator[bytes]:
    for n in range(3):
        yield b"%d" % n


async def service(asked: Request) -> Response:
    match asked.path:
        case "/echo":
            return Response(body=await asked.body.read())
        case "/chunks":
            return Response(body=iter([b"a", b"b"]))
        case "/ticks":
            return Response(body=ticks())
        case "/waits":
            await asyncio.sleep(0)
    return Response(404, body=b"no")


def test_round_trip() -> None:
    """Content goes there and back."""
    with serve(service) as server, request("POST", server.url + "/echo", body=b"x" * 300_000) as response:
        assert (response.status, response.read()) == (200, b"x" * 300_000)


@pytest.mark.parametrize(("path", "body"), [("/chunks", b"ab"), ("/ticks", b"012"), ("/", b"no")])
def test_bodies(path: str, body: bytes) -> None:
    """Every kind of body arrives."""
    with serve(service) as server, request("GET", server.url + path) as response:
        assert response.read() == body


def test_service_that_waits_is_500() -> None:
    """There is no loop to wait on, and the report says what to do."""
    told: list[Exception] = []
    with serve(service, report=lambda message, error: told.append(error)) as server:
        response = request("GET", server.url + "/waits")
        assert (response.status, response.read()) == (500, b"500 Internal Server Error\n")
    assert "mirage.cohttp.serve" in str(told[0])


def raw(server_address: tuple[str, int], octets: bytes) -> bytes:
    with socket.create_connection(server_address) as sock:
        sock.sendall(octets)
        sock.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := sock.recv(65536):
            answer += piece
        return answer


def test_pipelined_and_refused() -> None:
    """Requests in one piece are answered in order; the one that is wrong is the last."""
    with serve(service) as server:
        answer = raw(server.address, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n" * 2 + b"nonsense\r\n\r\n")
    assert answer.count(b"HTTP/1.1 404") == 2
    assert b"HTTP/1.1 400 Bad Request" in answer


def test_slow_head_is_408() -> None:
    """A head that does not arrive in time is answered so."""
    with (
        serve(service, timeouts=Timeouts(head=0.05, linger=0.05)) as server,
        socket.create_connection(server.address) as sock,
    ):
        sock.sendall(b"GET / HT")
        assert sock.recv(1000).startswith(b"HTTP/1.1 408 ")


def test_drain_lets_requests_end() -> None:
    """A request in progress is finished; an idle connection is closed at once."""
    begun, go = threading.Event(), threading.Event()

    def slow(asked: Request) -> Response:
        begun.set()
        go.wait(5)
        return Response(body=b"done")

    server = serve(slow)
    idle = socket.create_connection(server.address)
    answers: list[bytes] = []
    asking = threading.Thread(target=lambda: answers.append(request("GET", server.url).read()))
    asking.start()
    assert begun.wait(5)
    broken: list[int] = []
    draining = threading.Thread(target=lambda: broken.append(server.drain(5)))
    draining.start()
    assert idle.recv(1) == b""
    idle.close()
    go.set()
    asking.join(5)
    draining.join(5)
    assert (answers, broken) == ([b"done"], [0])


def test_nobody_there(nobody: str) -> None:
    """A port without a listener is an error that names it."""
    with pytest.raises(ConnectionLost, match=nobody.rpartition(":")[2].strip("/")):
        request("GET", nobody)


def test_content_that_trickles_is_408() -> None:
    """An octet now and then earns no more time: the thread is had back after the time for the content."""
    with (
        serve(service, timeouts=Timeouts(body=0.1, linger=0.05)) as server,
        socket.create_connection(server.address) as sock,
    ):
        sock.sendall(b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n")
        sock.settimeout(0.02)
        answer = b""
        for _ in range(1000):
            try:
                sock.send(b"x")
                answer = sock.recv(1000)
                break
            except TimeoutError:
                continue
    assert answer.startswith(b"HTTP/1.1 408 ")


def test_drain_of_a_full_server() -> None:
    """Draining keeps its time also while the acceptor waits for room."""
    begun, go, ended = threading.Event(), threading.Event(), threading.Event()

    def slow(asked: Request) -> Response:
        begun.set()
        go.wait(10)
        return Response()

    server = serve(slow, max_connections=1)
    with socket.create_connection(server.address) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        assert begun.wait(10)
        broken: list[int] = []
        draining = threading.Thread(target=lambda: (broken.append(server.drain(0.05)), ended.set()))
        draining.start()
        assert ended.wait(5)
        go.set()
        draining.join(10)
    assert broken == [1]


class Unlucky(socket.socket):
    """A listener whose first accept fails, as when no descriptor is left."""

    failed = False

    def accept(self) -> tuple[socket.socket, object]:
        if not self.failed:
            self.failed = True
            raise OSError(24, "Too many open files")
        return super().accept()


def test_failed_accept_is_tried_again() -> None:
    """One connection that cannot be had is not the end of the server."""
    listener = Unlucky()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    with Server(service, listener) as server, request("POST", server.url + "/echo", body=b"x") as response:
        assert response.read() == b"x"
    assert listener.failed


class Awaited:
    """A body that fails, and has an end of its own."""

    def __init__(self) -> None:
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"a"
        raise FileNotFoundError("of the application")

    async def aclose(self) -> None:
        self.closed = True


def test_failing_body_is_reported_and_closed() -> None:
    """An error of the application is told, whatever its class; the client sees that the content is not whole."""
    told: list[Exception] = []
    body = Awaited()
    with (
        serve(lambda asked: Response(body=body), report=lambda message, error: told.append(error)) as server,
        request("GET", server.url) as response,
        pytest.raises(RemoteProtocolError),
    ):
        response.read()
    assert isinstance(told[0], FileNotFoundError)
    assert body.closed


def test_response_that_cannot_be_sent_is_500() -> None:
    """Also when it fails with no error of this package's."""
    told: list[Exception] = []
    wrong = Response(headers=Headers.from_raw([("x", "text")]))  # type: ignore[list-item]
    with (
        serve(lambda asked: wrong, report=lambda message, error: told.append(error)) as server,
        request("GET", server.url) as response,
    ):
        assert response.status == 500
    assert isinstance(told[0], TypeError)


@pytest.mark.parametrize("uri", ["http://a..b/", f"http://{'a' * 64}/", "http://./"])
def test_host_names_that_no_resolver_takes(uri: str) -> None:
    """They are errors of the URI, not of some codec."""
    with pytest.raises(InvalidURI):
        request("GET", uri)
