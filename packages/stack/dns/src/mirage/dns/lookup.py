"""Finding the records of a name: the cache first, then servers, along CNAMEs. Without I/O.

`lookup` is a generator: it yields a `Question` that has to be asked, is sent the response with the time, and returns an
`Answer`. Of a response it takes only what answers the question: the chain of CNAMEs from the name asked for, the
records at its end, and the SOA of a negative answer. All else could have been planted.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass

import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from .cache import NO_NAME, Cache, Entry
from .errors import ServersFailed
from .exchange import Question
from .message import Name
from .settings import Settings

__all__ = ["Answer", "candidates", "lookup"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What there is at a name, aliases followed."""

    question: Question
    rcode: dns.rcode.Rcode
    """NOERROR or NXDOMAIN."""
    chain: tuple[dns.rrset.RRset, ...]
    """The CNAMEs on the way."""
    name: Name
    """The name at their end."""
    rrset: dns.rrset.RRset | None
    """The records; None: there are none of this type, or there is no such name."""
    soa: dns.rrset.RRset | None
    """Of a negative answer, what says so."""


def candidates(text: str, name: Name, settings: Settings) -> Iterator[Name]:
    """The names that a text may mean, in order (resolver(5), RFC 1535): as it is, or within the search list."""
    absolute = text.endswith(".") or not settings.search
    first = absolute or len(name.labels) - 2 >= settings.ndots
    if first:
        yield name
    if not absolute:
        for domain in settings.search:
            if sum(map(len, name.labels[:-1])) + len(name.labels) + sum(map(len, domain.labels)) + len(domain) <= 255:
                yield name.relativize(dns.name.root).concatenate(domain)
        if not first:
            yield name


def lookup(
    question: Question, cache: Cache, settings: Settings, now: float
) -> Generator[Question, tuple[dns.message.Message, float], Answer]:
    """See the module. Raises `ServersFailed` for a chain that is too long or a circle."""
    name, chain = question.name, []
    for _ in range(settings.max_chain + 1):
        entry = cache.get(name, question.rdtype, now)
        if entry is None:
            response, now = yield Question(name, question.rdtype)
            found = list(_entries(response, name, question.rdtype, settings, now))
            for owner, rdtype, each in found:
                cache.put(owner, rdtype, each, now)
            # What has a TTL of 0 is in no cache, but answers the question at hand (RFC 1035 section 3.2.1).
            for _, _, each in found[:-1]:
                assert each.rrset is not None
                chain.append(each.aged(each.rrset, now))
            name, _, entry = found[-1]
            if len(chain) > settings.max_chain:
                break
        rrset = entry.rrset
        if rrset is not None and rrset.rdtype == dns.rdatatype.CNAME and question.rdtype != dns.rdatatype.CNAME:
            chain.append(entry.aged(rrset, now))
            name = rrset[0].target
            continue
        return Answer(
            question,
            entry.rcode,
            tuple(chain),
            name,
            None if rrset is None else entry.aged(rrset, now),
            None if entry.soa is None else entry.aged(entry.soa, now),
        )
    raise ServersFailed(f"{question.name} is an alias of an alias of ..., more than {settings.max_chain} deep")


def _entries(
    response: dns.message.Message, name: Name, rdtype: int, settings: Settings, now: float
) -> Iterator[tuple[Name, int, Entry]]:
    """What a response says: aliases from `name` on, then either the records, what is negative, or the last alias."""
    by_key = {(r.name, r.rdtype): r for r in response.answer if r.rdclass == dns.rdataclass.IN and len(r)}
    last: tuple[Name, int, Entry] | None = None
    for _ in range(len(by_key) + 1):
        rrset = by_key.pop((name, dns.rdatatype.RdataType.make(rdtype)), None)
        if rrset is not None:
            if last:
                yield last
            yield name, rdtype, Entry(now + min(rrset.ttl, settings.max_ttl), rrset=rrset)
            return
        alias = by_key.pop((name, dns.rdatatype.CNAME), None)
        if alias is None:
            break
        if last:
            yield last
        last = name, dns.rdatatype.CNAME, Entry(now + min(alias.ttl, settings.max_ttl), rrset=alias)
        name = alias[0].target
    soa = _soa(response, name)
    if soa is None and last is not None and response.rcode() == dns.rcode.NOERROR:
        yield last  # the server leaves the rest to us
        return
    if last:
        yield last
    # RFC 2308 section 5: the lesser of the SOA's TTL and its last field; without a SOA, nothing is kept.
    ttl = 0 if soa is None else min(soa.ttl, soa[0].minimum, settings.max_negative_ttl)
    missing = response.rcode() == dns.rcode.NXDOMAIN
    entry = Entry(now + ttl, rcode=response.rcode(), soa=soa)
    yield name, NO_NAME if missing else rdtype, entry


def _soa(response: dns.message.Message, name: Name) -> dns.rrset.RRset | None:
    """The SOA of a negative answer: of a zone that holds the name."""
    for rrset in response.authority:
        if rrset.rdtype == dns.rdatatype.SOA and len(rrset) and name.is_subdomain(rrset.name):
            return rrset
    return None
