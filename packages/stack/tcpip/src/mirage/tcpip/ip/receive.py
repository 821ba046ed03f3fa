"""What arrives in IP packets: checked, put together, and handed to whom it is for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mirage.types import Checksum, FrameMeta

from ..errors import WireError
from ..wire import ethernet, groups, icmp, ipv4, ipv6, router
from ..wire.checksum import ones_sum
from . import errors, ndp
from .fragments import Whole
from .packet import ErrorKind, Packet

if TYPE_CHECKING:
    from .interface import Interface
    from .layer import Ip

__all__ = ["packet4", "packet6"]

_ICMP4, _TCP, _ICMP6 = 1, 6, 58
_FRAGMENT_HEADER = 8
_ALL_NODES6, _ALL_SYSTEMS4 = b"\xff\x02" + bytes(13) + b"\x01", b"\xe0\0\0\1"


def _for_us(ip: Ip, interface: Interface, destination: bytes, to: int) -> tuple[bool, bool]:
    """Whether a packet is for this host, and whether it came to a group or a broadcast."""
    group = bool(to & 1)
    own = interface.addresses.get(destination)
    if own is not None:
        return not own.tentative, group
    if interface is ip.loopback and ip.is_local(destination):
        return True, group
    if ip.is_group(destination):
        joined = destination in interface.groups or destination in {_ALL_NODES6, _ALL_SYSTEMS4}
        return joined, True
    if ip.is_broadcast(interface, destination):
        return True, True
    if ip.has(destination):
        return True, group  # RFC 1122 3.3.4.2, the weak model: an address belongs to the host
    return interface.transparent and ip.is_unicast(destination), group


def packet4(ip: Ip, interface: Interface, meta: FrameMeta, frame: memoryview, now: float) -> None:
    """An IPv4 packet in a frame. Raises `WireError`."""
    packet = frame[ethernet.HEADER :]
    header = ipv4.parse(packet)
    if meta.checksum is Checksum.COMPLETE and ones_sum(packet[: header.length]):
        ip.counters["ip4.bad-checksum"] += 1
        return
    packet = packet[: header.total]
    mine, group = _for_us(ip, interface, header.destination, frame[0])
    if not mine:
        ip.counters["ip4.not-for-us"] += 1
        return
    if header.source != bytes(4) and not _may_come(ip, interface, header.source):
        ip.counters["ip4.bad-source"] += 1
        return
    payload, checksum = packet[header.length :], meta.checksum
    if header.fragment:
        key = (interface.index, header.source, header.destination, header.identification, header.protocol)
        more = bool(header.flags & ipv4.MORE_FRAGMENTS)
        whole = ip.reassembly.add(key, header.offset, payload, more, packet, now)
        if whole is None:
            return
        payload, packet, checksum = memoryview(whole.payload), whole.first, Checksum.COMPLETE
    _up(
        ip,
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


def packet6(ip: Ip, interface: Interface, meta: FrameMeta, frame: memoryview, now: float) -> None:
    """An IPv6 packet in a frame. Raises `WireError`."""
    packet = frame[ethernet.HEADER :]
    header = ipv6.parse(packet)
    packet = packet[: ipv6.HEADER + header.payload]
    mine, group = _for_us(ip, interface, header.destination, frame[0])
    if not mine:
        ip.counters["ip6.not-for-us"] += 1
        return
    if any(header.source) and not _may_come(ip, interface, header.source):
        ip.counters["ip6.bad-source"] += 1
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
        about = about._replace(group=group and not bad.to_groups)
        errors.report(ip, ErrorKind.PARAMETER_PROBLEM, about, now, code=bad.code, pointer=bad.pointer)
        raise
    payload, protocol, checksum = packet[inner.offset :], inner.protocol, meta.checksum
    if inner.fragment is not None and inner.protocol == ipv6.FRAGMENT:
        fragment = inner.fragment
        key = (interface.index, header.source, header.destination, fragment.identification, -1)
        whole = ip.reassembly.add(key, fragment.offset, payload, fragment.more, packet, now)
        if whole is None:
            return
        packet, checksum = _unfragmented(whole), Checksum.COMPLETE
        inner = ipv6.walk(packet, packet[6])
        if inner.protocol == ipv6.FRAGMENT:
            raise WireError("a fragment within fragments")
        payload, protocol = packet[inner.offset :], inner.protocol
    _up(
        ip,
        about._replace(protocol=protocol, payload=payload, checksum=checksum, packet=packet),
        frame,
        now,
        inner.pointer,
    )


def _may_come(ip: Ip, interface: Interface, source: bytes) -> bool:
    """Whether a packet can be from there: not from a group, nor from outside in this host's own name (RFC 1122
    3.2.1.3, RFC 4291 2.5.3)."""
    return ip.is_unicast(source) and (interface is ip.loopback or not ip.is_local(source))


def _up(ip: Ip, packet: Packet, frame: memoryview, now: float, pointer: int = 0) -> None:
    """Hand a whole packet to whom it is for; `pointer` is where its protocol is told."""
    protocol = packet.protocol
    if protocol == (_ICMP4 if len(packet.source) == 4 else _ICMP6):
        _icmp(ip, packet, frame, now)
        return
    receiver = ip.receivers.get(protocol)
    if receiver is not None:
        receiver(packet, now)
    elif protocol != ipv6.NO_NEXT:
        ip.counters["ip.unknown-protocol"] += 1
        errors.report(ip, ErrorKind.PROTOCOL_UNREACHABLE, packet, now, pointer=pointer)


def _icmp(ip: Ip, packet: Packet, frame: memoryview, now: float) -> None:
    message = icmp.parse(packet.payload)
    version6 = len(packet.source) == 16
    total = ones_sum(packet.payload)
    if version6:
        total += ones_sum(packet.source) + ones_sum(packet.destination) + _ICMP6 + len(packet.payload)
    if packet.checksum is not Checksum.PARTIAL and total % 65535:
        ip.counters["icmp.bad-checksum"] += 1
        return
    if message.kind == (icmp.ECHO_REQUEST6 if version6 else icmp.ECHO_REQUEST4):
        _echo(ip, packet, message, now)
    elif version6 and message.kind in {ndp.SOLICITATION, ndp.ADVERTISEMENT}:
        ndp.received(ip, packet, message, bytes(frame[6:12]), now)
    elif message.kind == (router.REDIRECT if version6 else icmp.REDIRECT4):
        (ip.redirects.received6 if version6 else ip.redirects.received4)(packet, message, now)
    elif version6 and message.kind == groups.QUERY6:
        ip.groups.mld(packet, now)
    elif version6 and message.kind == router.ADVERTISEMENT:
        ip.routers.received(packet, now)
    elif version6 and message.kind == router.SOLICITATION:
        advertiser = ip.advertisers.get(packet.interface.index)
        if advertiser is not None:
            advertiser.solicited(packet, now)
    elif message.kind == (icmp.ECHO_REPLY6 if version6 else icmp.ECHO_REPLY4) or (
        version6 and message.kind >= icmp.ECHO_REQUEST6
    ):
        receiver = ip.receivers.get(packet.protocol)
        if receiver is not None:
            receiver(packet, now)
    else:
        error = errors.heard(packet, message)
        if error is None or not ip.may_send_from(packet.interface, error.local):
            return
        if error.kind is ErrorKind.PACKET_TOO_BIG and error.protocol != _TCP:
            ip.reduce(error, now)  # TCP looks first whether the packet is one of its own (RFC 5927 7)
        receive = ip.error_receivers.get(error.protocol)
        if receive is not None:
            receive(error, now)


def _echo(ip: Ip, packet: Packet, message: icmp.Icmp, now: float) -> None:
    """Answer an echo request (RFC 1122 3.2.2.6, RFC 4443 4.2); of IPv4 not one to a broadcast."""
    version6 = len(packet.source) == 16
    if not ip.is_unicast(packet.source) or (packet.group and not version6):
        return
    local = packet.destination if ip.is_local(packet.destination) else None
    if local is None and not packet.group:
        return  # of a transparent interface: nobody knows whether that host is there
    path = ip.path(packet.source, now, local=local, interface=packet.interface)
    if version6:
        answer = icmp.build6(icmp.ECHO_REPLY6, 0, message.rest, message.body, path.pseudo_sum)
    else:
        answer = icmp.build4(icmp.ECHO_REPLY4, 0, message.rest, message.body)
    path.send(packet.protocol, [answer], now, fragment=True)


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
