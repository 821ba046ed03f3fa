"""DHCP for IPv4, client and server, and stateless DHCPv6, as sans-I/O state machines.

`Client` (RFC 2131 section 4.4) gets an address for an interface and keeps it, `Server` (section 4.3) gives them out,
`Client6` (RFC 8415 section 18.2.6) asks for what else an IPv6 host needs to know. They take datagrams and the time, and
give datagrams and events; they have no sockets, no clock and no randomness of their own: a shell moves the datagrams.
"""

from ._wire import BROADCAST, CLIENT_PORT, SERVER_PORT, Datagram, Message, MessageType, Option, build, parse
from .client import Bound, Check, Client, Event, Lost, Renewed, Settings, State, duid
from .client6 import CLIENT_PORT6, Client6, Datagram6, Information, Informed, Option6, Settings6
from .errors import BadConfiguration, DhcpError, InvalidMessage, MessageTooLong
from .lease import Lease
from .options import Route
from .pool import Binding, Network, Pool, Standing
from .server import Limits, Server

__all__ = [
    "BROADCAST",
    "CLIENT_PORT",
    "CLIENT_PORT6",
    "SERVER_PORT",
    "BadConfiguration",
    "Binding",
    "Bound",
    "Check",
    "Client",
    "Client6",
    "Datagram",
    "Datagram6",
    "DhcpError",
    "Event",
    "Information",
    "Informed",
    "InvalidMessage",
    "Lease",
    "Limits",
    "Lost",
    "Message",
    "MessageTooLong",
    "MessageType",
    "Network",
    "Option",
    "Option6",
    "Pool",
    "Renewed",
    "Route",
    "Server",
    "Settings",
    "Settings6",
    "Standing",
    "State",
    "build",
    "duid",
    "parse",
]
