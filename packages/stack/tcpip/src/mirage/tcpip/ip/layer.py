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
from collections.abc import Callable, Iterable
from math import inf
from random import Random as Chance
from weakref import WeakSet

from mirage.types import Checksum, FrameMeta, Offload, Random
from mirage.types.devices import Buffer

from ..counters import Counters
from ..errors import AddressUnavailable, NoRoute
from ..settings import Settings
from ..wire import arp, ethernet, ipv4, ipv6
from . import discovery, errors
from .arrivals import Arrivals
from .autoconfiguration import Autoconfiguration
from .duplicates import Duplicates
from .fragments import Reassembly, pieces
from .groups import Groups
from .interface import Interface, InterfaceAddress
from .neighbours import Neighbours
from .packet import ErrorKind, IcmpError, Packet
from .path import Path
from .routes import Route, Routes, in_prefix
from .sources import choose, order

__all__ = ["Ip"]

_ICMP4, _IGMP, _ICMP6 = 1, 2, 58
_LOOPBACK_MTU = 65535
_LOOPBACK4, _LOOPBACK6 = b"\x7f\0\0\1", bytes(15) + b"\x01"
_LINK_LOCAL = b"\xfe\x80" + bytes(6)
_BROADCAST = b"\xff\xff\xff\xff"
_FRAGMENT_HEADER = 8
_PLAIN = FrameMeta()

Address = bytes | ipaddress.IPv4Address | ipaddress.IPv6Address


def _octets(address: Address) -> bytes:
    return address if isinstance(address, bytes) else address.packed


def _is_loopback(address: bytes) -> bool:
    return address == _LOOPBACK6 or (len(address) == 4 and address[0] == 127)


class Ip:
    """The IP layer. Made by `Stack`, which has the calls that users need."""

    def __init__(self, settings: Settings, random: Random, counters: Counters, now: float = 0.0) -> None:
        self.settings = settings
        self.counters = counters
        self.receivers: dict[int, Callable[[Packet, float], None]] = {}
        self.error_receivers: dict[int, Callable[[IcmpError, float], None]] = {}
        self.interfaces: dict[str, Interface] = {}
        self.routes = Routes(settings.max_routes)
        self.neighbours = Neighbours(settings.max_neighbours, counters, self._solicit)
        self.reassembly = Reassembly(settings, counters)
        self.error_bucket = errors.TokenBucket(settings.icmp_errors_per_second, settings.icmp_error_burst)
        self.now = now
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
        self._known_paths: WeakSet[Path] = WeakSet()
        """All that anybody still has, in the cache or not."""
        self._paths: OrderedDict[tuple[bytes, bytes | None, int], Path] = OrderedDict()
        self.path_mtus: OrderedDict[bytes, tuple[int, float]] = OrderedDict()
        """What is known to fit on the way to a destination, and until when that is believed (RFC 8201 5.2)."""
        self._identifications = [0] * 256
        self._drawn = 0
        self.reseed(random)
        self.arrivals = Arrivals(self)
        self.groups = Groups(self)
        self.duplicates = Duplicates(self)
        self.autoconfiguration = Autoconfiguration(self)
        self.on_duplicate: list[Callable[[Interface, bytes], None]] = []
        """Are called when an address has turned out to be another host's, and is no longer ours."""
        self.on_advertised: list[Callable[[Interface], None]] = []
        """Are called when routers tell other name servers, domains or flags than before, or no longer tell them."""

    def reseed(self, random: Random) -> None:
        """Draw the secrets anew, as a guest must that goes on from a snapshot like others. Addresses stay."""
        self._key = random.generate(16)
        self.chance = Chance(self.secret_octets(16))  # noqa: S311 - it decides when, not what
        """For times that only have to differ between hosts, never for what nobody may guess."""

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
        self.now = max(self.now, now)
        self.add_address(interface, self.opaque(_LINK_LOCAL, interface, 0), 64)
        self.autoconfiguration.start(interface, self.now)
        return interface

    def remove_interface(self, interface: Interface) -> None:
        """Detach a network; its addresses and routes go with it."""
        for address in list(interface.addresses):
            self.remove_address(interface, address)
        for route in self.routes.all():
            if route.interface is interface:
                self.routes.remove(route.prefix, route.length, route.gateway, interface)
        self.neighbours.forget(interface)
        self.groups.forget(interface)
        self.autoconfiguration.forget(interface)
        self.interfaces.pop(interface.name, None)

    def add_address(
        self,
        interface: Interface,
        address: Address,
        prefix: int,
        *,
        preferred: float = inf,
        valid: float = inf,
        now: float | None = None,
    ) -> InterfaceAddress:
        """Give an interface an address; the prefix is reached through it, for `valid` seconds from now.

        It is checked for duplicates (`Settings.duplicate_address_probes`). Raises `AddressUnavailable`.
        """
        octets = _octets(address)
        if now is not None:
            self.now = now
        if not self.is_unicast(octets) or _is_loopback(octets) or not 0 < prefix <= len(octets) * 8:
            raise AddressUnavailable(f"{ipaddress.ip_address(octets)}/{prefix} cannot be the address of a host")
        own = InterfaceAddress(octets, prefix, preferred_until=self.now + preferred, valid_until=self.now + valid)
        known = interface.addresses.get(octets)
        if known is not None and known.prefix == prefix:  # only its time changes: it is not checked again
            known.preferred_until, known.valid_until = own.preferred_until, own.valid_until
            known.automatic = known.temporary = known.deprecated = False
            self.autoconfiguration.reckon()
            return known
        self.routes.add(Route(octets, prefix, None, interface))
        self.install(interface, own, self.now)
        return own

    def install(self, interface: Interface, own: InterfaceAddress, now: float) -> None:
        """Begin to use an address. It may be no more than checked at first."""
        if own.address in interface.addresses:
            self.remove_address(interface, own.address)
        interface.addresses[own.address] = own
        if len(own.address) == 16:
            self.groups.join(interface, discovery.solicited_node(own.address), now)
        self.duplicates.start(interface, own, now)
        self.autoconfiguration.reckon()
        self.forget_choices()

    def settled(self, interface: Interface, own: InterfaceAddress, now: float) -> None:
        """Nobody else has an address that was being checked."""
        self.forget_choices()

    def forget_choices(self) -> None:
        """Addresses have changed: paths that are asked for from now on may start from better ones (RFC 6724)."""
        for key in [key for key in self._paths if key[1] is None]:
            self._paths.pop(key).release()

    def remember_mtu(self, remote: bytes, mtu: int, until: float) -> None:
        """Packets above `mtu` do not get through to a destination."""
        self.path_mtus[remote] = (mtu, until)
        self.path_mtus.move_to_end(remote)
        if len(self.path_mtus) > self.settings.max_paths:
            self.counters["paths.mtus-evicted"] += 1
            self.path_mtus.popitem(last=False)
        for path in self._known_paths:
            if path.remote == remote:
                path.learn(mtu, until)

    def remove_address(self, interface: Interface, address: Address) -> None:
        """Take an address away; paths from it are dead."""
        octets = _octets(address)
        own = interface.addresses.pop(octets, None)
        if own is None:
            return
        self.duplicates.stop(interface, octets)
        self.autoconfiguration.reckon()
        if len(octets) == 16:
            self.groups.leave(interface, discovery.solicited_node(octets), self.now)
        if not own.automatic and not any(
            in_prefix(octets, a.address, own.prefix) and a.prefix == own.prefix for a in interface.addresses.values()
        ):
            self.routes.remove(octets, own.prefix, None, interface)
        self._end_paths(octets)
        self.forget_choices()

    def _end_paths(self, local: bytes) -> None:
        """Paths from an address that has gone are dead, whoever has them."""
        for key in [key for key, path in self._paths.items() if path.local == local]:
            del self._paths[key]
        for path in [path for path in self._known_paths if path.local == local]:
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
        if _is_loopback(address):
            return True
        return any(address in i.addresses and not i.addresses[address].tentative for i in self.interfaces.values())

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
        self.groups.join(interface, group, self.now)

    def leave(self, interface: Interface, group: bytes) -> None:
        """Undo one `join`."""
        self.groups.leave(interface, group, self.now)

    def hop_limit(self, interface: Interface) -> int:
        """What packets that go out of an interface have."""
        return interface.hop_limit or self.settings.hop_limit

    def flow_label(self, local: bytes, remote: bytes) -> int:
        """The same for all packets of a path, and nobody else's to guess (RFC 6437 3)."""
        digest = hashlib.blake2s(local + remote, key=self._key, digest_size=4).digest()
        return int.from_bytes(digest, "big") & 0xFFFFF

    def identification(self, local: bytes, remote: bytes) -> int:
        """A new one for a packet that may be fragmented: a destination's tell it nothing of others' (RFC 7739 5.3)."""
        digest = hashlib.blake2s(b"id" + local + remote, key=self._key, digest_size=8).digest()
        bucket = digest[7]
        self._identifications[bucket] += 1
        return int.from_bytes(digest[:4], "big") + self._identifications[bucket] & 0xFFFFFFFF

    def secret_octets(self, size: int) -> bytes:
        """Some that nobody can guess."""
        self._drawn += 1
        return hashlib.blake2s(b"draw%d" % self._drawn, key=self._key, digest_size=size).digest()

    def opaque(self, prefix: bytes, interface: Interface, count: int) -> bytes:
        """An address that says nothing of the hardware and stays the same, F(prefix, interface, count, key): RFC 7217.

        `prefix` is 8 octets, `count` how many such addresses were duplicates.
        """
        text = prefix + interface.mac + interface.name.encode() + count.to_bytes(2, "big")
        key = hashlib.blake2s(self.settings.address_secret or self._key).digest()
        return prefix + hashlib.blake2s(text, key=key, digest_size=8).digest()

    # Paths

    def path(self, remote: bytes, now: float, local: bytes | None = None, interface: Interface | None = None) -> Path:
        """The way to an address, from `local` or from the best address for it (RFC 6724). Raises `NoRoute`."""
        key = (remote, local, interface.index if interface is not None else -1)
        path = self._paths.get(key)
        if path is not None and path.alive:
            self._paths.move_to_end(key)
            return path
        outgoing = self._outgoing(remote, interface)
        source = local
        if source is None:
            source = remote if outgoing is self.loopback else self._source(remote, outgoing, now)
        direct = interface is not None and interface is outgoing
        path = self._paths[key] = Path(self, outgoing, source, remote, direct)
        self._known_paths.add(path)
        if len(self._paths) > self.settings.max_paths:
            self.counters["paths.evicted"] += 1
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

    def order(self, destinations: Iterable[bytes], now: float) -> list[bytes]:
        """Addresses of a host in the order in which they are best tried (RFC 6724 6)."""

        def source(destination: bytes) -> tuple[bytes, bool] | None:
            try:
                outgoing = self._outgoing(destination, None)
                local = destination if outgoing is self.loopback else self._source(destination, outgoing, now)
            except NoRoute:
                return None
            own = next((i.addresses[local] for i in self.interfaces.values() if local in i.addresses), None)
            return local, own is not None and own.preferred_until <= now

        return order(destinations, source)

    def next_hop(self, path: Path, now: float) -> bytes | None:
        """The neighbour that a path goes through first; None for this host, groups and broadcasts. Raises `NoRoute`."""
        remote, interface = path.remote, path.interface
        if interface is self.loopback or self.is_group(remote) or self.is_broadcast(interface, remote):
            return None
        routes = self.routes.find(remote, interface)
        if routes:
            return self._gateway(routes) or remote
        if path.direct:
            return remote
        raise NoRoute(f"no route leads to {ipaddress.ip_address(remote)} any more")

    def _gateway(self, routes: list[Route]) -> bytes | None:
        """Of the best routes the first whose gateway is not known to be dead (RFC 4861 6.3.6, RFC 1122 3.3.1.6)."""
        best = routes[0]
        for route in routes:
            if route.length != best.length:
                break
            if route.gateway is None or not self.neighbours.dead(route.interface, route.gateway):
                return route.gateway
        return best.gateway

    def redirect(
        self, interface: Interface, router: bytes, destination: bytes, gateway: bytes | None, now: float
    ) -> bool:
        """A router says that there is a better first hop to a destination (RFC 1122 3.2.2.2, RFC 4861 8.3)."""
        routes = self.routes.find(destination, interface)
        if not routes or self._gateway(routes) != router:
            self.counters["ip.redirects-refused"] += 1  # only the first hop in use may say that
            return False
        if gateway is not None and len(gateway) == 4:
            on_link = self.routes.find(gateway, interface)
            if not on_link or on_link[0].gateway is not None:
                self.counters["ip.redirects-refused"] += 1
                return False
        length = len(destination) * 8
        expires = now + self.settings.path_mtu_lifetime
        self.routes.add(Route(destination, length, gateway, interface, -1, expires, automatic=True))
        self.autoconfiguration.reckon()
        return True

    def fragmented(
        self, path: Path, protocol: int, payload: bytes, traffic_class: int, hop_limit: int
    ) -> list[list[Buffer]]:
        """The fragments of a packet that is too large for its path, each as header and octets."""
        packets: list[list[Buffer]] = []
        if len(path.local) == 4:
            identification = self.identification(path.local, path.remote) & 0xFFFF
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
            identification = self.identification(path.local, path.remote)
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

    def undeliverable(self, local: bytes, remote: bytes, protocol: int, start: bytes) -> None:
        """The neighbour of a packet that has waited does not answer: tell its transport (RFC 4861 7.2.2)."""
        receiver = self.error_receivers.get(protocol)
        if receiver is not None and len(start) >= 8:
            quoted = memoryview(start)
            receiver(IcmpError(ErrorKind.HOST_UNREACHABLE, local, local, remote, protocol, quoted, 0), self.now)

    def transmit(self, interface: Interface, meta: FrameMeta, parts: list[Buffer]) -> None:
        """Put a finished frame into an interface's output."""
        interface.output.append((meta, parts))

    def transmit_plain(self, interface: Interface, mac: bytes, kind: int, packet: list[Buffer]) -> None:
        """Send a packet with all its checksums to an Ethernet address."""
        interface.output.append((_PLAIN, [mac + interface.mac + kind.to_bytes(2, "big"), *packet]))

    # What arrives

    def frame(self, interface: Interface, meta: FrameMeta, frame: memoryview, now: float) -> None:
        """A frame has come in. Whatever is in it, nothing is raised; what is dropped is counted."""
        self.arrivals.frame(interface, meta, frame, now)

    def proxies(self, interface: Interface, target: bytes) -> bool:
        """Whether a transparent interface answers for an address that is none of its own: not for neighbours."""
        return any(r.gateway is None and r.length for r in self.routes.find(target) if r.interface is not interface)

    def _solicit(self, interface: Interface, target: bytes, mac: bytes | None) -> None:
        """Ask for a neighbour's Ethernet address."""
        candidates = [(interface, own) for own in interface.addresses.values()]
        source = choose(target, interface, candidates, self.now, prefer_temporary=False)
        if len(target) == 16:
            if source is not None:
                discovery.solicit(self, interface, target, mac, source)
            return
        message = arp.Arp(arp.REQUEST, interface.mac, source or bytes(4), bytes(6), target)
        self.transmit_plain(interface, mac or ethernet.BROADCAST, ethernet.ARP, [arp.build(message)])

    def duplicate(self, interface: Interface, address: bytes) -> None:
        """An address that was being tried out is somebody else's (RFC 4862 5.4.5)."""
        own = interface.addresses[address]
        self.remove_address(interface, address)
        if address[:2] == b"\xfe\x80":
            own.automatic |= own.prefix == 64 and address == self.opaque(_LINK_LOCAL, interface, 0)
        self.autoconfiguration.taken(interface, own, self.now)
        for tell in tuple(self.on_duplicate):
            tell(interface, address)

    def port_unreachable(self, packet: Packet, now: float) -> None:
        """Nobody is at the port (RFC 1122 4.1.3.1)."""
        errors.report(self, ErrorKind.PORT_UNREACHABLE, packet, now)

    # Time

    def poll(self, now: float) -> None:
        """Do what time asks for."""
        self.now = now
        if now < self.next_deadline():
            return
        self.autoconfiguration.poll(now)
        self.duplicates.poll(now)
        self.groups.poll(now)
        if self.neighbours.poll(now):
            self.routes.touch()  # one of them may be a router: paths look for another
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

    def next_deadline(self) -> float:
        """When `poll` is wanted."""
        return min(
            self.neighbours.due,
            self.reassembly.due,
            self.autoconfiguration.due,
            self.duplicates.due,
            self.groups.due,
        )
