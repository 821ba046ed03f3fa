"""One network that the stack is attached to: its addresses, what its device can do, and the frames that wait for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from mirage.types import FrameMeta, Offload
from mirage.types.devices import Buffer

if TYPE_CHECKING:
    from .routers import Learned

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
    """Whether it is still being checked for duplicates: then nothing is sent from it (RFC 4862 5.4)."""
    preferred_until: float = inf
    """After this it is deprecated: used by what uses it already, not for anything new (RFC 4862 5.5.4)."""
    valid_until: float = inf
    temporary: bool = False
    """Whether it is one of those that change often (RFC 8981)."""
    automatic: bool = False
    """Whether a router's advertisement made it; then the rest is there too."""
    origin: bytes = b""
    """The prefix that it was made from, 16 octets."""
    prefix_preferred_until: float = inf
    prefix_valid_until: float = inf
    longest_preferred: float = inf
    """Of a temporary address: when its own lifetime ends, whatever the prefix's is (RFC 8981 3.4)."""
    longest_valid: float = inf
    followed: bool = False
    """Whether the next temporary address was made already."""
    deprecated: bool = False
    """Whether its deprecation was noticed already."""


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
        self.addresses: dict[bytes, InterfaceAddress] = {}
        self.groups: dict[bytes, int] = {}
        """Multicast groups, each with how many have joined it."""
        self.transparent = False
        """Whether packets for any address are taken as if they were for this host: a gateway does that."""
        self.router = False
        """Whether this host is a router there, and says so in what it advertises."""
        self.hop_limit: int | None = None
        """For IPv6, what a router advertised (RFC 4861 6.3.4); None: `Settings.hop_limit`."""
        self.mtu6: int | None = None
        """For IPv6, what a router advertised; None: `mtu`."""
        self.reachable_time = 30.0
        """Of neighbours of IPv6, in seconds, as `retransmit`: a router may say so (RFC 4861 6.3.4)."""
        self.retransmit = 1.0
        self.learned: Learned | None = None
        """What routers have told; None before `Ip.autoconfigure`."""

    def largest(self, size: int) -> int:
        """Octets of the largest packet, for addresses of `size` octets."""
        return self.mtu6 if size == 16 and self.mtu6 is not None else self.mtu

    def take_output(self, now: float = 0.0) -> list[tuple[FrameMeta, list[Buffer]]]:
        """The frames to be sent, which are no longer the stack's."""
        output = self.output
        if output:
            self.output = []
            if self.tap is not None:
                for meta, parts in output:
                    self.tap("out", meta, parts, now)
        return output

    def __repr__(self) -> str:
        return f"<Interface {self.name}: {self.mac.hex(':')}, mtu {self.mtu}>"
