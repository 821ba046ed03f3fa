"""Who has which address of a network: the server's bindings, and where they are kept.

A `Pool` gives out addresses of its ranges, each to one client at a time, and finds a free one in constant time, however
full it is. Bindings that a client was promised are kept in a key-value store, one value each, so that every change is
atomic and a restart forgets nothing; offers are only in memory.
"""

from __future__ import annotations

import contextlib
import enum
import heapq
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network

from mirage.types import DeviceError, KeyValueRW, Kind, NotFound

from .errors import BadConfiguration

__all__ = ["Binding", "Network", "Pool", "Standing"]

_MOST_ADDRESSES = 1 << 16


class Standing(enum.Enum):
    """What an address is to its client."""

    OFFERED = "offered"
    LEASED = "leased"
    FREED = "freed"
    """Released or run out, since `expires`: kept for the client until somebody else needs it (RFC 2131 section 2.2)."""
    DECLINED = "declined"
    """Somebody uses it without having asked; nobody gets it for a while."""


@dataclass(frozen=True, slots=True)
class Binding:
    """An address and its client. `expires` is in seconds of the server's clock."""

    address: IPv4Address
    client: bytes
    """The client identifier, or type and hardware address where there is none (RFC 2131 section 4.2)."""
    hardware: bytes
    standing: Standing
    expires: float
    host_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A network to give out addresses of, and what its hosts are told. Times are in seconds."""

    network: IPv4Network
    server: IPv4Address
    """Our own address, as clients of this network see it."""
    ranges: tuple[tuple[IPv4Address, IPv4Address], ...] = ()
    """First and last address of each."""
    reservations: Mapping[bytes, IPv4Address] = field(default_factory=dict)
    """Addresses for one client each, by hardware address (6 octets) or whole client identifier; they may lie within
    the ranges or without."""
    options: Mapping[int, bytes] = field(default_factory=dict)
    """Values by code, as `Message.options` has them; the mask is known without."""
    lease_time: int = 3600
    """For who asks for no time, or for a longer one."""
    least_lease_time: int = 60


class Pool:
    """The bindings of one `Network`. `epoch` is the Unix time at which the server's clock reads 0."""

    def __init__(
        self,
        network: Network,
        *,
        store: KeyValueRW | None = None,
        epoch: float = 0.0,
        max_per_hardware: int = 8,
        max_offers: int = 1024,
    ) -> None:
        """Read the bindings that the store has. Raises `BadConfiguration`, `DeviceError`."""
        _check(network)
        self.network = network
        self.counters: Counter[str] = Counter()
        self.max_per_hardware = max_per_hardware
        self.max_offers = max_offers
        self._store = store
        self._epoch = epoch
        self._reserved = {address: key for key, address in network.reservations.items()}
        self._bindings: dict[IPv4Address, Binding] = {}
        self._by_client: dict[bytes, IPv4Address] = {}
        self._per_hardware: Counter[bytes] = Counter()
        self._offers = 0
        self._tidied = -math.inf
        self._never_used = self._every_address()
        self._queue: list[tuple[float, int]] = []
        """When each binding ends, soonest first; entries of bindings that have changed are passed over."""
        self._load()

    def __len__(self) -> int:
        return len(self._bindings)

    def __iter__(self) -> Iterator[Binding]:
        return iter(self._bindings.values())

    def get(self, address: IPv4Address) -> Binding | None:
        """The binding of an address."""
        return self._bindings.get(address)

    def of_client(self, client: bytes) -> Binding | None:
        """The binding of a client."""
        address = self._by_client.get(client)
        return None if address is None else self._bindings[address]

    def reserved_for(self, client: bytes, hardware: bytes) -> IPv4Address | None:
        """The address that the settings give to a client."""
        reservations = self.network.reservations
        return reservations.get(client) or reservations.get(hardware)

    def permits(self, address: IPv4Address, client: bytes, hardware: bytes) -> bool:
        """Whether the settings let a client have an address."""
        if address in self._reserved:
            return self._reserved[address] in {client, hardware}
        return any(first <= address <= last for first, last in self.network.ranges)

    def is_free(self, address: IPv4Address, client: bytes, now: float) -> bool:
        """Whether a client may have an address now: nobody else holds it."""
        binding = self._bindings.get(address)
        if binding is None:
            return True
        if binding.client == client and binding.standing is not Standing.DECLINED:
            return True
        return binding.standing is Standing.FREED or binding.expires <= now

    def choose(self, client: bytes, hardware: bytes, wanted: IPv4Address | None, now: float) -> IPv4Address | None:
        """The address to offer (RFC 2131 section 4.3.1): reserved, its own, the one it asks for, one never used, one
        that is free for the longest time. None: there is none, or the client has too many.
        """
        reserved = self.reserved_for(client, hardware)
        if reserved is not None:
            return reserved if self.is_free(reserved, client, now) else None
        own = self.of_client(client)
        if own is not None and self.permits(own.address, client, hardware) and self.is_free(own.address, client, now):
            return own.address
        if not self.has_room(hardware, now):
            return None
        if wanted is not None and self.permits(wanted, client, hardware) and self.is_free(wanted, client, now):
            return wanted
        return self._any_address(now)

    def has_room(self, hardware: bytes, now: float) -> bool:
        """Whether a client that has no address yet may get one: whoever makes up identifiers, but no hardware
        addresses, gets so many."""
        if self._per_hardware[hardware] >= self.max_per_hardware or self._offers >= self.max_offers:
            self._tidy(now)
            if self._per_hardware[hardware] >= self.max_per_hardware or self._offers >= self.max_offers:
                self.counters["refused.too-many"] += 1
                return False
        return True

    def _any_address(self, now: float) -> IPv4Address | None:
        for address in self._never_used:
            if address not in self._bindings and address not in self._reserved:
                return address  # from now on it comes by the queue
        while self._queue:
            expires, number = self._queue[0]
            address = IPv4Address(number)
            binding = self._bindings.get(address)
            if binding is None or binding.expires != expires or not self.permits(address, b"", b""):
                heapq.heappop(self._queue)
            elif expires > now:
                break
            else:
                return address
        self.counters["refused.exhausted"] += 1
        return None

    def bind(self, binding: Binding) -> None:
        """Note a binding; one that is not an offer is in the store when this returns. Raises `DeviceError`: then
        nothing has changed in memory.
        """
        if binding.standing is not Standing.OFFERED:
            self._save(binding)
        earlier = self._by_client.get(binding.client)
        if earlier is not None and earlier != binding.address:
            self.forget(earlier)
        self._drop(binding.address)
        self._bindings[binding.address] = binding
        if binding.standing is not Standing.DECLINED:
            self._by_client[binding.client] = binding.address
        if _holds(binding):
            self._per_hardware[binding.hardware] += 1
        if binding.standing is Standing.OFFERED:
            self._offers += 1
        heapq.heappush(self._queue, (binding.expires, int(binding.address)))
        if len(self._queue) > 2 * len(self._bindings) + 64:
            self._queue = [(each.expires, int(each.address)) for each in self]
            heapq.heapify(self._queue)

    def forget(self, address: IPv4Address) -> None:
        """Remove a binding, from the store too. Raises `DeviceError`."""
        binding = self._bindings.get(address)
        if binding is None:
            return
        if self._store is not None and binding.standing is not Standing.OFFERED:
            with contextlib.suppress(NotFound):
                self._store.remove(str(address))
        # The address is any address again: one that ended long ago, of nobody.
        self._drop(address)
        self._bindings[address] = Binding(address, b"", b"", Standing.FREED, -math.inf)
        heapq.heappush(self._queue, (-math.inf, int(address)))

    def _drop(self, address: IPv4Address) -> None:
        binding = self._bindings.pop(address, None)
        if binding is None:
            return
        if self._by_client.get(binding.client) == address:
            del self._by_client[binding.client]
        if _holds(binding):
            self._per_hardware[binding.hardware] -= 1
            if not self._per_hardware[binding.hardware]:
                del self._per_hardware[binding.hardware]
        if binding.standing is Standing.OFFERED:
            self._offers -= 1

    def _tidy(self, now: float) -> None:
        """Let go of what has run out, once a second at most: a flood must not make us busy."""
        if now < self._tidied + 1.0:
            return
        self._tidied = now
        for binding in [each for each in self if _holds(each) and each.expires <= now]:
            if binding.standing is Standing.OFFERED:
                self.forget(binding.address)
            else:
                self.bind(replace(binding, standing=Standing.FREED))

    # where bindings are kept

    def _every_address(self) -> Iterator[IPv4Address]:
        return (IPv4Address(n) for first, last in self.network.ranges for n in range(int(first), int(last) + 1))

    def _save(self, binding: Binding) -> None:
        if self._store is None:
            return
        text = json.dumps(
            {
                "client": binding.client.hex(),
                "hardware": binding.hardware.hex(),
                "standing": binding.standing.value,
                "expires": None if binding.expires == math.inf else round(binding.expires + self._epoch, 3),
                "host_name": binding.host_name,
            }
        )
        self._store.set(str(binding.address), text.encode())

    def _load(self) -> None:
        for key, kind in () if self._store is None else self._store.list():
            binding = self._read(key) if kind is Kind.VALUE else None
            if binding is None or binding.address not in self.network.network:
                self.counters["store.ignored"] += 1
                continue
            store, self._store = self._store, None
            self.bind(binding)
            self._store = store

    def _read(self, key: str) -> Binding | None:
        assert self._store is not None
        try:
            found = json.loads(self._store.get(key))
            expires = math.inf if found["expires"] is None else float(found["expires"]) - self._epoch
            return Binding(
                IPv4Address(key),
                bytes.fromhex(found["client"]),
                bytes.fromhex(found["hardware"]),
                Standing(found["standing"]),
                expires,
                str(found["host_name"]),
            )
        except DeviceError:
            raise
        except (ValueError, KeyError, TypeError, RecursionError):
            return None


def _holds(binding: Binding) -> bool:
    return binding.standing in {Standing.OFFERED, Standing.LEASED}


def _check(network: Network) -> None:
    whole = network.network
    if network.server not in whole:
        raise BadConfiguration(f"the server's address {network.server} is not of its network {whole}")
    size = 0
    for first, last in network.ranges:
        if first not in whole or last not in whole or first > last:
            raise BadConfiguration(f"the range from {first} to {last} is none within {whole}")
        if first <= network.server <= last:
            raise BadConfiguration(f"the range from {first} to {last} holds the server's own address {network.server}")
        size += int(last) - int(first) + 1
    if size > _MOST_ADDRESSES:
        raise BadConfiguration(f"the ranges have {size} addresses; at most {_MOST_ADDRESSES} are given out")
    for address in network.reservations.values():
        if address not in whole or address == network.server:
            raise BadConfiguration(f"{address} cannot be reserved: it is not of {whole}, or is the server's own")
    if not 1 <= network.least_lease_time <= network.lease_time <= 0xFFFFFFFF:
        raise BadConfiguration("lease times go from 1 to 0xffffffff seconds, the least one first")
