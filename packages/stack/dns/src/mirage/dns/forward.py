"""The forwarding server: answers from hosts and the cache, and asks recursive servers for the rest."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterable

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.reversename
import dns.rrset

from .errors import DnsError, InvalidMessage
from .message import MAX_TCP, Name, build, parse, reply_size
from .resolver import Resolver
from .server import check_query
from .settings import Address

__all__ = ["Forwarder"]

_HOSTS_TTL = 60


class Forwarder:
    """A `Handler` for `serve` in front of a `Resolver`, whose cache is then shared by all clients.

    `counters` counts responses by rcode, and what was dropped.
    """

    def __init__(self, resolver: Resolver) -> None:
        self.resolver = resolver
        self.counters: Counter[str] = Counter()

    async def handle(self, octets: bytes, source: Address, *, tcp: bool) -> Iterable[bytes]:
        """The response to a query, none to anything else. Raises nothing."""
        del source
        try:
            query = parse(octets)
        except InvalidMessage:
            self.counters["dropped.invalid"] += 1
            return ()
        response = check_query(query)
        if response is None:
            self.counters["dropped.no-query"] += 1
            return ()
        response.flags |= dns.flags.RA
        if response.rcode() == dns.rcode.NOERROR:
            await self._answer(query, response)
        self.counters[f"answered.{dns.rcode.to_text(response.rcode()).lower()}"] += 1
        return (build(response, MAX_TCP if tcp else reply_size(query)),)

    async def _answer(self, query: dns.message.Message, response: dns.message.Message) -> None:
        name, rdtype = query.question[0].name, query.question[0].rdtype
        if dns.rdatatype.is_metatype(rdtype) or not query.flags & dns.flags.RD:
            # RFC 8482 permits to refuse ANY; transfers and questions about what is in the cache are refused too.
            response.set_rcode(dns.rcode.REFUSED)
            return
        if self._from_hosts(response, name, rdtype):
            return
        try:
            found = await self.resolver.query(name, rdtype)
        except DnsError:
            response.set_rcode(dns.rcode.SERVFAIL)
            return
        response.set_rcode(found.rcode)
        response.answer = [*found.chain, *([] if found.rrset is None else [found.rrset])]
        if found.rrset is None and found.soa is not None:
            response.authority = [found.soa]

    def _from_hosts(self, response: dns.message.Message, name: Name, rdtype: int) -> bool:
        """Answer what the hosts file, or RFC 6761, knows."""
        hosts = self.resolver.settings.hosts
        addresses = hosts.addresses(name)
        if addresses is not None:
            if not addresses:
                response.set_rcode(dns.rcode.NXDOMAIN)
            version = {dns.rdatatype.A: 4, dns.rdatatype.AAAA: 6}.get(dns.rdatatype.RdataType.make(rdtype))
            found = [str(address) for address in addresses if address.version == version]
        elif rdtype == dns.rdatatype.PTR and (pointed := _pointed(name)) is not None and hosts.names(pointed):
            found = [host.to_text() for host in hosts.names(pointed)]
        else:
            return False
        if found:
            response.answer = [
                dns.rrset.from_text(name, _HOSTS_TTL, "IN", dns.rdatatype.RdataType.make(rdtype), *found)
            ]
        return True


def _pointed(name: Name) -> Address | None:
    """The address that a name below in-addr.arpa or ip6.arpa stands for."""
    try:
        return ipaddress.ip_address(dns.reversename.to_address(name))
    except (dns.exception.DNSException, ValueError):
        return None
