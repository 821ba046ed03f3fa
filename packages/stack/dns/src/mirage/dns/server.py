"""The authoritative server: octets of a query in, octets of responses out, without I/O (RFC 1034, 1035, 2181, 6891).

What is not a query gets no response; what is a bad one gets its error. ANY is answered minimally (RFC 8482), transfers
(RFC 5936) go to the networks that are allowed them, over TCP only, names of other zones are refused. A response over
UDP that does not fit is cut and says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network

import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from .errors import BadZone, InvalidMessage
from .message import MAX_TCP, Name, build, parse, reply_size, response_to
from .settings import Address
from .zone import Kind, Zone

__all__ = ["Authority", "check_query"]

_LONGEST_CHAIN = 8
_ANY_TTL = 3600
_READY, _READY_QUERY, _READY_RESPONSE = 4096, 512, 4096
"""Responses that are kept, and octets of the query and the response of each at most: 18 MiB in all."""
_TRANSFER_SIZE = 16_384
"""Octets of each message of a transfer, about; a record that is larger has its own."""


class Authority:
    """Answers for its zones. `counters` counts responses by rcode, and what was dropped."""

    def __init__(self, zones: Iterable[Zone] = (), *, transfer_to: Iterable[IPv4Network | IPv6Network] = ()) -> None:
        """`transfer_to`: who may have whole zones; nobody, unless it is said. Raises `BadZone` for a zone twice."""
        self.counters: Counter[str] = Counter()
        self._transfer_to = tuple(transfer_to)
        self._zones: dict[Name, Zone] = {}
        self._ready: dict[tuple[bool, bytes], tuple[str, bytes]] = {}
        """Responses without their ids, by transport and query: the same question has the same answer."""
        for zone in zones:
            if zone.origin in self._zones:
                raise BadZone(f"the zone {zone.origin} was given twice")
            self._zones[zone.origin] = zone

    def replace(self, zone: Zone) -> None:
        """Answer from this zone from now on, in the place of one of the same name or as a new one."""
        self._zones[zone.origin] = zone
        self._ready.clear()

    def zone_of(self, name: Name) -> Zone | None:
        """The zone that a name is in: the deepest one."""
        labels = name.labels
        for start in range(len(labels)):
            zone = self._zones.get(dns.name.Name(labels[start:]))
            if zone is not None:
                return zone
        return None

    def handle(self, octets: bytes | bytearray | memoryview, source: Address, *, tcp: bool) -> Iterable[bytes]:
        """The responses to what came from `source`: none, one, or those of a transfer. Raises nothing."""
        key = tcp, bytes(octets[2:])
        ready = self._ready.get(key)
        if ready is not None:
            self.counters[ready[0]] += 1
            return (bytes(octets[:2]) + ready[1],)
        try:
            query = parse(octets)
        except InvalidMessage:
            self.counters["dropped.invalid"] += 1
            return self._malformed(bytes(octets[:12]))
        response = check_query(query)
        if response is None:
            self.counters["dropped.no-query"] += 1
            return ()
        if response.rcode() == dns.rcode.NOERROR:
            question = query.question[0]
            if question.rdtype in {dns.rdatatype.AXFR, dns.rdatatype.IXFR}:
                return self._transfer(query, response, source, tcp=tcp)
            self._answer(response, question.name, question.rdtype)
        counter = f"answered.{dns.rcode.to_text(response.rcode()).lower()}"
        self.counters[counter] += 1
        built = build(response, MAX_TCP if tcp else reply_size(query))
        if len(octets) <= _READY_QUERY and len(built) <= _READY_RESPONSE:
            if len(self._ready) >= _READY:
                self._ready.clear()
            self._ready[key] = counter, built[2:]
        return (built,)

    def _malformed(self, header: bytes) -> Iterable[bytes]:
        """FORMERR for what begins like a query, as far as it could be read."""
        if len(header) < 12 or header[2] & 0x80:
            return ()
        self.counters["answered.formerr"] += 1
        return (header[:2] + bytes([0x80 | header[2] & 0x79, dns.rcode.FORMERR]) + bytes(8),)

    def _answer(self, response: dns.message.Message, name: Name, rdtype: int) -> None:
        zone = self.zone_of(name)
        if rdtype == dns.rdatatype.DS and zone is not None and name == zone.origin:
            zone = (self.zone_of(name.parent()) if name.labels[0] else None) or zone  # RFC 4035 section 3.1.4.1
        if zone is None:
            response.set_rcode(dns.rcode.REFUSED)
            return
        if rdtype == dns.rdatatype.ANY:
            self._answer_any(response, zone, name)
            return
        response.flags |= dns.flags.AA
        seen: set[Name] = set()
        while zone is not None and len(seen) < _LONGEST_CHAIN:
            finding = zone.find(name, rdtype)
            response.answer += [rrset for rrset in finding.answer if rrset not in response.answer]
            response.authority, response.additional = finding.authority, finding.additional
            if finding.kind is Kind.REFERRAL:
                response.flags &= ~dns.flags.AA
            elif finding.kind is Kind.NO_NAME:
                response.set_rcode(dns.rcode.NXDOMAIN)  # RFC 6604: the code is that of the last name
            if finding.kind is not Kind.ALIAS or finding.authority:
                return
            seen.add(name)
            name = finding.answer[-1][0].target
            zone = None if name in seen else self.zone_of(name)

    def _answer_any(self, response: dns.message.Message, zone: Zone, name: Name) -> None:
        """RFC 8482 section 4.2: a HINFO record that was never in the zone, in place of everything."""
        finding = zone.find(name, dns.rdatatype.HINFO)
        if finding.kind is Kind.REFERRAL:
            response.authority, response.additional = finding.authority, finding.additional
            return
        response.flags |= dns.flags.AA
        if finding.kind is Kind.NO_NAME and not finding.answer:
            response.set_rcode(dns.rcode.NXDOMAIN)
            response.authority = finding.authority
            return
        response.answer = [dns.rrset.from_text(name, _ANY_TTL, "IN", "HINFO", 'RFC8482 ""')]

    def _transfer(
        self, query: dns.message.Message, response: dns.message.Message, source: Address, *, tcp: bool
    ) -> Iterable[bytes]:
        name = query.question[0].name
        zone = self._zones.get(name)
        allowed = any(source.version == net.version and source in net for net in self._transfer_to)
        if not tcp or not allowed or zone is None:
            # RFC 5936 section 2.2.1: REFUSED by policy, NOTAUTH for a zone that is not ours.
            response.set_rcode(dns.rcode.NOTAUTH if tcp and allowed else dns.rcode.REFUSED)
            self.counters["answered.refused-transfer"] += 1
            return (build(response),)
        self.counters["answered.transfer"] += 1
        return self._transferred(response, zone)

    def _transferred(self, response: dns.message.Message, zone: Zone) -> Iterator[bytes]:
        """RFC 5936 section 2.2: the zone in messages; only the first needs to have the question."""
        response.flags |= dns.flags.AA
        size = 0
        for rrset in zone.transfer():
            for record in rrset:
                octets = len(rrset.name.to_wire() or b"") + 10 + len(record.to_wire() or b"")
                if size and size + octets > _TRANSFER_SIZE:
                    yield build(response)
                    response.question, response.answer, size = [], [], 0
                response.answer.append(dns.rrset.from_rdata(rrset.name, rrset.ttl, record))
                size += octets
        yield build(response)


def check_query(query: dns.message.Message) -> dns.message.Message | None:
    """The response to go on with: empty, or with the rcode of what is wrong; None for what is no query."""
    if query.flags & dns.flags.QR:
        return None
    if query.edns > 0:
        response = response_to(query, dns.rcode.BADVERS)  # RFC 6891 section 6.1.3
    elif query.opcode() != dns.opcode.QUERY:
        response = response_to(query, dns.rcode.NOTIMP)
    elif len(query.question) != 1:
        response = response_to(query, dns.rcode.FORMERR)  # RFC 9619
    elif query.question[0].rdclass != dns.rdataclass.IN:
        response = response_to(query, dns.rcode.REFUSED)
    else:
        response = response_to(query)
    return response


def requests(buffer: bytearray) -> Iterator[bytes]:
    """Take the whole messages off the front of what came over TCP."""
    while len(buffer) >= 2:
        end = 2 + int.from_bytes(buffer[:2], "big")
        if len(buffer) < end:
            return
        message = bytes(buffer[2:end])
        del buffer[:end]
        yield message
