"""A node of multicast DNS: what it says of itself and what it knows of others, without I/O (RFC 6762, RFC 6763).

    node = Node(Settings(host="unikernel", addresses=(...,)), random)
    node.start(now)
    node.publish(Service("My files", "_http._tcp", 80), now)
    node.browse("_http._tcp", now)
    for packet in node.poll(now): ...       # whenever next_deadline() has come, and after every other call
    node.input(octets, source, port, now)   # what arrived at UDP port 5353
    node.take_events()                      # Named, Found, Changed, Gone

A packet goes to the group (224.0.0.251 or ff02::fb, port 5353) of every link that the node is on, or to one address.
Only datagrams from the same link may be given to `input` (section 11).
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple, TypeAlias

from mirage.types import Random

import dns.name
import dns.rdatatype

from ..errors import InvalidMessage, LocalMisuse
from ..message import Name
from ._wire import Message, build, parse
from .browser import Browser
from .responder import Claim, Phase, Responder
from .service import (
    Service,
    address_records,
    addresses_of,
    host_name,
    instance_name,
    parse_txt,
    service_records,
    service_type,
)

__all__ = ["GROUP4", "GROUP6", "PORT", "Changed", "Event", "Found", "Gone", "Named", "Node", "Packet", "Settings"]

PORT = 5353
GROUP4 = IPv4Address("224.0.0.251")
GROUP6 = IPv6Address("ff02::fb")
_ADDRESSES = (dns.rdatatype.A, dns.rdatatype.AAAA)


class Packet(NamedTuple):
    """A datagram to send from port 5353, with a hop limit of 255 (section 11)."""

    payload: bytes
    destination: tuple[IPv4Address | IPv6Address, int] | None
    """None: the group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a node is."""

    host: str
    """The name that is wished for, one label."""
    addresses: tuple[IPv4Address | IPv6Address, ...] = ()
    max_records: int = 4096
    """Of others, kept at once."""
    max_instances: int = 512
    """Services of a type that are looked into."""


@dataclass(frozen=True, slots=True)
class Named:
    """A name of ours is established, or had to be changed because somebody else has it."""

    name: str
    """The host's, such as ``unikernel-2.local``, or the service's, such as ``My files (2)``."""
    service: Service | None
    """The service as it was given to `publish`; None of the host."""
    established: bool


@dataclass(frozen=True, slots=True)
class Found:
    """A service of a type that is browsed for, with all that is needed to use it."""

    service: Service


@dataclass(frozen=True, slots=True)
class Changed:
    """The same service, with another port, address or text."""

    service: Service


@dataclass(frozen=True, slots=True)
class Gone:
    """The service is no more."""

    service: Service


Event: TypeAlias = "Named | Found | Changed | Gone"


class Node:
    """`counters` says what was received, sent and dropped."""

    def __init__(self, settings: Settings, random: Random) -> None:
        host_name(settings.host)
        self.settings = settings
        self.counters: Counter[str] = Counter()
        self._random = random
        self._responder = Responder(self._uniform)
        self._browser = Browser(self._uniform, settings.max_records)
        self._output: list[Packet] = []
        self._events: list[Event] = []
        self._addresses = settings.addresses
        self._host: Claim | None = None
        self._services: dict[tuple[str, str], tuple[Service, Claim]] = {}
        self._types: dict[Name, str] = {}
        """Types that are browsed for."""
        self._instances: dict[Name, Name] = {}
        """Of each instance that is looked into, its type."""
        self._hosts: dict[Name, Name] = {}
        """Of each instance, its host."""
        self._known: dict[Name, Service] = {}

    # ourselves

    def start(self, now: float) -> None:
        """Claim the host's name."""
        if self._host is None:
            self._host = Claim(
                self.settings.host,
                host_name,
                lambda label, number: f"{label[: 60 - len(str(number))]}-{number + 1}",
                lambda name: (address_records(name, self._addresses), []),
                self._host_renamed,
            )
            self._responder.claim(self._host, now)

    def _host_renamed(self, claim: Claim) -> None:
        established = claim.phase is not Phase.PROBING
        self._events.append(Named(claim.name.to_text(omit_final_dot=True), None, established))
        for _, service in self._services.values():
            service.refresh()
            if established and service.phase is Phase.ESTABLISHED:
                service.phase, service.count, service.due = Phase.ANNOUNCING, 0, claim.due

    def set_addresses(self, addresses: tuple[IPv4Address | IPv6Address, ...], now: float) -> None:
        """The host's addresses have changed (section 8.4)."""
        self._addresses = addresses
        if self._host is not None:
            self._responder.announce_again(self._host, now)

    def publish(self, service: Service, now: float) -> None:
        """Announce a service, until `withdraw`. One of the same name and type is replaced: its text or port changed.

        Raises `BadName`, and `LocalMisuse` before `start`.
        """
        host = self._host
        if host is None:
            raise LocalMisuse("a service is at a host: call start first")
        key = (service.name, service.type)
        instance_name(service, service.name)
        if key in self._services:
            claim = self._services[key][1]
            self._services[key] = (service, claim)
            self._responder.announce_again(claim, now)
            return
        self._services[key] = (service, host)  # the records are made of what is here; the claim follows at once
        claim = Claim(
            service.name,
            lambda label: instance_name(service, label),
            lambda label, number: f"{_clipped(label, 56)} ({number + 1})",
            lambda name: service_records(self._services[key][0], name, host.name),
            lambda claim: self._service_renamed(key, claim),
        )
        self._services[key] = (service, claim)
        self._responder.claim(claim, now)

    def _service_renamed(self, key: tuple[str, str], claim: Claim) -> None:
        established = claim.phase is not Phase.PROBING
        self._events.append(Named(claim.current, self._services[key][0], established))

    def withdraw(self, service: Service) -> None:
        """Say goodbye for a service (section 10.1)."""
        found = self._services.pop((service.name, service.type), None)
        if found is not None:
            for message in self._responder.withdraw(found[1]):
                self._send(message)

    def stop(self) -> None:
        """Say goodbye for everything; `poll` then gives the last packets."""
        for service, _ in list(self._services.values()):
            self.withdraw(service)
        if self._host is not None:
            for message in self._responder.withdraw(self._host):
                self._send(message)
            self._host = None

    # others

    def browse(self, kind: str, now: float) -> None:
        """Look for services of a type, such as ``_http._tcp``, until `stop_browsing`. Raises `BadName`."""
        name = service_type(kind)
        self._types[name] = kind
        self._browser.want(name, dns.rdatatype.PTR, now)

    def stop_browsing(self, kind: str) -> None:
        """Look no more, and forget what was found, without an event."""
        name = service_type(kind)
        if self._types.pop(name, None) is None:
            return
        self._browser.want_no_more(name, dns.rdatatype.PTR)
        for instance in [instance for instance, found in self._instances.items() if found == name]:
            self._forget(instance)

    def services(self) -> list[Service]:
        """What is found now."""
        return list(self._known.values())

    def _look(self, now: float) -> None:
        """Follow what has come or gone: from types to instances to hosts to addresses."""
        for _ in range(4):  # a type, an instance, a host: no longer chains
            changed, self._browser.changed = self._browser.changed, set()
            for name, rdtype in changed:
                if rdtype == dns.rdatatype.PTR and name in self._types:
                    self._look_at_type(name, now)
                for instance in [i for i in self._instances if i == name or self._hosts.get(i) == name]:
                    self._look_at_instance(instance, now)
            if not self._browser.changed:
                return

    def _look_at_type(self, name: Name, now: float) -> None:
        found = {record.data.target for record in self._browser.records(name, dns.rdatatype.PTR)}  # type: ignore[attr-defined]
        for instance in [i for i, kind in self._instances.items() if kind == name and i not in found]:
            gone = self._known.get(instance)
            self._forget(instance)
            if gone is not None:
                self._events.append(Gone(gone))
        for instance in found:
            mine = instance.is_subdomain(name) and len(instance.labels) == len(name.labels) + 1
            if instance in self._instances or not mine:
                continue
            if len(self._instances) >= self.settings.max_instances:
                self.counters["dropped.instances"] += 1
                continue
            self._instances[instance] = name
            for rdtype in (dns.rdatatype.SRV, dns.rdatatype.TXT):
                self._browser.want(instance, rdtype, now)

    def _look_at_instance(self, instance: Name, now: float) -> None:
        srv = self._browser.records(instance, dns.rdatatype.SRV)
        txt = self._browser.records(instance, dns.rdatatype.TXT)
        host: Name | None = srv[0].data.target if srv else None  # type: ignore[attr-defined]
        if host != self._hosts.get(instance):
            self._leave_host(instance)
            if host is not None:
                self._hosts[instance] = host
                for rdtype in _ADDRESSES:
                    self._browser.want(host, rdtype, now)
        addresses = addresses_of([r for kind in _ADDRESSES if host for r in self._browser.records(host, kind)])
        known = self._known.get(instance)
        if not srv or not txt or not addresses or host is None:
            # Section 10: what cannot be reached any more is gone, even if its pointer stays for a while.
            if known is not None:
                del self._known[instance]
                self._events.append(Gone(known))
            return
        data = srv[0].data
        service = Service(
            instance.labels[0].decode("utf-8", "replace"),
            self._types.get(self._instances[instance], ""),
            data.port,  # type: ignore[attr-defined]
            parse_txt(txt[0].data),
            host.to_text(omit_final_dot=True),
            addresses,
            data.priority,  # type: ignore[attr-defined]
            data.weight,  # type: ignore[attr-defined]
        )
        if service != known:
            self._known[instance] = service
            self._events.append(Found(service) if known is None else Changed(service))

    def _forget(self, instance: Name) -> None:
        self._leave_host(instance)
        self._known.pop(instance, None)
        self._instances.pop(instance, None)
        for rdtype in (dns.rdatatype.SRV, dns.rdatatype.TXT):
            self._browser.want_no_more(instance, rdtype)

    def _leave_host(self, instance: Name) -> None:
        host = self._hosts.pop(instance, None)
        if host is not None and host not in self._hosts.values():
            for rdtype in _ADDRESSES:
                self._browser.want_no_more(host, rdtype)

    # the wire

    def input(
        self, octets: bytes | bytearray | memoryview, source: IPv4Address | IPv6Address, port: int, now: float
    ) -> None:
        """Take a datagram that came to port 5353 from a node of the link; nonsense is counted and dropped."""
        try:
            message = parse(octets)
        except InvalidMessage:
            self.counters["dropped.invalid"] += 1
            return
        if not message.response:
            self.counters["received.query"] += 1
            for answer in self._responder.query(message, source, now, legacy=port != PORT):
                self._send(answer, (source, port))
        elif port != PORT:
            self.counters["dropped.port"] += 1  # section 11: a response comes from port 5353
        else:
            self.counters["received.response"] += 1
            self._responder.response(message, now)
            self._browser.input([*message.answers, *message.additional], now)
            self._look(now)

    def poll(self, now: float) -> list[Packet]:
        """Do what is due, and return what is to be sent."""
        for message in (*self._responder.poll(now), *self._browser.poll(now)):
            self._send(message)
        self._look(now)
        output, self._output = self._output, []
        return output

    def next_deadline(self) -> float | None:
        """When `poll` has something to do: -inf for what waits to be sent, None for never, unless a message comes."""
        if self._output:
            return -math.inf
        deadline = min(self._responder.next_deadline(), self._browser.next_deadline())
        return None if deadline == math.inf else deadline

    def take_events(self) -> list[Event]:
        """What happened since this was called last."""
        events, self._events = self._events, []
        return events

    def _send(self, message: Message, destination: tuple[IPv4Address | IPv6Address, int] | None = None) -> None:
        self.counters["sent.response" if message.response else "sent.query"] += 1
        self._output.append(Packet(build(message), destination))

    def _uniform(self, low: float, high: float) -> float:
        return low + (high - low) * int.from_bytes(self._random.generate(4), "big") / 2**32


def _clipped(text: str, octets: int) -> str:
    """A text without its end, so that it has at most so many octets of UTF-8."""
    return text.encode()[:octets].decode("utf-8", "ignore")
