"""The server of DHCPv4 (RFC 2131 section 4.3), without I/O.

    server = Server([Network(...)], now=now)
    server.input(payload, now)              # what arrived at UDP port 67
    for datagram in server.poll(now): ...   # whenever next_deadline() has come, and after every other call
    server.take_probes(); server.probed(address, in_use, now)       # with Limits(probe=True)

The first network is the one that the server is on; clients of the others come through a relay agent, whose address says
which it is (RFC 2131 section 4.3.1). Every lease is in the store before the ACK that promises it goes out. What clients
may cost is bounded: addresses for one hardware address, offers at once, probes at once, and declined addresses.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address

from mirage.types import DeviceError, KeyValueRW

from ._wire import (
    BROADCAST,
    CLIENT_PORT,
    MIN_MAX_SIZE,
    SERVER_PORT,
    UNSPECIFIED,
    Datagram,
    Message,
    MessageType,
    Option,
    build,
    parse,
)
from .errors import BadConfiguration, InvalidMessage, MessageTooLong
from .options import parse_text
from .pool import Binding, Network, Pool, Standing

__all__ = ["Limits", "Server"]

_FOREVER = 0xFFFFFFFF
_ETHERNET = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Times are in seconds."""

    offer_time: float = 30.0
    """How long an offered address waits for its REQUEST."""
    decline_time: float = 600.0
    """How long nobody gets an address that a client found in use."""
    max_declined: int = 64
    """Above, the one that was declined first is free again: nobody can decline a whole network away."""
    max_per_hardware: int = 8
    max_offers: int = 1024
    probe: bool = False
    """Whether a new address is tried before it is offered (RFC 2131 section 3.1 step 2): see `Server.take_probes`."""
    probe_time: float = 0.5
    """How long an answer to a probe is waited for; silence means that the address is free."""
    max_probes: int = 64
    authoritative: bool = True
    """Whether a client that asks for an address of which nothing is known gets a NAK, and not silence: right where no
    other server knows better."""


@dataclass(slots=True)
class _Probe:
    message: Message
    deadline: float


class Server:
    """`counters` says what was received, sent and dropped."""

    def __init__(
        self,
        networks: Sequence[Network],
        *,
        limits: Limits | None = None,
        store: Callable[[Network], KeyValueRW] | None = None,
        epoch: float = 0.0,
    ) -> None:
        """`store` gives each network's store of leases, and `epoch` is the Unix time at which the clock that `now` is
        taken from reads 0, so that leases outlive it. Raises `BadConfiguration`, `DeviceError`.
        """
        if not networks:
            raise BadConfiguration("a server needs a network to give out addresses of")
        self.limits = limits or Limits()
        self.counters: Counter[str] = Counter()
        self.pools = [
            Pool(
                network,
                store=store and store(network),
                epoch=epoch,
                max_per_hardware=self.limits.max_per_hardware,
                max_offers=self.limits.max_offers,
            )
            for network in networks
        ]
        self._output: list[Datagram] = []
        self._probes: dict[IPv4Address, _Probe] = {}
        self._new_probes: list[IPv4Address] = []
        self._declined: list[IPv4Address] = []

    # time

    def next_deadline(self) -> float | None:
        """When `poll` has something to do: -inf for what waits to be sent, None for never, unless a message comes."""
        if self._output:
            return -math.inf
        return min((probe.deadline for probe in self._probes.values()), default=None)

    def poll(self, now: float) -> list[Datagram]:
        """Offer what was tried and found free, and return what is to be sent."""
        for address in [a for a, probe in self._probes.items() if probe.deadline <= now]:
            self.probed(address, False, now)
        output, self._output = self._output, []
        return output

    def take_probes(self) -> list[IPv4Address]:
        """Addresses to try, by an echo request say; tell what came of it with `probed`."""
        probes, self._new_probes = self._new_probes, []
        return probes

    def probed(self, address: IPv4Address, in_use: bool, now: float) -> None:
        """Somebody answered at an address that is being tried, or is known not to."""
        probe = self._probes.pop(address, None)
        if probe is None:
            return
        pool = self._pool(probe.message)
        if pool is None:
            return
        if not in_use:
            self._offer_now(pool, address, probe.message, now)
            return
        self.counters["probes.in-use"] += 1
        self._quarantine(pool, address, now)
        self._discover(pool, probe.message, now)

    # messages in

    def input(self, octets: bytes | bytearray | memoryview, now: float) -> None:
        """Take a datagram that came to UDP port 67. What makes no sense is counted and dropped."""
        try:
            message = parse(octets)
        except InvalidMessage:
            self.counters["dropped.invalid"] += 1
            return
        kind = message.type
        pool = self._pool(message)
        if message.op != 1 or kind is None or not message.hardware or message.hops > 16:
            self.counters["dropped.invalid"] += 1
        elif pool is None:
            self.counters["dropped.no-network"] += 1
        elif kind not in _HANDLERS:
            self.counters["dropped.unexpected"] += 1
        else:
            self.counters[f"received.{kind.name.lower()}"] += 1
            try:
                _HANDLERS[kind](self, pool, message, now)
            except DeviceError:
                # Nothing is promised that a restart would forget.
                self.counters["dropped.store"] += 1

    def _pool(self, message: Message) -> Pool | None:
        """The network of a client: the relay agent's, the client's own, else ours (RFC 2131 section 4.3.1)."""
        if message.giaddr == UNSPECIFIED:
            renewing = [pool for pool in self.pools if message.ciaddr in pool.network.network]
            return renewing[0] if renewing else self.pools[0]
        return next((pool for pool in self.pools if message.giaddr in pool.network.network), None)

    def _discover(self, pool: Pool, message: Message, now: float) -> None:
        client = _client(message)
        address = pool.choose(client, message.hardware, message.address(Option.REQUESTED_ADDRESS), now)
        if address is None:
            self.counters["dropped.no-address"] += 1
            return
        known = pool.get(address)
        fresh = known is None or known.client != client
        if address in self._probes:
            return  # it is being tried for this very client, who asks again
        if known is None or known.client != client or known.standing is not Standing.LEASED or known.expires <= now:
            expires = now + self.limits.offer_time
            pool.bind(Binding(address, client, message.hardware, Standing.OFFERED, expires, _host_name(message)))
        if self.limits.probe and fresh and len(self._probes) < self.limits.max_probes:
            self._probes[address] = _Probe(message, now + self.limits.probe_time)
            self._new_probes.append(address)
        else:
            self._offer_now(pool, address, message, now)

    def _offer_now(self, pool: Pool, address: IPv4Address, message: Message, now: float) -> None:
        self._reply(pool, message, MessageType.OFFER, address, _lease_time(pool, message, pool.get(address), now))

    def _request(self, pool: Pool, message: Message, now: float) -> None:
        """RFC 2131 section 4.3.2: which state the client is in shows in what it sends."""
        client = _client(message)
        server, wanted = message.address(Option.SERVER_ID), message.address(Option.REQUESTED_ADDRESS)
        if server is not None and server != pool.network.server:
            # It took another server's offer: ours is free again.
            binding = pool.of_client(client)
            if binding is not None and binding.standing is Standing.OFFERED:
                pool.forget(binding.address)
            return
        address = wanted if message.ciaddr == UNSPECIFIED else message.ciaddr
        if address is None or address == UNSPECIFIED:
            self.counters["dropped.invalid"] += 1
            return
        binding = pool.of_client(client)
        if address not in pool.network.network:
            # RFC 2131 section 4.3.2: on the wrong network; a renewal by unicast need not have come through a relay.
            if message.ciaddr == UNSPECIFIED or message.giaddr != UNSPECIFIED or self.limits.authoritative:
                self._refuse(pool, message, f"{address} is not of this network")
            return
        mine = binding is not None and binding.address == address and binding.standing is not Standing.DECLINED
        reserved = pool.reserved_for(client, message.hardware)
        permitted = pool.permits(address, client, message.hardware) and reserved in {None, address}
        adopted = server is None and self._may_adopt(binding) and pool.has_room(message.hardware, now)
        if permitted and (mine or adopted) and pool.is_free(address, client, now):
            self._grant(pool, address, message, now)
        elif mine or binding is not None or server is not None or self.limits.authoritative:
            self._refuse(pool, message, f"{address} is not yours")

    def _may_adopt(self, binding: Binding | None) -> bool:
        """Whether a client that we do not know may keep an address that is free: we have lost our memory, perhaps."""
        return binding is None and self.limits.authoritative

    def _grant(self, pool: Pool, address: IPv4Address, message: Message, now: float) -> None:
        seconds = _lease_time(pool, message, None, now)
        expires = math.inf if seconds == _FOREVER else now + seconds
        client = _client(message)
        pool.bind(Binding(address, client, message.hardware, Standing.LEASED, expires, _host_name(message)))
        self._reply(pool, message, MessageType.ACK, address, seconds)

    def _decline(self, pool: Pool, message: Message, now: float) -> None:
        address = message.address(Option.REQUESTED_ADDRESS)
        binding = pool.of_client(_client(message))
        if address is None or binding is None or binding.address != address:
            self.counters["dropped.unexpected"] += 1
            return
        self._quarantine(pool, address, now)

    def _quarantine(self, pool: Pool, address: IPv4Address, now: float) -> None:
        expires = now + self.limits.decline_time
        pool.bind(Binding(address, b"", b"", Standing.DECLINED, expires))
        self._declined.append(address)
        while len(self._declined) > self.limits.max_declined:
            oldest = self._declined.pop(0)
            for each in self.pools:
                binding = each.get(oldest)
                if binding is not None and binding.standing is Standing.DECLINED:
                    each.forget(oldest)

    def _release(self, pool: Pool, message: Message, now: float) -> None:
        binding = pool.of_client(_client(message))
        if binding is None or binding.address != message.ciaddr or binding.standing is not Standing.LEASED:
            self.counters["dropped.unexpected"] += 1
            return
        pool.bind(replace(binding, standing=Standing.FREED, expires=now))

    def _inform(self, pool: Pool, message: Message, now: float) -> None:
        """RFC 2131 section 4.3.5: options for who has an address; nothing of a lease."""
        del now
        if message.ciaddr == UNSPECIFIED:
            self.counters["dropped.invalid"] += 1
            return
        self._reply(pool, message, MessageType.ACK, UNSPECIFIED, None)

    # messages out

    def _reply(
        self, pool: Pool, message: Message, kind: MessageType, address: IPv4Address, seconds: int | None
    ) -> None:
        network = pool.network
        options: dict[int, bytes] = {}
        asked = message.options.get(Option.PARAMETER_LIST)
        known = {Option.SUBNET_MASK: network.network.netmask.packed, **network.options}
        # Without a list, a client is told everything; the mask it always needs.
        options.update({c: v for c, v in known.items() if asked is None or c in asked or c == Option.SUBNET_MASK})
        if seconds is not None:
            options[Option.LEASE_TIME] = seconds.to_bytes(4, "big")
            if seconds != _FOREVER:
                options.setdefault(Option.RENEWAL_TIME, (seconds // 2).to_bytes(4, "big"))
                options.setdefault(Option.REBINDING_TIME, (seconds * 7 // 8).to_bytes(4, "big"))
        self._send(pool, message, kind, address, options)

    def _refuse(self, pool: Pool, message: Message, why: str) -> None:
        self._send(pool, message, MessageType.NAK, UNSPECIFIED, {Option.MESSAGE: why.encode("ascii")})

    def _send(
        self, pool: Pool, message: Message, kind: MessageType, address: IPv4Address, options: dict[int, bytes]
    ) -> None:
        server = pool.network.server
        options = {**options, Option.MESSAGE_TYPE: bytes([kind]), Option.SERVER_ID: server.packed}
        # RFC 6842 section 3 and RFC 3046 section 2.2: both come back as they were.
        options.update({c: message.options[c] for c in (Option.CLIENT_ID, Option.RELAY_AGENT) if c in message.options})
        nak = kind is MessageType.NAK
        reply = Message(
            op=2,
            xid=message.xid,
            hardware=message.hardware,
            hardware_type=message.hardware_type,
            # RFC 2131 section 4.3.2: a relay agent must broadcast a NAK, for its client has no address.
            broadcast=message.broadcast or (nak and message.giaddr != UNSPECIFIED),
            ciaddr=UNSPECIFIED if nak else message.ciaddr,
            yiaddr=address,
            giaddr=message.giaddr,
            options=options,
        )
        size = message.number(Option.MAX_MESSAGE_SIZE, 2) or MIN_MAX_SIZE
        try:
            octets = build(reply, min(size, 1500))
        except MessageTooLong:
            self.counters["dropped.too-long"] += 1
            return
        self.counters[f"sent.{kind.name.lower()}"] += 1
        # RFC 2131 section 4.1: the relay agent, the client's address, everybody, or the client's hardware.
        if message.giaddr != UNSPECIFIED:
            self._output.append(Datagram(server, SERVER_PORT, message.giaddr, SERVER_PORT, octets))
        elif nak:
            self._output.append(Datagram(server, SERVER_PORT, BROADCAST, CLIENT_PORT, octets))
        elif message.ciaddr != UNSPECIFIED:
            self._output.append(Datagram(server, SERVER_PORT, message.ciaddr, CLIENT_PORT, octets))
        elif message.broadcast or message.hardware_type != _ETHERNET or len(message.hardware) != 6:
            self._output.append(Datagram(server, SERVER_PORT, BROADCAST, CLIENT_PORT, octets))
        else:
            self._output.append(Datagram(server, SERVER_PORT, address, CLIENT_PORT, octets, link=message.hardware))


_HANDLERS: dict[MessageType, Callable[[Server, Pool, Message, float], None]] = {
    MessageType.DISCOVER: Server._discover,
    MessageType.REQUEST: Server._request,
    MessageType.DECLINE: Server._decline,
    MessageType.RELEASE: Server._release,
    MessageType.INFORM: Server._inform,
}


def _client(message: Message) -> bytes:
    """Who a client is (RFC 2131 section 4.2): its identifier, else type and hardware address."""
    return message.options.get(Option.CLIENT_ID) or bytes([message.hardware_type]) + message.hardware


def _host_name(message: Message) -> str:
    try:
        return parse_text(message.options.get(Option.HOST_NAME, b""))
    except InvalidMessage:
        return ""


def _lease_time(pool: Pool, message: Message, binding: Binding | None, now: float) -> int:
    """What a client gets (RFC 2131 section 4.3.1): what is left of its lease, what it asks for, or what is usual."""
    network = pool.network
    asked = message.number(Option.LEASE_TIME)
    if asked is not None:
        return max(network.least_lease_time, min(asked, network.lease_time))
    if binding is not None and binding.standing is Standing.LEASED and now < binding.expires < math.inf:
        return max(network.least_lease_time, int(binding.expires - now))
    return network.lease_time
