"""Messages: dnspython's, behind two functions that raise this package's errors and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from .errors import BadName, InvalidMessage

__all__ = ["MAX_TCP", "MIN_UDP", "UDP_PAYLOAD", "Name", "build", "frame", "parse", "parse_name", "response_to"]

Name = dns.name.Name

MIN_UDP = 512
"""Octets of a message over UDP that everybody takes (RFC 1035 section 4.2.1)."""
UDP_PAYLOAD = 1232
"""Octets that we offer to take, and give at most, over UDP: no path of IPv6 fragments them (RFC 9715)."""
MAX_TCP = 65535


def parse(octets: bytes | bytearray | memoryview) -> dns.message.Message:
    """The message that the octets are, all of them. Raises `InvalidMessage`."""
    try:
        return dns.message.from_wire(bytes(octets))
    except (dns.exception.DNSException, ValueError, IndexError, KeyError, OverflowError) as error:
        raise InvalidMessage(f"no message of DNS: {type(error).__name__} {error}") from None


def build(message: dns.message.Message, max_size: int = MAX_TCP) -> bytes:
    """The octets of a message. What does not fit is left out and said to be (TC, RFC 2181 section 9)."""
    return message.to_wire(max_size=max_size, prefer_truncation=True)


def frame(octets: bytes) -> bytes:
    """A message as it goes over TCP (RFC 1035 section 4.2.2)."""
    return len(octets).to_bytes(2, "big") + octets


def parse_name(text: str | Name) -> Name:
    """The absolute name that a text means; international ones by IDNA. Raises `BadName`."""
    if isinstance(text, dns.name.Name):
        return text if text.is_absolute() else text.concatenate(dns.name.root)
    try:
        return dns.name.from_text(text, idna_codec=dns.name.IDNA_2003_Practical)
    except (dns.exception.DNSException, UnicodeError, ValueError) as error:
        raise BadName(f"{text[:300]!r} is no domain name: {error}") from None


def response_to(query: dns.message.Message, rcode: int = dns.rcode.NOERROR) -> dns.message.Message:
    """An empty response: id, question and RD are the query's, and it has EDNS when the query has (RFC 6891 6.1.1)."""
    response = dns.message.Message(id=query.id)
    response.flags = dns.flags.QR | (query.flags & dns.flags.RD)
    response.set_opcode(query.opcode())
    response.question = list(query.question[:1])
    if query.edns >= 0:
        response.use_edns(0, payload=UDP_PAYLOAD)
    response.set_rcode(dns.rcode.Rcode(rcode))
    return response


def with_ttl(rrset: dns.rrset.RRset, ttl: int, name: Name | None = None) -> dns.rrset.RRset:
    """A copy of an RRset with another TTL, and perhaps another owner."""
    return dns.rrset.from_rdata_list(name or rrset.name, ttl, list(rrset))


def reply_size(query: dns.message.Message | None) -> int:
    """Octets that a response over UDP may have: what the query's EDNS offers, between 512 and our own limit."""
    if query is None or query.edns < 0:
        return MIN_UDP
    return max(MIN_UDP, min(query.payload, UDP_PAYLOAD))


def same_question(one: Sequence[dns.rrset.RRset], name: Name, rdtype: int, *, exact_case: bool) -> bool:
    """Whether a question section asks just for this, in class IN."""
    if len(one) != 1:
        return False
    (question,) = one
    if question.name != name or question.rdtype != rdtype or question.rdclass != dns.rdataclass.IN:
        return False
    return not exact_case or question.name.labels == name.labels
