"""ClientHello and ServerHello, and the extensions that they share: decoded and encoded in pairs.

Extensions are kept as octets and decoded where they are looked at; `check` decodes those that nobody looks at.
"""

from __future__ import annotations

from dataclasses import dataclass

from ._constants import HRR_RANDOM, TLS12, Ext, Msg
from ._wire import Cursor, extensions, message, u16s, v8, v16
from .errors import PeerMisbehaved

__all__ = [
    "ClientHello",
    "PskOffer",
    "ServerHello",
    "alpn",
    "codes",
    "key_shares",
    "one_octet_codes",
    "psk_offer",
    "server_name",
    "single_alpn",
    "write_alpn",
    "write_server_name",
]


@dataclass(frozen=True, slots=True)
class ClientHello:
    """RFC 8446 4.1.2, RFC 5246 7.4.1.2. `extensions` keeps their order."""

    version: int
    random: bytes
    session_id: bytes
    suites: tuple[int, ...]
    compressions: bytes
    extensions: dict[int, bytes]

    def encode(self) -> bytes:
        """The message."""
        head = self.version.to_bytes(2, "big") + self.random + v8(self.session_id) + v16(u16s(self.suites))
        return message(Msg.CLIENT_HELLO, head + v8(self.compressions) + extensions(self.extensions))

    @classmethod
    def decode(cls, body: bytes) -> ClientHello:
        """The message from its body. Raises `PeerMisbehaved`."""
        cursor = Cursor(body, "ClientHello")
        version, random, session_id = cursor.integer(2), cursor.take(32), cursor.vector(1)
        if len(session_id) > 32:
            raise cursor.malformed("a session identifier has at most 32 octets")
        suites = cursor.u16s()
        compressions = cursor.vector(1, 1)
        # RFC 5246 7.4.1.2: a client of old may have no extensions at all
        found = cursor.extensions() if cursor.more else {}
        cursor.done()
        hello = cls(version, random, session_id, suites, compressions, found)
        if Ext.PRE_SHARED_KEY in found and next(reversed(found)) != Ext.PRE_SHARED_KEY:
            raise PeerMisbehaved("pre_shared_key is not the last extension")  # RFC 8446 4.2.11
        return hello

    def versions(self) -> tuple[int, ...]:
        """The versions that the client offers, its favourite first."""
        data = self.extensions.get(Ext.SUPPORTED_VERSIONS)
        if data is None:
            return (min(self.version, TLS12),)  # RFC 8446 4.2.1
        cursor = Cursor(data, "supported_versions")
        found = cursor.u16s(1)
        cursor.done()
        return found


@dataclass(frozen=True, slots=True)
class ServerHello:
    """RFC 8446 4.1.3, RFC 5246 7.4.1.3; with `HRR_RANDOM` a HelloRetryRequest."""

    version: int
    random: bytes
    session_id: bytes
    suite: int
    extensions: dict[int, bytes]
    compression: int = 0

    @property
    def is_retry(self) -> bool:
        """Whether it is a HelloRetryRequest."""
        return self.random == HRR_RANDOM

    def encode(self) -> bytes:
        """The message."""
        head = self.version.to_bytes(2, "big") + self.random + v8(self.session_id)
        head += self.suite.to_bytes(2, "big") + bytes((self.compression,))
        return message(Msg.SERVER_HELLO, head + (extensions(self.extensions) if self.extensions else b""))

    @classmethod
    def decode(cls, body: bytes) -> ServerHello:
        """The message from its body. Raises `PeerMisbehaved`."""
        cursor = Cursor(body, "ServerHello")
        version, random, session_id = cursor.integer(2), cursor.take(32), cursor.vector(1)
        if len(session_id) > 32:
            raise cursor.malformed("a session identifier has at most 32 octets")
        suite, compression = cursor.integer(2), cursor.integer(1)
        found = cursor.extensions() if cursor.more else {}
        cursor.done()
        if compression:
            raise PeerMisbehaved("the server wants compression, which was not offered")
        return cls(version, random, session_id, suite, found, compression)


def codes(data: bytes | None, what: str) -> tuple[int, ...]:
    """A list of code points of two octets: groups, signature algorithms. None of them without the extension."""
    if data is None:
        return ()
    cursor = Cursor(data, what)
    found = cursor.u16s()
    cursor.done()
    return found


def one_octet_codes(data: bytes | None, what: str) -> bytes:
    """A list of code points of one octet: certificate types, modes of a pre-shared key."""
    if data is None:
        return b""
    cursor = Cursor(data, what)
    found = cursor.vector(1, 1)
    cursor.done()
    return found


def write_server_name(name: str) -> bytes:
    """The extension with one DNS name, in ASCII (RFC 6066 3)."""
    return v16(b"\0" + v16(name.encode("ascii")))


def server_name(data: bytes | None) -> str | None:
    """The DNS name that a client asks for, without a final dot, in lower case. Raises `PeerMisbehaved`."""
    if data is None:
        return None
    cursor = Cursor(data, "server_name")
    inner = Cursor(cursor.vector(2, 1), "server_name")
    cursor.done()
    found: str | None = None
    while inner.more:
        kind, name = inner.integer(1), inner.vector(2, 1)
        if kind:
            continue
        if found is not None:
            raise PeerMisbehaved("two names of one type in server_name")
        try:
            found = name.decode("ascii").lower().removesuffix(".")
        except UnicodeDecodeError:
            raise inner.malformed("the name is not ASCII") from None
        if len(name) > 255 or "\0" in found:
            raise inner.malformed("it is no DNS name")
    return found


def write_alpn(names: tuple[str, ...]) -> bytes:
    """The extension with application protocols (RFC 7301 3.1)."""
    return v16(b"".join([v8(name.encode("latin-1")) for name in names]))


def alpn(data: bytes | None) -> tuple[str, ...]:
    """The application protocols in the extension, octets as Latin-1."""
    if data is None:
        return ()
    cursor = Cursor(data, "application_layer_protocol_negotiation")
    inner = Cursor(cursor.vector(2, 2), cursor.what)
    cursor.done()
    found = []
    while inner.more:
        found.append(inner.vector(1, 1).decode("latin-1"))
    return tuple(found)


def single_alpn(data: bytes | None, offered: tuple[str, ...]) -> str | None:
    """The server's choice: one of those that were offered (RFC 7301 3.1)."""
    if data is None:
        return None
    found = alpn(data)
    if len(found) != 1 or found[0] not in offered:
        raise PeerMisbehaved(f"the server chose the protocols {', '.join(found)}, which were not offered as such")
    return found[0]


def key_shares(data: bytes | None) -> dict[int, bytes]:
    """A client's shares by group, in its order (RFC 8446 4.2.8)."""
    if data is None:
        return {}
    cursor = Cursor(data, "key_share")
    inner = Cursor(cursor.vector(2), "key_share")
    cursor.done()
    found: dict[int, bytes] = {}
    while inner.more:
        group, share = inner.integer(2), inner.vector(2, 1)
        if group in found:
            raise PeerMisbehaved("two key shares for one group")
        found[group] = share
    return found


@dataclass(frozen=True, slots=True)
class PskOffer:
    """The client's pre_shared_key (RFC 8446 4.2.11): identities with their obfuscated ages, and their binders."""

    identities: tuple[tuple[bytes, int], ...]
    binders: tuple[bytes, ...]

    def encode(self) -> bytes:
        """The extension's data."""
        identities = b"".join([v16(identity) + age.to_bytes(4, "big") for identity, age in self.identities])
        return v16(identities) + self.encode_binders()

    def encode_binders(self) -> bytes:
        """Its last part, which the binders themselves do not cover."""
        return v16(b"".join([v8(binder) for binder in self.binders]))


def psk_offer(data: bytes) -> PskOffer:
    """The extension decoded. Raises `PeerMisbehaved`."""
    cursor = Cursor(data, "pre_shared_key")
    first, second = Cursor(cursor.vector(2, 7), cursor.what), Cursor(cursor.vector(2, 33), cursor.what)
    cursor.done()
    identities, binders = [], []
    while first.more:
        identities.append((first.vector(2, 1), first.integer(4)))
    while second.more:
        binders.append(second.vector(1, 32))
    if len(identities) != len(binders):
        raise PeerMisbehaved("as many binders as identities are needed in pre_shared_key")
    return PskOffer(tuple(identities), tuple(binders))
