"""Where a message's content ends: its framing, and a reader and a writer for each.

`request_framing` and `response_framing` decide (RFC 9112 section 6.3); the result is a length, `CHUNKED` or
`UNTIL_CLOSE`. A reader takes octets from the front of the receive buffer and returns an event, or None when it needs
more; it looks at each octet a bounded number of times however the octets arrive. A writer turns content into octets.
"""

from __future__ import annotations

import re
from typing import Final, Protocol, TypeAlias

from ._events import END, Data, EndOfMessage, Fields, Limits
from ._wire import build_fields, list_tokens, parse_fields
from .errors import ContentTooLarge, LocalProtocolError, RemoteProtocolError

__all__ = [
    "CHUNKED",
    "UNTIL_CLOSE",
    "Framing",
    "Reader",
    "Writer",
    "content_length",
    "framing_fields",
    "reader",
    "writer",
]

CHUNKED: Final = -1
UNTIL_CLOSE: Final = -2
Framing: TypeAlias = int
"""The octets of the content, or `CHUNKED`, or `UNTIL_CLOSE`."""

# RFC 9110 8.6: Content-Length = 1*DIGIT; 18 digits are more than any file and fit 64 bits.
_LENGTH: Final = re.compile(rb"[0-9]{1,18}").fullmatch
# RFC 9112 7.1: chunk-size = 1*HEXDIG; 15 digits fit 64 bits with a bit to spare for the sign.
# RFC 9112 7.1.1: chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] ). White space is bad (BWS):
# after the size it is refused; inside the extension, which is skipped, it is let pass.
_CHUNK_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})(;[\t\x20-\x7e\x80-\xff]*+)?").fullmatch
# RFC 9110 6.5.1: a sender MUST NOT put fields for framing, routing or authentication into trailers.
_NOT_TRAILERS: Final = frozenset(
    b"transfer-encoding content-length host trailer te connection authorization cookie content-encoding content-type "
    b"content-range expect upgrade set-cookie".split()
)


def framing_fields(fields: Fields, version: str) -> Framing | None:
    """The framing that Content-Length or Transfer-Encoding declare, or None without either. Refuses every ambiguity."""
    lengths: list[bytes] = []
    codings: list[bytes] = []
    for name, value in fields:
        if name == b"content-length":
            lengths.append(value)
        elif name == b"transfer-encoding":
            codings.append(value)
    if codings:
        _check_coding(codings, bool(lengths), version)
        return CHUNKED
    if not lengths:
        return None
    if len(lengths) > 1:
        # RFC 9110 8.6: several lines, even alike: "the recipient MUST either reject the message as invalid or replace"
        raise RemoteProtocolError("more than one Content-Length field")
    return content_length(lengths[0])


def content_length(value: bytes) -> int:
    """The number that a Content-Length field gives."""
    if not _LENGTH(value):
        # RFC 9112 6.3 item 5: an invalid Content-Length is "an unrecoverable error"; a server MUST respond with 400.
        raise RemoteProtocolError(f"the Content-Length {value[:40]!r} is not a number of octets")
    return int(value)


def _check_coding(values: list[bytes], with_length: bool, version: str) -> None:
    if with_length:
        # RFC 9112 6.1: "A server MAY reject a request that contains both Content-Length and Transfer-Encoding"; it
        # "ought to be handled as an error" (6.3 item 3).
        raise RemoteProtocolError("both Content-Length and Transfer-Encoding")
    if version == "1.0":
        # RFC 9112 6.1: "an HTTP/1.0 message containing a Transfer-Encoding header field MUST [be treated] as if the
        # framing is faulty"
        raise RemoteProtocolError("Transfer-Encoding in an HTTP/1.0 message")
    codings = list_tokens(b",".join(values))
    if codings == [b"chunked"]:
        return
    if not codings or codings[-1] != b"chunked":
        # RFC 9112 6.3 item 4: chunked "is not the final encoding ... the server MUST respond with the 400 status code"
        raise RemoteProtocolError("the last transfer coding is not chunked")
    if codings.count(b"chunked") > 1:
        # RFC 9112 6.1: "A sender MUST NOT apply the chunked transfer coding more than once"
        raise RemoteProtocolError("the chunked transfer coding is applied twice")
    # RFC 9112 6.1: "A server that receives a request message with a transfer coding it does not understand SHOULD
    # respond with 501 (Not Implemented)."
    raise RemoteProtocolError("a transfer coding other than chunked", 501)


# Readers


class Reader(Protocol):
    """Takes one message's content from the front of a buffer."""

    def read(self, buffer: bytearray) -> Data | EndOfMessage | None:
        """The next event, or None when more octets are needed. Raises `RemoteProtocolError`."""
        ...

    def eof(self) -> EndOfMessage:
        """The other side closed and the buffer holds nothing usable: the end of the message, or an error."""
        ...


def _take(buffer: bytearray, count: int) -> bytes:
    if count >= len(buffer):
        data = bytes(buffer)
        buffer.clear()
    else:
        with memoryview(buffer) as view:
            data = view[:count].tobytes()
        del buffer[:count]
    return data


class _LengthReader:
    __slots__ = ("left",)

    def __init__(self, length: int) -> None:
        self.left = length

    def read(self, buffer: bytearray) -> Data | EndOfMessage | None:
        if not self.left:
            return END
        if not buffer:
            return None
        data = _take(buffer, self.left)
        self.left -= len(data)
        return Data(data)

    def eof(self) -> EndOfMessage:
        # RFC 9112 8: fewer octets than Content-Length: "the message is incomplete"
        raise RemoteProtocolError(f"the connection closed with {self.left} octets of the content missing")


class _CloseReader:
    __slots__ = ("left",)

    def __init__(self, most: int | None) -> None:
        self.left = most

    def read(self, buffer: bytearray) -> Data | None:
        if not buffer:
            return None
        if self.left is not None:
            self.left -= len(buffer)
            if self.left < 0:
                raise ContentTooLarge("the content is longer than is accepted")
        return Data(_take(buffer, len(buffer)))

    def eof(self) -> EndOfMessage:
        return END


class _ChunkedReader:
    """RFC 9112 section 7.1. `_left` is what the current chunk still owes; its line end is owed while `_line_end`."""

    __slots__ = ("_extensions", "_last", "_left", "_limits", "_line_end", "_most", "_scanned")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._most = limits.body
        self._extensions = limits.chunk_extensions
        self._left = 0
        self._line_end = False
        self._last = False
        self._scanned = 0

    def read(self, buffer: bytearray) -> Data | EndOfMessage | None:
        while not self._last:
            if self._left:
                if not buffer:
                    return None
                data = _take(buffer, self._left)
                self._left -= len(data)
                return Data(data)
            if self._line_end:
                if not buffer or buffer == b"\r":
                    return None
                if buffer[:2] != b"\r\n":
                    # RFC 9112 7.1: chunk = chunk-size [ chunk-ext ] CRLF chunk-data CRLF
                    raise RemoteProtocolError("a chunk is longer than its size says")
                del buffer[:2]
                self._line_end = False
            if not self._read_size(buffer):
                return None
        return self._read_trailers(buffer)

    def _read_size(self, buffer: bytearray) -> bool:
        most = self._limits.chunk_line
        end = buffer.find(b"\n", self._scanned, most + 1)
        if end < 0:
            if len(buffer) > most:
                # RFC 9112 7.1.1: "A server ought to limit the total length of chunk extensions"
                raise RemoteProtocolError(f"a chunk-size line is longer than {most} octets")
            self._scanned = len(buffer)
            return False
        self._scanned = 0
        line = _take(buffer, end + 1)
        found = _CHUNK_LINE(line[:-2])
        if not found or line[-2:] != b"\r\n":
            # RFC 9112 7.1: "recipients MUST anticipate potentially large hexadecimal numerals and prevent parsing
            # errors due to integer conversion overflows"; a bare LF here is how readers are set at odds.
            raise RemoteProtocolError(f"{line[:40]!r} is not a chunk size")
        self._extensions -= len(found[2] or b"")
        if self._extensions < 0:
            raise RemoteProtocolError("the chunk extensions of a message are longer than is accepted")
        size = int(found[1], 16)
        if self._most is not None:
            self._most -= size
            if self._most < 0:
                raise ContentTooLarge(f"the content is longer than {self._limits.body} octets")
        self._left = size
        self._last = not size
        self._line_end = True
        return True

    def _read_trailers(self, buffer: bytearray) -> EndOfMessage | None:
        # RFC 9112 7.1: last-chunk trailer-section CRLF
        if buffer[:2] == b"\r\n":
            del buffer[:2]
            return END
        if buffer[:1] == b"\n" or (buffer[:1] == b"\r" and len(buffer) > 1):
            raise RemoteProtocolError("a line of the trailers ends in a bare CR or LF instead of CRLF")
        end = buffer.find(b"\r\n\r\n", max(0, self._scanned - 3))
        if end < 0:
            if len(buffer) > self._limits.trailer_block:
                raise RemoteProtocolError(f"the trailers are longer than {self._limits.trailer_block} octets", 431)
            self._scanned = len(buffer)
            return None
        if end > self._limits.trailer_block:
            raise RemoteProtocolError(f"the trailers are longer than {self._limits.trailer_block} octets", 431)
        trailers = parse_fields(_take(buffer, end + 4)[:-4])
        if len(trailers) > self._limits.header_count:
            raise RemoteProtocolError(f"more than {self._limits.header_count} trailer field lines", 431)
        for name, _ in trailers:
            if name in _NOT_TRAILERS:
                # RFC 9110 6.5.1: "a sender MUST NOT generate a trailer field unless the sender knows ..."
                raise RemoteProtocolError(f"the field {name.decode()!r} is not allowed in trailers")
        return EndOfMessage(trailers)

    def eof(self) -> EndOfMessage:
        # RFC 9112 8: chunked without "the zero-sized chunk that terminates the encoding ... is incomplete"
        raise RemoteProtocolError("the connection closed before the last chunk")


def reader(framing: Framing, limits: Limits) -> Reader:
    """The reader for a framing. Raises `ContentTooLarge` for a length beyond the limit."""
    if framing == CHUNKED:
        return _ChunkedReader(limits)
    if framing == UNTIL_CLOSE:
        return _CloseReader(limits.body)
    if limits.body is not None and framing > limits.body:
        raise ContentTooLarge(f"a content of {framing} octets where at most {limits.body} are accepted")
    return _LengthReader(framing)


# Writers


class Writer(Protocol):
    """Turns one message's content into octets."""

    def data(self, data: bytes) -> bytes:
        """The octets of a part of the content. Raises `LocalProtocolError`."""
        ...

    def delegate(self, count: int) -> None:
        """Count octets of content that another path sends (sendfile). Raises `LocalProtocolError`."""
        ...

    def end(self, trailers: Fields) -> bytes:
        """The octets that end the message. Raises `LocalProtocolError`."""
        ...


def _no_trailers(trailers: Fields) -> None:
    if trailers:
        raise LocalProtocolError("trailers can be sent after a chunked body only (RFC 9112 7.1.2)")


class _LengthWriter:
    __slots__ = ("left",)

    def __init__(self, length: int) -> None:
        self.left = length

    def data(self, data: bytes) -> bytes:
        self.delegate(len(data))
        return data

    def delegate(self, count: int) -> None:
        if count > self.left:
            raise LocalProtocolError(f"the content is {count - self.left} octets longer than its Content-Length")
        self.left -= count

    def end(self, trailers: Fields) -> bytes:
        if self.left:
            raise LocalProtocolError(f"the content is {self.left} octets shorter than its Content-Length")
        _no_trailers(trailers)
        return b""


class _CloseWriter:
    __slots__ = ()

    def data(self, data: bytes) -> bytes:
        return data

    def delegate(self, count: int) -> None:
        pass

    def end(self, trailers: Fields) -> bytes:
        _no_trailers(trailers)
        return b""


class _ChunkedWriter:
    __slots__ = ()

    def data(self, data: bytes) -> bytes:
        # An empty chunk would end the message.
        return b"%x\r\n%b\r\n" % (len(data), data) if data else b""

    def delegate(self, count: int) -> None:
        raise LocalProtocolError("a chunked body cannot be sent past the codec; declare its Content-Length")

    def end(self, trailers: Fields) -> bytes:
        if not trailers:
            return b"0\r\n\r\n"
        for name, _ in trailers:
            if name.lower() in _NOT_TRAILERS:
                raise LocalProtocolError(f"the field {name!r} may not be sent in trailers (RFC 9110 6.5.1)")
        return b"0\r\n" + build_fields(trailers) + b"\r\n"


def writer(framing: Framing) -> Writer:
    """The writer for a framing."""
    if framing == CHUNKED:
        return _ChunkedWriter()
    if framing == UNTIL_CLOSE:
        return _CloseWriter()
    return _LengthWriter(framing)
