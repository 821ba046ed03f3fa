"""For fuzzing: good octets of every kind that this package reads, each with what is then asked of them.

`targets()` is what the package's own tests and `./noxw -s fuzz` run over. Each function raises nothing but
`TlsError`, whatever it is given. Keys and randomness are the same every time, so that what is found can be tried again.

A handshake is hurt in two places. "... flight" changes the records of one side on the wire, where little of that
gets past the authentication; "... inside" changes messages before they are sealed, as a peer that has the keys can.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import cache, partial
from typing import Any, Final

from mirage.x509.testing import NOW, leaf, root

from .. import ClientConfig, Connection, Identity, ReplayGuard, ServerConfig, TicketKeys, TicketReceived
from .. import _hellos as hellos
from .. import _messages as messages
from .. import client as new_client
from .. import server as new_server
from .._constants import SUITES, ContentType
from .._record import Keys, Reader, Writer
from . import accept_anyone, connect, randomness

__all__ = ["DECODERS", "Target", "targets"]

Target = tuple[bytes, Callable[[bytes], object]]
"""Good octets, and a function that reads octets and uses what was read."""

_TIME: Final = NOW.timestamp()

DECODERS: Final[dict[str, Callable[[bytes], Any]]] = {
    "client hello": hellos.ClientHello.decode,
    "server hello": hellos.ServerHello.decode,
    "versions": lambda data: hellos.ClientHello.decode(data).versions(),
    "codes": lambda data: hellos.codes(data, "x"),
    "one-octet codes": lambda data: hellos.one_octet_codes(data, "x"),
    "server name": hellos.server_name,
    "alpn": hellos.alpn,
    "key shares": hellos.key_shares,
    "psk offer": hellos.psk_offer,
    "encrypted extensions": messages.read_encrypted_extensions,
    "certificate 1.3": messages.read_certificate_13,
    "compressed certificate": messages.read_compressed_certificate,
    "certificate request 1.3": messages.read_certificate_request_13,
    "certificate verify": messages.read_certificate_verify,
    "ocsp": messages.read_ocsp,
    "ticket 1.3": messages.read_ticket_13,
    "certificate 1.2": messages.read_certificate_12,
    "server key exchange": messages.read_server_key_exchange,
    "certificate request 1.2": messages.read_certificate_request_12,
    "ticket 1.2": messages.read_ticket_12,
}
"""What reads the body of a message or an extension."""


class _Forgetful(ReplayGuard):
    """Each try is a world of its own."""

    __slots__ = ()

    def first_time(self, binder: bytes, now: float) -> bool:
        return True


Pair = tuple[ClientConfig, ServerConfig, Any]


@cache
def _pairs() -> dict[str, Pair]:
    """Handshakes: with a client's certificate, resumed with early data, after a retry, and of TLS 1.2."""
    identity = Identity((leaf().der, root().certificate.der), root().key)
    common: dict[str, Any] = {
        "authenticator": accept_anyone,
        "identities": (identity,),
        "groups": ("x25519", "secp256r1"),
    }
    ours = ClientConfig(key_shares=("x25519",), **common)
    older = ClientConfig(versions=("TLSv1.2",), **common)
    asking = ServerConfig(client_certificates="ask", **common)
    tickets = TicketKeys(bytes(32))
    early = ServerConfig(
        identities=(identity,), groups=("x25519",), tickets=tickets, early_data=100, replay_guard=_Forgetful()
    )
    found = connect(ours, early, now=_TIME)[2]
    session = next(event.session for event in found if isinstance(event, TicketReceived))
    retrying = ServerConfig(identities=(identity,), groups=("secp256r1",))
    return {
        "1.3": (ours, asking, None),
        "early": (ours, early, session),
        "retry": (ours, retrying, None),
        "1.2": (older, asking, None),
    }


def _ends(pair: Pair) -> tuple[Connection, Connection]:
    ours = new_client(pair[0], "example.org", _TIME, randomness("c"), pair[2])
    if pair[2] is not None:
        ours.send_early(b"early")
    return ours, new_server(pair[1], _TIME, randomness("s"))


def _play(pair: Pair, hurt: Callable[[Connection, int], None], wire: Callable[[int, bytes], bytes]) -> None:
    """A handshake, a datum and an end; `hurt` sees each side before its turn, and `wire` what it sent."""
    ours, theirs = _ends(pair)
    data, closed = b"", False
    for turn in range(10):
        side = ours if turn % 2 == 0 else theirs
        hurt(side, turn)
        data = side.handle(data, _TIME).output
        if ours.done and side is ours and not closed:
            closed = True
            data += bytes(ours.send(b"ping")) + bytes(ours.close())
        data = wire(turn, data)
        if not data and turn:
            return


def _flight(pair: Pair, turn: int) -> bytes:
    """What is on the wire in a turn."""
    seen: dict[int, bytes] = {}

    def wire(now: int, data: bytes) -> bytes:
        seen[now] = data
        return data

    _play(pair, lambda side, now: None, wire)
    return seen[turn]


def _use_flight(pair: Pair, turn: int, data: bytes) -> None:
    _play(pair, lambda side, now: None, lambda now, sent: data if now == turn else sent)


class _Inside(Writer):
    """A writer that seals other messages than it is given; those stand in `seen`."""

    __slots__ = ("messages", "seen")

    def __init__(self, of: Writer, instead: bytes | None) -> None:
        super().__init__()
        self.keys, self.limit, self.version = of.keys, of.limit, of.version
        self.messages = instead
        self.seen: list[bytes] = []

    def write(self, kind: int, data: Any) -> Any:
        """See `Writer`; what has no keys yet stays as it is."""
        if kind == ContentType.HANDSHAKE and (self.keys is not None):
            self.seen.append(bytes(data))
            if self.messages is not None:
                data, self.messages = self.messages, b""
                if not data:
                    return b""
        return super().write(kind, data)


def _inside(pair: Pair, sender: int, instead: bytes | None) -> list[bytes]:
    """Let a side (0: the client) seal `instead` in the place of its messages; those that it had."""
    writers: list[_Inside] = []

    def hurt(side: Connection, now: int) -> None:
        if now % 2 == sender and not isinstance(side._link.writer, _Inside):
            side._link.writer = _Inside(side._link.writer, instead)
            writers.append(side._link.writer)

    _play(pair, hurt, lambda now, data: data)
    return [message for writer in writers for message in writer.seen]


def _use_inside(pair: Pair, sender: int, data: bytes) -> None:
    _inside(pair, sender, data)


def _use_records(data: bytes) -> None:
    """Octets as records without keys, and as what is in records with them."""
    for kind in (ContentType.HANDSHAKE, ContentType.DATA):
        reader = Reader()
        suite = SUITES["TLS_AES_128_GCM_SHA256"]
        if kind == ContentType.DATA:
            writer = Writer()
            writer.keys, reader.keys = Keys(suite, bytes(16), bytes(12)), Keys(suite, bytes(16), bytes(12))
            data = bytes(writer.write(data[0] if data else 23, data[1:] or b"x"))
        for at in range(0, len(data), 50):
            with contextlib.suppress(StopIteration):
                for _ in reader.read(data[at : at + 50]):
                    pass


@cache
def targets() -> dict[str, Target]:
    """All of them, by name."""
    found: dict[str, Target] = {}
    hello = _flight(_pairs()["early"], 0)
    for name, decode in DECODERS.items():
        found[name] = (hello[9:100], decode)
    found["records"] = (hello, _use_records)
    for name, pair in _pairs().items():
        for turn, side in ((0, "client"), (1, "server")):
            found[f"{name}: {side} flight"] = (_flight(pair, turn), partial(_use_flight, pair, turn))
        for sender, side in ((0, "client"), (1, "server")):
            inside = _inside(pair, sender, None)
            if inside and len(inside[0]) > 4:  # EndOfEarlyData alone has nothing to be hurt
                found[f"{name}: {side} inside"] = (inside[0], partial(_use_inside, pair, sender))
    return found
