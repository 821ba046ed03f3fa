"""What `Connection.handle` reports, in the order in which it happened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from ._info import Info
    from .tickets import Session

__all__ = [
    "ApplicationData",
    "EarlyData",
    "EarlyDataRejected",
    "Event",
    "HandshakeDone",
    "KeysUpdated",
    "PeerClosed",
    "Step",
    "TicketReceived",
]


@dataclass(frozen=True, slots=True)
class HandshakeDone:
    """Both sides have proved who they are, as far as the configuration asks; data may flow."""

    info: Info


@dataclass(frozen=True, slots=True)
class ApplicationData:
    """Octets of the application, in order; those of all records of one `handle` in a row are joined."""

    data: bytes | bytearray


@dataclass(frozen=True, slots=True)
class EarlyData:
    """Server: octets that came before the handshake was done (RFC 8446 2.3).

    They are not forward secret, and whoever recorded them may have sent them again: act only on what is idempotent.
    """

    data: bytes | bytearray


@dataclass(frozen=True, slots=True)
class EarlyDataRejected:
    """Client: the server dropped what `send_early` sent; send it again if it still matters."""


@dataclass(frozen=True, slots=True)
class TicketReceived:
    """Client: a session that a later connection to the same server may resume, once (RFC 8446 C.4)."""

    session: Session


@dataclass(frozen=True, slots=True)
class KeysUpdated:
    """The peer changed the keys that it sends with."""


@dataclass(frozen=True, slots=True)
class PeerClosed:
    """The peer will send nothing more (close_notify). We may still send, and must `close` at last."""


Event: TypeAlias = (
    HandshakeDone | ApplicationData | EarlyData | EarlyDataRejected | TicketReceived | KeysUpdated | PeerClosed
)


class Step(NamedTuple):
    """What came of some input: octets to send, and events."""

    output: bytes
    events: tuple[Event, ...] = ()
