"""Whether somebody has an address already: duplicate address detection for IPv6 (RFC 4862 5.4) and IPv4 (RFC 5227).

An address that is checked is `tentative`: nothing goes out from it and nothing is taken for it. After the last probe
has stayed without an answer it is the host's; an answer takes it away, and `failed` is called.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING

from ..wire import arp, ethernet
from . import ndp

if TYPE_CHECKING:
    from .interface import Interface, InterfaceAddress
    from .layer import Ip

__all__ = ["Duplicates", "Failed"]

_PROBES4 = 3
_WAIT = 1.0
_APART4 = 1.0
_AFTER4 = 2.0
_ANNOUNCEMENTS = 2
_ANNOUNCED_APART = 2.0
"""Seconds: RFC 5227 1.1 PROBE_WAIT, PROBE_MIN (and up to as much again), ANNOUNCE_WAIT, ANNOUNCE_INTERVAL."""

Failed = Callable[["Interface", "InterfaceAddress", float], None]


class _Check:
    __slots__ = ("announcements", "at", "failed", "interface", "nonce", "own", "probes")

    def __init__(
        self, interface: Interface, own: InterfaceAddress, probes: int, at: float, nonce: bytes, failed: Failed | None
    ) -> None:
        self.interface, self.own, self.probes, self.at, self.nonce = interface, own, probes, at, nonce
        self.failed = failed
        self.announcements = _ANNOUNCEMENTS if len(own.address) == 4 else 1


class Duplicates:
    """The addresses of one stack that are being checked."""

    def __init__(self, ip: Ip) -> None:
        self._ip = ip
        self._checks: dict[tuple[int, bytes], _Check] = {}

    def check(self, interface: Interface, own: InterfaceAddress, now: float, failed: Failed | None = None) -> None:
        """Begin; with `Settings.duplicate_address_probes` at 0 the address is simply the host's."""
        wanted = self._ip.settings.duplicate_address_probes
        if not wanted:
            self._ip.assigned(interface, own)
            return
        version6 = len(own.address) == 16
        own.tentative = True
        self._ip.wake()
        self._checks[interface.index, own.address] = _Check(
            interface,
            own,
            wanted if version6 else _PROBES4,
            now + (0.0 if version6 else self._ip.draw() * _WAIT),
            self._ip.draw_octets(6),
            failed,
        )

    def forget(self, interface: Interface, address: bytes) -> None:
        """The address has gone."""
        self._checks.pop((interface.index, address), None)

    def found(self, interface: Interface, address: bytes, now: float) -> None:
        """Somebody has it, or wants it as we do (RFC 4862 5.4.3 to 5, RFC 5227 2.1.1)."""
        check = self._checks.pop((interface.index, address), None)
        self._ip.counters["ip6.duplicate-addresses" if len(address) == 16 else "ip4.duplicate-addresses"] += 1
        self._ip.remove_address(interface, address)
        if check is not None and check.failed is not None:
            check.failed(interface, check.own, now)

    def is_ours(self, interface: Interface, address: bytes, nonce: bytes | None) -> bool:
        """Whether a solicitation is our own, come back by a loop in the network (RFC 7527 4.2)."""
        check = self._checks.get((interface.index, address))
        return check is not None and check.nonce == nonce

    def poll(self, now: float) -> None:
        """Send what is due."""
        for key, check in [c for c in self._checks.items() if c[1].at <= now]:
            own, interface = check.own, check.interface
            if check.probes:
                check.probes -= 1
                self._probe(check)
                if len(own.address) == 16:
                    check.at = now + interface.retransmit
                else:
                    check.at = now + (_APART4 * (1 + self._ip.draw()) if check.probes else _AFTER4)
                continue
            if own.tentative:
                self._ip.assigned(interface, own)
            else:
                self._ip.announce(interface, own.address)
            check.announcements -= 1
            check.at = now + _ANNOUNCED_APART
            if check.announcements <= 0:
                del self._checks[key]

    def _probe(self, check: _Check) -> None:
        address, interface = check.own.address, check.interface
        if len(address) == 16:
            ndp.solicit(self._ip, interface, address, None, bytes(16), nonce=check.nonce)
            return
        message = arp.Arp(arp.REQUEST, interface.mac, bytes(4), bytes(6), address)
        self._ip.transmit_plain(interface, ethernet.BROADCAST, ethernet.ARP, [arp.build(message)])

    def next_deadline(self) -> float:
        """When `poll` is wanted."""
        return min((check.at for check in self._checks.values()), default=inf)
