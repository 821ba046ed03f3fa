"""`wrap`, once for every side: its protocol is put behind TLS, with the side's limits of time and its clock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ._stream import TlsProtocol

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ["Wrapping"]


class Wrapping:
    """What a side inherits; see `mirage.conduit.Side`."""

    handshake_timeout: float | None = None
    shutdown_timeout: float | None = None
    wall_clock: Callable[[], float] = time.time

    def engine(self, server_hostname: str | None = None) -> Engine:
        """One connection without I/O, for whoever moves the octets otherwise."""
        raise NotImplementedError

    def wrap(
        self,
        protocol: asyncio.BaseProtocol,
        *,
        loop: asyncio.AbstractEventLoop,
        waiter: asyncio.Future[None] | None = None,
        server_hostname: str | None = None,
        handshake_timeout: float | None = None,
        shutdown_timeout: float | None = None,
        settled: Callable[[TlsProtocol], None] | None = None,
    ) -> TlsProtocol:
        """See `Side`; `server_hostname` is, for a client, the name or the address that the certificate must be for.

        `settled` is called when the handshake is over, either way.
        """
        return TlsProtocol(
            loop,
            protocol,
            lambda: self.engine(server_hostname),
            waiter=waiter,
            handshake_timeout=self.handshake_timeout if handshake_timeout is None else handshake_timeout,
            shutdown_timeout=self.shutdown_timeout if shutdown_timeout is None else shutdown_timeout,
            settled=settled,
            wall_clock=self.wall_clock,
        )
