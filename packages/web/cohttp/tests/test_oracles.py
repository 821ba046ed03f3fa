"""Our verdict on a request against those of h11 and httptools; every disagreement is listed with its clause.

The other parsers are development-only. A disagreement that is not in the tables below fails, and so does an entry that
is no longer one.
"""

from __future__ import annotations

import h11
import httptools
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mirage.cohttp import (
    Connection,
    ConnectionClosed,
    Data,
    EndOfMessage,
    RemoteProtocolError,
    RequestHead,
    Role,
    Signal,
)

Awkward = dict[str, tuple[bytes, int]]

# What h11 accepts and we refuse, or the other way round.
H11 = {
    "bare LF": "RFC 9112 2.2: LF alone MAY be taken as a line end; h11 takes it, we do not",
    "bare LF in fields": "RFC 9112 2.2, as above",
    "obs-fold": "RFC 9112 5.2: MUST be rejected or replaced by spaces; h11 replaces",
    "one empty line before": "RFC 9112 2.2: at least one empty line SHOULD be ignored; h11 ignores none",
    "bad host": "RFC 9112 3.2: an invalid Host MUST be answered with 400; h11 leaves it to its user",
    "host with path": "RFC 9112 3.2, as above",
    "host with user": "RFC 9112 3.2, as above",
    "host list": "RFC 9112 3.2, as above",
    "CL and TE": "RFC 9112 6.3: ought to be handled as an error; h11 lets Transfer-Encoding win",
    "CL twice, alike": "RFC 9110 8.6: reject or replace; h11 replaces",
    "CL list": "RFC 9110 8.6: reject or replace; h11 replaces",
    "TE in 1.0": "RFC 9112 6.1: framing MUST be treated as faulty; h11 reads the chunks",
    "chunk size space after": "RFC 9112 7.1: no white space there; h11 is lenient",
    "chunk extension too long": "RFC 9112 7.1.1: a server ought to limit extensions; h11 has one limit for all",
    "chunk extensions too many": "RFC 9112 7.1.1, as above",
    "trailer that frames": "RFC 9110 6.5.1: no framing fields in trailers; h11 passes them on",
    "trailers too long": "RFC 6585 5: our limit on trailers is lower than h11's on any event",
    "control in value": "RFC 9110 5.5: control characters are invalid; h11 refuses only NUL, CR and LF",
    "DEL in value": "RFC 9110 5.5, as above",
    "HTTP/1.2": "RFC 9110 6.2: SHOULD be read as 1.1, as h11 does; there is no such version, so we answer 505",
    "HTTP/2.0": "RFC 9110 15.6.6: 505; h11 leaves the version to its user",
    "target with fragment": "RFC 9112 3.2: no form of target has a fragment; h11 passes any visible characters",
    "target without slash": "RFC 9112 3.2, as above",
    "target with quote": "RFC 3986 2: not a URI character; h11 as above",
    "target absolute, no host": "RFC 9110 4.2.1: an empty host MUST be rejected; h11 as above",
    "target absolute, user": "RFC 9110 4.2.4: userinfo ought to be treated as an error; h11 as above",
    "target ftp": "RFC 9112 3.2.2: we serve http only; h11 as above",
    "target star for GET": "RFC 9112 3.2.4: only for OPTIONS; h11 as above",
    "connect without port": "RFC 9112 3.2.3: authority-form has a port; h11 as above",
    "connect to a path": "RFC 9112 3.2.3; h11 as above",
    "authority for GET": "RFC 9112 3.2.3: only for CONNECT; h11 as above",
    "fields too many": "RFC 6585 5: our limit; h11 limits octets only",
    "fields too long": "RFC 6585 5: our limit; h11 has one for a head in pieces, none for one that arrives whole",
    "line too long": "RFC 9110 15.5.15: our limit; h11 as above",
    "trailer bare LF": "RFC 9112 2.2: h11 takes LF alone as a line end",
    "HTTP/2 preface": "RFC 9113 3.4: not an HTTP/1 request; h11 leaves the version to its user",
}

HTTPTOOLS = {
    "two empty lines before": "RFC 9112 2.2: httptools ignores any number of empty lines",
    "no host": "RFC 9112 3.2: MUST be answered with 400; httptools leaves Host to its user",
    "two hosts": "RFC 9112 3.2, as above",
    "two hosts, 1.0": "RFC 9112 3.2, as above",
    "bad host": "RFC 9112 3.2, as above",
    "host with path": "RFC 9112 3.2, as above",
    "host with user": "RFC 9112 3.2, as above",
    "host list": "RFC 9112 3.2, as above",
    "TE in 1.0": "RFC 9112 6.1: framing MUST be treated as faulty; httptools reads the chunks",
    "two spaces": "RFC 9112 3: single spaces; httptools skips more",
    "two spaces before version": "RFC 9112 3, as above",
    "method unknown": "RFC 9110 9.1: any token is a method; httptools knows a list",
    "method in lower case": "RFC 9110 9.1, as above",
    "TE gzip, chunked": "RFC 9112 6.1: an unknown coding SHOULD be 501; httptools leaves the other codings to its user",
    "chunk extension too long": "RFC 9112 7.1.1: a server ought to limit extensions; httptools does not",
    "chunk extensions too many": "RFC 9112 7.1.1, as above",
    "trailers too long": "RFC 6585 5: our limit; httptools has none",
    "fields too long": "RFC 6585 5, as above",
    "fields too many": "RFC 6585 5, as above",
    "line too long": "RFC 9110 15.5.15, as above",
    "HTTP/0.9": "RFC 9112 2.3: HTTP-version is not optional; httptools reads HTTP/0.9",
    "HTTP/2.0": "RFC 9110 15.6.6: 505; httptools leaves the version to its user",
    "target with fragment": "RFC 9112 3.2: no form of target has a fragment; httptools passes it on",
    "target with quote": "RFC 3986 2: not a URI character; httptools passes it on",
    "target absolute, no host": "RFC 9110 4.2.1: an empty host MUST be rejected; httptools passes it on",
    "target absolute, user": "RFC 9110 4.2.4: userinfo ought to be treated as an error; httptools passes it on",
    "target ftp": "RFC 9112 3.2.2: we serve http only; httptools passes it on",
    "target star for GET": "RFC 9112 3.2.4: only for OPTIONS; httptools passes it on",
    "connect": "RFC 9110 9.3.6: httptools stops at CONNECT, for a tunnel",
}


def ours(raw: bytes) -> bool:
    connection = Connection(Role.SERVER)
    connection.receive_data(raw)
    try:
        while not isinstance(event := connection.next_event(), (Signal, ConnectionClosed)):
            if isinstance(event, EndOfMessage):
                return True
    except RemoteProtocolError:
        pass
    return False


def of_h11(raw: bytes) -> bool:
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(raw)
    try:
        while (event := connection.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
            if isinstance(event, h11.EndOfMessage):
                return True
            if isinstance(event, h11.ConnectionClosed):
                return False
    except h11.RemoteProtocolError:
        pass
    return False


class Collector:
    """What httptools tells of a request."""

    def __init__(self) -> None:
        self.complete = False
        self.body = b""
        self.fields: list[tuple[bytes, bytes]] = []
        self.target = b""

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.lower(), value))

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.complete = True


def of_httptools(raw: bytes) -> bool:
    collector = Collector()
    try:
        httptools.HttpRequestParser(collector).feed_data(raw)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        return False
    return collector.complete


@pytest.mark.parametrize(("verdict", "listed"), [(of_h11, H11), (of_httptools, HTTPTOOLS)], ids=["h11", "httptools"])
def test_disagreements_are_listed(awkward: Awkward, verdict: object, listed: dict[str, str]) -> None:
    """The requests on which the verdicts differ are exactly those that the table lists."""
    assert callable(verdict)
    differing = {name for name, (raw, _) in awkward.items() if ours(raw) != verdict(raw)}
    assert differing == set(listed)


def test_every_entry_has_its_clause() -> None:
    """A disagreement without a clause is an opinion."""
    for reason in [*H11.values(), *HTTPTOOLS.values()]:
        assert reason.startswith("RFC ")


LINES = st.sampled_from(
    [b"Host: a", b"Accept: */*", b"X:y", b"X: \xe9", b"x-a:  b  ", b"Connection: close", b"Cookie: a=b; c=d", b"E:"]
)
BODIES = st.binary(max_size=40)
TARGETS = st.text("abc/?=&%-._~:@!$", max_size=12).map(lambda t: b"/" + t.encode())


@st.composite
def sound_requests(draw: st.DrawFn) -> bytes:
    """Requests that a strict sender may send."""
    fields = [b"Host: example.org", *(line for line in draw(st.lists(LINES, max_size=6)) if line[:5] != b"Host:")]
    body = draw(BODIES)
    if draw(st.booleans()):
        fields.append(b"Transfer-Encoding: chunked")
        cut = draw(st.integers(0, len(body)))
        parts = [part for part in (body[:cut], body[cut:]) if part]
        body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    else:
        fields.append(b"Content-Length: %d" % len(body))
    return b"POST " + draw(TARGETS) + b" HTTP/1.1\r\n" + b"\r\n".join(fields) + b"\r\n\r\n" + body


@pytest.mark.slow
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(sound_requests())
def test_sound_requests_mean_the_same(raw: bytes) -> None:
    """On what a strict sender sends, the three agree on target, fields and content."""
    connection = Connection(Role.SERVER)
    connection.receive_data(raw)
    head = connection.next_event()
    assert isinstance(head, RequestHead)
    body = b""
    while not isinstance(event := connection.next_event(), EndOfMessage):
        assert isinstance(event, Data)
        body += event.data
    collector = Collector()
    httptools.HttpRequestParser(collector).feed_data(raw)
    assert collector.complete
    assert (collector.target, collector.body) == (head.target.encode(), body)
    assert [(name, value.strip()) for name, value in collector.fields] == head.headers
    other = h11.Connection(h11.SERVER)
    other.receive_data(raw)
    request = other.next_event()
    assert isinstance(request, h11.Request)
    assert (request.target, list(request.headers)) == (head.target.encode(), head.headers)


MUTATIONS = st.sampled_from([b"\r", b"\n", b" ", b"\t", b":", b"\x00", b",", b"\r\n", b"0", b";", b"\x0b"])


@pytest.mark.slow
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(sound_requests(), st.integers(0, 200), MUTATIONS)
def test_we_are_the_strictest(raw: bytes, at: int, mutation: bytes) -> None:
    """One wrong octet in the head: what both others refuse, we refuse."""
    at %= raw.index(b"\r\n\r\n")
    mutated = raw[:at] + mutation + raw[at:]
    if ours(mutated):
        assert of_h11(mutated) or of_httptools(mutated)
