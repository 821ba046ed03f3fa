"""The codec: what it accepts, what it refuses, in whole and octet by octet."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mirage.cohttp import (
    NEED_DATA,
    PAUSED,
    Connection,
    ConnectionClosed,
    Data,
    EndOfMessage,
    Event,
    InformationalHead,
    Limits,
    LocalProtocolError,
    RemoteProtocolError,
    RequestHead,
    ResponseHead,
    Role,
    State,
)

Awkward = dict[str, tuple[bytes, int]]


def events(connection: Connection, pieces: list[bytes]) -> list[Event]:
    """All events of one message, with neighbouring data joined; raises what the codec raises."""
    found: list[Event] = []
    for piece in pieces:
        connection.receive_data(piece)
        while not isinstance(event := connection.next_event(), type(NEED_DATA)):
            if isinstance(event, ConnectionClosed):
                return found
            if isinstance(event, Data) and found and isinstance(found[-1], Data):
                found[-1] = Data(found[-1].data + event.data)
            else:
                found.append(event)
            if isinstance(event, EndOfMessage):
                return found
    return found


def all_events(connection: Connection, raw: bytes) -> None:
    """One message, and whatever comes after it."""
    events(connection, [raw])
    connection.next_event()


def status(pieces: list[bytes]) -> int:
    try:
        found = events(Connection(Role.SERVER), pieces)
    except RemoteProtocolError as error:
        return error.status
    assert isinstance(found[-1], EndOfMessage)
    return 200


def test_awkward(awkward: Awkward, awkward_name: str) -> None:
    """Each awkward request gets the answer of the table."""
    raw, expected = awkward[awkward_name]
    assert status([raw]) == expected


def test_awkward_octet_by_octet(awkward: Awkward, awkward_name: str) -> None:
    """How the octets are cut into pieces changes nothing."""
    raw, expected = awkward[awkward_name]
    assert status([raw[i : i + 1] for i in range(len(raw))]) == expected


REQUESTS = [
    (
        b"GET /a?b HTTP/1.1\r\nHost: h\r\nAccept: */*\r\n\r\n",
        [RequestHead("GET", "/a?b", [(b"host", b"h"), (b"accept", b"*/*")]), EndOfMessage()],
    ),
    (
        b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\n\r\nabc",
        [RequestHead("POST", "/", [(b"host", b"h"), (b"content-length", b"3")]), Data(b"abc"), EndOfMessage()],
    ),
    (
        b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx: y\r\n\r\n",
        [
            RequestHead("POST", "/", [(b"host", b"h"), (b"transfer-encoding", b"chunked")]),
            Data(b"abc"),
            EndOfMessage([(b"x", b"y")]),
        ],
    ),
    (b"OPTIONS * HTTP/1.1\r\nhost: h\r\n\r\n", [RequestHead("OPTIONS", "*", [(b"host", b"h")]), EndOfMessage()]),
]


@pytest.mark.parametrize(("raw", "expected"), REQUESTS)
def test_request_round_trip(raw: bytes, expected: list[Event]) -> None:
    """What a client sends is what a server reads: each row goes through both writer and reader."""
    assert events(Connection(Role.SERVER), [raw]) == expected
    assert events(Connection(Role.SERVER), [raw[i : i + 1] for i in range(len(raw))]) == expected
    client = Connection(Role.CLIENT)
    sent = b"".join(client.send(event) for event in expected)
    assert sent.lower() == raw.lower()
    assert client.our_state is State.DONE


def asked(method: str = "GET") -> Connection:
    client = Connection(Role.CLIENT)
    client.send(RequestHead(method, "/", [(b"host", b"h")]))
    client.send(EndOfMessage())
    return client


RESPONSES = [
    ("GET", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", b"ok", True),
    ("GET", b"HTTP/1.1 200\r\ncontent-length: 2\r\n\r\nok", b"ok", True),
    ("GET", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", b"ok", True),
    ("GET", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok", b"ok", False),
    ("GET", b"HTTP/1.1 200 OK\r\n\r\nok", b"ok", False),
    ("GET", b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", b"ok", False),
    ("HEAD", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n", b"", True),
    ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
    ("GET", b"HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n", b"", True),
    ("GET", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b"", True),
]


@pytest.mark.parametrize("bytewise", [False, True])
@pytest.mark.parametrize(("method", "raw", "body", "kept"), RESPONSES)
def test_responses(method: str, raw: bytes, body: bytes, kept: bool, bytewise: bool) -> None:
    """RFC 9112 6.3: where a response's content ends, and whether the connection goes on."""
    client = asked(method)
    pieces = [raw[i : i + 1] for i in range(len(raw))] if bytewise else [raw]
    found = events(client, [*pieces, b""])
    assert b"".join(e.data for e in found if isinstance(e, Data)) == body
    assert isinstance(found[-1], EndOfMessage)
    assert client.keep_alive is kept


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n",
        b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\ncontent-length: 2\n\nok",
        b"HTTP/1.1  200 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"http/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 O\x00K\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\ncontent-length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n",
    ],
)
def test_bad_responses(raw: bytes) -> None:
    """A client refuses every response that two readers could take for different ones."""
    with pytest.raises(RemoteProtocolError):
        all_events(asked(), raw)


@pytest.mark.parametrize(
    "raw",
    [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\no", b"HTTP/1.1 100 Continue\r\n\r\n"],
)
def test_truncated_response(raw: bytes) -> None:
    """RFC 9112 8: an incomplete message is an error, not a short one."""
    client = asked()
    with pytest.raises(RemoteProtocolError, match="closed"):
        events(client, [raw, b""] if raw else [b""])


def test_unasked_response() -> None:
    """RFC 9112 9.2: octets before a request belong to nobody."""
    client = Connection(Role.CLIENT)
    client.receive_data(b"HTTP/1.1 200 OK\r\n\r\n")
    with pytest.raises(RemoteProtocolError, match="no request"):
        client.next_event()


def served(raw: bytes = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n") -> Connection:
    server = Connection(Role.SERVER)
    events(server, [raw])
    return server


@pytest.mark.parametrize(
    "head",
    [
        ResponseHead(200, [(b"x", b"a\r\nset-cookie: b")]),
        ResponseHead(200, [(b"x", b"a\nb")]),
        ResponseHead(200, [(b"x\r\ny", b"a")]),
        ResponseHead(200, [(b"x y", b"a")]),
        ResponseHead(200, [(b"X", b"a")]),
        ResponseHead(200, [(b"Content-Length", b"5")]),
        ResponseHead(200, [(b"", b"a")]),
        ResponseHead(200, [(b"x", b"\x00")]),
        ResponseHead(200, [], reason="OK\r\nx: y"),
        ResponseHead(200, [], reason="\u20ac"),
        ResponseHead(99),
        ResponseHead(100),
        ResponseHead(1000, []),
        ResponseHead(204, [(b"content-length", b"0")]),
        ResponseHead(200, [(b"content-length", b"1"), (b"content-length", b"1")]),
        ResponseHead(200, [(b"content-length", b"1"), (b"transfer-encoding", b"chunked")]),
        ResponseHead(200, [(b"content-length", b"-1")]),
        InformationalHead(101),
        InformationalHead(200),
        InformationalHead(103, [(b"content-length", b"0")]),
        Data(b"early"),
        EndOfMessage(),
        RequestHead("GET", "/", []),
        ConnectionClosed(),
    ],
)
def test_what_a_server_may_not_send(head: Event) -> None:
    """Response splitting, wrong framing and wrong order are local errors, and nothing changes by them."""
    server = served()
    before = server.our_state
    with pytest.raises(LocalProtocolError):
        server.send(head)
    assert server.our_state is before
    assert server.send(ResponseHead(200, [(b"content-length", b"0")]))


@pytest.mark.parametrize(
    "head",
    [
        RequestHead("GET", "/ x", [(b"host", b"h")]),
        RequestHead("GET", "/\r\nx: y", [(b"host", b"h")]),
        RequestHead("GET", "", [(b"host", b"h")]),
        RequestHead("G T", "/", [(b"host", b"h")]),
        RequestHead("GET", "/\u20ac", [(b"host", b"h")]),
        RequestHead("GET", "/", []),
        RequestHead("GET", "/", [(b"host", b"h"), (b"host", b"h")]),
        RequestHead("CONNECT", "a:80", [(b"host", b"h")]),
        ResponseHead(200),
        Data(b""),
    ],
)
def test_what_a_client_may_not_send(head: Event) -> None:
    """A request that a strict server would refuse does not leave."""
    with pytest.raises(LocalProtocolError):
        Connection(Role.CLIENT).send(head)


def test_content_and_its_length_agree() -> None:
    """Content longer or shorter than declared is a local error."""
    server = served()
    server.send(ResponseHead(200, [(b"content-length", b"3")]))
    with pytest.raises(LocalProtocolError, match="longer"):
        server.send(Data(b"four"))
    server = served()
    server.send(ResponseHead(200, [(b"content-length", b"3")]))
    with pytest.raises(LocalProtocolError, match="shorter"):
        server.send(EndOfMessage())
    with pytest.raises(LocalProtocolError, match="longer"):
        server.delegate(4)
    server.delegate(3)
    assert server.send(EndOfMessage()) == b""


def test_pipelining_pauses() -> None:
    """The next request is read only in the next cycle, and only if there is one."""
    server = served()
    server.receive_data(b"GET /2 HTTP/1.1\r\nHost: h\r\n\r\n")
    assert server.next_event() is PAUSED
    server.send(ResponseHead(200, [(b"content-length", b"0")]))
    server.send(EndOfMessage())
    server.start_next_cycle()
    head = server.next_event()
    assert isinstance(head, RequestHead)
    assert head.target == "/2"


@pytest.mark.parametrize(
    ("raw", "version_close"),
    [
        (b"GET / HTTP/1.0\r\n\r\n", True),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", True),
        (b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", True),
        (b"GET / HTTP/1.1\r\nHost: h\r\nConnection: x, Close\r\n\r\n", True),
        (b"GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n", True),
        (b"GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\n\r\n", False),
        (b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", False),
    ],
)
def test_persistence(raw: bytes, version_close: bool) -> None:
    """RFC 9112 9.3: who may send another request; the response says when nobody may."""
    server = served(raw)
    head = server.send(ResponseHead(200, [(b"content-length", b"0")]))
    server.send(EndOfMessage())
    assert (b"connection: close" in head) is version_close
    assert server.our_state is (State.MUST_CLOSE if version_close else State.DONE)


def test_unframed_response() -> None:
    """Content of unknown length is chunked for 1.1 and ends with the connection for 1.0."""
    server = served()
    assert b"transfer-encoding: chunked" in server.send(ResponseHead(200))
    assert server.send(Data(b"ab")) == b"2\r\nab\r\n"
    assert server.send(Data(b"")) == b""
    assert server.send(EndOfMessage([(b"x", b"y")])) == b"0\r\nx: y\r\n\r\n"
    server = served(b"GET / HTTP/1.0\r\n\r\n")
    assert b"connection: close" in server.send(ResponseHead(200))
    assert server.send(Data(b"ab")) == b"ab"


def test_expect_continue() -> None:
    """RFC 9110 10.1.1: the expectation is seen in 1.1 requests with content, and ends with 100."""
    raw = b"POST / HTTP/1.%d\r\nHost: h\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n"
    server = served(raw % 1)
    assert server.expects_continue
    assert server.send(InformationalHead(100)) == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert not server.expects_continue
    old = served(raw % 0)
    assert not old.expects_continue
    assert old.send(InformationalHead(100)) == b""


def test_absolute_target_replaces_host() -> None:
    """RFC 9112 3.2.2: the authority of an absolute target is the host."""
    server = Connection(Role.SERVER)
    server.receive_data(b"GET http://b:81/x HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n")
    head = server.next_event()
    assert isinstance(head, RequestHead)
    assert head.headers == [(b"host", b"b:81"), (b"x", b"y")]


def test_errors_stay() -> None:
    """After an error nothing more is read, and the server may still answer it."""
    server = Connection(Role.SERVER)
    server.receive_data(b"nonsense\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n")
    for _ in range(2):
        with pytest.raises(RemoteProtocolError):
            server.next_event()
    assert server.their_state is State.ERROR
    assert b"connection: close" in server.send(ResponseHead(400, [(b"content-length", b"0")]))
    server.send(EndOfMessage())
    with pytest.raises(LocalProtocolError):
        server.start_next_cycle()


def test_closing() -> None:
    """The end of the stream is an event between messages and an error inside of them."""
    server = Connection(Role.SERVER)
    server.receive_data(b"")
    assert isinstance(server.next_event(), ConnectionClosed)
    with pytest.raises(LocalProtocolError):
        server.receive_data(b"x")
    server = Connection(Role.SERVER)
    server.receive_data(b"GET / HT")
    server.receive_data(b"")
    with pytest.raises(RemoteProtocolError, match="inside the head"):
        server.next_event()


# What is read of a stream is bounded, whatever it is.


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=200), max_size=20), st.sampled_from(Role))
def test_fuzz(pieces: list[bytes], role: Role) -> None:
    """Any octets give events or `RemoteProtocolError`, and no more is kept than the limits allow."""
    connection = Connection(role, Limits(start_line=100, header_block=300)) if role is Role.SERVER else asked()
    try:
        for piece in [p for p in pieces if p]:
            events(connection, [piece])
            assert connection.buffered <= 100 + 300 + 200 + 33000 * (role is Role.CLIENT)
    except RemoteProtocolError:
        assert connection.buffered == 0


PARTS = st.sampled_from(
    [b"GET / HTTP/1.1\r\n", b"Host: a\r\n", b"\r\n", b"\n", b"Content-Length: 3\r\n", b"abc", b" ", b"\x00"]
) | st.sampled_from(
    [b"Transfer-Encoding: chunked\r\n", b"3\r\nabc\r\n", b"0\r\n\r\n", b"x: y\r\n", b"Connection: close\r\n"]
)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.lists(PARTS, max_size=12))
def test_cut_anywhere(parts: list[bytes]) -> None:
    """The verdict on a stream does not depend on where it is cut."""

    def verdict(pieces: list[bytes]) -> object:
        connection = Connection(Role.SERVER)
        try:
            return events(connection, pieces)
        except RemoteProtocolError as error:
            return error.status

    raw = b"".join(parts)
    assert verdict([raw]) == verdict([raw[i : i + 1] for i in range(len(raw))]) == verdict(parts)
