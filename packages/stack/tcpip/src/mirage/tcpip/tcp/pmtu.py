"""Path MTU discovery that needs no ICMP, for a connection: when to probe, and what timeouts say (RFC 4821, RFC 8899).

A connection begins with the MTU of its path, so there is nothing to search for until something is wrong: then, at the
first timeout of a large segment, its `PathMtuSearch` is made. A probe is one segment of new data that is larger than
the others; if it alone is lost, no congestion is to blame.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from . import handshake
from .plpmtud import PathMtuSearch

if TYPE_CHECKING:
    from .connection import Connection

__all__ = ["outcome", "payload_of_probe", "timed_out"]

_BASE4: Final = 1024
_BASE6: Final = 1280
"""Octets of a packet that gets through everywhere: RFC 4821 7.2, RFC 8200 5."""


def timed_out(connection: Connection, now: float) -> None:
    """The retransmission timer has expired: perhaps the path swallows the large segments that are out."""
    if not connection.tcp.settings.plpmtud:
        return
    search = connection.search
    sender, framer = connection.sender, connection.framer
    overhead = framer.overhead + (12 if connection.timestamps else 0)
    if search is None:
        ceiling = min(framer.path.mtu, connection.peer_mss + framer.overhead)
        base = _BASE6 if framer.version6 else _BASE4
        if sender.mss + overhead <= base:
            return
        search = connection.search = PathMtuSearch(sender.mss + overhead, ceiling, base, overhead)
    largest = max(min(r.end - r.fin - r.start, sender.mss) for r in sender.sent) + overhead
    # So many octets cannot well have come in small segments only.
    proved = sender.una - sender.iss > 4 * sender.mss
    if search.on_timeout(largest, now, proved):
        connection.tcp.counters["tcp.black-holes"] += 1
        handshake.update_mss(connection)


def payload_of_probe(connection: Connection, now: float) -> int:
    """Octets of data of a segment that is worth sending now to find a larger size; 0 for none."""
    search, sender = connection.search, connection.sender
    if search is None or sender.probe is not None or sender.lost or sender.sacked:
        return 0
    size = search.next_probe(now)
    if size is None:
        return 0
    payload = size - search.overhead
    # RFC 4821 7.5, 7.6: with enough data behind it to see a loss, and within both windows
    if sender.queued < payload + 3 * sender.mss or payload > min(sender.allowance(), sender.edge - sender.nxt):
        return 0
    search.on_probe_sent(size)
    return payload


def outcome(connection: Connection, now: float) -> None:
    """After an acknowledgment: whether the probe under way has arrived or is lost."""
    search, sender = connection.search, connection.sender
    if search is None:
        return
    probe = sender.probe
    if probe is None:
        return
    size = sender.probe_size + search.overhead
    if probe.times > 1 or probe.lost:
        search.on_probe_lost(size, now)
        connection.tcp.counters["tcp.mtu-probes-lost"] += 1
    elif sender.una >= probe.end or probe.sacked:
        search.on_probe_acked(size, now)
        connection.tcp.counters["tcp.mtu-probes-acked"] += 1
    else:
        return
    sender.probe = None
    handshake.update_mss(connection)
