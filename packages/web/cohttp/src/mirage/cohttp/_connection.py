"""One HTTP/1.1 connection as a machine that takes octets and gives events, and takes events and gives octets.

    connection = Connection(Role.SERVER)
    connection.receive_data(octets)          # b"" says that the other side closed
    event = connection.next_event()          # an event, NEED_DATA or PAUSED; raises RemoteProtocolError
    octets = connection.send(event)          # raises LocalProtocolError
    connection.start_next_cycle()            # after both messages; the next request may be there already

It does no I/O and keeps no time. Invariants: what is buffered is bounded by the limits plus one `receive_data`; the
octets of a pipelined request stay unread until the cycle before it is over; after an error nothing more is read.
"""

from __future__ import annotations

from typing import Final

from ._body import CHUNKED, UNTIL_CLOSE, Framing, Reader, Writer, content_length, framing_fields, reader, writer
from ._events import (
    END,
    NEED_DATA,
    PAUSED,
    ConnectionClosed,
    Data,
    EndOfMessage,
    Event,
    Fields,
    InformationalHead,
    Limits,
    RequestHead,
    ResponseHead,
    Signal,
)
from ._state import START, Role, State
from ._wire import (
    authority_of,
    bare_line_end,
    build_fields,
    build_request_line,
    build_status_line,
    check_host,
    list_tokens,
    parse_head,
    parse_request_line,
    parse_status_line,
    too_long_block,
    too_long_line,
)
from .errors import LocalProtocolError, RemoteProtocolError

__all__ = ["Connection"]

_DEFAULT: Final = Limits()
_INTERIM_MOST: Final = 100
_TOKEN_STARTS: Final = frozenset(b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz\r")


class Connection:
    """One end of a connection; see the module."""

    # What a new connection starts with, kept on the class: most connections never change most of it.
    _at = START
    _fresh = b""
    _scanned = 0
    _eof = False
    _error: RemoteProtocolError | None = None
    _reader: Reader | None = None
    _writer: Writer | None = None
    _host = b""
    # And what a new cycle starts with.
    _method = ""
    _peer_version = "1.1"
    _skipped = False
    _interim = 0
    expects_continue = False
    """Server: the client waits for 100 (Continue) before it sends the content (RFC 9110 section 10.1.1)."""

    def __init__(self, role: Role, limits: Limits = _DEFAULT) -> None:
        self.role = role
        self.limits = limits
        self._serving = role is Role.SERVER
        # What was received and not yet read: `_fresh` as it came while nothing else waits, so that a head which arrives
        # whole is never copied into the buffer; else `_buffer`.
        self._buffer = bytearray()

    # What is known

    @property
    def our_state(self) -> State:
        """The state of this end."""
        return self._at.server if self._serving else self._at.client

    @property
    def their_state(self) -> State:
        """The state of the other end."""
        return self._at.client if self._serving else self._at.server

    @property
    def buffered(self) -> int:
        """Octets received and not yet part of an event."""
        return len(self._buffer) + len(self._fresh)

    @property
    def keep_alive(self) -> bool:
        """Whether, as far as is known, another cycle may follow this one."""
        return self._at.keep_alive

    @property
    def has_content(self) -> bool:
        """Whether the message being received has content."""
        return self._reader is not _NOTHING

    def close_after_cycle(self) -> None:
        """Make the current cycle the last one; a head that is still to be sent says `Connection: close`."""
        self._at = self._at.last()

    # Receiving

    def receive_data(self, data: bytes | bytearray | memoryview) -> None:
        """Take octets from the other side; empty when it closed its direction, after which none may follow."""
        if data:
            if self._eof:
                raise LocalProtocolError("octets received after the end of the stream")
            if type(data) is bytes and not self._buffer and not self._fresh:
                self._fresh = data
            else:
                self._absorb()
                self._buffer += data
        else:
            self._eof = True

    def _absorb(self) -> None:
        if self._fresh:
            self._buffer += self._fresh
            self._fresh = b""

    def next_event(self) -> Event | Signal:
        """What happened next, or what is needed for it. Raises `RemoteProtocolError`, then and on each later call."""
        if self._error is not None:
            raise self._error
        try:
            event = self._read_whole_request() if self._fresh else self._read()
        except RemoteProtocolError as error:
            self._error = error
            self._fresh = b""
            self._buffer.clear()
            self._at = self._at.broken(Role.CLIENT if self._serving else Role.SERVER)
            raise
        if type(event) is Signal:
            return event
        at = self._at
        self._at = (at.by_client if self._serving else at.by_server)[type(event)]  # type: ignore[index]
        return event

    def _read_whole_request(self) -> Event | Signal:
        """`_read` for the common case: a server that waits for a request is given all of its head at once."""
        fresh = self._fresh
        if self._serving and self._at.client is State.IDLE:
            end = fresh.find(b"\r\n\r\n")
            if 0 < end <= self.limits.start_line + self.limits.header_block and fresh[0] != 0x0D:
                self._fresh = b""
                if len(fresh) > end + 4:
                    self._buffer += memoryview(fresh)[end + 4 :]
                return self._parse_request(fresh[:end])
        self._absorb()
        return self._read()

    def _read(self) -> Event | Signal:
        server = self._serving
        state = self._at.client if server else self._at.server
        if state is State.BODY:
            event = self._reader.read(self._buffer)  # type: ignore[union-attr]
            if event is not None:
                return event
            return self._reader.eof() if self._eof else NEED_DATA  # type: ignore[union-attr]
        if state is State.IDLE:
            if server:
                return self._read_request()
            if self._buffer:
                # RFC 9112 9.2: a response belongs to a request; octets before one are another's answer.
                raise RemoteProtocolError("octets of a response although no request is open", 502)
        elif state is State.RESPOND:
            return self._read_response()
        elif self._buffer:
            if not server:
                raise RemoteProtocolError("octets after the end of the response", 502)
            return PAUSED
        return ConnectionClosed() if self._eof else NEED_DATA

    def _read_head(self) -> bytes | Signal:
        """The octets up to the empty line; each is scanned once however they arrive."""
        buffer = self._buffer
        end = buffer.find(b"\r\n\r\n", self._scanned)
        if end < 0:
            self._check_partial(buffer)
            # A line end may be cut in two; the next search starts before it.
            self._scanned = max(0, len(buffer) - 3)
            return NEED_DATA
        self._scanned = 0
        if end > self.limits.start_line + self.limits.header_block:
            raise too_long_block(self.limits)
        head = bytes(buffer[:end])
        del buffer[: end + 4]
        return head

    def _check_partial(self, buffer: bytearray) -> None:
        """Refuse early what cannot become a head, so that nobody waits for the rest of it."""
        if buffer and buffer[0] not in _TOKEN_STARTS:
            raise RemoteProtocolError("these octets are not HTTP; is it TLS that the other side speaks?")
        if bare_line_end(buffer, max(0, self._scanned - 1)):
            # RFC 9112 2.2, see _wire
            raise RemoteProtocolError("a line of the message head ends in a bare CR or LF instead of CRLF")
        if len(buffer) > self.limits.start_line:
            if buffer.find(b"\r\n", 0, self.limits.start_line + 2) < 0:
                raise too_long_line(self.limits)
            if len(buffer) > self.limits.start_line + self.limits.header_block:
                raise too_long_block(self.limits)

    def _read_request(self) -> RequestHead | ConnectionClosed | Signal:
        if self._buffer and self._buffer[0] == 0x0D:
            self._skip_empty_line()
        head = self._read_head()
        if type(head) is not bytes:
            if not self._eof:
                return NEED_DATA
            if self._buffer:
                raise RemoteProtocolError("the connection closed inside the head of a request")
            return ConnectionClosed()
        return self._parse_request(head)

    def _skip_empty_line(self) -> None:
        # RFC 9112 2.2: "a server that is expecting to receive and parse a request-line SHOULD ignore at least one empty
        # line (CRLF) received prior to the request-line"; this one ignores exactly one.
        if self._skipped:
            raise RemoteProtocolError("more than one empty line before the request line")
        if self._buffer.startswith(b"\r\n"):
            del self._buffer[:2]
            self._scanned = 0
            self._skipped = True
            if self._buffer.startswith(b"\r"):
                self._skip_empty_line()

    def _parse_request(self, head: bytes) -> RequestHead:
        line, fields = parse_head(head, self.limits)
        method, target, version = parse_request_line(line)
        first = dict(fields)
        host = first.get(b"host")
        alone = len(first) == len(fields)
        if not alone and sum(name == b"host" for name, _ in fields) > 1:
            # RFC 9112 3.2: "A server MUST respond with a 400 (Bad Request) status code to any HTTP/1.1 request message
            # that lacks a Host header field and to any request message that contains more than one Host header field
            # line or a Host header field with an invalid field value."
            raise RemoteProtocolError("more than one Host field")
        if host is not None:
            if host != self._host:
                check_host(host)
                self._host = host
        elif version == "1.1":
            raise RemoteProtocolError("an HTTP/1.1 request without a Host field")
        if target[0] != 0x2F and method != "CONNECT" and (authority := authority_of(target)) is not None:
            # RFC 9112 3.2.2: the server "MUST ignore the received Host header field (if any) and instead use the host
            # information of the request-target"
            fields = [(b"host", authority), *(pair for pair in fields if pair[0] != b"host")]
        framing = 0
        if b"transfer-encoding" in first or (b"content-length" in first and len(first) != len(fields)):
            framing = framing_fields(fields, version) or 0
        elif b"content-length" in first:  # no name stands twice
            framing = content_length(first[b"content-length"])
        self._reader = reader(framing, self.limits) if framing else _NOTHING
        self._method = method
        self._peer_version = version
        # RFC 9112 9.3: an HTTP/1.0 connection persists only by agreement; here it never does.
        options = first.get(b"connection")
        if version == "1.0" or (
            options is not None and not (alone and options == b"keep-alive") and _says_close(fields)
        ):
            self._at = self._at.last()
        # RFC 9110 10.1.1: "A server that receives a 100-continue expectation in an HTTP/1.0 request MUST ignore that"
        if framing and version == "1.1" and b"expect" in first:
            self.expects_continue = first[b"expect"].lower() == b"100-continue"
        return RequestHead(method, target.decode("ascii"), fields, version)

    def _read_response(self) -> ResponseHead | InformationalHead | Signal:
        head = self._read_head()
        if type(head) is not bytes:
            if not self._eof:
                return NEED_DATA
            raise RemoteProtocolError(
                "the connection closed inside the head of a response"
                if self._buffer
                else "the connection closed without a response",
                502,
            )
        line, fields = parse_head(head, self.limits)
        status, reason, version = parse_status_line(line)
        if status < 200:
            if status == 101:
                # RFC 9110 15.2.2: 101 answers an Upgrade field, and this package sends none.
                raise RemoteProtocolError("101 (Switching Protocols) without having been asked for", 502)
            # RFC 9110 8.6, RFC 9112 6.1: no Content-Length and no Transfer-Encoding in a 1xx response
            if framing_fields(fields, version) is not None:
                raise RemoteProtocolError(f"a {status} response that declares content", 502)
            self._interim += 1
            if self._interim > _INTERIM_MOST:
                # RFC 9110 15.2 lets any number come; without an end they would hold a client for ever.
                raise RemoteProtocolError(f"more than {_INTERIM_MOST} interim responses to one request", 502)
            return InformationalHead(status, fields, reason)
        self._interim = 0
        self._reader = reader(self._response_framing(status, fields, version), self.limits)
        self._peer_version = version
        if version == "1.0" or _says_close(fields):
            self._at = self._at.last()
        return ResponseHead(status, fields, reason, version)

    def _response_framing(self, status: int, fields: Fields, version: str) -> Framing:
        """RFC 9112 section 6.3."""
        declared = framing_fields(fields, version)
        # Item 1: "Any response to a HEAD request and any response with a 1xx, 204, or 304 status code is always
        # terminated by the first empty line after the header fields".
        if self._method == "HEAD" or status in (204, 304):
            return 0
        if declared is None:
            # Item 8: "the message body length is determined by the number of octets received prior to the server
            # closing the connection"
            self._at = self._at.last()
            return UNTIL_CLOSE
        return declared

    # Sending

    def send(self, event: Event) -> bytes:
        """The octets of an event, to be written in order. Raises `LocalProtocolError`, and then nothing has changed."""
        kind = type(event)
        at = self._at
        if kind not in (at.by_server if self._serving else at.by_client):
            raise LocalProtocolError(f"a {self.role.value} that {self.our_state.value} cannot send {kind.__name__}")
        if kind is ResponseHead:
            octets = self._build_response(event)  # type: ignore[arg-type]
        elif kind is Data:
            assert self._writer is not None
            octets = self._writer.data(event.data)  # type: ignore[union-attr]
        elif kind is EndOfMessage:
            assert self._writer is not None
            octets = self._writer.end(event.trailers)  # type: ignore[union-attr]
        elif kind is RequestHead:
            octets = self._build_request(event)  # type: ignore[arg-type]
        elif kind is InformationalHead:
            octets = self._build_informational(event)  # type: ignore[arg-type]
        else:
            octets = b""
        at = self._at  # the head may have said that it is the last
        self._at = (at.by_server if self._serving else at.by_client)[kind]
        return octets

    def send_message(self, head: ResponseHead, content: bytes) -> tuple[bytes, bytes]:
        """`send` for a whole response: the octets of its head, and those of its content with its end.

        Where the response has no content by definition (HEAD, 204, 304) `content` is left out. Raises
        `LocalProtocolError`, and then nothing counts as sent.
        """
        moves = self._at.by_server
        if not self._serving or ResponseHead not in moves:
            raise LocalProtocolError(f"a {self.role.value} that {self.our_state.value} cannot send a response")
        octets = self._build_response(head)
        writer = self._writer
        assert writer is not None
        empty = self._method == "HEAD" or head.status in (204, 304)
        content = b"" if empty else writer.data(content) + writer.end([])
        self._at = self._at.by_server[ResponseHead].by_server[EndOfMessage]
        return octets, content

    def delegate(self, count: int) -> None:
        """Have `count` octets of content counted as sent: another path (sendfile) sends them, in their place in order.

        Raises `LocalProtocolError` where no content may be sent or the framing needs to see it.
        """
        if self.our_state is not State.BODY or self._writer is None:
            raise LocalProtocolError(f"content cannot be sent by a side that {self.our_state.value}")
        self._writer.delegate(count)

    def _build_request(self, event: RequestHead) -> bytes:
        fields = event.headers
        line = build_request_line(event)
        if event.method == "CONNECT":
            raise LocalProtocolError("CONNECT is not supported: this package opens no tunnels")
        if sum(name.lower() == b"host" for name, _ in fields) != 1:
            # RFC 9112 3.2: "A client MUST send a Host header field in all HTTP/1.1 request messages."
            raise LocalProtocolError("a request needs exactly one Host field")
        framing, says_close = _framing_out(fields)
        extra: Fields = []
        if not says_close and not self._at.keep_alive:
            extra.append((b"connection", b"close"))
        octets = line + build_fields([*fields, *extra]) + b"\r\n"
        # RFC 9112 6.3 item 7: a request without either field has no content.
        self._writer = writer(framing or 0)
        self._method = event.method
        if says_close:
            self._at = self._at.last()
        return octets

    def _build_informational(self, event: InformationalHead) -> bytes:
        if not 100 <= event.status <= 199 or event.status == 101:
            raise LocalProtocolError(f"{event.status} is not an interim response that can be sent here")
        if _framing_out(event.headers)[0] is not None:
            raise LocalProtocolError("a 1xx response declares no content (RFC 9110 8.6)")
        # RFC 9110 15.2: "a server MUST NOT send a 1xx response to an HTTP/1.0 client"
        octets = build_status_line(event) + build_fields(event.headers) + b"\r\n"
        self.expects_continue = False
        return b"" if self._peer_version == "1.0" else octets

    def _build_response(self, event: ResponseHead) -> bytes:
        status = event.status
        fields = event.headers
        framing, says_close = _framing_out(fields)
        if status < 200:
            raise LocalProtocolError(f"{status} is not a final response; send it as an InformationalHead")
        if self._method == "CONNECT" and status < 300:
            raise LocalProtocolError("CONNECT cannot be granted: this package opens no tunnels")
        if status == 204 and framing is not None:
            raise LocalProtocolError("a 204 response declares no content (RFC 9110 8.6, RFC 9112 6.1)")
        keep_alive = self._at.keep_alive and self._at.client is not State.ERROR
        extra: Fields = []
        if self._method == "HEAD" or status in (204, 304):
            framing = 0
        elif framing == CHUNKED and self._peer_version == "1.0":
            raise LocalProtocolError("an HTTP/1.0 client does not understand Transfer-Encoding (RFC 9112 6.1)")
        elif framing is None:
            if self._peer_version == "1.0" or not self._method:
                framing = UNTIL_CLOSE
                keep_alive = False
            else:
                framing = CHUNKED
                extra.append((b"transfer-encoding", b"chunked"))
        if says_close:
            keep_alive = False
        elif not keep_alive:
            # RFC 9112 9.6: "A server ... SHOULD send a "close" connection option in its final response"
            extra.append((b"connection", b"close"))
        octets = build_status_line(event) + build_fields([*fields, *extra] if extra else fields) + b"\r\n"
        if not keep_alive:
            self._at = self._at.last()
        self._writer = writer(framing)
        return octets

    # Moving

    def start_next_cycle(self) -> None:
        """Make ready for the next request. Raises `LocalProtocolError` unless both sides are done and may go on."""
        at = self._at
        if not at.may_start_next_cycle:
            raise LocalProtocolError(f"no next cycle: the client {at.client.value}, the server {at.server.value}")
        self._at = START
        self._method = ""
        self._peer_version = "1.1"
        self._skipped = self.expects_continue = False


class _Nothing:
    """The reader of a message without content."""

    __slots__ = ()

    def read(self, buffer: bytearray) -> EndOfMessage:
        return END

    def eof(self) -> EndOfMessage:
        return END


_NOTHING: Final = _Nothing()


def _says_close(fields: Fields) -> bool:
    """Whether a Connection field lists "close" (RFC 9112 section 9.6)."""
    return any(name == b"connection" and b"close" in list_tokens(value) for name, value in fields)


def _framing_out(fields: Fields) -> tuple[Framing | None, bool]:
    """What fields to be sent declare: the framing, and whether they say `Connection: close`."""
    found = [pair for pair in fields if pair[0] in _FRAMING_NAMES]
    if not found:
        return None, False
    if len(found) == 1 and found[0][0] == b"content-length" and found[0][1].isdigit() and len(found[0][1]) < 16:
        return int(found[0][1]), False
    try:
        return framing_fields(found, "1.1"), _says_close(found)
    except RemoteProtocolError as error:
        raise LocalProtocolError(f"the message cannot be sent: {error}") from None


_FRAMING_NAMES: Final = frozenset((b"content-length", b"transfer-encoding", b"connection"))
