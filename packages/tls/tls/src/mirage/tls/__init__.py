"""TLS 1.3 and 1.2, client and server, as a pure state machine: octets and the time go in, octets and events come out.

`client` and `server` make a `Connection` from a configuration; `Connection.handle` takes what arrived and gives what to
send and what happened, or raises a `Failure` that carries its alert. Nothing here opens a socket, reads a clock, draws
randomness or logs.
"""

from ._alerts import Alert
from ._events import (
    ApplicationData,
    EarlyData,
    EarlyDataRejected,
    Event,
    HandshakeDone,
    KeysUpdated,
    PeerClosed,
    Step,
    TicketReceived,
)
from ._info import Info
from .config import ClientConfig, ServerConfig
from .connection import Connection, client, server
from .errors import (
    AlertReceived,
    ConfigurationError,
    Failure,
    NothingInCommon,
    PeerMisbehaved,
    PeerUntrusted,
    TlsError,
    Truncated,
    UsageError,
)
from .identity import Identity
from .tickets import ReplayGuard, Session, TicketKeys

__all__ = [
    "Alert",
    "AlertReceived",
    "ApplicationData",
    "ClientConfig",
    "ConfigurationError",
    "Connection",
    "EarlyData",
    "EarlyDataRejected",
    "Event",
    "Failure",
    "HandshakeDone",
    "Identity",
    "Info",
    "KeysUpdated",
    "NothingInCommon",
    "PeerClosed",
    "PeerMisbehaved",
    "PeerUntrusted",
    "ReplayGuard",
    "ServerConfig",
    "Session",
    "Step",
    "TicketKeys",
    "TicketReceived",
    "TlsError",
    "Truncated",
    "UsageError",
    "client",
    "server",
]
