"""What servers have answered, until its time is over; with negative answers after RFC 2308. Bounded, without a clock.

An entry is all that was said of one name and type. That a name does not exist is an entry of the type `NO_NAME`:
it holds for all types. Who was not used for the longest time makes room.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import dns.rcode
import dns.rdatatype
import dns.rrset

from .message import Name, with_ttl

__all__ = ["NO_NAME", "Cache", "Entry"]

NO_NAME = dns.rdatatype.NONE
"""A type that no record has."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known until `expires`, in the seconds of the caller's clock."""

    expires: float
    rcode: dns.rcode.Rcode = dns.rcode.NOERROR
    rrset: dns.rrset.RRset | None = None
    soa: dns.rrset.RRset | None = None
    """Of a negative answer: what says so, for those whom we tell (RFC 2308 section 6)."""

    def aged(self, rrset: dns.rrset.RRset, now: float) -> dns.rrset.RRset:
        """The RRset with the time that is left (RFC 1035 section 3.2.1)."""
        return with_ttl(rrset, max(0, min(rrset.ttl, int(self.expires - now))))


class Cache:
    """At most `max_entries`. `hits` and `misses` count."""

    def __init__(self, max_entries: int) -> None:
        self.max_entries = max_entries
        self.hits = self.misses = 0
        self._entries: OrderedDict[tuple[Name, int], Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, name: Name, rdtype: int, now: float) -> Entry | None:
        """What is known of a name and type: the RRset, that there is none, that there is no such name, or a CNAME."""
        for kind in (rdtype, NO_NAME, dns.rdatatype.CNAME):
            entry = self._entries.get((name, kind))
            if entry is None:
                continue
            if entry.expires <= now:
                del self._entries[name, kind]
                continue
            if kind == dns.rdatatype.CNAME and entry.rrset is None and rdtype != kind:
                continue  # that a name is no alias says nothing of its other types
            self._entries.move_to_end((name, kind))
            self.hits += 1
            return entry
        self.misses += 1
        return None

    def put(self, name: Name, rdtype: int, entry: Entry, now: float) -> None:
        """Keep an entry, unless its time is over already."""
        if entry.expires <= now or self.max_entries <= 0:
            return
        self._entries[name, rdtype] = entry
        self._entries.move_to_end((name, rdtype))
        while len(self._entries) > self.max_entries:
            self._entries.popitem(last=False)

    def clear(self) -> None:
        """Forget everything, as when the network has changed."""
        self._entries.clear()
