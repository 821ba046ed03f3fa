"""The client of DHCPv4 (RFC 2131 section 4.4), without I/O.

Datagrams and the time go in, datagrams and events come out::

    client = Client(Settings(hardware=mac), random)
    client.start(now)                   # or start(now, reboot=address) with an address of an earlier life
    for datagram in client.poll(now): ...   # whenever next_deadline() has come, and after start, input and release
    client.input(payload, now)          # what arrived at UDP port 68
    client.lease                        # while there is one
    client.take_events()                # Bound, Renewed, Lost, Check

The rules, state by state (RFC 2131 figure 5):

    INIT        --DISCOVER-->  SELECTING      (after DECLINE: in 10 s; after NAK and failure: at once, or backed off)
    SELECTING   --OFFER-->     REQUESTING     DISCOVER again after 4, 8, 16, 32, 64, 64 ... s, each +-1 s
    REQUESTING  --ACK-->       CHECKING or BOUND; NAK: INIT; silence after `request_attempts`: INIT
    INIT_REBOOT --REQUEST-->   REBOOTING      ACK: as above; NAK: INIT; silence: INIT
    CHECKING    --confirm-->   BOUND          decline: DECLINE, INIT
    BOUND       --T1-->        RENEWING       REQUEST to the server, again after half of what is left until T2
    RENEWING    --T2-->        REBINDING      REQUEST to everybody, again after half of what is left until the end
    REBINDING   --end-->       INIT, `Lost`
    any         --release-->   STOPPED        RELEASE to the server when there is a lease

Every change of a timer is in `poll` or follows a message; nothing else changes the state.
"""

from __future__ import annotations

import enum
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import TypeAlias

from mirage.types import Random

from ._wire import (
    BROADCAST,
    CLIENT_PORT,
    SERVER_PORT,
    UNSPECIFIED,
    Datagram,
    Message,
    MessageType,
    Option,
    build,
    parse,
)
from .errors import BadConfiguration, InvalidMessage
from .lease import Lease, lease_from

__all__ = ["Bound", "Check", "Client", "Event", "Lost", "Renewed", "Settings", "State"]

DEFAULT_PARAMETERS = (
    Option.SUBNET_MASK,
    # RFC 3442: who asks for both names the classless routes before the routers.
    Option.CLASSLESS_ROUTES,
    Option.ROUTERS,
    Option.STATIC_ROUTES,
    Option.DNS_SERVERS,
    Option.DOMAIN_NAME,
    Option.DOMAIN_SEARCH,
    Option.MTU,
    Option.BROADCAST_ADDRESS,
    Option.NTP_SERVERS,
    Option.RENEWAL_TIME,
    Option.REBINDING_TIME,
)
_MOST_OFFERS = 16
_DECLINE_WAIT = 10.0
"""Seconds from a DECLINE to the next DISCOVER (RFC 2131 section 3.1.5)."""
_FIRST_WAIT, _LONGEST_WAIT = 4.0, 64.0
_LEAST_RENEWAL = 60.0
"""Seconds between two REQUESTs while renewing (RFC 2131 section 4.4.5)."""


class State(enum.Enum):
    """Where the client is."""

    STOPPED = "stopped"
    INIT = "init"
    SELECTING = "selecting"
    REQUESTING = "requesting"
    INIT_REBOOT = "init-reboot"
    REBOOTING = "rebooting"
    CHECKING = "checking"
    BOUND = "bound"
    RENEWING = "renewing"
    REBINDING = "rebinding"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a client says of itself. Times are in seconds."""

    hardware: bytes
    """The interface's Ethernet address."""
    client_id: bytes | None = None
    """The whole value of option 61, its first octet the type. None: type 255 with an identity association and a DUID
    made of the hardware address (RFC 4361 section 6.1), the same as `duid` gives a client of DHCPv6."""
    host_name: str | None = None
    vendor_class: str | None = None
    parameters: tuple[int, ...] = DEFAULT_PARAMETERS
    """Codes of the options to ask for."""
    broadcast: bool = False
    """Ask for broadcast answers, for a stack that takes no unicast before it has an address."""
    check: bool = False
    """Whether an address is tried (RFC 5227) before it is used: see `Check`."""
    collect: float = 0.0
    """How long offers are collected before one is chosen; 0: the first is taken."""
    start_delay: float = 0.0
    """The first DISCOVER waits a random time up to this, so that hosts that start together do not ask together;
    RFC 2131 section 4.4.1 has 10."""
    request_attempts: int = 4
    """How often a REQUEST is sent for an offer, or for the address of an earlier life, before all begins anew."""
    max_message_size: int = 1500

    def identifier(self) -> bytes:
        """The value of option 61."""
        if self.client_id is not None:
            return self.client_id
        return b"\xff" + self.hardware[-4:].rjust(4, b"\0") + duid(self.hardware)


def duid(hardware: bytes, hardware_type: int = 1) -> bytes:
    """The DUID of a node that has only a hardware address: DUID-LL (RFC 8415 section 11.4)."""
    return b"\0\x03" + hardware_type.to_bytes(2, "big") + hardware


@dataclass(frozen=True, slots=True)
class Bound:
    """The address may be used from now on."""

    lease: Lease


@dataclass(frozen=True, slots=True)
class Renewed:
    """The lease of the same address goes on; what came with it may have changed."""

    lease: Lease


@dataclass(frozen=True, slots=True)
class Lost:
    """The address may not be used any more."""

    lease: Lease
    reason: str


@dataclass(frozen=True, slots=True)
class Check:
    """See whether somebody uses the address, then call `Client.confirm` or `Client.decline`."""

    address: IPv4Address


Event: TypeAlias = "Bound | Renewed | Lost | Check"


class Client:
    """One interface's client. `counters` says what was sent, received and dropped."""

    def __init__(self, settings: Settings, random: Random) -> None:
        if not 1 <= len(settings.hardware) <= 16:
            raise BadConfiguration("hardware is the interface's address: 6 octets for Ethernet, at most 16")
        if len(settings.identifier()) < 2:
            raise BadConfiguration("client_id has at least two octets: its type, then the identifier (RFC 2132 9.14)")
        self.settings = settings
        self.counters: Counter[str] = Counter()
        self._random = random
        self._events: list[Event] = []
        self._output: list[Datagram] = []
        self._state = State.STOPPED
        self._deadline = math.inf
        self._xid = 0
        self._attempts = 0
        self._began = 0.0
        self._asked = 0.0
        """When the REQUEST that is being answered was sent first: a lease counts from there (RFC 2131 4.4.1)."""
        self._wanted: IPv4Address | None = None
        self._offers: list[Message] = []
        self._lease: Lease | None = None
        self._failures = 0

    @property
    def state(self) -> State:
        """Where the client is."""
        return self._state

    @property
    def lease(self) -> Lease | None:
        """The lease whose address may be used; None while there is none."""
        return self._lease if self._state in {State.BOUND, State.RENEWING, State.REBINDING} else None

    def take_events(self) -> list[Event]:
        """What happened since this was called last."""
        events, self._events = self._events, []
        return events

    def next_deadline(self) -> float | None:
        """When `poll` has something to do: -inf for what waits to be sent, None for never, unless a message comes."""
        if self._output:
            return -math.inf
        return None if self._deadline == math.inf else self._deadline

    # what the owner asks for

    def start(self, now: float, *, reboot: IPv4Address | None = None) -> None:
        """Begin; `reboot` is the address of an earlier life, which is asked for first (RFC 2131 section 3.2)."""
        self._drop_lease("the client was started anew")
        self._wanted = reboot
        self._failures = 0
        if reboot is None:
            self._restart(now, self._uniform(self.settings.start_delay))
        else:
            self._enter(State.INIT_REBOOT, now + self._uniform(self.settings.start_delay))
            self._began = now

    def release(self, now: float) -> None:
        """Give the lease back, if there is one, and stop."""
        lease = self.lease
        if lease is not None:
            self._xid = self._number()
            options = {Option.MESSAGE_TYPE: bytes([MessageType.RELEASE]), Option.SERVER_ID: lease.server.packed}
            self._send(now, options, ciaddr=lease.address, to=lease.server)
        self._drop_lease("it was released")
        self._enter(State.STOPPED, math.inf)

    def confirm(self, now: float) -> None:
        """Nobody uses the address that `Check` asked about."""
        if self._state is State.CHECKING:
            self._bind(now)

    def decline(self, now: float) -> None:
        """Somebody else uses the address: give it up, tell the server, and get another (RFC 2131 section 3.1.5)."""
        lease = self._lease
        if lease is None:
            return
        self._xid = self._number()
        options = {
            Option.MESSAGE_TYPE: bytes([MessageType.DECLINE]),
            Option.REQUESTED_ADDRESS: lease.address.packed,
            Option.SERVER_ID: lease.server.packed,
        }
        self._send(now, options)
        self._drop_lease("another host uses the address")
        self._wanted = None
        self._restart(now, _DECLINE_WAIT)

    # time

    def poll(self, now: float) -> list[Datagram]:
        """Do what is due, and return what is to be sent."""
        if now >= self._deadline:
            self._expire(now)
        output, self._output = self._output, []
        return output

    def _expire(self, now: float) -> None:
        match self._state:
            case State.INIT:
                self._xid = self._number()
                self._attempts = 0
                self._offers = []
                self._began = now
                self._discover(now)
            case State.SELECTING:
                if self._offers:
                    self._choose(now)
                else:
                    self._discover(now)
            case State.REQUESTING if self._attempts < self.settings.request_attempts:
                self._request_offered(now)
            case State.INIT_REBOOT:
                self._xid = self._number()
                self._attempts = 0
                self._asked = now
                self._request_again(now)
            case State.REBOOTING if self._attempts < self.settings.request_attempts:
                self._request_again(now)
            case State.REQUESTING | State.REBOOTING:
                self.counters["unanswered"] += 1
                self._restart(now)
            case State.BOUND | State.RENEWING | State.REBINDING:
                self._prolong(now)
            case _:
                self._deadline = math.inf

    def _backoff(self) -> float:
        """RFC 2131 section 4.1: 4 s, doubled up to 64 s, each give or take 1 s."""
        wait = min(_FIRST_WAIT * 2.0 ** min(self._attempts, 8), _LONGEST_WAIT)
        return wait - 1.0 + self._uniform(2.0)

    # messages out

    def _discover(self, now: float) -> None:
        options = {Option.MESSAGE_TYPE: bytes([MessageType.DISCOVER]), **self._about()}
        if self._wanted is not None:
            options[Option.REQUESTED_ADDRESS] = self._wanted.packed
        self._send(now, options)
        wait = self._backoff()
        self._attempts += 1
        self._enter(State.SELECTING, now + wait)

    def _choose(self, now: float) -> None:
        """Take the offer of the address that is wanted, else the first."""
        self._offers.sort(key=lambda offer: offer.yiaddr != self._wanted)
        self._attempts = 0
        self._asked = now
        self._request_offered(now)

    def _request_offered(self, now: float) -> None:
        offer = self._offers[0]
        options = {
            Option.MESSAGE_TYPE: bytes([MessageType.REQUEST]),
            Option.REQUESTED_ADDRESS: offer.yiaddr.packed,
            Option.SERVER_ID: offer.options[Option.SERVER_ID],
            **self._about(),
        }
        self._send(now, options)
        wait = self._backoff()
        self._attempts += 1
        self._enter(State.REQUESTING, now + wait)

    def _request_again(self, now: float) -> None:
        assert self._wanted is not None
        # RFC 2131 section 4.3.2: INIT-REBOOT has no server identifier and no ciaddr.
        options = {
            Option.MESSAGE_TYPE: bytes([MessageType.REQUEST]),
            Option.REQUESTED_ADDRESS: self._wanted.packed,
            **self._about(),
        }
        self._send(now, options)
        wait = self._backoff()
        self._attempts += 1
        self._enter(State.REBOOTING, now + wait)

    def _prolong(self, now: float) -> None:
        """What BOUND, RENEWING and REBINDING do when their time has come (RFC 2131 section 4.4.5)."""
        lease = self._lease
        assert lease is not None
        if now >= lease.expires:
            self._drop_lease("it ended, and no server prolonged it")
            self._restart(now)
            return
        rebinding = now >= lease.rebind_at
        state = State.REBINDING if rebinding else State.RENEWING
        if self._state is not state:
            self._began = now
        self._xid = self._number()  # another one each time: the answer says which request it grants, so from when on
        self._asked = now
        options = {Option.MESSAGE_TYPE: bytes([MessageType.REQUEST]), **self._about()}
        self._send(now, options, ciaddr=lease.address, to=BROADCAST if rebinding else lease.server)
        end = lease.expires if rebinding else lease.rebind_at
        self._enter(state, min(now + max((end - now) / 2, _LEAST_RENEWAL), end))

    def _about(self) -> dict[Option, bytes]:
        """The options of every DISCOVER and REQUEST."""
        settings = self.settings
        options = {
            Option.PARAMETER_LIST: bytes(settings.parameters),
            Option.MAX_MESSAGE_SIZE: settings.max_message_size.to_bytes(2, "big"),
        }
        if settings.host_name:
            options[Option.HOST_NAME] = settings.host_name.encode("ascii")
        if settings.vendor_class:
            options[Option.VENDOR_CLASS] = settings.vendor_class.encode("ascii")
        return options

    def _send(
        self,
        now: float,
        given: Mapping[Option, bytes],
        *,
        ciaddr: IPv4Address = UNSPECIFIED,
        to: IPv4Address = BROADCAST,
    ) -> None:
        # RFC 4361 section 6.1, RFC 2132 section 9.14: the identifier is the same in every message.
        options = {int(code): value for code, value in given.items()}
        options[Option.CLIENT_ID] = self.settings.identifier()
        message = Message(
            op=1,
            xid=self._xid,
            hardware=self.settings.hardware,
            secs=max(0, min(int(now - self._began), 0xFFFF)),
            broadcast=self.settings.broadcast and ciaddr == UNSPECIFIED,
            ciaddr=ciaddr,
            options=options,
        )
        kind = message.type
        assert kind is not None
        self.counters[f"sent.{kind.name.lower()}"] += 1
        self._output.append(Datagram(ciaddr, CLIENT_PORT, to, SERVER_PORT, build(message)))

    # messages in

    def input(self, octets: bytes | bytearray | memoryview, now: float) -> None:
        """Take a datagram that came to UDP port 68. What is none of ours, or makes no sense, is counted and dropped."""
        try:
            message = parse(octets)
        except InvalidMessage:
            self.counters["dropped.invalid"] += 1
            return
        mine = message.op == 2 and message.xid == self._xid and message.hardware == self.settings.hardware
        # RFC 6842 section 3: a client identifier that comes back must be the one that was sent.
        if not mine or message.options.get(Option.CLIENT_ID, self.settings.identifier()) != self.settings.identifier():
            self.counters["dropped.not-ours"] += 1
            return
        match message.type:
            case MessageType.OFFER if self._state is State.SELECTING:
                self._offer(message, now)
            case MessageType.ACK if self._state in _ANSWERABLE and self._from_the_right_one(message):
                self._ack(message, now)
            case MessageType.NAK if self._state in _ANSWERABLE and self._from_the_right_one(message):
                self._nak(now)
            case _:
                self.counters["dropped.unexpected"] += 1

    def _from_the_right_one(self, message: Message) -> bool:
        server = message.address(Option.SERVER_ID)
        if server is None or server == UNSPECIFIED:
            return False
        if self._state is State.REQUESTING:
            return server == self._offers[0].address(Option.SERVER_ID)
        return True

    def _offer(self, message: Message, now: float) -> None:
        server = message.address(Option.SERVER_ID)
        if server is None or server == UNSPECIFIED or not _usable(message.yiaddr) or len(self._offers) >= _MOST_OFFERS:
            self.counters["dropped.invalid"] += 1
            return
        self.counters["received.offer"] += 1
        self._offers.append(message)
        if self.settings.collect <= 0:
            self._choose(now)
        elif len(self._offers) == 1:
            self._deadline = min(self._deadline, now + self.settings.collect)

    def _ack(self, message: Message, now: float) -> None:
        expected = {
            State.REQUESTING: lambda: self._offers[0].yiaddr,
            State.REBOOTING: lambda: self._wanted,
        }.get(self._state, lambda: self._lease and self._lease.address)()
        try:
            lease = lease_from(message, self._asked)
        except InvalidMessage:
            self.counters["dropped.invalid"] += 1
            return
        if lease.address != expected or lease.expires <= now:
            self.counters["dropped.invalid"] += 1
            return
        self.counters["received.ack"] += 1
        renewed = self._state in {State.RENEWING, State.REBINDING}
        self._lease = lease
        if renewed:
            self._enter(State.BOUND, lease.renew_at)
            self._events.append(Renewed(lease))
        elif self.settings.check:
            self._enter(State.CHECKING, math.inf)
            self._events.append(Check(lease.address))
        else:
            self._bind(now)

    def _nak(self, now: float) -> None:
        self.counters["received.nak"] += 1
        self._drop_lease("the server refused it")
        self._wanted = None
        # A server that offers and then refuses must not make us ask without a pause.
        self._attempts = self._failures
        wait = self._backoff() if self._failures else 0.0
        self._failures += 1
        self._restart(now, wait)

    # states

    def _bind(self, now: float) -> None:
        lease = self._lease
        assert lease is not None
        self._wanted = lease.address
        self._failures = 0
        self._offers = []
        self._enter(State.BOUND, max(now, lease.renew_at))
        self._events.append(Bound(lease))

    def _drop_lease(self, reason: str) -> None:
        if self.lease is not None:
            self._events.append(Lost(self.lease, reason))
        self._lease = None

    def _restart(self, now: float, wait: float = 0.0) -> None:
        self._enter(State.INIT, now + wait)

    def _enter(self, state: State, deadline: float) -> None:
        self._state = state
        self._deadline = deadline

    # randomness

    def _number(self) -> int:
        return int.from_bytes(self._random.generate(4), "big")

    def _uniform(self, most: float) -> float:
        return most * self._number() / 2.0**32


_ANSWERABLE = {State.REQUESTING, State.REBOOTING, State.RENEWING, State.REBINDING}


def _usable(address: IPv4Address) -> bool:
    """Whether an address can be a host's own."""
    return not (address.is_unspecified or address.is_multicast or address.is_loopback or address == BROADCAST)
