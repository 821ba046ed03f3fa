"""Multicast groups, on the side of a host: routers and switches are told of them (RFC 3376, RFC 3810).

A change is reported at once and again after up to a second, as often as the querier's robustness asks; queries are
answered after a random delay within what they allow, about all groups in one report. Where a querier of an older
version was heard, its version is spoken. Sources are not told apart: a group is wanted from all or not at all.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from ..errors import WireError
from ..wire import ethernet, groups, icmp, ipv4, ipv6
from ..wire.checksum import ones_sum
from ..wire.groups import CHANGE_TO_EXCLUDE, CHANGE_TO_INCLUDE, IS_EXCLUDE, Query
from .sources import scope

if TYPE_CHECKING:
    from .interface import Interface
    from .layer import Ip
    from .packet import Packet

__all__ = ["Groups"]

_ROBUSTNESS = 2
_AGAIN = 1.0
_OLD_FOR = 260.0
"""RFC 3376 8.13, RFC 3810 9.12: seconds for which an older querier is believed to be there."""
_RECORDS = {4: 180, 6: 60}
"""In one report, so that it fits in 1500 octets."""
_IGMP, _ICMP6 = 2, 58
_ROUTERS4, _ROUTERS6 = b"\xe0\0\0\x02", b"\xff\x02" + bytes(13) + b"\x02"
_REPORTS4, _REPORTS6 = b"\xe0\0\0\x16", b"\xff\x02" + bytes(13) + b"\x16"
_ALL4, _ALL6 = b"\xe0\0\0\x01", b"\xff\x02" + bytes(13) + b"\x01"
_ALERT4 = b"\x94\x04\0\0"
_ALERT6 = bytes([_ICMP6, 0, 5, 2, 0, 0, 1, 0])
"""The option Router Alert (RFC 2113, RFC 2711): all reports carry it."""
_CLASS4 = 0xC0


class _State:
    """Of one version of IP on one interface."""

    __slots__ = ("answer_at", "asked", "changes", "changes_at", "interface", "old_until", "robustness", "version")

    def __init__(self, interface: Interface, version: int) -> None:
        self.interface, self.version = interface, version
        self.changes: dict[bytes, tuple[int, int]] = {}
        """Groups, each with the kind of its change and how often that is still to be sent."""
        self.changes_at = inf
        self.answer_at = inf
        self.asked: set[bytes] | None = set()
        """The groups that were asked for; None for all."""
        self.old_until = -inf
        self.robustness = _ROBUSTNESS


class Groups:
    """The memberships of one stack."""

    def __init__(self, ip: Ip) -> None:
        self._ip = ip
        self._states: dict[tuple[int, int], _State] = {}
        ip.receivers[_IGMP] = self._igmp

    def _state(self, interface: Interface, version: int) -> _State:
        key = (interface.index, version)
        state = self._states.get(key)
        if state is None:
            state = self._states[key] = _State(interface, version)
        return state

    def forget(self, interface: Interface) -> None:
        """The interface has gone."""
        for version in (4, 6):
            self._states.pop((interface.index, version), None)

    def changed(self, interface: Interface, group: bytes, joined: bool, now: float) -> None:
        """A group was joined for the first time, or left for the last."""
        if not self._ip.settings.multicast_reports or interface is self._ip.loopback or not _reported(group):
            return
        state = self._state(interface, 4 if len(group) == 4 else 6)
        state.changes[group] = (CHANGE_TO_EXCLUDE if joined else CHANGE_TO_INCLUDE, state.robustness)
        state.changes_at = now
        self._ip.wake()

    def members(self, interface: Interface, version: int) -> list[bytes]:
        """The groups of an interface that are reported."""
        size = 4 if version == 4 else 16
        return [group for group in interface.groups if len(group) == size and _reported(group)]

    # Queries

    def _igmp(self, packet: Packet, now: float) -> None:
        try:
            query = groups.parse_query4(packet.payload)
        except WireError:
            self._ip.counters["igmp.malformed"] += 1
            return
        if query is not None:
            self._query(self._state(packet.interface, 4), query, now)

    def mld(self, packet: Packet, now: float) -> None:
        """An MLD query has come. Raises `WireError`."""
        if packet.hop_limit != 1 or scope(packet.source) != 2 or packet.source[0] != 0xFE:
            raise WireError("an MLD query from beyond the link (RFC 3810 5.1.14)")
        self._query(self._state(packet.interface, 6), groups.parse_query6(packet.payload), now)

    def _query(self, state: _State, query: Query, now: float) -> None:
        if not self._ip.settings.multicast_reports:
            return
        if query.old:
            state.old_until = now + _OLD_FOR
        if query.robustness:
            state.robustness = query.robustness
        at = now + query.seconds * self._ip.draw()
        if not any(query.group):
            state.asked = None
        elif query.group not in self.members(state.interface, state.version):
            return
        elif state.asked is not None:
            state.asked.add(query.group)
        state.answer_at = min(state.answer_at, at)
        self._ip.wake()

    # Reports

    def poll(self, now: float) -> None:
        """Send what is due."""
        for state in list(self._states.values()):
            if state.changes_at <= now:
                records = [(kind, group) for group, (kind, _) in state.changes.items()]
                self._report(state, records, now)
                state.changes = {g: (kind, left - 1) for g, (kind, left) in state.changes.items() if left > 1}
                state.changes_at = now + _AGAIN * self._ip.draw() if state.changes else inf
            if state.answer_at <= now:
                wanted, state.asked, state.answer_at = state.asked, set(), inf
                members = self.members(state.interface, state.version)
                self._report(state, [(IS_EXCLUDE, g) for g in members if wanted is None or g in wanted], now)

    def _report(self, state: _State, records: list[tuple[int, bytes]], now: float) -> None:
        if now < state.old_until:
            for kind, group in records:
                self._old(state, group, kind == CHANGE_TO_INCLUDE)
            return
        most = _RECORDS[state.version]
        for at in range(0, len(records), most):
            part = records[at : at + most]
            if state.version == 4:
                self._send4(state.interface, _REPORTS4, groups.build_report4(part))
            else:
                self._send6(state.interface, _REPORTS6, groups.REPORT2_6, groups.report6(part))

    def _old(self, state: _State, group: bytes, left: bool) -> None:
        if state.version == 4:
            kind = groups.LEAVE4 if left else groups.REPORT2_4
            self._send4(state.interface, _ROUTERS4 if left else group, groups.build_old4(kind, group))
        else:
            kind = groups.DONE6 if left else groups.REPORT1_6
            self._send6(state.interface, _ROUTERS6 if left else group, kind, bytes(4) + group)

    def _send4(self, interface: Interface, to: bytes, message: bytes) -> None:
        source = next((a for a, own in interface.addresses.items() if len(a) == 4 and not own.tentative), bytes(4))
        header = ipv4.build(
            len(message), _IGMP, source, to, hop_limit=1, traffic_class=_CLASS4, options=_ALERT4, flags=0
        )
        self._ip.transmit_plain(interface, ethernet.group_mac(to), ethernet.IPV4, [header, message])
        self._ip.counters["igmp.reports"] += 1

    def _send6(self, interface: Interface, to: bytes, kind: int, body: bytes) -> None:
        """From `::` while there is no link-local address (RFC 3590)."""
        own = interface.addresses
        source = next((a for a in own if a[:2] == b"\xfe\x80" and not own[a].tentative), bytes(16))
        message = icmp.build6(kind, 0, body[:4], body[4:], ones_sum(source + to))
        header = ipv6.build(len(_ALERT6) + len(message), ipv6.HOP_BY_HOP, source, to, hop_limit=1)
        self._ip.transmit_plain(interface, ethernet.group_mac(to), ethernet.IPV6, [header, _ALERT6, message])
        self._ip.counters["mld.reports"] += 1

    def next_deadline(self) -> float:
        """When `poll` is wanted."""
        return min((min(state.changes_at, state.answer_at) for state in self._states.values()), default=inf)


def _reported(group: bytes) -> bool:
    """All but the group of all hosts, and groups that stay within this host (RFC 3376 5, RFC 3810 6)."""
    return group not in {_ALL4, _ALL6} and (len(group) == 4 or group[1] & 15 > 1)
