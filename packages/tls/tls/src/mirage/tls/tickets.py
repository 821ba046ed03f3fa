"""Sessions that are resumed: what a client keeps, what a server puts into its tickets, and the guard against replay.

A server keeps nothing: a ticket holds its session, sealed with a key that is derived from one secret and the time. So
several processes that share the secret resume each other's sessions, and keys change by themselves.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mirage.crypto import AES_256_GCM, SHA256, InvalidTag, hkdf_expand, hmac

from ._constants import Random
from ._wire import Cursor, v8, v24
from .errors import ConfigurationError, PeerMisbehaved

if TYPE_CHECKING:
    from mirage.x509 import Certificate

__all__ = ["ReplayGuard", "ServerSession", "Session", "TicketKeys"]

MAX_LIFETIME = 7 * 24 * 3600
"""Seconds that a ticket may live at the most (RFC 8446 4.6.1)."""


@dataclass(frozen=True, slots=True)
class Session:
    """What a client keeps to resume; give it to `client(..., session=...)` once. Its secret is not shown."""

    version: int
    suite: str
    secret: bytes = field(repr=False)
    """TLS 1.3: the pre-shared key. TLS 1.2: the master secret."""
    ticket: bytes = field(repr=False)
    name: str
    """The server's name for which its certificate was checked."""
    received: float
    """When, in seconds since the epoch."""
    lifetime: int
    """Seconds from then on that the server keeps it."""
    age_add: int = field(default=0, repr=False)
    alpn: str | None = None
    early_data: int = 0
    """Octets of early data that the server takes; 0 for none."""
    peer_chain: tuple[Certificate, ...] = field(default=(), repr=False)
    peer_key: bytes | None = field(default=None, repr=False)
    ocsp: bytes | None = field(default=None, repr=False)
    policy: object = field(default=None, repr=False)
    """The authenticator that accepted the server: no other lets the session be resumed."""

    def is_fresh(self, now: float) -> bool:
        """Whether the server may still know it."""
        return self.received <= now + 1 and now < self.received + min(self.lifetime, MAX_LIFETIME)


@dataclass(frozen=True, slots=True)
class ServerSession:
    """What a ticket holds."""

    version: int
    suite: int
    secret: bytes = field(repr=False)
    created: float
    age_add: int = 0
    name: str = ""
    alpn: str = ""
    early_data: int = 0
    peer: tuple[bytes, ...] = ()
    """The client's certificates, or its raw public key."""
    peer_is_key: bool = False
    scope: bytes = b""
    """A digest of what the server's configuration asks of clients: a ticket is of no use under another."""

    def encode(self) -> bytes:
        """The octets that are sealed."""
        head = self.version.to_bytes(2, "big") + self.suite.to_bytes(2, "big") + v8(self.secret)
        head += int(self.created * 1000).to_bytes(8, "big") + self.age_add.to_bytes(4, "big")
        head += v8(self.name.encode("ascii")) + v8(self.alpn.encode("latin-1")) + self.early_data.to_bytes(4, "big")
        head += bytes((self.peer_is_key,)) + v8(self.scope)
        return head + v24(b"".join([v24(der) for der in self.peer]))

    @classmethod
    def decode(cls, data: bytes) -> ServerSession:
        """The session. Raises `PeerMisbehaved`, which after unsealing only another version of this software causes."""
        cursor = Cursor(data, "ticket")
        version, suite, secret = cursor.integer(2), cursor.integer(2), cursor.vector(1)
        created, age_add = cursor.integer(8) / 1000, cursor.integer(4)
        name, alpn = cursor.vector(1).decode("ascii"), cursor.vector(1).decode("latin-1")
        early_data, peer_is_key, scope = cursor.integer(4), bool(cursor.integer(1)), cursor.vector(1)
        inner = Cursor(cursor.vector(3), "ticket")
        cursor.done()
        peer: list[bytes] = []
        while inner.more:
            peer.append(inner.vector(3))
        return cls(version, suite, secret, created, age_add, name, alpn, early_data, tuple(peer), peer_is_key, scope)


class TicketKeys:
    """Seals sessions into tickets and opens them.

    `secret` (32 random octets or more) stays the same as long as tickets shall be good; `period` (seconds) is how long
    one key seals. A ticket is opened by the key of its period and of the one before, so it lives between one and two.
    Whoever learns the secret can read sessions that were resumed without a key exchange, and early data: change it.
    """

    __slots__ = ("_cached", "_secret", "period")

    def __init__(self, secret: bytes, period: int = 12 * 3600) -> None:
        if len(secret) < 32:
            raise ConfigurationError(f"the secret of tickets has {len(secret)} octets; give 32 random ones")
        if not 60 <= period <= MAX_LIFETIME // 2:
            raise ConfigurationError(f"a period of {period} s; tickets want 60 to {MAX_LIFETIME // 2}")
        self._secret = secret
        self.period = period
        self._cached: tuple[int, bytes, bytes] = (-1, b"", b"")

    def __repr__(self) -> str:
        return f"<TicketKeys, {self.period} s>"

    def _key(self, number: int) -> tuple[bytes, bytes]:
        if self._cached[0] != number:
            octets = hkdf_expand(SHA256, self._secret, b"mirage tls ticket " + str(number).encode(), 48)
            self._cached = number, octets[:16], octets[16:]
        return self._cached[1:]

    def lifetime(self, created: float, now: float) -> int:
        """Seconds that a session of that age may still be offered."""
        return max(0, int(min(self.period, created + MAX_LIFETIME - now)))

    def seal(self, session: ServerSession, now: float, random: Random) -> bytes:
        """A ticket."""
        name, key = self._key(math.floor(now / self.period))
        nonce = random(12)
        return name + nonce + AES_256_GCM.new(key).seal(nonce, session.encode(), name)

    def open(self, ticket: bytes, now: float) -> ServerSession | None:
        """The session in a ticket, or None for one that is not ours, too old, or changed."""
        number = math.floor(now / self.period)
        for candidate in (number, number - 1):
            name, key = self._key(candidate)
            if ticket[:16] != name:
                continue
            try:
                return ServerSession.decode(AES_256_GCM.new(key).open(ticket[16:28], ticket[28:], name))
            except (InvalidTag, PeerMisbehaved, ValueError):
                return None
        return None


class ReplayGuard:
    """Remembers the ClientHellos whose early data was taken, so that none is taken twice (RFC 8446 8.2).

    One guard serves all processes that accept one ticket secret, or early data may be taken once by each. `window`
    (seconds) is how far a ticket's age may be off; `capacity` is how many it remembers: when it is full, early data is
    refused, never taken unseen.
    """

    __slots__ = ("_new", "_old", "_turn", "capacity", "window")

    def __init__(self, window: float = 10.0, capacity: int = 100_000) -> None:
        self.window = window
        self.capacity = capacity
        self._turn = -math.inf
        self._new: set[bytes] = set()
        self._old: set[bytes] = set()

    def first_time(self, binder: bytes, now: float) -> bool:
        """Whether this binder has not been seen; it has been now."""
        if now >= self._turn + 2 * self.window:
            # Two generations: what is dropped is older than the freshness check lets through.
            self._old = self._new if now < self._turn + 4 * self.window else set()
            self._new, self._turn = set(), now
        key = hmac(SHA256, b"mirage tls replay", binder)[:16]
        if key in self._new or key in self._old or len(self._new) >= self.capacity:
            return False
        self._new.add(key)
        return True
