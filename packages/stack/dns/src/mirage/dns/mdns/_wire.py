"""Messages of multicast DNS (RFC 6762 section 18): like those of DNS, with a bit of their own in the class.

Names and data of records are dnspython's. Parsing takes any octets and raises only `InvalidMessage`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from typing import NamedTuple

import dns.exception
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype

from ..errors import InvalidMessage
from ..message import Name

__all__ = ["MAX_SIZE", "Message", "Question", "Record", "build", "parse", "split"]

MAX_SIZE = 1440
"""Octets of a message that fit a frame of Ethernet with either version of IP (RFC 6762 section 17)."""
_HEADER = struct.Struct("!6H")
_FIXED = struct.Struct("!HHIH")
_QUESTION = struct.Struct("!HH")
_TOP_BIT = 0x8000
_RESPONSE, _AUTHORITATIVE, _TRUNCATED = 0x8000, 0x0400, 0x0200
_OPCODE_AND_RCODE = 0x780F
_MOST_RECORDS = 1000


class Question(NamedTuple):
    """What is asked for, in class IN."""

    name: Name
    rdtype: int
    unicast: bool = False
    """Whether the answer may come to the asker alone (QU, section 5.4)."""


@dataclass(frozen=True, slots=True)
class Record:
    """A record, in class IN. Equal are those that say the same, whatever their TTL."""

    name: Name
    rdtype: int
    data: dns.rdata.Rdata
    ttl: int = field(compare=False)
    """Seconds; 0 is a goodbye (section 10.1)."""
    unique: bool = field(default=False, compare=False)
    """Whether its owner is the only one to have records of this name and type (the cache-flush bit, section 10.2)."""

    @property
    def key(self) -> tuple[Name, int]:
        """Name and type."""
        return self.name, self.rdtype


@dataclass(frozen=True, slots=True)
class Message:
    """A query or a response."""

    response: bool
    questions: tuple[Question, ...] = ()
    answers: tuple[Record, ...] = ()
    """Of a query, those that are known already (section 7.1)."""
    authority: tuple[Record, ...] = ()
    """Of a probe, the records that are claimed (section 8.2)."""
    additional: tuple[Record, ...] = ()
    truncated: bool = False
    """More known answers follow (section 7.2)."""
    id: int = 0
    """0, except with those who do not speak multicast DNS (section 6.7)."""


def parse(octets: bytes | bytearray | memoryview) -> Message:
    """The message that a datagram holds. Raises `InvalidMessage`."""
    octets = bytes(octets)
    try:
        number, flags, *counts = _HEADER.unpack_from(octets)
        # Sections 18.3 and 18.11: what has another opcode or an rcode is ignored.
        if flags & _OPCODE_AND_RCODE:
            raise InvalidMessage("an opcode or rcode that is not 0")
        if sum(counts) > _MOST_RECORDS:
            raise InvalidMessage(f"{sum(counts)} records; more than {_MOST_RECORDS} make no sense")
        at = _HEADER.size
        questions = []
        for _ in range(counts[0]):
            name, used = dns.name.from_wire(octets, at)
            rdtype, rdclass = _QUESTION.unpack_from(octets, at + used)
            at += used + _QUESTION.size
            if rdclass & ~_TOP_BIT in {dns.rdataclass.IN, dns.rdataclass.ANY}:
                questions.append(Question(name, rdtype, bool(rdclass & _TOP_BIT)))
        sections: list[list[Record]] = []
        for count in counts[1:]:
            sections.append([])
            for _ in range(count):
                record, at = _parse_record(octets, at)
                if record is not None:
                    sections[-1].append(record)
    except (dns.exception.DNSException, struct.error, ValueError, IndexError) as error:
        raise InvalidMessage(f"no message of multicast DNS: {type(error).__name__} {error}") from None
    answers, authority, additional = map(tuple, sections)
    truncated = bool(flags & _TRUNCATED)
    return Message(bool(flags & _RESPONSE), tuple(questions), answers, authority, additional, truncated, number)


def _parse_record(octets: bytes, at: int) -> tuple[Record | None, int]:
    name, used = dns.name.from_wire(octets, at)
    rdtype, rdclass, ttl, size = _FIXED.unpack_from(octets, at + used)
    start = at + used + _FIXED.size
    if start + size > len(octets):
        raise InvalidMessage("a record goes on after the end of its message")
    if rdclass & ~_TOP_BIT != dns.rdataclass.IN or rdtype == dns.rdatatype.OPT:
        return None, start + size
    data = dns.rdata.from_wire(dns.rdataclass.IN, rdtype, octets, start, size)
    return Record(name, rdtype, data, min(ttl, 0x7FFFFFFF), bool(rdclass & _TOP_BIT)), start + size


def build(message: Message) -> bytes:
    """The octets of a message."""
    flags = _RESPONSE | _AUTHORITATIVE if message.response else 0
    sections = (message.answers, message.authority, message.additional)
    out = BytesIO()
    out.write(
        _HEADER.pack(
            message.id, flags | (_TRUNCATED if message.truncated else 0), len(message.questions), *map(len, sections)
        )
    )
    compress: dict[Name, int] = {}
    for question in message.questions:
        question.name.to_wire(out, compress)
        out.write(_QUESTION.pack(question.rdtype, dns.rdataclass.IN | (_TOP_BIT if question.unicast else 0)))
    for section in sections:
        for record in section:
            record.name.to_wire(out, compress)
            # Section 10.2: the bit is for responses only, never for what a query holds.
            unique = record.unique and message.response
            data = _octets(record, out.tell() + _FIXED.size, compress)
            out.write(
                _FIXED.pack(record.rdtype, dns.rdataclass.IN | (_TOP_BIT if unique else 0), record.ttl, len(data))
            )
            out.write(data)
    return out.getvalue()


def _octets(record: Record, at: int, compress: dict[Name, int]) -> bytes:
    """The data of a record at a place of the message; the name that a PTR points to is compressed."""
    if record.rdtype != dns.rdatatype.PTR:
        return record.data.to_wire() or b""
    out = BytesIO(bytes(at))
    out.seek(at)
    record.data.to_wire(out, compress)
    return out.getvalue()[at:]


def size_of(record: Record) -> int:
    """Octets that a record takes at most."""
    return len(record.name.to_wire() or b"") + _FIXED.size + len(record.data.to_wire() or b"")


def split(records: Iterable[Record], room: int = MAX_SIZE - _HEADER.size) -> Iterator[tuple[Record, ...]]:
    """Records in groups that each fit a message; one that is too large alone is by itself."""
    group: list[Record] = []
    left = room
    for record in records:
        size = size_of(record)
        if group and size > left:
            yield tuple(group)
            group, left = [], room
        group.append(record)
        left -= size
    if group:
        yield tuple(group)
