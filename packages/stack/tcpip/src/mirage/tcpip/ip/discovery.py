"""Neighbour Discovery on the side of a host (RFC 4861): what is sent, and who gets what has come.

Router advertisements are `mirage.tcpip.ip.autoconfiguration`'s, duplicates `mirage.tcpip.ip.duplicates`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import WireError
from ..wire import ethernet, icmp, ipv6, ndp
from ..wire.checksum import ones_sum
from ..wire.icmp import Icmp

if TYPE_CHECKING:
    from .interface import Interface, InterfaceAddress
    from .layer import Ip
    from .packet import Packet

__all__ = ["KINDS", "advertise", "advertise_to_all", "received", "solicit", "solicit_routers", "solicited_node"]

KINDS = {ndp.ROUTER_SOLICITATION, ndp.ROUTER_ADVERTISEMENT, ndp.SOLICITATION, ndp.ADVERTISEMENT, ndp.REDIRECT}
_ROUTER, _SOLICITED, _OVERRIDE = 0x80, 0x40, 0x20
_ALL_NODES, _ALL_ROUTERS = b"\xff\x02" + bytes(13) + b"\x01", b"\xff\x02" + bytes(13) + b"\x02"
_HOP_LIMIT = 255
_ICMP6 = 58
_UNSPECIFIED = bytes(16)


def solicited_node(address: bytes) -> bytes:
    """The group that a solicitation for an address is sent to (RFC 4291 2.7.1)."""
    return b"\xff\x02" + bytes(9) + b"\x01\xff" + address[13:]


def send(ip: Ip, interface: Interface, source: bytes, destination: bytes, mac: bytes, kind: int, body: bytes) -> None:
    """Put an NDP message on the link; the first four octets of `body` belong to the header."""
    message = icmp.build6(kind, 0, body[:4], body[4:], ones_sum(source + destination))
    header = ipv6.build(len(message), _ICMP6, source, destination, hop_limit=_HOP_LIMIT)
    ip.transmit_plain(interface, mac, ethernet.IPV6, [header, message])


def solicit(ip: Ip, interface: Interface, target: bytes, mac: bytes | None, source: bytes, extra: bytes = b"") -> None:
    """Ask for the Ethernet address of `target`: at `mac`, or in its group. From `::` it asks for a duplicate."""
    destination = target if mac is not None else solicited_node(target)
    link = ndp.build_link(ndp.SOURCE_LINK, interface.mac) if source != _UNSPECIFIED else b""
    body = bytes(4) + target + link + extra
    send(ip, interface, source, destination, mac or ethernet.group_mac(destination), ndp.SOLICITATION, body)


def solicit_routers(ip: Ip, interface: Interface) -> None:
    """Ask routers to advertise themselves now (RFC 4861 6.3.7); from `::` while no address is sure (RFC 4429 3.3)."""
    source = interface.link_local(certain=True)
    link = ndp.build_link(ndp.SOURCE_LINK, interface.mac) if source is not None else b""
    mac = ethernet.group_mac(_ALL_ROUTERS)
    send(ip, interface, source or _UNSPECIFIED, _ALL_ROUTERS, mac, ndp.ROUTER_SOLICITATION, bytes(4) + link)


def advertise(ip: Ip, interface: Interface, address: bytes, destination: bytes, mac: bytes, flags: int) -> None:
    """Say that `address` is here."""
    body = bytes([flags, 0, 0, 0]) + address + ndp.build_link(ndp.TARGET_LINK, interface.mac)
    send(ip, interface, address, destination, mac, ndp.ADVERTISEMENT, body)


def advertise_to_all(ip: Ip, interface: Interface, own: InterfaceAddress) -> None:
    """Let routers know of a new address before they have to ask for it (RFC 9131 6.1)."""
    advertise(ip, interface, own.address, _ALL_ROUTERS, ethernet.group_mac(_ALL_ROUTERS), 0)


def received(ip: Ip, packet: Packet, message: Icmp, sender_mac: bytes, now: float) -> None:
    """An NDP message has come. Raises `WireError`."""
    if packet.hop_limit != _HOP_LIMIT or message.code != 0:
        raise WireError("an NDP message from beyond the link (RFC 4861 6.1, 7.1, 8.1)")
    kind = message.kind
    if kind == ndp.ROUTER_ADVERTISEMENT:
        ip.autoconfiguration.advertised(packet, message, now)
    elif kind == ndp.REDIRECT:
        _redirected(ip, packet, message, now)
    elif kind == ndp.ROUTER_SOLICITATION:
        return  # a host is asked nothing by these
    else:
        if len(message.body) < 16:
            raise WireError("an NDP message without its target")
        target = bytes(message.body[:16])
        if target[0] == 0xFF:
            raise WireError("an NDP message about a group")
        known = ndp.first_options(message.body[16:])
        if kind == ndp.SOLICITATION:
            _solicited(ip, packet, target, known, sender_mac, now)
        else:
            _advertised(ip, packet, message, target, known.get(ndp.TARGET_LINK), sender_mac, now)


def _solicited(ip: Ip, packet: Packet, target: bytes, known: dict[int, bytes], sender_mac: bytes, now: float) -> None:
    interface = packet.interface
    probing = packet.source == _UNSPECIFIED
    link = known.get(ndp.SOURCE_LINK)
    if probing and (link is not None or packet.destination != solicited_node(target)):
        raise WireError("a probe for duplicates that is none (RFC 4861 7.1.1)")
    own = interface.addresses.get(target)
    if own is None:
        if interface.transparent and not probing and ip.proxies(interface, target):
            advertise(ip, interface, target, packet.source, sender_mac, _SOLICITED)
        return
    if probing:
        if own.checking:
            ip.duplicates.probed(interface, target, known.get(ndp.NONCE), sender_mac, now)
        elif sender_mac != interface.mac:
            advertise(ip, interface, target, _ALL_NODES, ethernet.group_mac(_ALL_NODES), _OVERRIDE)
        return
    if own.tentative or not ip.is_unicast(packet.source):
        return  # RFC 4862 5.4.3
    if link is not None and not link[0] & 1:
        ip.neighbours.heard(interface, packet.source, link[:6], now, solicited=False)
    flags = _SOLICITED if own.checking else _SOLICITED | _OVERRIDE  # RFC 4429 3.3
    advertise(ip, interface, target, packet.source, link[:6] if link is not None else sender_mac, flags)


def _advertised(
    ip: Ip, packet: Packet, message: Icmp, target: bytes, link: bytes | None, sender_mac: bytes, now: float
) -> None:
    interface = packet.interface
    flags = message.rest[0]
    solicited = bool(flags & _SOLICITED)
    if solicited and packet.group:
        raise WireError("an answer that came to a group (RFC 4861 7.1.2)")
    if target in interface.addresses:
        ip.duplicates.claimed(interface, target, sender_mac, now)
        return
    known = ip.neighbours.known.get((interface.index, target))
    if known is None or (link is not None and link[0] & 1):
        return  # RFC 4861 7.2.5: nobody asked
    mac = link[:6] if link is not None else known.mac
    if not mac:
        return
    router = bool(flags & _ROUTER)
    if known.router and not router:
        ip.autoconfiguration.no_router(interface, target)  # RFC 4861 7.2.5: no longer a router
    known.router = router
    if known.mac and known.mac != mac and not flags & _OVERRIDE:
        ip.neighbours.doubt(known)
        return
    ip.neighbours.heard(interface, target, mac, now, solicited=solicited, create=False)


def _redirected(ip: Ip, packet: Packet, message: Icmp, now: float) -> None:
    """A router knows a better first hop (RFC 4861 8.1, 8.3)."""
    if not ip.settings.accept_redirects:
        ip.counters["ip6.redirects-ignored"] += 1
        return
    target, destination, known = ndp.parse_redirect(message.body)
    if packet.source[:2] != b"\xfe\x80" or not ip.is_unicast(destination):
        raise WireError("a redirect that is none (RFC 4861 8.1)")
    if target != destination and target[:2] != b"\xfe\x80":
        raise WireError("a redirect to what is no router (RFC 4861 8.1)")
    link = known.get(ndp.TARGET_LINK)
    gateway = None if target == destination else target
    if ip.redirect(packet.interface, packet.source, destination, gateway, now) and link and not link[0] & 1:
        ip.neighbours.heard(packet.interface, target, link[:6], now, solicited=False)
