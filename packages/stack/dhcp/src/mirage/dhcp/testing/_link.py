"""UDP over IPv4 and ARP on an Ethernet device. No fragments, no routes: everybody is on the link."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address
from typing import NamedTuple

from mirage.types import Network

from .._wire import BROADCAST, Datagram

__all__ = ["DatagramLink", "Received"]

_ETHERNET = struct.Struct("!6s6sH")
_IP = struct.Struct("!BBHHHBBH4s4s")
_UDP = struct.Struct("!HHHH")
_ARP = struct.Struct("!HHBBH6s4s6s4s")
_EVERYBODY = b"\xff" * 6
_IPV4, _ARP_TYPE, _UDP_PROTOCOL = 0x0800, 0x0806, 17


class Received(NamedTuple):
    """A datagram that arrived."""

    source: IPv4Address
    source_port: int
    destination: IPv4Address
    destination_port: int
    payload: bytes


class DatagramLink:
    """Sends and receives datagrams on a device. `address` is the one that ARP is answered for, if any."""

    def __init__(self, network: Network, address: IPv4Address | None = None) -> None:
        self.network = network
        self.address = address
        self.neighbours: dict[IPv4Address, bytes] = {}
        self._waiting: list[Datagram] = []

    def send(self, datagram: Datagram) -> None:
        """Send, asking who has the destination first where that is needed."""
        link = datagram.link or self.neighbours.get(datagram.destination)
        if datagram.destination == BROADCAST:
            link = _EVERYBODY
        if link is None:
            self._waiting.append(datagram)
            self._arp(1, datagram.source, _EVERYBODY, datagram.destination)
            return
        udp = _UDP.pack(datagram.source_port, datagram.destination_port, 8 + len(datagram.payload), 0)
        source, destination = datagram.source.packed, datagram.destination.packed
        pseudo = source + destination + struct.pack("!HH", _UDP_PROTOCOL, 8 + len(datagram.payload))
        total = _sum(pseudo + udp + datagram.payload) or 0xFFFF
        udp = udp[:6] + total.to_bytes(2, "big")
        head = _IP.pack(0x45, 0, 28 + len(datagram.payload), 0, 0, 64, _UDP_PROTOCOL, 0, source, destination)
        head = head[:10] + _sum(head).to_bytes(2, "big") + head[12:]
        self.network.send([_ETHERNET.pack(link, self.network.mac, _IPV4), head, udp, datagram.payload])

    def receive(self) -> list[Received]:
        """The datagrams that have arrived; ARP is answered on the way."""
        found: list[Received] = []
        while (frame := self.network.receive()) is not None:
            octets = bytes(frame)
            kind = int.from_bytes(octets[12:14], "big")
            if kind == _ARP_TYPE and len(octets) >= 14 + _ARP.size:
                self._arp_input(octets)
            elif kind == _IPV4 and len(octets) >= 42 and octets[14] == 0x45 and octets[23] == _UDP_PROTOCOL:
                _, _, size, _, _, _, _, _, source, destination = _IP.unpack_from(octets, 14)
                from_port, to_port, length, _ = _UDP.unpack_from(octets, 34)
                self.neighbours[IPv4Address(source)] = octets[6:12]
                payload = octets[42 : min(14 + size, 34 + length)]
                found.append(Received(IPv4Address(source), from_port, IPv4Address(destination), to_port, payload))
        return found

    def _arp_input(self, octets: bytes) -> None:
        _, _, _, _, operation, sender, sender_address, _, wanted = _ARP.unpack_from(octets, 14)
        self.neighbours[IPv4Address(sender_address)] = sender
        if operation == 1 and self.address is not None and wanted == self.address.packed:
            self._arp(2, self.address, sender, IPv4Address(sender_address))
        waiting, self._waiting = self._waiting, []
        for datagram in waiting:
            if datagram.destination in self.neighbours:
                self.send(datagram)
            else:
                self._waiting.append(datagram)

    def _arp(self, operation: int, source: IPv4Address, link: bytes, destination: IPv4Address) -> None:
        target = bytes(6) if operation == 1 else link
        body = _ARP.pack(1, _IPV4, 6, 4, operation, self.network.mac, source.packed, target, destination.packed)
        self.network.send([_ETHERNET.pack(link, self.network.mac, _ARP_TYPE), body])


def _sum(octets: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    octets += b"\0" * (len(octets) % 2)
    total: int = sum(struct.unpack(f"!{len(octets) // 2}H", octets))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF
