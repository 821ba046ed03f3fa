"""Names: a stub and forwarding resolver, an authoritative server, and multicast DNS; messages by dnspython.

`Resolver` asks recursive servers and remembers; `Forwarder` lets others share what it knows; `Authority` answers from
`Zone`s. `serve` puts either at an address. The protocol is in modules without I/O (`exchange`, `lookup`, `cache`,
`zone`, `server`); the asyncio parts use an event loop's endpoints and connections and no sockets, so that they run on
this project's own stack as on the kernel's.
"""

from .cache import Cache
from .errors import (
    BadName,
    BadZone,
    DnsError,
    InvalidMessage,
    LocalMisuse,
    NameNotFound,
    NoData,
    NoServers,
    ResolutionFailed,
    ServersFailed,
    TimedOut,
    TooManyQueries,
)
from .exchange import Exchange, Question, Send
from .forward import Forwarder
from .hosts import Hosts
from .listen import Limits, serve
from .lookup import Answer
from .resolver import Resolver
from .server import Authority
from .settings import NameServer, Settings
from .zone import Zone

__all__ = [
    "Answer",
    "Authority",
    "BadName",
    "BadZone",
    "Cache",
    "DnsError",
    "Exchange",
    "Forwarder",
    "Hosts",
    "InvalidMessage",
    "Limits",
    "LocalMisuse",
    "NameNotFound",
    "NameServer",
    "NoData",
    "NoServers",
    "Question",
    "ResolutionFailed",
    "Resolver",
    "Send",
    "ServersFailed",
    "Settings",
    "TimedOut",
    "TooManyQueries",
    "Zone",
    "serve",
]
