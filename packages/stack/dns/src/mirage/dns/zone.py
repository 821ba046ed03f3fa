"""Zones, and what a zone answers (RFC 1034 section 4.3.2, RFC 4592). Messages and octets are `server`'s."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

import dns.exception
import dns.name
import dns.node
import dns.rdataclass
import dns.rdataset
import dns.rdatatype
import dns.rrset
import dns.zone

from .errors import BadZone
from .message import Name, parse_name, with_ttl

__all__ = ["Finding", "Kind", "Zone"]

_ADDRESSES = (dns.rdatatype.A, dns.rdatatype.AAAA)
_LONGEST_CHAIN = 16
_WILDCARD = b"*"


class Kind(enum.Enum):
    """What was found."""

    ANSWER = "answer"
    ALIAS = "an alias that leads out of the zone"
    REFERRAL = "the name is another zone's"
    NO_DATA = "the name exists, without such records"
    NO_NAME = "there is no such name"


@dataclass(slots=True)
class Finding:
    """What a zone says of a name and type, in the sections of a response."""

    kind: Kind
    answer: list[dns.rrset.RRset] = field(default_factory=list)
    authority: list[dns.rrset.RRset] = field(default_factory=list)
    additional: list[dns.rrset.RRset] = field(default_factory=list)


class Zone:
    """A zone, read once and then only looked at."""

    def __init__(self, content: dns.zone.Zone) -> None:
        """From a zone of dnspython's with absolute names. Raises `BadZone` where SOA or NS is absent."""
        if content.origin is None:
            raise BadZone("a zone without a name; give it, or begin the file with $ORIGIN")
        self.origin: Name = content.origin
        self.content = content
        self._nodes: dict[Name, dns.node.Node] = dict(content.nodes)
        apex = self._nodes.get(self.origin)
        soa = apex and apex.get_rdataset(dns.rdataclass.IN, dns.rdatatype.SOA)
        if not soa or not apex or not apex.get_rdataset(dns.rdataclass.IN, dns.rdatatype.NS):
            raise BadZone(f"the zone {self.origin} needs a SOA record and NS records at its own name")
        self.soa = dns.rrset.from_rdata(self.origin, soa.ttl, soa[0])
        # RFC 2308 section 3: the SOA of a negative answer lives for the lesser of both.
        self._negative = with_ttl(self.soa, min(soa.ttl, soa[0].minimum))
        self._names: set[Name] = set()
        """Every name that exists, those without records of their own included (RFC 4592 section 2.2.2)."""
        for name in self._nodes:
            while name not in self._names and name != self.origin:
                self._names.add(name)
                name = name.parent()
        self._names.add(self.origin)

    @classmethod
    def parse(cls, text: str, origin: str | Name | None = None, *, file: str = "line") -> Zone:
        """A zone file (RFC 1035 section 5). `origin` is needed where the file has no ``$ORIGIN``; `file` is what errors
        call it. Raises `BadZone`.

        ``$INCLUDE`` is refused: a zone file names no files of the host.
        """
        try:
            base = None if origin is None else parse_name(origin)
            content = dns.zone.from_text(
                text, base, relativize=False, filename=file, allow_include=False, check_origin=False
            )
            return cls(content)
        except (dns.exception.DNSException, ValueError, KeyError, IndexError, AttributeError) as error:
            if isinstance(error, BadZone):
                raise
            hint = "; give it, or begin the file with $ORIGIN" if isinstance(error, dns.zone.UnknownOrigin) else ""
            raise BadZone(f"the zone cannot be read: {str(error) or type(error).__name__}{hint}") from None

    def find(self, name: Name, rdtype: int) -> Finding:
        """What the zone says of a name at or below its own. Takes time linear in the labels of the name."""
        finding = Finding(Kind.ANSWER)
        seen: set[Name] = set()
        while True:
            cut = self._cut(name, rdtype)
            if cut is not None:
                finding.authority = [cut]
                finding.additional = self._addresses_of(cut)
                finding.kind = Kind.ALIAS if finding.answer else Kind.REFERRAL
                return finding
            node = self._nodes.get(name)
            if node is None and name not in self._names:
                source = self._wildcard(name)
                if source is None:
                    return self._nothing(finding, Kind.NO_NAME)
                node = self._nodes.get(source)
            found = self._rrset(node, name, rdtype)
            if found is not None:
                finding.answer.append(found)
                finding.additional += self._addresses_of(found)
                finding.kind = Kind.ANSWER
                return finding
            alias = self._rrset(node, name, dns.rdatatype.CNAME)
            if alias is None:
                return self._nothing(finding, Kind.NO_DATA)
            finding.answer.append(alias)
            seen.add(name)
            name = alias[0].target
            if not name.is_subdomain(self.origin) or name in seen or len(seen) >= _LONGEST_CHAIN:
                finding.kind = Kind.ALIAS
                return finding

    def _nothing(self, finding: Finding, kind: Kind) -> Finding:
        finding.kind = kind
        finding.authority = [self._negative]
        return finding

    def _cut(self, name: Name, rdtype: int) -> dns.rrset.RRset | None:
        """The NS records that delegate a name away: those of the highest cut below our own name."""
        depth = len(self.origin.labels)
        labels = name.labels
        for count in range(depth + 1, len(labels) + 1):
            above = dns.name.Name(labels[-count:])
            if above not in self._names:
                return None
            if count == len(labels) and rdtype == dns.rdatatype.DS:
                return None  # RFC 4035 section 3.1.4.1: the parent answers for DS
            found = self._rrset(self._nodes.get(above), above, dns.rdatatype.NS)
            if found is not None:
                return found
        return None

    def _wildcard(self, name: Name) -> Name | None:
        """The wildcard of the closest name that exists (RFC 4592 section 3.3.1), if it exists itself."""
        encloser = name.parent()
        while encloser not in self._names:
            encloser = encloser.parent()
        source = dns.name.Name((_WILDCARD, *encloser.labels))
        return source if source in self._names else None

    def _rrset(self, node: dns.node.Node | None, name: Name, rdtype: int) -> dns.rrset.RRset | None:
        found = node and node.get_rdataset(dns.rdataclass.IN, dns.rdatatype.RdataType.make(rdtype))
        if not found:
            return None
        return dns.rrset.from_rdata_list(name, found.ttl, list(found))

    def _addresses_of(self, rrset: dns.rrset.RRset) -> list[dns.rrset.RRset]:
        """The addresses in this zone, glue included, of the hosts that NS, MX and SRV records name."""
        attribute = {dns.rdatatype.NS: "target", dns.rdatatype.MX: "exchange", dns.rdatatype.SRV: "target"}.get(
            rrset.rdtype
        )
        if attribute is None:
            return []
        hosts = dict.fromkeys(getattr(record, attribute) for record in rrset)
        found = (self._rrset(self._nodes.get(host), host, kind) for host in hosts for kind in _ADDRESSES)
        return [each for each in found if each is not None]

    def transfer(self) -> list[dns.rrset.RRset]:
        """Every record, the SOA first and last (RFC 5936 section 2.2)."""
        rest = [
            rrset
            for name, node in sorted(self._nodes.items())
            for rdataset in node
            if not (name == self.origin and rdataset.rdtype == dns.rdatatype.SOA)
            and (rrset := self._rrset(node, name, rdataset.rdtype)) is not None
        ]
        return [self.soa, *rest, self.soa]
