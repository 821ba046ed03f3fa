"""The stateless client of DHCPv6 (RFC 8415 section 18.2.6), without I/O: options for a host that has its addresses.

A router says in its advertisements whether there is something to ask for (the O flag, RFC 4861 section 4.2). Then::

    client = Client6(Settings6(duid=duid(mac)), random)
    client.start(now)
    for datagram in client.poll(now): ...   # whenever next_deadline() has come, and after start and input
    client.input(payload, now)              # what arrived at UDP port 546
    client.information                      # once there is some
    client.take_events()                    # Informed
"""

from __future__ import annotations

import enum
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv6Address

from mirage.types import Random

from .errors import BadConfiguration, InvalidMessage
from .options import parse_addresses6, parse_domains

__all__ = ["ALL_SERVERS", "CLIENT_PORT6", "Client6", "Datagram6", "Information", "Informed", "Option6", "Settings6"]

CLIENT_PORT6 = 546
SERVER_PORT6 = 547
ALL_SERVERS = IPv6Address("ff02::1:2")
"""All_DHCP_Relay_Agents_and_Servers, on the link (RFC 8415 section 7.1)."""
REPLY, INFORMATION_REQUEST = 7, 11

_MAX_DELAY = 1.0
"""INF_MAX_DELAY, seconds (RFC 8415 section 7.6); so are the next ones."""
_TIMEOUT, _MAX_TIMEOUT = 1.0, 3600.0
_REFRESH, _LEAST_REFRESH, _FOREVER = 86_400, 600, 0xFFFFFFFF
_MAX_RT_BOUNDS = (60, 86_400)


class Option6(enum.IntEnum):
    """Codes of options."""

    CLIENT_ID = 1
    SERVER_ID = 2
    ORO = 6
    ELAPSED_TIME = 8
    STATUS_CODE = 13
    DNS_SERVERS = 23
    DOMAIN_LIST = 24
    SNTP_SERVERS = 31
    REFRESH_TIME = 32
    NTP_SERVER = 56
    INF_MAX_RT = 83


@dataclass(frozen=True, slots=True)
class Datagram6:
    """A UDP datagram to send on the link, from its link-local address and port 546."""

    destination: IPv6Address
    destination_port: int
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings6:
    """What a client says of itself."""

    duid: bytes
    """Who it is, the same for all its interfaces (RFC 8415 section 11); `mirage.dhcp.duid` makes one."""
    options: tuple[int, ...] = (
        Option6.DNS_SERVERS,
        Option6.DOMAIN_LIST,
        Option6.SNTP_SERVERS,
        Option6.NTP_SERVER,
    )
    """Codes of the options to ask for, besides those that the protocol itself needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Information:
    """What a server told. `refresh_at` is a time of the client's clock."""

    dns_servers: tuple[IPv6Address, ...] = ()
    search: tuple[str, ...] = ()
    ntp_servers: tuple[IPv6Address, ...] = ()
    """From either of the options that there are (RFC 4075, RFC 5908)."""
    refresh_at: float = math.inf
    options: dict[int, list[bytes]] = field(default_factory=dict)
    """Everything, by code."""


@dataclass(frozen=True, slots=True)
class Informed:
    """There is information, or other than before."""

    information: Information


class Client6:
    """One interface's client. `counters` says what was sent, received and dropped."""

    def __init__(self, settings: Settings6, random: Random) -> None:
        if not 3 <= len(settings.duid) <= 130:
            raise BadConfiguration("a DUID has 3 to 130 octets, the first two its type (RFC 8415 section 11.1)")
        self.settings = settings
        self.information: Information | None = None
        self.counters: Counter[str] = Counter()
        self._random = random
        self._events: list[Informed] = []
        self._xid = b""
        self._began = 0.0
        self._timeout = 0.0
        self._max_timeout = _MAX_TIMEOUT
        self._deadline = math.inf
        self._asking = False

    def start(self, now: float) -> None:
        """Begin to ask, after a random part of a second (RFC 8415 section 18.2.6)."""
        self._xid = b""
        self._asking = True
        self._deadline = now + _MAX_DELAY * self._fraction()

    def stop(self) -> None:
        """Ask no more."""
        self._asking = False
        self._deadline = math.inf

    def next_deadline(self) -> float | None:
        """When `poll` has something to do; None: never, unless a message comes."""
        return None if self._deadline == math.inf else self._deadline

    def take_events(self) -> list[Informed]:
        """What happened since this was called last."""
        events, self._events = self._events, []
        return events

    def poll(self, now: float) -> list[Datagram6]:
        """Ask, if it is time to (RFC 8415 section 15)."""
        if now < self._deadline:
            return []
        jitter = 0.2 * self._fraction() - 0.1
        if not self._asking or not self._xid:
            self._asking = True
            self._xid = self._random.generate(3)
            self._began = now
            self._timeout = _TIMEOUT * (1 + jitter)
        else:
            self._timeout = self._timeout * (2 + jitter)
            if self._timeout > self._max_timeout:
                self._timeout = self._max_timeout * (1 + jitter)
        self._deadline = now + self._timeout
        self.counters["sent.information-request"] += 1
        return [Datagram6(ALL_SERVERS, SERVER_PORT6, self._request(now))]

    def _request(self, now: float) -> bytes:
        # RFC 8415 section 21.23 and 21.25: these two must be asked for.
        codes = dict.fromkeys([*self.settings.options, Option6.REFRESH_TIME, Option6.INF_MAX_RT])
        elapsed = min(int((now - self._began) * 100), 0xFFFF)
        options = [
            (Option6.CLIENT_ID, self.settings.duid),
            (Option6.ORO, b"".join(int(code).to_bytes(2, "big") for code in codes)),
            (Option6.ELAPSED_TIME, elapsed.to_bytes(2, "big")),
        ]
        return build6(INFORMATION_REQUEST, self._xid, options)

    def input(self, octets: bytes | bytearray | memoryview, now: float) -> None:
        """Take a datagram that came to UDP port 546. What is none of ours, or no message, is counted and dropped."""
        try:
            kind, xid, options = parse6(octets)
        except InvalidMessage:
            self.counters["dropped.invalid"] += 1
            return
        # RFC 8415 section 16.10: our transaction and identifier, and a server's.
        mine = options.get(Option6.CLIENT_ID, [self.settings.duid]) == [self.settings.duid]
        if kind != REPLY or not self._asking or xid != self._xid or not self._xid or not mine:
            self.counters["dropped.not-ours"] += 1
            return
        status = options.get(Option6.STATUS_CODE, [b"\0\0"])[0]
        if Option6.SERVER_ID not in options or status[:2] != b"\0\0":
            self.counters["dropped.invalid"] += 1
            return
        self.counters["received.reply"] += 1
        self._asking = False
        limit = _number(options, Option6.INF_MAX_RT)
        if limit is not None and _MAX_RT_BOUNDS[0] <= limit <= _MAX_RT_BOUNDS[1]:
            self._max_timeout = float(limit)
        refresh = _number(options, Option6.REFRESH_TIME)
        seconds = float(max(_REFRESH if refresh is None else refresh, _LEAST_REFRESH))
        self._deadline = math.inf if refresh == _FOREVER else now + seconds
        before = self.information
        self.information = Information(
            dns_servers=_addresses(options, Option6.DNS_SERVERS),
            search=_domains(options),
            ntp_servers=_addresses(options, Option6.SNTP_SERVERS) + _ntp(options),
            refresh_at=self._deadline,
            options=options,
        )
        if before is None or before.options != options:
            self._events.append(Informed(self.information))

    def _fraction(self) -> float:
        return int.from_bytes(self._random.generate(4), "big") / 2.0**32


def parse6(octets: bytes | bytearray | memoryview) -> tuple[int, bytes, dict[int, list[bytes]]]:
    """Type, transaction and options of a message between client and server (RFC 8415 section 8).

    Raises `InvalidMessage`.
    """
    octets = bytes(octets)
    if len(octets) < 4:
        raise InvalidMessage(f"{len(octets)} octets; a message has at least 4")
    options: dict[int, list[bytes]] = {}
    for code, value in _items(octets[4:]):
        options.setdefault(code, []).append(value)
    return octets[0], octets[1:4], options


def build6(kind: int, xid: bytes, options: Sequence[tuple[int, bytes]]) -> bytes:
    """The pair of `parse6`."""
    parts = [int(code).to_bytes(2, "big") + len(value).to_bytes(2, "big") + value for code, value in options]
    return bytes([kind]) + xid + b"".join(parts)


def _items(octets: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(octets):
        code, size = int.from_bytes(octets[at : at + 2], "big"), int.from_bytes(octets[at + 2 : at + 4], "big")
        if at + 4 + size > len(octets):
            raise InvalidMessage(f"option {code} goes on after the end of its message")
        yield code, octets[at + 4 : at + 4 + size]
        at += 4 + size


def _number(options: dict[int, list[bytes]], code: int) -> int | None:
    value = options.get(code, [b""])[0]
    return int.from_bytes(value, "big") if len(value) == 4 else None


def _addresses(options: dict[int, list[bytes]], code: int) -> tuple[IPv6Address, ...]:
    """An option beside the point that makes no sense is as if it were absent."""
    try:
        return parse_addresses6(options.get(code, [b""])[0])
    except InvalidMessage:
        return ()


def _domains(options: dict[int, list[bytes]]) -> tuple[str, ...]:
    try:
        return parse_domains(options.get(Option6.DOMAIN_LIST, [b""])[0])
    except InvalidMessage:
        return ()


def _ntp(options: dict[int, list[bytes]]) -> tuple[IPv6Address, ...]:
    """The addresses within the options for NTP servers (RFC 5908 section 4): suboption 1, and 2 of groups."""
    found: list[IPv6Address] = []
    for value in options.get(Option6.NTP_SERVER, []):
        try:
            found += [IPv6Address(each) for code, each in _items(value) if code == 1 and len(each) == 16]
        except InvalidMessage:
            continue
    return tuple(found)
