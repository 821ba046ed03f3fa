"""Names and services of the link without a server: multicast DNS (RFC 6762) and DNS-SD (RFC 6763).

`Node` is the whole, without I/O; `Mdns` runs it on asyncio, on endpoints that it is given.
"""

from .node import GROUP4, GROUP6, PORT, Changed, Event, Found, Gone, Named, Node, Packet, Settings
from .service import Service
from .shell import Factory, Mdns

__all__ = [
    "GROUP4",
    "GROUP6",
    "PORT",
    "Changed",
    "Event",
    "Factory",
    "Found",
    "Gone",
    "Mdns",
    "Named",
    "Node",
    "Packet",
    "Service",
    "Settings",
]
