"""What an implementation of TLS is to this package: one connection without I/O, octets in and octets out.

`mirage.conduit.native` and `mirage.conduit.openssl` have one each. Everything that waits, sends or closes is in
`mirage.conduit._stream`, once for both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from mirage.types import Buffer

if TYPE_CHECKING:
    from mirage.x509 import Certificate

__all__ = ["Engine", "Info", "Received"]


@dataclass(frozen=True, slots=True)
class Info:
    """What both sides agreed on; ``transport.get_extra_info("tls")``."""

    implementation: str
    """native or openssl."""
    version: str
    """TLSv1.3 or TLSv1.2."""
    suite: str
    server_name: str | None
    alpn: str | None
    peer_chain: tuple[Certificate, ...]
    """What the peer sent, its own certificate first."""
    resumed: bool


@dataclass(slots=True)
class Received:
    """What came of some octets."""

    output: bytes = b""
    """To be sent."""
    data: Sequence[bytes | bytearray] = ()
    """Of the application, in order."""
    done: bool = False
    """The handshake has just been completed, before `data` came."""
    closed: bool = False
    """The peer has sent close_notify, after `data`."""


class Engine(Protocol):
    """One connection. Times are seconds since the epoch, for certificates."""

    @property
    def info(self) -> Info:
        """Once the handshake is done."""
        ...

    @property
    def half_close(self) -> bool:
        """Whether the peer's data can still be read after `close`."""
        ...

    def start(self, now: float) -> bytes:
        """The first octets to send; a server has none."""
        ...

    def receive(self, data: Buffer, now: float) -> Received:
        """Take octets from the peer. Raises `TlsFailure`, and nothing else."""
        ...

    def take(self, data: Buffer) -> bytes:
        """After the handshake: what `receive` would give, if that is data and nothing else, and there is a shorter way.

        Otherwise nothing, and nothing has happened. Raises nothing.
        """
        ...

    def eof(self) -> None:
        """The peer's octets have ended. Raises `Truncated` if its close_notify was not among them."""
        ...

    def send(self, data: Buffer) -> Buffer:
        """The records that carry data, after the handshake and before `close`."""
        ...

    def close(self) -> bytes:
        """close_notify; empty when it was sent before."""
        ...
