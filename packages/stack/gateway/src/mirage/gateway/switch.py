"""Who is where: the table of an Ethernet switch that learns (IEEE 802.1Q clause 8), without I/O.

The table is bounded: an address beyond the limit takes the place of the one that was learned first, so a guest that
makes addresses up costs frames that are flooded, and nothing else.
"""

from __future__ import annotations

from typing import Generic, TypeVar

__all__ = ["AddressTable"]

P = TypeVar("P")


class AddressTable(Generic[P]):
    """Ethernet addresses, and the ports that they were seen at."""

    def __init__(self, limit: int = 4096) -> None:
        self.limit = limit
        self._ports: dict[bytes, P] = {}

    def __len__(self) -> int:
        return len(self._ports)

    def learn(self, address: bytes, port: P) -> None:
        """A frame from `address` came in at `port`. Addresses of groups are nobody's."""
        ports = self._ports
        if ports.get(address) is port or address[0] & 1:
            return
        if address not in ports and len(ports) >= self.limit:
            del ports[next(iter(ports))]
        ports[address] = port

    def find(self, address: bytes) -> P | None:
        """The port where `address` was seen last; None: every port but the one the frame came from."""
        return self._ports.get(address)

    def forget(self, port: P) -> None:
        """The port is gone."""
        for address in [address for address, at in self._ports.items() if at is port]:
            del self._ports[address]
