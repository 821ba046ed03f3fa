"""HTTP/1.1 on any I/O.

`Connection` is the protocol itself: octets in, events out, and the other way round, without I/O, time or state outside
of itself. Around it: `serve` (asyncio), `mirage.cohttp.blocking` (sockets and threads), `mirage.cohttp.client`
(asyncio), `mirage.cohttp.testing` (in memory, virtual time). Applications see `Request`, `Response` and `Service`.
"""

from ._connection import Connection
from ._events import (
    NEED_DATA,
    PAUSED,
    ConnectionClosed,
    Data,
    EndOfMessage,
    Event,
    InformationalHead,
    Limits,
    RequestHead,
    ResponseHead,
    Signal,
)
from ._state import Role, State
from .errors import (
    ConnectionLost,
    ContentTooLarge,
    HTTPError,
    LocalProtocolError,
    RemoteProtocolError,
    TimedOut,
    TLSUnavailable,
)
from .message import Body, EmptyBody, FileBody, Headers, Request, RequestBody, Response, Service
from .server import Access, Server, Timeouts, serve

__all__ = [
    "NEED_DATA",
    "PAUSED",
    "Access",
    "Body",
    "Connection",
    "ConnectionClosed",
    "ConnectionLost",
    "ContentTooLarge",
    "Data",
    "EmptyBody",
    "EndOfMessage",
    "Event",
    "FileBody",
    "HTTPError",
    "Headers",
    "InformationalHead",
    "Limits",
    "LocalProtocolError",
    "RemoteProtocolError",
    "Request",
    "RequestBody",
    "RequestHead",
    "Response",
    "ResponseHead",
    "Role",
    "Server",
    "Service",
    "Signal",
    "State",
    "TLSUnavailable",
    "TimedOut",
    "Timeouts",
    "serve",
]
