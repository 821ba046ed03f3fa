"""What a network does for its hosts: addresses by DHCP (RFC 2131), prefixes by router advertisements (RFC 4861), and
who is there, learned from what hosts say when they take an address.

These are looked for among the frames themselves, because their senders have no address yet.
"""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING

from mirage.dhcp import BROADCAST, CLIENT_PORT, SERVER_PORT, Limits, Network, Option, Server

from .frames import icmp6_frame, udp4_frame
from .plan import ROUTER_LINK_LOCAL

if TYPE_CHECKING:
    from ._inside import Inside

__all__ = ["Hosts", "advertisement"]

_IP4, _IP6 = b"\x08\x00", b"\x86\xdd"
_UDP, _ICMP6 = 17, 58
_LINK_LOCAL = b"\xfe\x80"
_SHORTEST = 14 + 40 + 8
"""Octets of a frame with a router solicitation; messages about a neighbour have its address too."""
_BROADCAST = b"\xff" * 6
_ALL_NODES = bytes.fromhex("ff020000000000000000000000000001")
_ALL_NODES_MAC = bytes.fromhex("333300000001")
_SOLICIT_ROUTER, _SOLICIT_NEIGHBOUR, _ADVERTISE_NEIGHBOUR = 133, 135, 136
_INTERVAL = 200.0
"""Seconds between advertisements that nobody asked for (RFC 4861 6.2.1)."""
_LIFETIME = 1800
"""Seconds that hosts use the gateway, its prefix and its name server without hearing of it."""
_PREFERRED, _VALID = 14400, 86400
_LEASE = 86400
_KNOWN = 4096


class Hosts:
    """The hosts of a network, and what they are told."""

    def __init__(self, inside: Inside) -> None:
        self._inside = inside
        plan = inside.plan
        self.ipv6: dict[bytes, bytes] = {}
        """By Ethernet address: the address within the plan's prefix that the host took first."""
        options: dict[int, bytes] = {
            Option.ROUTERS: plan.gateway4.packed,
            Option.DNS_SERVERS: plan.names4.packed,
            Option.BROADCAST_ADDRESS: plan.ipv4.broadcast_address.packed,
            Option.MTU: plan.mtu.to_bytes(2, "big"),
        }
        self._server = Server(
            [
                Network(
                    network=plan.ipv4,
                    server=plan.gateway4,
                    ranges=((plan.guest4(), plan.guest4(plan.guests - 1)),),
                    reservations={plan.mac(number): plan.guest4(number) for number in range(min(plan.guests, 64))},
                    options=options,
                    lease_time=_LEASE,
                )
            ],
            limits=Limits(),
        )
        self._advertisement = advertisement(inside)
        self._prefix = plan.ipv6.network_address.packed[:8]
        self._timer: asyncio.TimerHandle | None = None
        inside.peek = self.peek
        self._advertise()

    def guest(self, version: int, number: int = 0) -> bytes:
        """Where a guest is, by IPv6 if that is wanted and it has an address; else by IPv4."""
        plan = self._inside.plan
        if version == 6:
            found = self.ipv6.get(plan.mac(number))
            if found is not None:
                return found
        return plan.guest4(number).packed

    def peek(self, frame: memoryview, now: float) -> None:
        """A frame that may be of DHCP or NDP."""
        kind = frame[12:14]
        if kind == _IP6:
            if len(frame) >= _SHORTEST and frame[20] == _ICMP6:
                self._ndp(frame)
        elif kind == _IP4 and len(frame) >= 42 and frame[23] == _UDP and frame[14] == 0x45:
            port, fragment = int.from_bytes(frame[36:38], "big"), int.from_bytes(frame[20:22], "big") & 0x3FFF
            if port == SERVER_PORT and not fragment:
                length = int.from_bytes(frame[38:40], "big")
                self._dhcp(frame[42 : 34 + length], bytes(frame[6:12]), now)

    def _dhcp(self, message: memoryview, sender: bytes, now: float) -> None:
        self._server.input(message, now)
        inside = self._inside
        for reply in self._server.poll(now):
            if reply.destination_port != CLIENT_PORT:
                continue  # there is no relay on this network
            source = reply.source.packed, reply.source_port
            destination = reply.destination.packed, reply.destination_port
            to = _BROADCAST if reply.destination == BROADCAST else reply.link or sender
            inside.inject(udp4_frame(inside.mac, to, source, destination, reply.payload))

    def _ndp(self, frame: memoryview) -> None:
        kind = frame[54]
        if kind == _SOLICIT_ROUTER:
            self._send(bytes(frame[6:12]) if any(frame[22:38]) else _ALL_NODES_MAC)
        elif kind in {_SOLICIT_NEIGHBOUR, _ADVERTISE_NEIGHBOUR} and len(frame) >= _SHORTEST + 16:
            # A solicitation from the unspecified address is duplicate address detection (RFC 4862 5.4.2).
            probes = not any(frame[22:38])
            taken = frame[62:78] if probes or kind == _ADVERTISE_NEIGHBOUR else frame[22:38]
            self._learn(bytes(frame[6:12]), bytes(taken), probes)

    def _learn(self, mac: bytes, address: bytes, probes: bool) -> None:
        """A host uses an address, or is about to. The first one counts, for later ones may be temporary (RFC 8981)."""
        if address[:8] == self._prefix:
            if mac not in self.ipv6 and len(self.ipv6) < _KNOWN:
                self.ipv6[mac] = address
        elif probes and address[:2] == _LINK_LOCAL:
            self.ipv6.pop(mac, None)  # it begins anew, and says so of its link-local address first

    def _advertise(self) -> None:
        self._send(_ALL_NODES_MAC)
        self._timer = self._inside.loop.call_later(_INTERVAL, self._advertise)

    def _send(self, to: bytes) -> None:
        inside = self._inside
        inside.inject(icmp6_frame(inside.mac, to, ROUTER_LINK_LOCAL.packed, _ALL_NODES, self._advertisement))

    def close(self) -> None:
        """Advertise no more."""
        if self._timer is not None:
            self._timer.cancel()


def advertisement(inside: Inside) -> bytes:
    """A router advertisement (RFC 4861 4.2), its checksum zero: this router, its MTU, its prefix for addresses that
    hosts make themselves (4.6.2), and the name server (RFC 8106 5.1)."""
    plan = inside.plan
    return b"".join(
        (
            struct.pack(">BBHBBHII", 134, 0, 0, 64, 0, _LIFETIME, 0, 0),
            b"\x01\x01",
            inside.mac,
            struct.pack(">BBHI", 5, 1, 0, plan.mtu),
            struct.pack(">BBBBIII", 3, 4, 64, 0xC0, _VALID, _PREFERRED, 0),
            plan.ipv6.network_address.packed,
            struct.pack(">BBHI", 25, 3, 0, _LIFETIME),
            plan.names6.packed,
        )
    )
