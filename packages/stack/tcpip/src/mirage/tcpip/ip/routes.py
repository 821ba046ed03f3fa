"""Where packets go: the longest prefix wins, then the smallest metric (RFC 1812 5.2.4.3)."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from ..errors import LimitReached

if TYPE_CHECKING:
    from .interface import Interface

__all__ = ["Route", "Routes", "in_prefix"]


def in_prefix(address: bytes, prefix: bytes, length: int) -> bool:
    """Whether the first `length` bits are the same."""
    if len(address) != len(prefix):
        return False
    shift = len(address) * 8 - length
    return int.from_bytes(address, "big") >> shift == int.from_bytes(prefix, "big") >> shift


@dataclass(frozen=True, slots=True)
class Route:
    """A way to a prefix."""

    prefix: bytes
    length: int
    gateway: bytes | None
    """None: the destinations are neighbours."""
    interface: Interface
    metric: int = 0
    expires: float = inf
    automatic: bool = False
    """Whether a router's advertisement made it."""


class Routes:
    """The routing table, of both versions of IP. `version` changes whenever it does."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._by_length: dict[tuple[int, int], dict[bytes, list[Route]]] = {}
        self._lengths: dict[int, list[int]] = {4: [], 16: []}
        self._count = 0
        self.version = 0

    def add(self, route: Route) -> None:
        """Add a route; one to the same prefix by the same gateway and interface is replaced. Raises `LimitReached`."""
        old = self.get(route.prefix, route.length, route.gateway, route.interface)
        if old is not None and old.metric == route.metric:
            # Only its time has changed: nothing that follows from routes has to be looked at again.
            same = self._by_length[len(route.prefix), route.length][_masked(route.prefix, route.length)]
            same[same.index(old)] = route
            return
        self.remove(route.prefix, route.length, route.gateway, route.interface)
        if self._count >= self._limit:
            raise LimitReached(f"there are {self._count} routes, as many as Settings.max_routes allows")
        key = (len(route.prefix), route.length)
        routes = self._by_length.setdefault(key, {}).setdefault(_masked(route.prefix, route.length), [])
        routes.append(route)
        routes.sort(key=lambda r: r.metric)
        self._count += 1
        self._renew(len(route.prefix))

    def remove(self, prefix: bytes, length: int, gateway: bytes | None, interface: Interface) -> bool:
        """Take a route out; whether there was one."""
        table = self._by_length.get((len(prefix), length), {})
        routes = table.get(_masked(prefix, length), [])
        for route in routes:
            if route.gateway == gateway and route.interface is interface:
                routes.remove(route)
                if not routes:
                    del table[_masked(prefix, length)]
                self._count -= 1
                self._renew(len(prefix))
                return True
        return False

    def _renew(self, size: int) -> None:
        self.version += 1
        self._lengths[size] = sorted(
            (n for s, n in self._by_length if s == size and self._by_length[s, n]), reverse=True
        )

    def touch(self) -> None:
        """What follows from routes is to be looked at again, as if they had changed."""
        self.version += 1

    def get(self, prefix: bytes, length: int, gateway: bytes | None, interface: Interface) -> Route | None:
        """The route to just that prefix."""
        for route in self._by_length.get((len(prefix), length), {}).get(_masked(prefix, length), ()):
            if route.gateway == gateway and route.interface is interface:
                return route
        return None

    def expire(self, now: float) -> None:
        """Take out those that have had their time."""
        for route in self.all():
            if route.expires <= now:
                self.remove(route.prefix, route.length, route.gateway, route.interface)

    def find(self, address: bytes, interface: Interface | None = None) -> list[Route]:
        """The routes to an address, the best one first; only those of an interface, if one is given."""
        found: list[Route] = []
        for length in self._lengths[len(address)]:
            routes = self._by_length[len(address), length].get(_masked(address, length), ())
            found += [route for route in routes if interface is None or route.interface is interface]
        return found

    def all(self) -> list[Route]:
        """Every route."""
        return [route for table in self._by_length.values() for routes in table.values() for route in routes]

    def next_deadline(self) -> float:
        """When the next route expires."""
        return min((route.expires for route in self.all()), default=inf)


def _masked(address: bytes, length: int) -> bytes:
    shift = len(address) * 8 - length
    return (int.from_bytes(address, "big") >> shift << shift).to_bytes(len(address), "big")
