"""DHCP for IPv4, client and server, and stateless DHCPv6, as sans-I/O state machines.

`Client` (RFC 2131 section 4.4) gets an address for an interface and keeps it. It takes datagrams and the time, and
gives datagrams and events; it has no sockets, no clock and no randomness of its own: a shell moves the datagrams.
"""

from ._wire import BROADCAST, CLIENT_PORT, SERVER_PORT, Datagram, Message, MessageType, Option, build, parse
from .client import Bound, Check, Client, Event, Lost, Renewed, Settings, State, duid
from .errors import BadConfiguration, DhcpError, InvalidMessage, MessageTooLong
from .lease import Lease
from .options import Route

__all__ = [
    "BROADCAST",
    "CLIENT_PORT",
    "SERVER_PORT",
    "BadConfiguration",
    "Bound",
    "Check",
    "Client",
    "Datagram",
    "DhcpError",
    "Event",
    "InvalidMessage",
    "Lease",
    "Lost",
    "Message",
    "MessageTooLong",
    "MessageType",
    "Option",
    "Renewed",
    "Route",
    "Settings",
    "State",
    "build",
    "duid",
    "parse",
]
