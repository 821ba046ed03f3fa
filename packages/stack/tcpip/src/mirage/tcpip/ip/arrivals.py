"""From an Ethernet frame to whom it is for: ARP, IPv4, IPv6, ICMP and IGMP of one host.

Nothing that a frame contains makes this raise: what is wrong, or is nobody's here, is counted and dropped, and answered
with an ICMP error where that is allowed (RFC 1122 3.2.2, RFC 4443 2.4).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mirage.types import Checksum, FrameMeta

from ..errors import TcpipError, WireError
from ..wire import arp, ethernet, icmp, igmp, ipv4, ipv6, mld, ndp
from ..wire.checksum import ones_sum
from . import discovery, errors
from .fragments import Whole
from .groups import ALL_NODES4, ALL_NODES6
from .interface import Interface
from .packet import ErrorKind, Packet

if TYPE_CHECKING:
    from .layer import Ip

__all__ = ["Arrivals"]

_ICMP4, _IGMP, _ICMP6 = 1, 2, 58
_FRAGMENT_HEADER = 8
_LENGTH_AT = 4
"""Where the length of the payload stands in an IPv6 header."""
_INCOMPLETE_CHAIN = 3
"""RFC 7112 5: a first fragment that does not have all headers."""
_ABOUT_ADDRESSES = (bytes([ndp.SOLICITATION]), bytes([ndp.ADVERTISEMENT]))


class Arrivals:
    """Takes frames for an `Ip`."""

    def __init__(self, ip: Ip) -> None:
        self._ip = ip

    def frame(self, interface: Interface, meta: FrameMeta, frame: memoryview, now: float) -> None:
        """A frame has come in. Whatever is in it, nothing is raised; what is dropped is counted."""
        self._ip.now = now
        if len(frame) < ethernet.HEADER:
            self._ip.counters["ethernet.malformed"] += 1
            return
        to, kind = bytes(frame[:6]), frame[12] << 8 | frame[13]
        if to != interface.mac and not to[0] & 1:
            self._ip.counters["ethernet.not-for-us"] += 1
            return
        try:
            if kind == ethernet.IPV4:
                self._ip4(interface, meta, frame, now)
            elif kind == ethernet.IPV6:
                self._ip6(interface, meta, frame, now)
            elif kind == ethernet.ARP:
                self._arp(interface, frame, now)
            else:
                self._ip.counters["ethernet.unknown-type"] += 1
        except WireError:
            self._ip.counters["ip.malformed" if kind != ethernet.ARP else "arp.malformed"] += 1
        except TcpipError:
            self._ip.counters["ip.unanswerable"] += 1  # an answer that has no way back

    def _arp(self, interface: Interface, frame: memoryview, now: float) -> None:
        """RFC 826: learn, and answer for this host's addresses."""
        message = arp.parse(frame[ethernet.HEADER :])
        own = interface.addresses.get(message.target)
        if message.sender in interface.addresses:
            self._ip.duplicates.claimed(interface, message.sender, message.sender_mac, now)
            return
        if own is not None and own.checking and not any(message.sender):
            self._ip.duplicates.probed(interface, message.target, None, message.sender_mac, now)
            return
        if any(message.sender) and not message.sender_mac[0] & 1:
            self._ip.neighbours.heard(
                interface,
                message.sender,
                message.sender_mac,
                now,
                solicited=message.operation == arp.REPLY,
                create=own is not None and message.operation == arp.REQUEST,
            )
        proxied = own is None and interface.transparent and self._ip.proxies(interface, message.target)
        if message.operation == arp.REQUEST and ((own is not None and not own.tentative) or proxied):
            reply = arp.Arp(arp.REPLY, interface.mac, message.target, message.sender_mac, message.sender)
            self._ip.transmit_plain(interface, message.sender_mac, ethernet.ARP, [arp.build(reply)])

    def _for_us(self, interface: Interface, destination: bytes, to: int) -> tuple[bool, bool]:
        """Whether a packet is for this host, and whether it came to a group or a broadcast."""
        group = bool(to & 1)
        own = interface.addresses.get(destination)
        if own is not None and not own.tentative:
            return True, group
        if interface is self._ip.loopback and self._ip.is_local(destination):
            return True, group
        if self._ip.is_group(destination):
            return destination in interface.groups or destination in {ALL_NODES6, ALL_NODES4}, True
        if self._ip.is_broadcast(interface, destination):
            return True, True
        if any(destination in other.addresses for other in self._ip.interfaces.values()):
            return True, group  # RFC 1122 3.3.4.2, the weak model: an address belongs to the host
        return interface.transparent and self._ip.is_unicast(destination), group

    def _ip4(self, interface: Interface, meta: FrameMeta, frame: memoryview, now: float) -> None:
        packet = frame[ethernet.HEADER :]
        header = ipv4.parse(packet)
        if meta.checksum is Checksum.COMPLETE and ones_sum(packet[: header.length]):
            self._ip.counters["ip4.bad-checksum"] += 1
            return
        packet = packet[: header.total]
        if header.length > ipv4.HEADER and ipv4.source_routed(packet[ipv4.HEADER : header.length]):
            self._ip.counters["ip4.source-routed"] += 1  # RFC 7126 4.3, 4.4: nobody honest sends these
            return
        mine, group = self._for_us(interface, header.destination, frame[0])
        if not mine:
            self._ip.counters["ip4.not-for-us"] += 1
            return
        if header.source != bytes(4) and (
            not self._ip.is_unicast(header.source) or self._ip.is_broadcast(interface, header.source)
        ):
            self._ip.counters["ip4.bad-source"] += 1
            return
        payload, checksum = packet[header.length :], meta.checksum
        if header.fragment:
            key = (interface.index, header.source, header.destination, header.identification, header.protocol)
            more = bool(header.flags & ipv4.MORE_FRAGMENTS)
            whole = self._ip.reassembly.add(key, header.offset, payload, more, packet, now)
            if whole is None:
                return
            payload, packet, checksum = memoryview(whole.payload), whole.first, Checksum.COMPLETE
        self._up(
            Packet(
                interface,
                header.source,
                header.destination,
                header.protocol,
                payload,
                checksum,
                header.hop_limit,
                header.traffic_class,
                packet,
                group,
            ),
            frame,
            now,
        )

    def _ip6(self, interface: Interface, meta: FrameMeta, frame: memoryview, now: float) -> None:
        packet = frame[ethernet.HEADER :]
        header = ipv6.parse(packet)
        packet = packet[: ipv6.HEADER + header.payload]
        mine, group = self._for_us(interface, header.destination, frame[0])
        if not mine:
            self._ip.counters["ip6.not-for-us"] += 1
            return
        if header.source[0] == 0xFF:
            self._ip.counters["ip6.bad-source"] += 1
            return
        about = Packet(
            interface,
            header.source,
            header.destination,
            header.next_header,
            packet[ipv6.HEADER :],
            meta.checksum,
            header.hop_limit,
            header.traffic_class,
            packet,
            group,
        )
        try:
            inner = ipv6.walk(packet, header.next_header)
        except ipv6.BadExtension as bad:
            about = about._replace(group=about.group and not bad.to_groups)
            errors.report(self._ip, ErrorKind.PARAMETER_PROBLEM, about, now, code=bad.code, pointer=bad.pointer)
            raise
        payload, protocol, checksum = packet[inner.offset :], inner.protocol, meta.checksum
        if inner.fragment is not None and inner.protocol == ipv6.FRAGMENT:
            fragment = inner.fragment
            if (problem := _unfit(packet, inner.offset, fragment)) is not None:
                self._ip.counters["fragments.malformed"] += 1
                code, pointer = problem
                errors.report(self._ip, ErrorKind.PARAMETER_PROBLEM, about, now, code=code, pointer=pointer)
                return
            key = (interface.index, header.source, header.destination, fragment.identification, -1)
            whole = self._ip.reassembly.add(key, fragment.offset, payload, fragment.more, packet, now)
            if whole is None:
                return
            packet, checksum = _unfragmented(whole), Checksum.COMPLETE
            inner = ipv6.walk(packet, packet[6])
            if inner.protocol == ipv6.FRAGMENT:
                raise WireError("a fragment within fragments")
            payload, protocol = packet[inner.offset :], inner.protocol
        whole_packet = about._replace(protocol=protocol, payload=payload, checksum=checksum, packet=packet)
        self._up(whole_packet, frame, now, inner.pointer)

    def _up(self, packet: Packet, frame: memoryview, now: float, pointer: int = 0) -> None:
        """Hand a whole packet to whom it is for; `pointer` is where its protocol's number stands."""
        protocol = packet.protocol
        # RFC 1122 3.2.1.3 (g): whoever trusts this host's own addresses shall not be fooled by the link. Only that
        # another host has our address has to be heard.
        ours = packet.interface is not self._ip.loopback and self._ip.is_local(packet.source)
        if ours and (protocol != _ICMP6 or packet.payload[:1] not in _ABOUT_ADDRESSES):
            self._ip.counters["ip.spoofed"] += 1
            return
        if protocol == (_ICMP4 if len(packet.source) == 4 else _ICMP6):
            self._icmp(packet, frame, now)
            return
        if protocol == _IGMP and len(packet.source) == 4:
            query = igmp.parse_query(packet.payload)
            if query is not None:
                self._ip.groups.query(packet.interface, query, 4, now)
            return
        receiver = self._ip.receivers.get(protocol)
        if receiver is not None:
            receiver(packet, now)
        elif protocol != ipv6.NO_NEXT:
            self._ip.counters["ip.unknown-protocol"] += 1
            errors.report(self._ip, ErrorKind.PROTOCOL_UNREACHABLE, packet, now, pointer=pointer)

    def _icmp(self, packet: Packet, frame: memoryview, now: float) -> None:
        message = icmp.parse(packet.payload)
        version6 = len(packet.source) == 16
        total = ones_sum(packet.payload)
        if version6:
            total += ones_sum(packet.source) + ones_sum(packet.destination) + _ICMP6 + len(packet.payload)
        if packet.checksum is not Checksum.PARTIAL and total % 65535:
            self._ip.counters["icmp.bad-checksum"] += 1
            return
        if message.kind == (icmp.ECHO_REQUEST6 if version6 else icmp.ECHO_REQUEST4):
            self._echo(packet, message, now)
        elif version6 and message.kind in discovery.KINDS:
            discovery.received(self._ip, packet, message, bytes(frame[6:12]), now)
        elif version6 and message.kind == mld.QUERY:
            # RFC 3810 5.1.14: only what cannot have come from beyond the link
            if packet.hop_limit == 1 and packet.source[:2] == b"\xfe\x80":
                self._ip.groups.query(packet.interface, mld.parse_query(message.rest, message.body), 16, now)
        elif message.kind == icmp.REDIRECT4 and not version6:
            self._redirect4(packet, message, now)
        elif message.kind == (icmp.ECHO_REPLY6 if version6 else icmp.ECHO_REPLY4) or (
            version6 and message.kind >= icmp.ECHO_REQUEST6
        ):
            receiver = self._ip.receivers.get(packet.protocol)
            if receiver is not None:
                receiver(packet, now)
        else:
            error = errors.heard(packet, message)
            if error is None or error.protocol not in self._ip.error_receivers:
                return
            if not self._ip.is_local(error.local) and not packet.interface.transparent:
                self._ip.counters["icmp.errors-refused"] += 1  # about nothing that was sent from here
                return
            self._ip.counters["icmp.errors-heard"] += 1
            self._ip.error_receivers[error.protocol](error, now)

    def _redirect4(self, packet: Packet, message: icmp.Icmp, now: float) -> None:
        if not self._ip.settings.accept_redirects:
            self._ip.counters["ip4.redirects-ignored"] += 1
        elif len(message.body) >= ipv4.HEADER and self._ip.is_unicast(destination := bytes(message.body[16:20])):
            # RFC 1122 3.2.2.2: whatever the code, it is for one host
            self._ip.redirect(packet.interface, packet.source, destination, message.rest, now)

    def _echo(self, packet: Packet, message: icmp.Icmp, now: float) -> None:
        """Answer an echo request (RFC 1122 3.2.2.6, RFC 4443 4.2); of IPv4 not one to a broadcast."""
        version6 = len(packet.source) == 16
        if not self._ip.is_unicast(packet.source) or (packet.group and not version6):
            return
        local = packet.destination if self._ip.is_local(packet.destination) else None
        if local is None and not packet.group:
            return  # of a transparent interface: nobody knows whether that host is there
        path = self._ip.path(packet.source, now, local=local, interface=packet.interface)
        if version6:
            answer = icmp.build6(icmp.ECHO_REPLY6, 0, message.rest, message.body, path.pseudo_sum)
        else:
            answer = icmp.build4(icmp.ECHO_REPLY4, 0, message.rest, message.body)
        path.send(packet.protocol, [answer], now, fragment=True)


def _unfit(packet: memoryview, at: int, fragment: ipv6.Fragment6) -> tuple[int, int] | None:
    """What is wrong with a fragment whose octets begin `at`: code and pointer of the Parameter Problem that tells of it
    (RFC 8200 4.5); None for nothing."""
    size = len(packet) - at
    if fragment.more and size % 8:
        return 0, _LENGTH_AT
    if fragment.offset + size > 65535:
        return 0, at - _FRAGMENT_HEADER + 2
    if not fragment.offset and not ipv6.holds_headers(packet, fragment.next_header, at):
        return _INCOMPLETE_CHAIN, 0
    return None


def _unfragmented(whole: Whole) -> memoryview:
    """The IPv6 packet without its fragment header (RFC 8200 4.5). Raises `WireError`."""
    inner = ipv6.walk(whole.first, whole.first[6])
    assert inner.fragment is not None
    before = bytearray(whole.first[: inner.offset - _FRAGMENT_HEADER])
    size = len(before) - ipv6.HEADER + len(whole.payload)
    if size > 65535:
        raise WireError("fragments of an IPv6 packet that is too long")
    before[inner.pointer] = inner.fragment.next_header
    before[4:6] = size.to_bytes(2, "big")
    return memoryview(bytes(before) + whole.payload)
