"""The network inside: who has which address. One frozen value, given once to `Gateway`."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from .errors import BadOption

__all__ = ["ROUTER_LINK_LOCAL", "Plan"]

_GATEWAY, _NAMES, _FIRST_GUEST = 2, 3, 15
_SMALLEST = 27
"""The prefix of the smallest network with room for the first guest and some more."""
_IPV4, _IPV6 = IPv4Network("10.0.2.0/24"), IPv6Network("fd00::/64")
ROUTER_LINK_LOCAL = IPv6Address("fe80::2")


@dataclass(frozen=True, slots=True)
class Plan:
    """A network for IPv4 and one for IPv6. In both the gateway is .2, the name server .3 and guests begin at .15."""

    ipv4: IPv4Network = _IPV4
    ipv6: IPv6Network = _IPV6
    mtu: int = 1500

    def __post_init__(self) -> None:
        if self.ipv4.prefixlen > _SMALLEST or self.ipv4.prefixlen < 8:
            raise BadOption(f"{self.ipv4} is no network for guests: take a prefix from /8 to /{_SMALLEST}")
        if self.ipv6.prefixlen != 64:
            # RFC 4862 5.5.3 d): prefix and interface identifier make 128 bits, and identifiers have 64.
            raise BadOption(f"{self.ipv6} has no prefix of 64 bits, which guests need to make their addresses of")
        if not 1280 <= self.mtu <= 65535:
            raise BadOption(f"an MTU is 1280 (RFC 8200 section 5) to 65535 octets, and not {self.mtu}")

    @classmethod
    def of(cls, ipv4: str = str(_IPV4), ipv6: str = str(_IPV6), mtu: int = 1500) -> Plan:
        """A plan from texts. Raises `BadOption`."""
        try:
            return cls(ipaddress.IPv4Network(ipv4), ipaddress.IPv6Network(ipv6), mtu)
        except BadOption:
            raise
        except ValueError as error:
            raise BadOption(f"that is no network, like 10.0.2.0/24 or fd00::/64: {error}") from None

    @property
    def gateway4(self) -> IPv4Address:
        """The gateway, and the host's own loopback where that is permitted."""
        return self.ipv4[_GATEWAY]

    @property
    def gateway6(self) -> IPv6Address:
        """The same for IPv6; as a router it is `ROUTER_LINK_LOCAL`."""
        return self.ipv6[_GATEWAY]

    @property
    def names4(self) -> IPv4Address:
        """The name server."""
        return self.ipv4[_NAMES]

    @property
    def names6(self) -> IPv6Address:
        """The name server."""
        return self.ipv6[_NAMES]

    def guest4(self, number: int = 0) -> IPv4Address:
        """What DHCP gives to a guest with the address `mac(number)`."""
        return self.ipv4[_FIRST_GUEST + number]

    @property
    def guests(self) -> int:
        """How many guests there are addresses for."""
        return min(self.ipv4.num_addresses - _FIRST_GUEST - 1, 4096)

    def is_guest(self, address: bytes) -> bool:
        """Whether a guest may have this address, of 4 or 16 octets."""
        found = ipaddress.ip_address(address)
        if found in {self.gateway4, self.gateway6, self.names4, self.names6}:
            return False
        return found in self.ipv4 or found in self.ipv6

    def mac(self, number: int | None = None) -> bytes:
        """The Ethernet address of a guest, or of the gateway; locally administered, and other networks' differ."""
        network = self.ipv4.network_address.packed
        host = _GATEWAY if number is None else _FIRST_GUEST + number
        return bytes([0x52, 0x55]) + network[:2] + ((network[2] << 8) + host).to_bytes(2, "big")
