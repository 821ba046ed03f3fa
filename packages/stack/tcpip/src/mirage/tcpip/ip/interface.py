"""One network that the stack is attached to: its addresses, what its device can do, and the frames that wait for it."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf

from mirage.types import FrameMeta, Offload
from mirage.types.devices import Buffer

__all__ = ["Interface", "InterfaceAddress", "Tap"]

Tap = Callable[[str, FrameMeta, Sequence[Buffer], float], None]
"""Is called with ``"in"`` or ``"out"``, what accompanies a frame, its parts, and the time."""

_ETHERNET = 14


@dataclass(slots=True)
class InterfaceAddress:
    """An address of this host on an interface."""

    address: bytes
    prefix: int
    """Length of the prefix that is on the link, in bits."""
    tentative: bool = False
    """Whether nothing is sent from it yet, because it is being checked (RFC 4862 5.4)."""
    checking: bool = False
    """Whether it is being checked for duplicates. One that is in use meanwhile is *optimistic* (RFC 4429)."""
    preferred_until: float = inf
    """After this it is deprecated: used by what uses it already, not for anything new (RFC 4862 5.5.4)."""
    valid_until: float = inf
    temporary: bool = False
    """Whether it is one of those that change often (RFC 8981)."""
    automatic: bool = False
    """Whether a router's advertisement made it."""
    created: float = 0.0
    desync: float = 0.0
    """Of a temporary one: by how much its time is shorter than others', by chance (RFC 8981 3.8)."""
    succeeded: bool = False
    """Whether a temporary one has a successor."""
    deprecated: bool = False
    """Whether it was seen that `preferred_until` has passed."""


class Interface:
    """An interface. Made by `Stack.add_interface`."""

    def __init__(
        self, name: str, index: int, mac: bytes, mtu: int, offload: Offload = Offload.NONE, max_frame: int | None = None
    ) -> None:
        self.name = name
        self.index = index
        self.mac = mac
        self.mtu = mtu
        self.offload = offload
        self.max_frame = max_frame if max_frame is not None else mtu + _ETHERNET
        self.output: list[tuple[FrameMeta, list[Buffer]]] = []
        """Finished frames, each in parts. Whoever drives the stack takes them with `take_output`."""
        self.tap: Tap | None = None
        """Sees every frame: set it to a `mirage.tcpip.pcapng` writer, for instance."""
        self.frames_in = self.octets_in = self.frames_out = self.octets_out = 0
        """What has passed, super-frames as one; octets with the Ethernet header."""
        self.addresses: dict[bytes, InterfaceAddress] = {}
        self.groups: dict[bytes, int] = {}
        """Multicast groups, each with how many have joined it."""
        self.transparent = False
        """Whether packets for any address are taken as if they were for this host: a gateway does that."""
        self.hop_limit: int | None = None
        """What a router advertised (RFC 4861 6.3.4), as are the next ones; None: `Settings.hop_limit`."""
        self.mtu6 = mtu
        """Of IPv6: a router may advertise a smaller one than the device has."""
        self.reachable_time = 30.0
        """Seconds for which a neighbour is believed to be there once it was heard."""
        self.retransmit = 1.0
        """Seconds between solicitations."""
        self.managed = False
        """Whether addresses are to be had by DHCPv6."""
        self.other = False
        """Whether other settings are."""
        self.dns_servers: dict[ipaddress.IPv6Address, float] = {}
        """Recursive servers that were advertised (RFC 8106), each with the time until which it may be asked."""
        self.dns_domains: dict[str, float] = {}
        """Domains to search for a name in."""

    def link_local(self, certain: bool = False) -> bytes | None:
        """An address that is good on the link, if there is one; a `certain` one is no longer being checked."""
        for own in self.addresses.values():
            if own.address[:2] == b"\xfe\x80" and not own.tentative and not (certain and own.checking):
                return own.address
        return None

    def take_output(self, now: float = 0.0) -> list[tuple[FrameMeta, list[Buffer]]]:
        """The frames to be sent, which are no longer the stack's."""
        output = self.output
        if output:
            self.output = []
            self.frames_out += len(output)
            for _, parts in output:
                self.octets_out += sum(map(len, parts))
            if self.tap is not None:
                for meta, parts in output:
                    self.tap("out", meta, parts, now)
        return output

    def __repr__(self) -> str:
        return f"<Interface {self.name}: {self.mac.hex(':')}, mtu {self.mtu}>"
