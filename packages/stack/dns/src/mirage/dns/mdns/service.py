"""Services and their records (RFC 6763)."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype

from ..errors import BadName
from ..message import Name, parse_name
from ._wire import Record

__all__ = ["Service", "address_records", "host_name", "parse_txt", "service_type"]

HOST_TTL = 120
"""Seconds, of records that name a host (RFC 6762 section 10)."""
OTHER_TTL = 4500
SERVICES = dns.name.from_text("_services._dns-sd._udp.local.")
"""Where all types of services are listed (RFC 6763 section 9)."""
_LOCAL = dns.name.from_text("local.")


@dataclass(frozen=True, slots=True)
class Service:
    """A service, as it is announced or as it was found."""

    name: str
    """For people: any text of at most 63 octets of UTF-8, such as ``Printer in the hall``."""
    type: str
    """Such as ``_http._tcp``."""
    port: int
    text: Mapping[str, str | bytes | None] = field(default_factory=dict)
    """Attributes (section 6); None is one without a value. Found values are octets."""
    host: str = ""
    """Where it is, such as ``hall.local``; of an announced one, the node's own name."""
    addresses: tuple[IPv4Address | IPv6Address, ...] = ()
    priority: int = 0
    weight: int = 0


def service_type(text: str) -> Name:
    """The name that a type of services has, such as ``_http._tcp`` (section 7). Raises `BadName`."""
    labels = text.removesuffix(".").removesuffix(".local").split(".")
    if len(labels) not in {2, 4} or not all(labels) or labels[-1] not in {"_tcp", "_udp"}:
        raise BadName(f"{text!r} is no type of services; it is like _http._tcp or _printer._sub._http._tcp")
    return parse_name(".".join(labels)).relativize(dns.name.root).concatenate(_LOCAL)


def instance_name(service: Service, label: str) -> Name:
    """The name of a service (section 4.1): one label for people, then the type. Raises `BadName`."""
    octets = label.encode()
    if not 0 < len(octets) < 64:
        raise BadName(f"{label!r} has {len(octets)} octets of UTF-8; the name of a service has 1 to 63")
    return dns.name.Name((octets, *service_type(service.type).labels))


def host_name(label: str) -> Name:
    """The name of a host in the domain ``local``. Raises `BadName`."""
    octets = label.encode()
    if not 0 < len(octets) < 64 or b"." in octets:
        raise BadName(f"{label!r} is no name of a host: one label of 1 to 63 octets")
    return dns.name.Name((octets, *_LOCAL.labels))


def build_txt(attributes: Mapping[str, str | bytes | None]) -> dns.rdata.Rdata:
    """A TXT record's data (section 6). Raises `BadName` for what it cannot hold."""
    strings = []
    for key, value in attributes.items():
        octets = value.encode() if isinstance(value, str) else value
        string = key.encode("ascii", "replace") + (b"" if octets is None else b"=" + octets)
        if not key.isascii() or "=" in key or not key or len(string) > 255:
            raise BadName(f"{key!r} cannot be an attribute: printable ASCII without =, 255 octets with its value")
        strings.append(string)
    # Section 6.1: nothing to say is one empty string.
    return _data(dns.rdatatype.TXT, b"".join(bytes([len(string)]) + string for string in strings or [b""]))


def parse_txt(data: dns.rdata.Rdata) -> dict[str, bytes | None]:
    """The attributes that a TXT record holds (section 6.4): of a key that comes twice, the first."""
    found: dict[str, bytes | None] = {}
    for string in getattr(data, "strings", ()):
        key, equals, value = string.partition(b"=")
        if key:
            found.setdefault(key.decode("ascii", "replace"), value if equals else None)
    return found


def address_records(name: Name, addresses: tuple[IPv4Address | IPv6Address, ...]) -> list[Record]:
    """The records of a host."""
    records = []
    for address in addresses:
        rdtype = dns.rdatatype.A if address.version == 4 else dns.rdatatype.AAAA
        records.append(Record(name, rdtype, _data(rdtype, address.packed), HOST_TTL, unique=True))
    return records


def service_records(service: Service, name: Name, host: Name) -> tuple[list[Record], list[Record]]:
    """The records of a service that are its own, and those that it shares with others of its type (section 4.1)."""
    head = struct.pack("!HHH", service.priority, service.weight, service.port)
    srv = _data(dns.rdatatype.SRV, head + (host.to_wire() or b""))
    own = [
        Record(name, dns.rdatatype.SRV, srv, HOST_TTL, unique=True),
        Record(name, dns.rdatatype.TXT, build_txt(service.text), OTHER_TTL, unique=True),
    ]
    kind = service_type(service.type)
    shared = [
        pointer(kind, name, OTHER_TTL),
        pointer(SERVICES, dns.name.Name(kind.labels[-4:]), OTHER_TTL),
    ]
    return own, shared


def pointer(name: Name, target: Name, ttl: int) -> Record:
    """A shared PTR record."""
    return Record(name, dns.rdatatype.PTR, _data(dns.rdatatype.PTR, target.to_wire() or b""), ttl)


def _data(rdtype: dns.rdatatype.RdataType, octets: bytes) -> dns.rdata.Rdata:
    return dns.rdata.from_wire(dns.rdataclass.IN, rdtype, octets, 0, len(octets))


def addresses_of(records: list[Record]) -> tuple[IPv4Address | IPv6Address, ...]:
    """The addresses that records hold, in a fixed order."""
    found = {ipaddress.ip_address(record.data.to_text()) for record in records}
    return tuple(sorted(found, key=lambda address: (address.version, int(address))))
