"""Neighbour solicitations and advertisements (RFC 4861 4.3, 4.4, 7.2), on the side of a host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import WireError
from ..wire import ethernet, icmp, ipv6
from ..wire.checksum import ones_sum
from ..wire.icmp import Icmp
from .neighbours import Reachability

if TYPE_CHECKING:
    from .interface import Interface
    from .layer import Ip
    from .packet import Packet

__all__ = ["ADVERTISEMENT", "SOLICITATION", "advertise", "received", "solicit", "solicited_node"]

SOLICITATION, ADVERTISEMENT = 135, 136
_SOURCE_LINK, _TARGET_LINK, _NONCE = 1, 2, 14
_ROUTER, _SOLICITED, _OVERRIDE = 0x80, 0x40, 0x20
_ALL_NODES = b"\xff\x02" + bytes(13) + b"\x01"
_HOP_LIMIT = 255
_ICMP6 = 58
_UNSPECIFIED = bytes(16)


def solicited_node(address: bytes) -> bytes:
    """The group that a solicitation for an address is sent to (RFC 4291 2.7.1)."""
    return b"\xff\x02" + bytes(9) + b"\x01\xff" + address[13:]


def options(data: memoryview) -> dict[int, bytes]:
    """The options of a message, the first of each kind (RFC 4861 4.6). Raises `WireError`."""
    found: dict[int, bytes] = {}
    at = 0
    while at < len(data):
        if at + 2 > len(data) or not data[at + 1] or at + data[at + 1] * 8 > len(data):
            raise WireError("an NDP option of an impossible length (RFC 4861 4.6)")
        found.setdefault(data[at], bytes(data[at + 2 : at + data[at + 1] * 8]))
        at += data[at + 1] * 8
    return found


def send(ip: Ip, interface: Interface, source: bytes, destination: bytes, mac: bytes, kind: int, body: bytes) -> None:
    """Put an NDP message on the link; the first four octets of `body` belong to the header."""
    message = icmp.build6(kind, 0, body[:4], body[4:], ones_sum(source + destination))
    header = ipv6.build(len(message), _ICMP6, source, destination, hop_limit=_HOP_LIMIT)
    ip.transmit_plain(interface, mac, ethernet.IPV6, [header, message])


def solicit(
    ip: Ip, interface: Interface, target: bytes, mac: bytes | None, source: bytes, nonce: bytes | None = None
) -> None:
    """Ask for the Ethernet address of `target`: at `mac`, or in its group. From `::` it asks for a duplicate, with six
    octets of `nonce` by which the question is known again (RFC 7527)."""
    destination = target if mac is not None else solicited_node(target)
    link = bytes([_SOURCE_LINK, 1]) + interface.mac if source != _UNSPECIFIED else b""
    if nonce is not None:
        link = bytes([_NONCE, 1]) + nonce
    send(
        ip,
        interface,
        source,
        destination,
        mac or ethernet.group_mac(destination),
        SOLICITATION,
        bytes(4) + target + link,
    )


def advertise(ip: Ip, interface: Interface, address: bytes, destination: bytes, mac: bytes, solicited: bool) -> None:
    """Say that `address` is here."""
    flags = _OVERRIDE | (_ROUTER if interface.router else 0) | (_SOLICITED if solicited else 0)
    body = bytes([flags, 0, 0, 0]) + address + bytes([_TARGET_LINK, 1]) + interface.mac
    send(ip, interface, address, destination, mac, ADVERTISEMENT, body)


def received(ip: Ip, packet: Packet, message: Icmp, sender_mac: bytes, now: float) -> None:
    """A solicitation or an advertisement. Raises `WireError`."""
    if packet.hop_limit != _HOP_LIMIT or message.code != 0:
        raise WireError("an NDP message from beyond the link (RFC 4861 7.1)")
    if len(message.body) < 16:
        raise WireError("an NDP message without its target")
    target = bytes(message.body[:16])
    if target[0] == 0xFF:
        raise WireError("an NDP message about a group")
    known = options(message.body[16:])
    if message.kind == SOLICITATION:
        if not ip.duplicates.is_ours(packet.interface, target, known.get(_NONCE)):
            _solicited(ip, packet, target, known.get(_SOURCE_LINK), sender_mac, now)
    else:
        _advertised(ip, packet, message, target, known.get(_TARGET_LINK), now)


def _solicited(ip: Ip, packet: Packet, target: bytes, link: bytes | None, sender_mac: bytes, now: float) -> None:
    interface = packet.interface
    own = interface.addresses.get(target)
    if own is None:
        if interface.transparent and packet.source != _UNSPECIFIED and ip.proxies(interface, target):
            advertise(ip, interface, target, packet.source, sender_mac, True)
        return
    probing = packet.source == _UNSPECIFIED
    if own.tentative:
        if probing:
            ip.duplicates.found(interface, target, now)  # somebody else asks whether it is free (RFC 4862 5.4.3)
        return
    if probing:
        advertise(ip, interface, target, _ALL_NODES, ethernet.group_mac(_ALL_NODES), False)
        return
    if link is not None:
        ip.neighbours.heard(interface, packet.source, link[:6], now, solicited=False)
    advertise(ip, interface, target, packet.source, link[:6] if link is not None else sender_mac, True)


def _advertised(ip: Ip, packet: Packet, message: Icmp, target: bytes, link: bytes | None, now: float) -> None:
    interface = packet.interface
    own = interface.addresses.get(target)
    if own is not None:
        if own.tentative:
            ip.duplicates.found(interface, target, now)  # RFC 4862 5.4.4
        else:
            ip.counters["ip6.address-conflicts"] += 1
        return
    flags = message.rest[0]
    known = ip.neighbours.known.get((interface.index, target))
    if known is None:
        return  # RFC 4861 7.2.5: nobody asked
    link = link or known.mac  # 7.2.4: in an answer to a question that was put to one host the option may be missing
    if not link:
        return
    if known.mac and known.mac != link[:6] and not flags & _OVERRIDE:
        if known.state is Reachability.REACHABLE:
            known.state = Reachability.STALE
            ip.neighbours.renew(known)
        return
    known.router = bool(flags & _ROUTER)
    solicited = bool(flags & _SOLICITED)
    ip.neighbours.heard(interface, target, link[:6], now, solicited=solicited, create=False)
