"""Membership of multicast groups, told to routers and switches: IGMPv3 and MLDv2 as one machine (RFC 3376, RFC 3810).

* A group that is joined is reported at once, and `ROBUSTNESS - 1` times more within a second each; so is one that is
  left. Reports that are due together share packets.
* Queries are answered after a random time within what they allow.
* Where an older router has been heard lately, reports are those that it understands (RFC 3376 7, RFC 3810 8).

All-nodes groups and groups that reach no further than the interface are nobody else's business and never reported
(RFC 3376 5, RFC 3810 6).
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from ..wire import ethernet, icmp, igmp, ipv4, ipv6, mld
from ..wire.checksum import ones_sum
from ..wire.igmp import MODE_IS_EXCLUDE, TO_EXCLUDE, TO_INCLUDE, Query, Record

if TYPE_CHECKING:
    from .interface import Interface
    from .layer import Ip

__all__ = ["ALL_NODES4", "ALL_NODES6", "Groups"]

ALL_NODES4 = b"\xe0\0\0\1"
ALL_NODES6 = b"\xff\x02" + bytes(13) + b"\x01"
_ALL_ROUTERS4, _REPORTS4 = b"\xe0\0\0\2", b"\xe0\0\0\x16"
_ALL_ROUTERS6, _REPORTS6 = b"\xff\x02" + bytes(13) + b"\x02", b"\xff\x02" + bytes(13) + b"\x16"
_ROBUSTNESS = 2
_UNSOLICITED = 1.0
"""Seconds within which a report is repeated (RFC 3376 8.11, RFC 3810 9.11)."""
_OLDER_ROUTER = 260.0
"""Seconds for which an older router is believed to be there (RFC 3376 8.12, RFC 3810 9.12)."""
_INTERNETWORK_CONTROL = 0xC0
_IGMP, _ICMP6 = 2, 58


class _Changes:
    """What is still to be told on one interface, over one version of IP."""

    __slots__ = ("answers", "changed", "changed_at", "everything_at", "first_until", "second_until")

    def __init__(self) -> None:
        self.changed: dict[bytes, list[int]] = {}
        """Groups joined or left lately: the kind of record, and how many times it is still to be sent."""
        self.changed_at = inf
        self.everything_at = inf
        """When a general query is to be answered."""
        self.answers: dict[bytes, float] = {}
        """When queries for single groups are to be answered."""
        self.first_until = self.second_until = 0.0
        """Until when a router of version 1 or 2 is believed to be there."""

    def version(self, now: float) -> int:
        """The version of IGMP to speak; of MLD, 2 stands for MLDv1."""
        return 1 if now < self.first_until else 2 if now < self.second_until else 3

    def next_deadline(self) -> float:
        return min(self.changed_at, self.everything_at, min(self.answers.values(), default=inf))


class Groups:
    """The groups that this host has joined, on all interfaces; `Interface.groups` counts the members of each."""

    def __init__(self, ip: Ip) -> None:
        self._ip = ip
        self._changes: dict[tuple[Interface, int], _Changes] = {}
        self.due = inf
        """When `poll` is wanted."""

    def join(self, interface: Interface, group: bytes, now: float) -> None:
        """Take packets for a group from an interface."""
        count = interface.groups[group] = interface.groups.get(group, 0) + 1
        if count == 1:
            self._change(interface, group, TO_EXCLUDE, now)

    def leave(self, interface: Interface, group: bytes, now: float) -> None:
        """Undo one `join`."""
        left = interface.groups.get(group, 0) - 1
        if left > 0:
            interface.groups[group] = left
        elif interface.groups.pop(group, None) is not None:
            self._change(interface, group, TO_INCLUDE, now)

    def forget(self, interface: Interface) -> None:
        """The interface has gone."""
        for size in (4, 16):
            self._changes.pop((interface, size), None)

    def _change(self, interface: Interface, group: bytes, kind: int, now: float) -> None:
        if interface is self._ip.loopback or not _reported(group):
            return
        changes = self._changes.setdefault((interface, len(group)), _Changes())
        # RFC 3376 5.1: the newest change takes the place of what was still to be told of the group.
        changes.changed[group] = [kind, _ROBUSTNESS]
        changes.changed_at = now
        self.due = min(self.due, now)

    def query(self, interface: Interface, query: Query, size: int, now: float) -> None:
        """A router has asked; `size` is that of an address: 4 or 16 octets."""
        changes = self._changes.get((interface, size))
        if changes is None:
            return  # there is nothing to tell
        if query.version == 1:
            changes.first_until = now + _OLDER_ROUTER
        elif query.version == 2:
            changes.second_until = now + _OLDER_ROUTER
        at = now + self._ip.chance.random() * query.max_delay
        if not any(query.group):
            changes.everything_at = min(changes.everything_at, at)
        elif query.group in interface.groups and _reported(query.group):
            changes.answers[query.group] = min(changes.answers.get(query.group, inf), at)
        self.due = min(self.due, at)

    def poll(self, now: float) -> None:
        """Send what is due."""
        if now < self.due:
            return
        for (interface, size), changes in self._changes.items():
            if changes.next_deadline() > now:
                continue
            records: dict[bytes, int] = {}
            if changes.everything_at <= now:
                changes.everything_at = inf
                changes.answers.clear()
                for group in interface.groups:
                    if len(group) == size and _reported(group):
                        records[group] = MODE_IS_EXCLUDE
            for group in [g for g, at in changes.answers.items() if at <= now]:
                del changes.answers[group]
                if group in interface.groups:
                    records[group] = MODE_IS_EXCLUDE
            if changes.changed_at <= now:
                for group, change in list(changes.changed.items()):
                    records[group] = change[0]
                    change[1] -= 1
                    if not change[1]:
                        del changes.changed[group]
                changes.changed_at = now + self._ip.chance.random() * _UNSOLICITED if changes.changed else inf
            self._report(interface, size, [Record(g, kind) for g, kind in records.items()], changes.version(now))
        self.due = min((changes.next_deadline() for changes in self._changes.values()), default=inf)

    def _report(self, interface: Interface, size: int, records: list[Record], version: int) -> None:
        self._ip.counters["groups.reports"] += len(records)
        if version < 3:
            for group, kind in records:
                if size == 4:
                    self._report4_older(interface, group, kind, version)
                elif kind == TO_INCLUDE:
                    self._send6(interface, _ALL_ROUTERS6, mld.DONE1, mld.build_done1(group))
                else:
                    self._send6(interface, group, mld.REPORT1, mld.build_report1(group))
            return
        if size == 4:
            room = (interface.mtu - ipv4.HEADER - 4 - 8) // 8
            for at in range(0, len(records), room):
                self._send4(interface, _REPORTS4, igmp.build_report3(records[at : at + room]))
        else:
            room = (interface.mtu6 - ipv6.HEADER - 8 - 8) // 20
            for at in range(0, len(records), room):
                self._send6(interface, _REPORTS6, mld.REPORT2, mld.build_report2(records[at : at + room]))

    def _report4_older(self, interface: Interface, group: bytes, kind: int, version: int) -> None:
        if kind != TO_INCLUDE:
            self._send4(interface, group, igmp.build_report(version, group), alert=version > 1)
        elif version == 2:  # version 1 has no such message
            self._send4(interface, _ALL_ROUTERS4, igmp.build_leave2(group))

    def _send4(self, interface: Interface, destination: bytes, message: bytes, alert: bool = True) -> None:
        source = next(
            (a.address for a in interface.addresses.values() if len(a.address) == 4 and not a.tentative), bytes(4)
        )
        header = ipv4.build(
            len(message),
            _IGMP,
            source,
            destination,
            hop_limit=1,
            traffic_class=_INTERNETWORK_CONTROL,
            options=igmp.ROUTER_ALERT if alert else b"",
        )
        self._ip.transmit_plain(interface, ethernet.group_mac(destination), ethernet.IPV4, [header, message])

    def _send6(self, interface: Interface, destination: bytes, kind: int, message: bytes) -> None:
        # RFC 3590 4: from the unspecified address while there is no other.
        source = interface.link_local() or bytes(16)
        packet = icmp.build6(kind, 0, message[:4], message[4:], ones_sum(source + destination))
        header = ipv6.build(len(mld.ROUTER_ALERT) + len(packet), ipv6.HOP_BY_HOP, source, destination, hop_limit=1)
        self._ip.transmit_plain(
            interface, ethernet.group_mac(destination), ethernet.IPV6, [header, mld.ROUTER_ALERT, packet]
        )


def _reported(group: bytes) -> bool:
    if len(group) == 4:
        return group != ALL_NODES4
    return group != ALL_NODES6 and group[1] & 15 > 1
