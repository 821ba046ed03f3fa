"""Addresses that a host makes itself from the prefixes of routers (RFC 4862 5.5), in two kinds:

* stable ones that tell nothing of the hardware (RFC 7217), one for each prefix;
* temporary ones (RFC 8981), for what this host begins, a new one about every day.

A prefix that is no longer preferred makes its addresses deprecated, one that is no longer valid takes them away.
Lifetimes below two hours are not believed unless they were that short already (RFC 4862 5.5.3): who can forge one
message could otherwise take a host's addresses away.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from ..errors import AddressUnavailable, LimitReached
from ..wire.router import INFINITE, Prefix

if TYPE_CHECKING:
    from .interface import Interface, InterfaceAddress
    from .layer import Ip

__all__ = ["Slaac", "lifetime"]

_LINK = b"\xfe\x80" + bytes(6)
_TWO_HOURS = 7200.0
_DAY = 86400.0
_TEMPORARY_VALID, _TEMPORARY_PREFERRED = 2 * _DAY, _DAY
_DESYNC = 0.4
"""Of the preferred lifetime, at most: hosts that started together do not change together (RFC 8981 3.8)."""
_REGENERATE = 5.0
"""Seconds before the end of one temporary address at which the next is made (RFC 8981 3.8)."""
_RETRIES = 3
"""RFC 7217 6, RFC 8981 3.8: other addresses that are tried when one is taken."""
_MAX_ADDRESSES = 16
"""Automatic ones of an interface: more prefixes than that are somebody's mischief."""


def lifetime(seconds: int, now: float) -> float:
    """When a lifetime that a router told ends."""
    return inf if seconds == INFINITE else now + seconds


class Slaac:
    """The automatic addresses of one stack."""

    def __init__(self, ip: Ip) -> None:
        self._ip = ip

    def prefix(self, interface: Interface, said: Prefix, now: float) -> None:
        """A router has told of a prefix for addresses (RFC 4862 5.5.3)."""
        if said.length != 64 or said.preferred > said.valid or said.prefix[:2] == b"\xfe\x80":
            self._ip.counters["ip6.prefixes-ignored"] += 1
            return
        mine = [own for own in interface.addresses.values() if own.automatic and own.origin == said.prefix]
        if not mine and said.valid:
            self._make(interface, said.prefix, lifetime(said.preferred, now), lifetime(said.valid, now), False, 0, now)
            if self._ip.settings.temporary_addresses:
                self._make_temporary(
                    interface, said.prefix, lifetime(said.preferred, now), lifetime(said.valid, now), 0, now
                )
        for own in mine:
            self._renew(own, said, now)

    def _renew(self, own: InterfaceAddress, said: Prefix, now: float) -> None:
        told, left = lifetime(said.valid, now), own.prefix_valid_until - now
        if told > now + _TWO_HOURS or told - now > left:
            own.prefix_valid_until = told
        elif left > _TWO_HOURS:
            own.prefix_valid_until = now + _TWO_HOURS
        own.prefix_preferred_until = lifetime(said.preferred, now)
        own.valid_until = min(own.prefix_valid_until, own.longest_valid)
        own.preferred_until = min(own.prefix_preferred_until, own.longest_preferred)

    def _make(
        self,
        interface: Interface,
        prefix: bytes,
        preferred: float,
        valid: float,
        temporary: bool,
        tries: int,
        now: float,
    ) -> InterfaceAddress | None:
        ip = self._ip
        if sum(own.automatic for own in interface.addresses.values()) >= _MAX_ADDRESSES:
            ip.counters["ip6.prefixes-ignored"] += 1
            return None
        address = prefix[:8] + ip.draw_octets(8) if temporary else ip.opaque(prefix[:8], interface, tries)
        if address in interface.addresses or not any(address[8:]):
            return None

        def failed(interface: Interface, own: InterfaceAddress, now: float) -> None:
            if tries >= _RETRIES:
                ip.counters["ip6.autoconfiguration-failed"] += 1
            elif temporary:
                self._make_temporary(
                    interface, prefix, own.prefix_preferred_until, own.prefix_valid_until, tries + 1, now
                )
            else:
                self._make(interface, prefix, own.prefix_preferred_until, own.prefix_valid_until, False, tries + 1, now)

        try:
            # A host's own prefix is all of its address: whether others of the prefix are on the link is told apart
            # from this, by the L flag (RFC 5942 4).
            own = ip.add_address(interface, address, 128, check=True, now=now, failed=failed)
        except (AddressUnavailable, LimitReached):
            return None
        own.automatic, own.temporary, own.origin = True, temporary, prefix
        own.prefix_preferred_until, own.prefix_valid_until = preferred, valid
        own.preferred_until, own.valid_until = preferred, valid
        return own

    def _make_temporary(
        self, interface: Interface, prefix: bytes, preferred: float, valid: float, tries: int, now: float
    ) -> None:
        """RFC 8981 3.4."""
        longest = now + _TEMPORARY_PREFERRED * (1 - _DESYNC * self._ip.draw())
        if min(preferred, longest) <= now + _REGENERATE:
            return
        own = self._make(interface, prefix, preferred, valid, True, tries, now)
        if own is not None:
            own.longest_preferred, own.longest_valid = longest, now + _TEMPORARY_VALID
            own.preferred_until, own.valid_until = min(preferred, longest), min(valid, own.longest_valid)

    def link_local(self, interface: Interface, tries: int, now: float) -> None:
        """Make the link-local address and check it (RFC 4862 5.3)."""

        def failed(interface: Interface, _: InterfaceAddress, now: float) -> None:
            if tries < _RETRIES:
                self.link_local(interface, tries + 1, now)
            else:
                self._ip.counters["ip6.autoconfiguration-failed"] += 1

        address = self._ip.opaque(_LINK, interface, tries)
        self._ip.add_address(interface, address, 64, check=True, now=now, failed=failed)

    def poll(self, interface: Interface, now: float) -> None:
        """Addresses come to their end, and temporary ones are followed by others."""
        for own in [own for own in interface.addresses.values() if own.automatic]:
            if own.valid_until <= now:
                self._ip.remove_address(interface, own.address)
            elif own.preferred_until <= now and not own.deprecated:
                own.deprecated = True
                self._ip.forget_choices()
            elif own.preferred_until > now:
                own.deprecated = False
        for own in [own for own in interface.addresses.values() if own.temporary and not own.followed]:
            if now >= own.longest_preferred - _REGENERATE:
                own.followed = True
                self._make_temporary(interface, own.origin, own.prefix_preferred_until, own.prefix_valid_until, 0, now)

    def next_deadline(self, interface: Interface) -> float:
        """When `poll` is wanted."""
        due = inf
        for own in interface.addresses.values():
            if own.automatic:
                due = min(due, own.valid_until)
                if not own.deprecated:
                    due = min(due, own.preferred_until)
                if own.temporary and not own.followed:
                    due = min(due, own.longest_preferred - _REGENERATE)
        return due
