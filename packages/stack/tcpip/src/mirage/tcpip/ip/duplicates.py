"""Whether an address that is to be ours is somebody else's already: RFC 4862 5.4 for IPv6, RFC 5227 for IPv4.

    probe --- interval --> probe ... --- interval --> ours: announced
      |                      |
      +---- anybody else claims it, or probes for it too ----> taken away

While it is being checked an address is *tentative*: nothing is sent from it. With `Settings.optimistic_addresses` it is
used at once (RFC 4429): whoever says that an address is ours is mostly right, and a boot need not wait for seconds.
Then it is advertised without the override flag, so that it takes no other's place in a neighbour's cache.

A probe that the link sends back to us is told from another host's by its nonce (RFC 7527) or its Ethernet address.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from ..wire import arp, ethernet, ndp
from . import discovery

if TYPE_CHECKING:
    from .interface import Interface, InterfaceAddress
    from .layer import Ip

__all__ = ["Duplicates"]

_PROBES4 = 3
"""RFC 5227 1.1 PROBE_NUM, for each of `Settings.duplicate_address_probes`."""
_PROBE_MIN, _PROBE_MAX, _ANNOUNCE_WAIT = 1.0, 2.0, 2.0
_ANNOUNCEMENTS = 2
_ANNOUNCE_INTERVAL = 2.0
_DEFEND_INTERVAL = 10.0
_MAX_DELAY = 1.0


class _Check:
    __slots__ = ("announcements", "at", "interface", "nonce", "own", "probes")

    def __init__(self, interface: Interface, own: InterfaceAddress, probes: int, at: float, nonce: bytes) -> None:
        self.interface = interface
        self.own = own
        self.probes = probes
        self.announcements = _ANNOUNCEMENTS if len(own.address) == 4 else 1
        self.at = at
        self.nonce = nonce


class Duplicates:
    """The addresses that are being checked or announced."""

    def __init__(self, ip: Ip) -> None:
        self._ip = ip
        self._checks: dict[tuple[Interface, bytes], _Check] = {}
        self.due = inf
        """When `poll` is wanted, at the latest."""
        self._defended: dict[tuple[Interface, bytes], float] = {}

    def start(self, interface: Interface, own: InterfaceAddress, now: float) -> None:
        """Begin to check an address, or just announce it where nothing is checked."""
        settings = self._ip.settings
        probes = settings.duplicate_address_probes * (_PROBES4 if len(own.address) == 4 else 1)
        at = now
        if probes:
            own.checking = True
            own.tentative = not settings.optimistic_addresses
            if own.automatic or (own.tentative and len(own.address) == 4):
                # RFC 4862 5.4.2, RFC 5227 2.1.1: hosts that start together shall not ask together
                at += self._ip.chance.random() * _MAX_DELAY
        nonce = self._ip.chance.randbytes(6)
        self._checks[interface, own.address] = _Check(interface, own, probes, at, nonce)
        self.due = min(self.due, at)

    def stop(self, interface: Interface, address: bytes) -> None:
        """The address is no longer to be ours."""
        self._checks.pop((interface, address), None)
        self._defended.pop((interface, address), None)

    def probed(self, interface: Interface, address: bytes, nonce: bytes | None, mac: bytes, now: float) -> None:
        """Somebody asks whether an address that we are checking is free (RFC 4862 5.4.3, RFC 5227 2.1.1)."""
        check = self._checks.get((interface, address))
        if mac == interface.mac or check is None or not check.own.checking:
            return
        if nonce is not None and nonce == check.nonce:
            self._ip.counters["ip6.looped-probes"] += 1
            return
        self._taken(interface, address)

    def claimed(self, interface: Interface, address: bytes, mac: bytes, now: float) -> None:
        """Somebody says that an address of ours is his (RFC 4862 5.4.4, RFC 5227 2.4)."""
        if mac == interface.mac:
            return
        own = interface.addresses.get(address)
        if own is None:
            return
        if own.checking:
            self._taken(interface, address)
            return
        self._ip.counters["ip4.address-conflicts" if len(address) == 4 else "ip6.address-conflicts"] += 1
        # RFC 5227 2.4 (c): keep it, and say so at most once in ten seconds, lest two hosts do nothing else.
        if len(address) == 4 and now >= self._defended.get((interface, address), -inf) + _DEFEND_INTERVAL:
            self._defended[interface, address] = now
            self._announce(interface, own)

    def _taken(self, interface: Interface, address: bytes) -> None:
        self._ip.counters["ip4.duplicate-addresses" if len(address) == 4 else "ip6.duplicate-addresses"] += 1
        self._ip.duplicate(interface, address)

    def poll(self, now: float) -> None:
        """Send the probes and announcements that are due, and let addresses be ours that nobody else claimed."""
        if now < self.due:
            return
        for key, check in [(k, c) for k, c in self._checks.items() if c.at <= now]:
            own = check.own
            if check.probes:
                check.probes -= 1
                self._probe(check)
                check.at = now + self._interval(check)
                continue
            if own.checking:
                own.checking = own.tentative = False
                self._ip.settled(check.interface, own, now)
            self._announce(check.interface, own)
            check.announcements -= 1
            check.at = now + _ANNOUNCE_INTERVAL
            if not check.announcements:
                self._checks.pop(key, None)
        self.due = min((check.at for check in self._checks.values()), default=inf)

    def _interval(self, check: _Check) -> float:
        if len(check.own.address) == 16:
            return check.interface.retransmit
        if check.probes:
            return self._ip.chance.uniform(_PROBE_MIN, _PROBE_MAX)
        return _ANNOUNCE_WAIT

    def _probe(self, check: _Check) -> None:
        interface, address = check.interface, check.own.address
        if len(address) == 16:
            discovery.solicit(self._ip, interface, address, None, bytes(16), ndp.build_nonce(check.nonce))
            return
        message = arp.Arp(arp.REQUEST, interface.mac, bytes(4), bytes(6), address)
        self._ip.transmit_plain(interface, ethernet.BROADCAST, ethernet.ARP, [arp.build(message)])

    def _announce(self, interface: Interface, own: InterfaceAddress) -> None:
        """Tell the link where an address is (RFC 5227 2.3, RFC 4861 7.2.6)."""
        if len(own.address) == 16:
            discovery.advertise_to_all(self._ip, interface, own)
            return
        message = arp.Arp(arp.REQUEST, interface.mac, own.address, bytes(6), own.address)
        self._ip.transmit_plain(interface, ethernet.BROADCAST, ethernet.ARP, [arp.build(message)])
