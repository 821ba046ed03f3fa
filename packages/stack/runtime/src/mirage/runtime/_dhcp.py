"""The DHCPv4 client of an interface: `mirage.dhcp` on the stack's own UDP.

It keeps the interface's address, its routes and the name servers as the lease says, for as long as the loop runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import struct
from typing import TYPE_CHECKING

from mirage import dhcp
from mirage.tcpip import NetworkFailure, TcpipError
from mirage.tcpip.wire.checksum import ones_sum
from mirage.types import FrameMeta, Random

from ._names import DnsNames

if TYPE_CHECKING:
    from mirage.tcpip.ip.interface import Interface
    from mirage.tcpip.stack import Stack

    from ._loop import StackEventLoop

__all__ = ["DhcpClient"]

_UDP = 17
_EVERYBODY = b"\xff" * 6


class DhcpClient:
    """Gets a lease, and keeps it. The owner of the UDP endpoint at port 68."""

    def __init__(
        self, loop: StackEventLoop, stack: Stack, interface: Interface, random: Random, names: DnsNames | None = None
    ) -> None:
        """`names` is told of the lease's name servers and domains."""
        self.context = contextvars.copy_context()
        self.bound = asyncio.Event()
        """Set while there is a lease."""
        settings = dhcp.Settings(hardware=interface.mac, broadcast=True)
        self.client = dhcp.Client(settings, random)
        self._loop = loop
        self._stack = stack
        self._interface = interface
        self._names = names
        self._mtu = interface.mtu
        self._lease: dhcp.Lease | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._endpoint = stack.bind(dhcp.CLIENT_PORT, version=4, interface=interface, reuse=True)
        self._endpoint.broadcast = True
        self._endpoint.owner = self
        stack.ip.on_duplicate.append(self._duplicate)
        self.client.start(loop.time())
        self._turn()

    def news(self) -> None:
        """Datagrams have come."""
        while (datagram := self._endpoint.read()) is not None:
            self.client.input(datagram.data, self._loop.time())
        self._endpoint.take_error()
        self._turn()

    def close(self) -> None:
        """Give the lease back and stop."""
        self.client.release(self._loop.time())
        self._send()
        if self._timer is not None:
            self._timer.cancel()
        self._endpoint.owner = None
        self._endpoint.close()
        self._stack.ip.on_duplicate.remove(self._duplicate)
        if self._lease is not None:
            self._drop(self._lease)

    def _duplicate(self, interface: Interface, address: bytes) -> None:
        """The stack has given an address up, because another host has it (RFC 5227 2.1): the server has to know, and to
        give another one (RFC 2131 section 3.1.5)."""
        lease = self.client.lease
        if interface is self._interface and lease is not None and lease.address.packed == address:
            self.client.decline(self._loop.time())
            self._loop.call_soon(self._turn)

    def restart(self) -> None:
        """Ask whether the lease still holds, as after a resume from a snapshot (RFC 2131 section 3.2)."""
        lease, self._lease = self._lease, None
        if lease is not None:
            self._drop(lease)
        self.client.start(self._loop.time(), reboot=lease.address if lease is not None else None)
        self._turn()

    def _turn(self) -> None:
        self._send()
        for event in self.client.take_events():
            if isinstance(event, dhcp.Check):
                self.client.confirm(self._loop.time())  # the stack looks for duplicates itself (RFC 5227 2.1)
                self._send()
            elif isinstance(event, (dhcp.Bound, dhcp.Renewed)):
                self._use(event.lease)
            elif isinstance(event, dhcp.Lost):
                self._drop(event.lease)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self.client.next_deadline()
        if deadline is not None:
            self._timer = self._loop.call_at(max(deadline, self._loop.time()), self._turn)

    def _send(self) -> None:
        now = self._loop.time()
        for datagram in self.client.poll(now):
            if int(datagram.source):
                with contextlib.suppress(TcpipError):  # it is sent again
                    self._endpoint.send(
                        datagram.payload, datagram.destination.packed, datagram.destination_port, now=now
                    )
            else:
                self._interface.output.append((FrameMeta(), [_frame(self._interface.mac, datagram)]))

    def _use(self, lease: dhcp.Lease) -> None:
        if self._lease is not None and self._lease != lease:
            self._drop(self._lease, keep=self._lease.address == lease.address)
        ip, interface = self._stack.ip, self._interface
        if self._lease is None or self._lease.address != lease.address:
            ip.add_address(interface, lease.address.packed, lease.prefix_length)
        for route in lease.routes:
            gateway = route.router if int(route.router) else None
            with contextlib.suppress(NetworkFailure):
                ip.add_route(route.destination, gateway, interface)
        self._limit(lease.mtu)
        if self._names is not None and lease.dns_servers:
            self._names.learn("dhcp", map(str, lease.dns_servers), lease.search)
        self._lease = lease
        self.bound.set()

    def _limit(self, mtu: int | None) -> None:
        """What a packet may have on this network: what the lease says (RFC 2132 5.1), never more than the device."""
        mtu = self._mtu if mtu is None else min(mtu, self._mtu)
        if mtu != self._interface.mtu:
            self._interface.mtu = mtu
            self._stack.ip.routes.touch()

    def _drop(self, lease: dhcp.Lease, keep: bool = False) -> None:
        ip, interface = self._stack.ip, self._interface
        for route in lease.routes:
            ip.remove_route(route.destination, route.router if int(route.router) else None, interface)
        if not keep:
            ip.remove_address(interface, lease.address.packed)
            self._limit(None)
            self._lease = None
            self.bound.clear()


def _frame(mac: bytes, datagram: dhcp.Datagram) -> bytes:
    """A datagram from a host without an address: IP would not send it (RFC 2131 section 4.1)."""
    length = 8 + len(datagram.payload)
    addresses = datagram.source.packed + datagram.destination.packed
    udp = struct.pack(">HHHH", datagram.source_port, datagram.destination_port, length, 0) + datagram.payload
    checksum = 65535 - (ones_sum(addresses) + _UDP + length + ones_sum(udp)) % 65535
    header = struct.pack(">BBHHHBBH", 0x45, 0, 20 + length, 0, 0, 64, _UDP, 0) + addresses
    header = header[:10] + (65535 - ones_sum(header)).to_bytes(2, "big") + header[12:]
    target = datagram.link if datagram.link is not None else _EVERYBODY
    return target + mac + b"\x08\x00" + header + udp[:6] + checksum.to_bytes(2, "big") + udp[8:]
