"""IP of one stack: what comes from the interfaces and goes to the transports, and back.

* `frame` takes an Ethernet frame, and hands what is for this host to `receivers` by protocol number; ICMP errors about
  what this host has sent go to `error_receivers`.
* `path` gives transports the way to an address (`mirage.tcpip.ip.path`).
* Packets for this host itself go through `loopback`, an interface without a device: `Stack.poll` feeds its output back.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from math import inf
from typing import Protocol

from mirage.types import Checksum, FrameMeta, Offload, Random
from mirage.types.devices import Buffer

from ..counters import Counters
from ..errors import AddressUnavailable, NoRoute, TcpipError, WireError
from ..settings import Settings
from ..wire import arp, ethernet, ipv4, ipv6
from . import errors, ndp, receive
from .advertise import Advertiser
from .duplicates import Duplicates, Failed
from .fragments import Reassembly, pieces
from .groups import Groups
from .interface import Interface, InterfaceAddress
from .neighbours import Neighbours
from .packet import ErrorKind, IcmpError, Packet
from .path import Path
from .redirects import Redirects
from .routers import Routers
from .routes import Route, Routes, in_prefix
from .sources import choose, scope

__all__ = ["Ip"]

_ICMP4, _TCP, _UDP, _ICMP6 = 1, 6, 17, 58
_LOOPBACK_MTU = 65535
_LOOPBACK4, _LOOPBACK6 = b"\x7f\0\0\1", bytes(15) + b"\x01"
_BROADCAST = b"\xff\xff\xff\xff"
_ALL_NODES6, _ALL_SYSTEMS4 = b"\xff\x02" + bytes(13) + b"\x01", b"\xe0\0\0\1"
_FRAGMENT_HEADER = 8
_PLAIN = FrameMeta()

Address = bytes | ipaddress.IPv4Address | ipaddress.IPv6Address


def _octets(address: Address) -> bytes:
    return address if isinstance(address, bytes) else address.packed


class _Slow(Protocol):
    """A part that is asked only when one of them has said `Ip.wake`, or when its time has come."""

    def poll(self, now: float) -> None: ...
    def next_deadline(self) -> float: ...


class Ip:
    """The IP layer. Made by `Stack`, which has the calls that users need."""

    def __init__(self, settings: Settings, random: Random, counters: Counters) -> None:
        self.settings = settings
        self.counters = counters
        self.receivers: dict[int, Callable[[Packet, float], None]] = {}
        self.error_receivers: dict[int, Callable[[IcmpError, float], None]] = {}
        self.interfaces: dict[str, Interface] = {}
        self.routes = Routes(settings.max_routes)
        self.neighbours = Neighbours(settings.max_neighbours, counters, self._solicit)
        self.reassembly = Reassembly(settings, counters)
        self.error_bucket = errors.TokenBucket(settings.icmp_errors_per_second, settings.icmp_error_burst)
        self.now = 0.0
        self.loopback = Interface(
            "lo",
            0,
            bytes(6),
            _LOOPBACK_MTU,
            Offload.CHECKSUM | Offload.TSO4 | Offload.TSO6,
            _LOOPBACK_MTU + ethernet.HEADER,
        )
        for address, prefix in ((_LOOPBACK4, 8), (_LOOPBACK6, 128)):
            self.loopback.addresses[address] = InterfaceAddress(address, prefix)
        self._paths: OrderedDict[tuple[bytes, bytes | None, int], Path] = OrderedDict()
        self.duplicates = Duplicates(self)
        self.routers = Routers(self)
        self.redirects = Redirects(self)
        self.groups = Groups(self)
        self.advertisers: dict[int, Advertiser] = {}
        self._due = -inf
        self._routes_seen = 0
        self._draws = 0
        self._key = random.generate(16)
        self._identification = int.from_bytes(random.generate(4), "big")

    # Interfaces, addresses, routes

    def add_interface(
        self,
        name: str,
        mac: bytes,
        mtu: int,
        offload: Offload = Offload.NONE,
        max_frame: int | None = None,
        now: float = 0.0,
    ) -> Interface:
        """Attach a network, with a link-local IPv6 address. Raises `AddressUnavailable` when the name is taken."""
        if name in self.interfaces or name == self.loopback.name:
            raise AddressUnavailable(f"there is an interface {name} already")
        index = max((i.index for i in self.interfaces.values()), default=0) + 1
        interface = self.interfaces[name] = Interface(name, index, mac, mtu, offload, max_frame)
        self.add_address(interface, self.opaque(b"\xfe\x80" + bytes(6), interface), 64)
        return interface

    def remove_interface(self, interface: Interface) -> None:
        """Detach a network; its addresses and routes go with it."""
        for address in list(interface.addresses):
            self.remove_address(interface, address)
        for route in self.routes.all():
            if route.interface is interface:
                self.routes.remove(route.prefix, route.length, route.gateway, interface)
        self.neighbours.forget(interface)
        self.routers.forget(interface)
        self.groups.forget(interface)
        self.redirects.forget(interface)
        self.advertisers.pop(interface.index, None)
        self.interfaces.pop(interface.name, None)

    def add_address(
        self,
        interface: Interface,
        address: Address,
        prefix: int,
        *,
        check: bool = False,
        now: float | None = None,
        failed: Failed | None = None,
    ) -> InterfaceAddress:
        """Give an interface an address; the prefix is reached through it. Raises `AddressUnavailable`.

        `check`: it is tentative until some seconds of `poll` have shown that nobody else has it; otherwise it is used
        at once. `failed` is called when somebody has it.
        """
        octets = _octets(address)
        if not self.is_unicast(octets) or not 0 < prefix <= len(octets) * 8:
            raise AddressUnavailable(f"{ipaddress.ip_address(octets)}/{prefix} cannot be the address of a host")
        own = interface.addresses[octets] = InterfaceAddress(octets, prefix)
        if len(octets) == 16:
            self.join(interface, ndp.solicited_node(octets))
        self.routes.add(Route(octets, prefix, None, interface))
        if check:
            self.duplicates.check(interface, own, self.now if now is None else now, failed)
        else:
            self.assigned(interface, own)
        return own

    def assigned(self, interface: Interface, own: InterfaceAddress) -> None:
        """An address is this host's from now on."""
        own.tentative = False
        self.forget_choices()
        if len(own.address) == 4:
            self.announce(interface, own.address)

    def forget_choices(self) -> None:
        """The addresses have changed: whoever asks for a path next has its source chosen anew."""
        for key in [key for key in self._paths if key[1] is None]:
            self._paths.pop(key).release()

    def remove_address(self, interface: Interface, address: Address) -> None:
        """Take an address away; paths from it are dead."""
        octets = _octets(address)
        own = interface.addresses.pop(octets, None)
        if own is None:
            return
        if len(octets) == 16:
            self.leave(interface, ndp.solicited_node(octets))
        if not any(
            in_prefix(octets, a.address, own.prefix) and a.prefix == own.prefix for a in interface.addresses.values()
        ):
            self.routes.remove(octets, own.prefix, None, interface)
        self.duplicates.forget(interface, octets)
        self.routes.version += 1
        for key in [k for k, path in self._paths.items() if path.local == octets]:
            path = self._paths.pop(key)
            path.alive = False
            path.release()

    def add_route(
        self,
        prefix: ipaddress.IPv4Network | ipaddress.IPv6Network,
        gateway: Address | None,
        interface: Interface,
        metric: int = 0,
    ) -> None:
        """Add a route, by a gateway or (None) straight to the neighbours. Raises `LimitReached`."""
        hop = None if gateway is None else _octets(gateway)
        self.routes.add(Route(prefix.network_address.packed, prefix.prefixlen, hop, interface, metric))

    def remove_route(
        self,
        prefix: ipaddress.IPv4Network | ipaddress.IPv6Network,
        gateway: Address | None,
        interface: Interface,
    ) -> bool:
        """Take a route out; whether there was one."""
        hop = None if gateway is None else _octets(gateway)
        return self.routes.remove(prefix.network_address.packed, prefix.prefixlen, hop, interface)

    def is_local(self, address: bytes) -> bool:
        """Whether it is an address of this host."""
        if address in self.loopback.addresses or (len(address) == 4 and address[0] == 127):
            return True
        return self.has(address)

    def has(self, address: bytes) -> bool:
        """Whether an interface has it, and not only tentatively."""
        return any(address in i.addresses and not i.addresses[address].tentative for i in self.interfaces.values())

    def may_send_from(self, interface: Interface, address: bytes) -> bool:
        """Whether packets go out from an address: one of this host, none yet (`0.0.0.0`), or a gateway's client."""
        return interface.transparent or not any(address) or self.is_local(address)

    @staticmethod
    def is_group(address: bytes) -> bool:
        """Whether it is a multicast group."""
        return address[0] == 0xFF if len(address) == 16 else 224 <= address[0] < 240

    def is_unicast(self, address: bytes) -> bool:
        """Whether it can be the address of one host (RFC 1122 3.2.1.3, RFC 4291 2.5)."""
        if len(address) == 4:
            return 0 < address[0] < 224
        return address[0] != 0xFF and any(address)

    def is_broadcast(self, interface: Interface, address: bytes) -> bool:
        """Whether it is the broadcast address of IPv4, or that of a prefix on the interface."""
        if len(address) != 4:
            return False
        if address == _BROADCAST:
            return True
        number = int.from_bytes(address, "big")
        for own in interface.addresses.values():
            if len(own.address) == 4 and own.prefix < 31 and in_prefix(address, own.address, own.prefix):
                host = (1 << (32 - own.prefix)) - 1
                if number & host == host:
                    return True
        return False

    def group_mac(self, address: bytes, interface: Interface) -> bytes:
        """The Ethernet address of a group, of a broadcast, or of this host."""
        if interface is self.loopback:
            return interface.mac
        return ethernet.group_mac(address) if self.is_group(address) else ethernet.BROADCAST

    def join(self, interface: Interface, group: bytes) -> None:
        """Take packets for a multicast group from an interface."""
        interface.groups[group] = interface.groups.get(group, 0) + 1
        if interface.groups[group] == 1:
            self.groups.changed(interface, group, True, self.now)

    def leave(self, interface: Interface, group: bytes) -> None:
        """Undo one `join`."""
        left = interface.groups.get(group, 0) - 1
        if left > 0:
            interface.groups[group] = left
        elif interface.groups.pop(group, None) is not None:
            self.groups.changed(interface, group, False, self.now)

    def hop_limit(self, interface: Interface, size: int) -> int:
        """What packets that go out of an interface have, for addresses of `size` octets."""
        return (interface.hop_limit if size == 16 else None) or self.settings.hop_limit

    def renew_paths(self, interface: Interface) -> None:
        """What holds for all of an interface has changed."""
        for path in self._paths.values():
            if path.interface is interface:
                path.renew()

    def autoconfigure(self, interface: Interface, now: float) -> None:
        """Begin stateless autoconfiguration (RFC 4862): the link-local address is checked for duplicates, routers are
        asked for, and what they say is believed: routes, prefixes and addresses, MTU, hop limit, name servers."""
        self.routers.begin(interface, now)

    def flow_label(self, local: bytes, remote: bytes) -> int:
        """The same for all packets of a path, and nobody else's to guess (RFC 6437 3)."""
        digest = hashlib.blake2s(local + remote, key=self._key, digest_size=4).digest()
        return int.from_bytes(digest, "big") & 0xFFFFF

    def identification(self) -> int:
        """A new one for a packet that may be fragmented."""
        self._identification = self._identification + 1 & 0xFFFFFFFF
        return self._identification

    def draw_octets(self, size: int) -> bytes:
        """Octets that nobody can guess and that do not disturb what others draw from the stack's randomness."""
        self._draws += 1
        return hashlib.blake2s(b"draw%d" % self._draws, key=self._key, digest_size=size).digest()

    def draw(self) -> float:
        """A number in [0, 1), for delays."""
        return int.from_bytes(self.draw_octets(4), "big") / 2**32

    def opaque(self, prefix: bytes, interface: Interface, tries: int = 0) -> bytes:
        """An address that says nothing of the hardware and stays the same as long as `Settings.stable_secret`, or else
        this stack, does (RFC 7217 5); another one after `tries` that were taken."""
        text = prefix + interface.mac + interface.name.encode() + (bytes([tries]) if tries else b"")
        key = self.settings.stable_secret or self._key
        return prefix + hashlib.blake2s(text, key=key, digest_size=8).digest()

    # Paths

    def path(self, remote: bytes, now: float, local: bytes | None = None, interface: Interface | None = None) -> Path:
        """The way to an address, from `local` or from the best address for it (RFC 6724). Raises `NoRoute`."""
        key = (remote, local, interface.index if interface is not None else -1)
        path = self._paths.get(key)
        if path is not None and path.alive and path.current:
            self._paths.move_to_end(key)
            return path
        outgoing = self._outgoing(remote, interface)
        if path is not None and path.alive and path.interface is outgoing:
            return path
        source = local
        if source is None:
            source = remote if outgoing is self.loopback else self._source(remote, outgoing, now)
        path = self._paths[key] = Path(self, outgoing, source, remote, pinned=interface is not None)
        if len(self._paths) > self.settings.max_paths:
            self._paths.popitem(last=False)[1].release()
        return path

    def _outgoing(self, remote: bytes, interface: Interface | None) -> Interface:
        if self.is_local(remote):
            return self.loopback
        if interface is not None and (self.is_group(remote) or self.is_broadcast(interface, remote)):
            return interface
        routes = self.routes.find(remote, interface)
        if routes:
            return routes[0].interface
        if self.is_group(remote) or remote == _BROADCAST:
            for candidate in self.interfaces.values():
                return candidate
        if interface is not None:
            return interface  # an address on the link that no prefix tells of (RFC 5942 4)
        raise NoRoute(f"no route leads to {ipaddress.ip_address(remote)}")

    def _source(self, remote: bytes, outgoing: Interface, now: float) -> bytes:
        candidates = [(i, own) for i in self.interfaces.values() for own in i.addresses.values()]
        found = choose(remote, outgoing, candidates, now, prefer_temporary=self.settings.temporary_addresses)
        if found is None:
            if remote == _BROADCAST:
                return bytes(4)  # a host that has no address yet asks for one (RFC 1122 3.2.1.3)
            raise NoRoute(f"this host has no address from which to reach {ipaddress.ip_address(remote)}")
        return found

    def next_hop(self, path: Path, now: float) -> bytes | None:
        """The neighbour that a path goes through first; None for this host, groups and broadcasts. Raises `NoRoute`."""
        remote, interface = path.remote, path.interface
        if interface is self.loopback or self.is_group(remote) or self.is_broadcast(interface, remote):
            return None
        routes = self.routes.find(remote, interface)
        if routes:
            return routes[0].gateway or remote
        if scope(remote) == 2 or (path.pinned and interface.name in self.interfaces):
            return remote
        raise NoRoute(f"no route leads to {ipaddress.ip_address(remote)} any more")

    def fragmented(
        self, path: Path, protocol: int, payload: bytes, traffic_class: int, hop_limit: int
    ) -> list[list[Buffer]]:
        """The fragments of a packet that is too large for its path, each as header and octets."""
        packets: list[list[Buffer]] = []
        if len(path.local) == 4:
            identification = self.identification() & 0xFFFF
            for offset, data, more in pieces(payload, path.mtu - ipv4.HEADER):
                header = ipv4.build(
                    len(data),
                    protocol,
                    path.local,
                    path.remote,
                    hop_limit=hop_limit,
                    traffic_class=traffic_class,
                    identification=identification,
                    flags=ipv4.MORE_FRAGMENTS if more else 0,
                    offset=offset,
                )
                packets.append([header, data])
        else:
            identification = self.identification()
            for offset, data, more in pieces(payload, path.mtu - ipv6.HEADER - _FRAGMENT_HEADER):
                header = ipv6.build(
                    _FRAGMENT_HEADER + len(data),
                    ipv6.FRAGMENT,
                    path.local,
                    path.remote,
                    hop_limit=hop_limit,
                    traffic_class=traffic_class,
                )
                fragment = ipv6.build_fragment(ipv6.Fragment6(protocol, offset, more, identification))
                packets.append([header + fragment, data])
        self.counters["fragments.sent"] += len(packets)
        return packets

    def transmit(self, interface: Interface, meta: FrameMeta, parts: list[Buffer]) -> None:
        """Put a finished frame into an interface's output."""
        interface.output.append((meta, parts))

    def transmit_plain(self, interface: Interface, mac: bytes, kind: int, packet: list[Buffer]) -> None:
        """Send a packet with all its checksums to an Ethernet address."""
        interface.output.append((_PLAIN, [mac + interface.mac + kind.to_bytes(2, "big"), *packet]))

    # What arrives

    def frame(self, interface: Interface, meta: FrameMeta, frame: memoryview, now: float) -> None:
        """A frame has come in. Whatever is in it, nothing is raised; what is dropped is counted."""
        self.now = now
        if len(frame) < ethernet.HEADER:
            self.counters["ethernet.malformed"] += 1
            return
        to, kind = bytes(frame[:6]), frame[12] << 8 | frame[13]
        if to != interface.mac and not to[0] & 1:
            self.counters["ethernet.not-for-us"] += 1
            return
        try:
            if kind == ethernet.IPV4:
                receive.packet4(self, interface, meta, frame, now)
            elif kind == ethernet.IPV6:
                receive.packet6(self, interface, meta, frame, now)
            elif kind == ethernet.ARP:
                self._arp(interface, frame, now)
            else:
                self.counters["ethernet.unknown-type"] += 1
        except WireError:
            self.counters["ip.malformed" if kind != ethernet.ARP else "arp.malformed"] += 1
        except TcpipError:
            self.counters["ip.unanswerable"] += 1  # an answer that has no way back

    def _arp(self, interface: Interface, frame: memoryview, now: float) -> None:
        """RFC 826: learn, and answer for this host's addresses."""
        message = arp.parse(frame[ethernet.HEADER :])
        checked = message.sender if any(message.sender) else message.target
        if message.sender_mac != interface.mac and (tried := interface.addresses.get(checked)) and tried.tentative:
            self.duplicates.found(interface, checked, now)  # RFC 5227 2.1.1
            return
        own = interface.addresses.get(message.target)
        if own is not None and own.tentative:
            own = None
        if message.sender in interface.addresses and message.sender_mac != interface.mac:
            self.counters["ip4.address-conflicts"] += 1
            self._defend(interface, message.sender)
            return
        if any(message.sender) and not message.sender_mac[0] & 1:
            self.neighbours.heard(
                interface,
                message.sender,
                message.sender_mac,
                now,
                solicited=message.operation == arp.REPLY,
                create=own is not None and message.operation == arp.REQUEST,
            )
        proxied = own is None and interface.transparent and self.proxies(interface, message.target)
        if message.operation == arp.REQUEST and (own is not None or proxied):
            reply = arp.Arp(arp.REPLY, interface.mac, message.target, message.sender_mac, message.sender)
            self.transmit_plain(interface, message.sender_mac, ethernet.ARP, [arp.build(reply)])

    def proxies(self, interface: Interface, target: bytes) -> bool:
        """Whether a transparent interface answers for an address that is none of its own: not for neighbours."""
        return any(r.gateway is None and r.length for r in self.routes.find(target) if r.interface is not interface)

    def _defend(self, interface: Interface, address: bytes) -> None:
        """Somebody else uses our address: say so, seldom (RFC 5227 2.4)."""
        if self.error_bucket.take(self.now):
            self.announce(interface, address)

    def announce(self, interface: Interface, address: bytes) -> None:
        """Tell the link where an IPv4 address is (RFC 5227 2.3)."""
        message = arp.Arp(arp.REQUEST, interface.mac, address, bytes(6), address)
        self.transmit_plain(interface, ethernet.BROADCAST, ethernet.ARP, [arp.build(message)])

    def _solicit(self, interface: Interface, target: bytes, mac: bytes | None) -> None:
        """Ask for a neighbour's Ethernet address."""
        candidates = [(interface, own) for own in interface.addresses.values()]
        source = choose(target, interface, candidates, self.now, prefer_temporary=False)
        if len(target) == 16:
            if source is not None:
                ndp.solicit(self, interface, target, mac, source)
            return
        message = arp.Arp(arp.REQUEST, interface.mac, source or bytes(4), bytes(6), target)
        self.transmit_plain(interface, mac or ethernet.BROADCAST, ethernet.ARP, [arp.build(message)])

    def reduce(self, error: IcmpError, now: float) -> None:
        """A router says that packets to an address must be smaller (RFC 1191 6.3, RFC 8201 4)."""
        for index in (-1, *(i.index for i in self.interfaces.values())):
            for local in (None, error.local):
                path = self._paths.get((error.remote, local, index))
                if path is not None and path.interface is not self.loopback:
                    path.reduce(error.mtu, now)

    def port_unreachable(self, packet: Packet, now: float) -> None:
        """Nobody is at the port (RFC 1122 4.1.3.1)."""
        errors.report(self, ErrorKind.PORT_UNREACHABLE, packet, now)

    # Time

    def poll(self, now: float) -> None:
        """Do what time asks for."""
        self.now = now
        if now >= self._due:
            for part in self._slow():
                part.poll(now)
            self._due = min(part.next_deadline() for part in self._slow())
        for lost in self.neighbours.poll(now):
            self.routers.unreachable(lost)
            self.redirects.unreachable(lost.address)
        for expired in self.reassembly.poll(now):
            interface = next((i for i in self.interfaces.values() if i.index == expired.interface), None)
            if expired.first is None or interface is None:
                continue
            first = expired.first
            source, destination = (first[12:16], first[16:20]) if first[0] >> 4 == 4 else (first[8:24], first[24:40])
            about = Packet(
                interface, bytes(source), bytes(destination), 0, first[:0], Checksum.COMPLETE, 0, 0, first, False
            )
            errors.report(self, ErrorKind.TIME_EXCEEDED, about, now)
        if self._routes_seen != self.routes.version:
            self._routes_seen = self.routes.version
            for path in self._paths.values():
                path.fresh_until = -inf

    def next_deadline(self) -> float:
        """When `poll` is wanted."""
        if self._due == -inf:
            self._due = min(part.next_deadline() for part in self._slow())
        return min(self.neighbours.next_deadline(), self.reassembly.next_deadline(), self._due)

    def wake(self) -> None:
        """One of the parts that seldom have something to do has something to do."""
        self._due = -inf

    def _slow(self) -> list[_Slow]:
        return [self.duplicates, self.routers, self.redirects, self.groups, *self.advertisers.values()]
