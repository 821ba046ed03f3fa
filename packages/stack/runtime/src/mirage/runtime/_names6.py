"""Name servers over IPv6: what routers advertise (RFC 8106), and what DHCPv6 tells where routers say that it does.

It goes on for as long as the loop runs: servers and domains come and go with their lifetimes. A network of IPv6 alone
is enough for a program that asks for names.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from typing import TYPE_CHECKING

from mirage.tcpip import TcpipError
from mirage.types import Random

from ._names import DnsNames

if TYPE_CHECKING:
    from mirage import dhcp
    from mirage.tcpip.ip.interface import Interface
    from mirage.tcpip.stack import Stack
    from mirage.tcpip.udp import UdpEndpoint

    from ._loop import StackEventLoop

__all__ = ["RouterNames"]


class RouterNames:
    """Keeps the name servers of an interface as routers have them. Owns the UDP endpoint at port 546, if any."""

    def __init__(
        self, loop: StackEventLoop, stack: Stack, interface: Interface, random: Random, names: DnsNames
    ) -> None:
        """`names` is told of servers and domains whenever they change."""
        self.context = contextvars.copy_context()
        self.client: dhcp.Client6 | None = None
        """The client of DHCPv6, for introspection; None while no router says that there is anything to ask for."""
        self._loop = loop
        self._stack = stack
        self._interface = interface
        self._random = random
        self._names = names
        self._endpoint: UdpEndpoint | None = None
        self._timer: asyncio.TimerHandle | None = None
        stack.ip.on_advertised.append(self._advertised)

    def _advertised(self, interface: Interface) -> None:
        """A router has told something new, or what one has told has had its time."""
        if interface is not self._interface:
            return
        self._names.learn("routers", map(str, interface.dns_servers), interface.dns_domains)
        if (interface.other or interface.managed) and self.client is None:
            # Not from within the stack's turn, in which this is called.
            self._loop.call_soon(self._ask)

    def _ask(self) -> None:
        """Begin to ask by DHCPv6 (RFC 4861 4.2, the flags M and O)."""
        if self.client is not None or self._advertised not in self._stack.ip.on_advertised:
            return
        from mirage import dhcp  # most networks have nothing that is to be asked for

        interface = self._interface
        self.client = dhcp.Client6(dhcp.Settings6(duid=dhcp.duid(interface.mac)), self._random)
        self._endpoint = self._stack.bind(dhcp.CLIENT_PORT6, version=6, interface=interface, reuse=True)
        self._endpoint.owner = self
        self.client.start(self._loop.time())
        self._turn()

    def news(self) -> None:
        """Datagrams have come."""
        assert self._endpoint is not None
        assert self.client is not None
        while (datagram := self._endpoint.read()) is not None:
            self.client.input(datagram.data, self._loop.time())
        self._endpoint.take_error()
        self._turn()

    def _turn(self) -> None:
        client, endpoint, now = self.client, self._endpoint, self._loop.time()
        assert client is not None
        assert endpoint is not None
        for datagram in client.poll(now):
            with contextlib.suppress(TcpipError):  # it is sent again
                endpoint.send(datagram.payload, datagram.destination.packed, datagram.destination_port, now=now)
        for event in client.take_events():
            told = event.information
            self._names.learn("dhcp6", map(str, told.dns_servers), told.search)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = client.next_deadline()
        if deadline is not None:
            self._timer = self._loop.call_at(max(deadline, now), self._turn)

    def close(self) -> None:
        """Stop."""
        self._stack.ip.on_advertised.remove(self._advertised)
        if self._timer is not None:
            self._timer.cancel()
        if self._endpoint is not None:
            self._endpoint.owner = None
            self._endpoint.close()
