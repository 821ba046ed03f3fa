"""The octets of a message head, parsed and built in pairs.

`parse_*` takes what the other side sent and raises `RemoteProtocolError`; `build_*` takes what this side wants to send
and raises `LocalProtocolError`, so that no text of an application can become a line of its own (response splitting).

A head arrives here without the empty line that ends it. `parse_head` splits it into a start line and fields. It has a
fast path for what nearly every sender writes, `_split_fast`, and one plain path that knows the whole grammar and
every refusal, `_split_plain`: where the fast path is not certain it answers None. Tests hold them against each other.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final

from ._events import Fields, InformationalHead, Limits, RequestHead, ResponseHead
from .errors import LocalProtocolError, RemoteProtocolError

__all__ = [
    "REASONS",
    "bare_line_end",
    "build_fields",
    "build_request_line",
    "build_status_line",
    "check_host",
    "check_target",
    "list_tokens",
    "parse_fields",
    "parse_head",
    "parse_request_line",
    "parse_status_line",
]

# RFC 9110 5.6.2: tchar = "!" / "#" / "$" / "%" / "&" / "'" / "*" / "+" / "-" / "." / "^" / "_" / "`" / "|" / "~" / ...
_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++").fullmatch
# RFC 9110 5.5: field-vchar = VCHAR / obs-text; inside a value also SP and HTAB.
_FIELD_OCTETS: Final = bytes([0x09, *range(0x20, 0x7F), *range(0x80, 0x100)])
# RFC 9112 3.2 takes a target's octets from RFC 3986. Browsers also send [ ] { } | \ ^ ` raw in a query, so of the
# visible ASCII characters just those that no URL parser leaves raw are refused: " < > and the fragment's "#".
_TARGET_OCTETS: Final = bytes(o for o in range(0x21, 0x7F) if o not in b'"<>#')
_NAME_OCTETS: Final = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-."
# RFC 3986 3.2: host [ ":" port ], where the host is a bracketed literal or a registered name, here without userinfo.
_AUTHORITY: Final = re.compile(
    rb"(\[[0-9A-Fa-f:.]{2,45}\]|\[v[0-9A-Fa-f]+\.[A-Za-z0-9\-._~!$&'()*+,;=:]+\]"
    rb"|(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})*+)(?::([0-9]{0,5}))?"
).fullmatch
_ABSOLUTE: Final = re.compile(rb"https?://([^/?]+)(?:[/?].*)?", re.IGNORECASE | re.DOTALL).fullmatch
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?").fullmatch
_VERSION: Final = re.compile(rb"HTTP/[0-9]\.[0-9]").fullmatch
_BARE_AT: Final = re.compile(rb"(?<!\r)\n|\r(?!\n|\Z)").search
_LINE_OUT: Final = re.compile(rb"[^\x00-\x08\x0a-\x1f\x7f]*+").fullmatch

# Spellings of field names that were found valid, with their lower case: looking one up is both check and folding.
# It fills up to a bound and stays, so nobody can grow it or push the common names out.
_NAMES: Final[dict[bytes, bytes]] = {}
_NAMES_MOST: Final = 512
_VERSIONS: Final = {b"HTTP/1.1": "1.1", b"HTTP/1.0": "1.0"}
_METHODS: Final = {
    m.encode(): m for m in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT")
}


def _remember(names: bytes) -> None:
    for name in names.split():
        for spelling in (name, name.lower()):
            _NAMES[spelling] = name.lower()


_remember(
    b"Accept Accept-Charset Accept-Encoding Accept-Language Accept-Ranges Access-Control-Allow-Origin "
    b"Access-Control-Request-Headers Access-Control-Request-Method Age Allow Authorization Cache-Control Connection "
    b"Content-Disposition Content-Encoding Content-Language Content-Length Content-Location Content-Range Content-Type "
    b"Cookie DNT Date ETag Expect Expires Forwarded From Host If-Match If-Modified-Since If-None-Match If-Range "
    b"If-Unmodified-Since Keep-Alive Last-Modified Link Location Max-Forwards Origin Pragma Priority "
    b"Proxy-Authorization Proxy-Connection Range Referer Retry-After Sec-CH-UA Sec-CH-UA-Mobile Sec-CH-UA-Platform "
    b"sec-ch-ua sec-ch-ua-mobile sec-ch-ua-platform Sec-Fetch-Dest Sec-Fetch-Mode Sec-Fetch-Site Sec-Fetch-User "
    b"Sec-GPC Server Set-Cookie Strict-Transport-Security TE Trailer Transfer-Encoding Upgrade "
    b"Upgrade-Insecure-Requests User-Agent Vary Via WWW-Authenticate X-Forwarded-For X-Forwarded-Host "
    b"X-Forwarded-Proto X-Requested-With"
)


# Heads


def parse_head(head: bytes, limits: Limits) -> tuple[bytes, Fields]:
    """Start line and fields of a head, whose final CRLF CRLF is cut off. Raises `RemoteProtocolError`."""
    parts = _split_fast(head)
    line, fields = _split_plain(head) if parts is None else parts
    size = len(head)
    if size > limits.start_line or size > limits.header_block:
        if len(line) > limits.start_line:
            raise too_long_line(limits)
        if size - len(line) > limits.header_block:
            raise too_long_block(limits)
    if len(fields) > limits.header_count:
        raise RemoteProtocolError(
            f"{len(fields)} header field lines where at most {limits.header_count} are accepted", 431
        )
    return line, fields


def _split_fast(head: bytes) -> tuple[bytes, Fields] | None:
    """The same as `_split_plain` for heads whose field names have been seen before; None for any other."""
    lines = head.split(b"\r\n")
    # Every octet outside of a line end is one of a field value: CR and LF are found nowhere but in CRLF.
    if len(head.translate(None, _FIELD_OCTETS)) != 2 * (len(lines) - 1):
        return None
    start = lines.pop(0)
    names = _NAMES
    fields: Fields = []
    try:
        for line in lines:
            name, colon, value = line.partition(b":")
            if not colon:
                return None
            fields.append((names[name], value.strip(b" \t")))
    except KeyError:
        return None
    return start, fields


def _split_plain(head: bytes) -> tuple[bytes, Fields]:
    start, _, block = head.partition(b"\r\n")
    if bare_line_end(head):
        # RFC 9112 2.2: a lone LF MAY be taken as a line end, and "a sender MUST NOT generate a bare CR"; two readers
        # that differ here see different messages, so neither is accepted.
        raise RemoteProtocolError("a line of the message head ends in a bare CR or LF instead of CRLF")
    if not _LINE_OUT(start):
        # RFC 9112 3.2: the start line holds visible characters and single spaces only.
        raise RemoteProtocolError("the start line holds a control character")
    return start, parse_fields(block)


def bare_line_end(data: bytes | bytearray, start: int = 0) -> bool:
    """Whether `data` holds a CR or LF that is not part of a CRLF; a CR at the very end is not judged."""
    return _BARE_AT(data, start) is not None


def too_long_line(limits: Limits) -> RemoteProtocolError:
    """RFC 9110 15.5.15: a target longer than the server is willing to interpret is 414."""
    return RemoteProtocolError(f"the start line is longer than {limits.start_line} octets", 414)


def too_long_block(limits: Limits) -> RemoteProtocolError:
    """RFC 6585 section 5: header fields that are too large, all together or one of them, are 431."""
    return RemoteProtocolError(f"the header fields are longer than {limits.header_block} octets", 431)


# Fields


def parse_fields(block: bytes) -> Fields:
    """Field lines, without the empty line after them, as pairs with names in lower case. `build_fields` is its pair."""
    return [_parse_field(line) for line in block.split(b"\r\n")] if block else []


def _parse_field(line: bytes) -> tuple[bytes, bytes]:
    if line[:1] in (b" ", b"\t"):
        # RFC 9112 5.2: "A server that receives an obs-fold in a request message ... MUST either reject the message by
        # sending a 400 (Bad Request)" or replace it.
        raise RemoteProtocolError("a header field line starts with white space (obsolete line folding)")
    raw, colon, value = line.partition(b":")
    if not colon:
        raise RemoteProtocolError(f"a header field line has no colon: {line[:40]!r}")
    name = _NAMES.get(raw)
    if name is None:
        if raw[-1:] in (b" ", b"\t"):
            # RFC 9112 5.1: "A server MUST reject, with a response status code of 400 (Bad Request), any received
            # request message that contains whitespace between a header field name and colon."
            raise RemoteProtocolError(f"white space between the header field name {raw[:40]!r} and its colon")
        if not _TOKEN(raw):
            # RFC 9110 5.1: field-name = token
            raise RemoteProtocolError(f"{raw[:40]!r} is not a header field name")
        name = raw.lower()
        if len(_NAMES) < _NAMES_MOST and len(raw) <= 40:
            _NAMES[raw] = name
    # RFC 9112 5: field-line = field-name ":" OWS field-value OWS
    value = value.strip(b" \t")
    if value.translate(None, _FIELD_OCTETS):
        # RFC 9110 5.5: CR, LF and NUL "MUST" be rejected or replaced; other control characters are invalid as well.
        raise RemoteProtocolError(f"the value of the header field {name[:40]!r} holds a control character")
    return name, value


def build_fields(fields: Fields) -> bytes:
    """Field lines with their line ends; the empty line after them is not included. Raises `LocalProtocolError`."""
    block = b"".join([b"%b: %b\r\n" % pair for pair in fields])
    # Only the line ends written here may be control characters.
    if len(block.translate(None, _FIELD_OCTETS)) != 2 * len(fields):
        raise LocalProtocolError("a header field to be sent holds a control character; RFC 9110 5.5 forbids it")
    names = _NAMES
    for name, _ in fields:
        if names.get(name) != name:
            _check_name_out(name)
    return block


def _check_name_out(name: bytes) -> None:
    if not _TOKEN(name):
        raise LocalProtocolError(f"{name!r} cannot be sent: it is not a header field name (RFC 9110 5.1)")
    if name != name.lower():
        # One spelling, so that no check of a name can be passed by writing it otherwise.
        raise LocalProtocolError(f"the header field name {name!r} is to be given in lower case")
    if len(_NAMES) < _NAMES_MOST and len(name) <= 40:
        _NAMES[name] = name.lower()


def list_tokens(value: bytes) -> list[bytes]:
    """The members of a comma-separated list in lower case, empty ones dropped (RFC 9110 section 5.6.1)."""
    return [token for part in value.lower().split(b",") if (token := part.strip(b" \t"))]


# Request lines


def parse_request_line(line: bytes) -> tuple[str, bytes, str]:
    """Method, target and version ("1.1") of a request line. `build_request_line` is its pair."""
    # RFC 9112 3: request-line = method SP request-target SP HTTP-version. A recipient MAY split on any white space;
    # single spaces only leaves one reading.
    parts = line.split(b" ")
    if len(parts) != 3:
        raise RemoteProtocolError("the request line is not a method, a target and a version with one space between")
    raw_method, target, raw_version = parts
    version = _VERSIONS.get(raw_version)
    if version is None:
        raise _bad_version(raw_version)
    method = _METHODS.get(raw_method)
    if method is None:
        # RFC 9110 9.1: method = token
        if not _TOKEN(raw_method):
            raise RemoteProtocolError(f"{raw_method[:40]!r} is not a method")
        method = raw_method.decode("ascii")
    if target[:1] != b"/" or target.translate(None, _TARGET_OCTETS) or method == "CONNECT":
        check_target(method, target)
    return method, target, version


def _bad_version(raw: bytes) -> RemoteProtocolError:
    # RFC 9112 2.3: HTTP-version = "HTTP" "/" DIGIT "." DIGIT, "HTTP" in capitals.
    if not _VERSION(raw):
        return RemoteProtocolError(f"{raw[:40]!r} is not an HTTP version")
    # RFC 9110 15.6.6: 505 refuses a version. No HTTP/1.2 exists, so a minor version above 1 is no sender's honest one,
    # although RFC 9110 6.2 would let it be read as 1.1.
    return RemoteProtocolError(f"{raw.decode()} is not spoken here, only HTTP/1.0 and HTTP/1.1", 505)


def check_target(method: str, target: bytes) -> None:
    """Refuse a target that has none of the four forms of RFC 9112 section 3.2."""
    if not target or target.translate(None, _TARGET_OCTETS):
        raise RemoteProtocolError(f"the target {target[:40]!r} holds a character that must be percent-encoded")
    if method == "CONNECT":
        # RFC 9112 3.2.3: authority-form = uri-host ":" port, "only used for CONNECT requests"
        found = _AUTHORITY(target)
        if not found or not found[1] or not found[2]:
            raise RemoteProtocolError(f"the target of CONNECT is not host:port: {target[:40]!r}")
    elif target == b"*":
        # RFC 9112 3.2.4: "The asterisk-form of request-target is only used for a server-wide OPTIONS request"
        if method != "OPTIONS":
            raise RemoteProtocolError(f'the target "*" is for OPTIONS only, not for {method[:40]}')
    elif target[:1] != b"/":
        # RFC 9112 3.2.2: absolute-form; "a server MUST accept" it.
        found = _ABSOLUTE(target)
        if not found or not found[1] or not _AUTHORITY(found[1]):
            raise RemoteProtocolError(f"{target[:40]!r} is neither a path nor an absolute http URI")


def authority_of(target: bytes) -> bytes | None:
    """The authority that an absolute-form target carries, or None for the other forms."""
    found = _ABSOLUTE(target)
    return found[1] if found else None


def check_host(value: bytes) -> None:
    """Refuse a Host value that is not `uri-host [":" port]` (RFC 9112 section 3.2)."""
    # The regular expression has the grammar; a plain name or IPv4 address needs no more than a look at its octets.
    if value.translate(None, _NAME_OCTETS) and not _AUTHORITY(value):
        raise RemoteProtocolError(f"the value {value[:60]!r} of the Host field is not a host with an optional port")


def build_request_line(head: RequestHead) -> bytes:
    """The request line with its line end. Raises `LocalProtocolError`."""
    try:
        line = f"{head.method} {head.target} HTTP/1.1".encode("ascii")
        parse_request_line(line)
    except (RemoteProtocolError, UnicodeEncodeError) as error:
        raise LocalProtocolError(f"the request cannot be sent: {error}") from None
    return line + b"\r\n"


# Status lines

# The phrases of RFC 9110, where the standard library's (which differ between its versions) are older.
REASONS: Final = {status.value: status.phrase for status in HTTPStatus} | {
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}
_STATUS_LINES: Final = {status: f"HTTP/1.1 {status} {phrase}\r\n".encode("ascii") for status, phrase in REASONS.items()}


def parse_status_line(line: bytes) -> tuple[int, str, str]:
    """Status, reason phrase and version of a status line. `build_status_line` is its pair."""
    # RFC 9112 4: status-line = HTTP-version SP status-code SP [ reason-phrase ]. The last space is often left out.
    found = _STATUS_LINE(line)
    if not found:
        raise RemoteProtocolError(f"{line[:60]!r} is not the status line of an HTTP/1 response", 502)
    return int(found[2]), (found[3] or b"").decode("latin-1"), "1.1" if found[1] == b"1" else "1.0"


def build_status_line(head: ResponseHead | InformationalHead) -> bytes:
    """The status line with its line end. Raises `LocalProtocolError`."""
    if head.reason is None and (line := _STATUS_LINES.get(head.status)):
        return line
    if not 100 <= head.status <= 999:
        raise LocalProtocolError(f"{head.status} is not a status code: it has three digits (RFC 9110 15)")
    try:
        reason = (head.reason or "").encode("latin-1")
    except UnicodeEncodeError:
        raise LocalProtocolError(f"the reason phrase {head.reason!r} is not ISO-8859-1") from None
    if not _LINE_OUT(reason):
        raise LocalProtocolError("the reason phrase to be sent holds a control character (RFC 9112 4)")
    return b"HTTP/1.1 %d %b\r\n" % (head.status, reason)
