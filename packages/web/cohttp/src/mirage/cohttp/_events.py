"""What happens on a connection, in the order in which it happens.

One message is a head (`RequestHead`, or `ResponseHead` after any number of `InformationalHead`), any number of `Data`,
and `EndOfMessage`. `ConnectionClosed` says that a side will send nothing more. Events are both what `Connection`
returns and what it is given to send. Header fields are pairs of octets with names in lower case.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Final, TypeAlias

__all__ = [
    "END",
    "NEED_DATA",
    "PAUSED",
    "ConnectionClosed",
    "Data",
    "EndOfMessage",
    "Event",
    "Fields",
    "InformationalHead",
    "Limits",
    "RequestHead",
    "ResponseHead",
    "Signal",
]

Fields: TypeAlias = list[tuple[bytes, bytes]]


class Signal(enum.Enum):
    """What `next_event` answers when there is no event."""

    NEED_DATA = "call receive_data"
    PAUSED = "the rest belongs to the next request: answer this one, then call start_next_cycle"


NEED_DATA: Final = Signal.NEED_DATA
PAUSED: Final = Signal.PAUSED


@dataclass(slots=True)
class RequestHead:
    """Request line and header fields (RFC 9112 sections 3 and 5)."""

    method: str
    target: str
    """As sent: origin, absolute, authority or asterisk form."""
    headers: Fields
    version: str = "1.1"


@dataclass(slots=True)
class InformationalHead:
    """An interim response, 1xx: another head follows (RFC 9110 section 15.2)."""

    status: int
    headers: Fields = field(default_factory=list)
    reason: str | None = None


@dataclass(slots=True)
class ResponseHead:
    """Status line and header fields of a final response (RFC 9112 section 4)."""

    status: int
    headers: Fields = field(default_factory=list)
    reason: str | None = None
    """The phrase of the standard where it is None."""
    version: str = "1.1"


@dataclass(slots=True)
class Data:
    """A part of the content. Where parts begin and end means nothing."""

    data: bytes


@dataclass(slots=True)
class EndOfMessage:
    """The message is complete; `trailers` are the fields after a chunked body (RFC 9112 section 7.1.2)."""

    trailers: Fields = field(default_factory=list)


@dataclass(slots=True)
class ConnectionClosed:
    """That side has closed its direction, between messages."""


END: Final = EndOfMessage()
"""The end without trailers. Shared: leave its list alone."""

Event: TypeAlias = RequestHead | InformationalHead | ResponseHead | Data | EndOfMessage | ConnectionClosed


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that the other side may send, in octets unless said otherwise; None lifts a limit."""

    start_line: int = 8192
    """The request line (414 beyond it) or status line. RFC 9112 3: at least 8000 is recommended."""
    header_block: int = 32768
    """All header field lines together (431)."""
    header_count: int = 100
    """How many header field lines (431)."""
    body: int | None = 1 << 26
    """The content of one message (413)."""
    trailer_block: int = 4096
    """All trailer field lines together (431)."""
    chunk_line: int = 256
    """One chunk-size line with its extensions."""
    chunk_extensions: int = 16384
    """All chunk extensions of one message together."""
