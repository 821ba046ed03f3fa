"""TLS by `mirage.tls`, our own: the state machine behind the transports of `mirage.conduit._stream`.

`NativeClient` and `NativeServer` are for who wants more of `mirage.tls` than `ClientTls` and `ServerTls` say: they take
its own configurations. They fit `mirage.conduit.Side`, and so do the configurations themselves, by their `wrap`:
`loop.create_server(..., ssl=mirage.tls.ServerConfig(...))` works on the event loop of `mirage.runtime`.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast

from mirage import tls
from mirage.crypto.random import system_random
from mirage.types import Buffer

from ._stream import TlsProtocol
from ._wrapping import Wrapping
from .engine import Info, Received
from .errors import ConfigurationError, PeerRefused, TlsFailure, Truncated

if TYPE_CHECKING:
    from .sides import ClientTls, ServerTls

__all__ = ["NativeClient", "NativeServer", "Sessions", "client", "server", "wrap"]

Random = Callable[[int], bytes]


class Sessions:
    """A client's tickets by server, the newest first; each is used once. Memory is bounded."""

    _SERVERS: Final = 256
    _EACH: Final = 4

    def __init__(self) -> None:
        self._kept: OrderedDict[str, deque[tls.Session]] = OrderedDict()

    def put(self, name: str, session: tls.Session) -> None:
        """Keep one."""
        kept = self._kept.setdefault(name, deque(maxlen=self._EACH))
        kept.append(session)
        self._kept.move_to_end(name)
        if len(self._kept) > self._SERVERS:
            self._kept.popitem(last=False)

    def take(self, name: str, now: float) -> tls.Session | None:
        """The newest that the server may still know, which is then used up."""
        kept = self._kept.get(name)
        while kept:
            session = kept.pop()
            if session.is_fresh(now):
                return session
        return None


class Engine:
    """One connection."""

    half_close = True

    def __init__(self, make: Callable[[float], tls.Connection], keep: Callable[[tls.Session], None] | None) -> None:
        self._make = make
        self._keep = keep
        self._connection: tls.Connection = cast(tls.Connection, None)
        self._early = b""
        self.send: Callable[[Buffer], Buffer]  # the connection's own, so that a record costs no call of ours
        self.take: Callable[[Buffer], bytes]
        self.info: Info = cast(Info, None)

    def start(self, now: float) -> bytes:
        """See `mirage.conduit.engine`."""
        self._connection = self._make(now)
        self.send, self.take = self._connection.send, self._connection.take
        return self.receive(b"", now).output

    def receive(self, data: Buffer, now: float) -> Received:
        """See `mirage.conduit.engine`."""
        try:
            step = self._connection.handle(data, now)
        except tls.PeerUntrusted as failure:
            raise PeerRefused(f"the peer is refused: {failure}", failure.output, failure.reason) from failure
        except tls.Failure as failure:
            told = tuple(event.data for event in failure.events if isinstance(event, tls.ApplicationData))
            raise TlsFailure(str(failure), failure.output, cast("tuple[bytes, ...]", told)) from failure
        events = step.events
        if len(events) == 1 and type(events[0]) is tls.ApplicationData:  # all but the first and the last
            return Received(step.output, (events[0].data,))
        received = Received(step.output)
        pieces: list[bytes | bytearray] = []
        for event in events:
            if isinstance(event, tls.ApplicationData):
                pieces.append(event.data)
            elif isinstance(event, tls.HandshakeDone):
                received.done = True
                self.info = _info(event.info)
                if self._early:
                    pieces.append(self._early)
                    self._early = b""
            elif isinstance(event, tls.EarlyData):
                # It waits for the end of the handshake, as the application does: who completes that replays nothing.
                self._early += event.data  # no more than the configuration's early_data
            elif isinstance(event, tls.PeerClosed):
                received.closed = True
            elif isinstance(event, tls.TicketReceived) and self._keep is not None:
                self._keep(event.session)
        received.data = pieces
        return received

    def eof(self) -> None:
        """See `mirage.conduit.engine`."""
        try:
            self._connection.eof()
        except tls.Truncated as failure:
            raise Truncated(str(failure)) from None

    def close(self) -> bytes:
        """See `mirage.conduit.engine`."""
        return bytes(self._connection.close())


def _info(agreed: tls.Info) -> Info:
    return Info(
        "native",
        agreed.version,
        agreed.suite,
        agreed.server_name,
        agreed.alpn,
        agreed.peer_chain,
        agreed.resumed,
    )


def _client(config: tls.ClientConfig, random: Random) -> Callable[[str | None], Engine]:
    sessions = Sessions()

    def make(name: str | None) -> Engine:
        if name is None:
            raise ConfigurationError("a client of TLS needs the name or the address that the certificate must be for")

        def begin(now: float) -> tls.Connection:
            return tls.client(config, name, now, random, session=sessions.take(name, now))

        return Engine(begin, lambda session: sessions.put(name, session))

    return make


def _server(config: tls.ServerConfig, random: Random) -> Callable[[], Engine]:
    return lambda: Engine(lambda now: tls.server(config, now, random), None)


def client(side: ClientTls) -> Callable[[str | None], Engine]:
    """What makes an engine for each connection to a server of a given name; tickets are kept from one to the next."""
    identities = () if side.identity is None else (tls.Identity(side.identity.chain, side.identity.key),)
    assert side.authenticator is not None
    try:
        config = tls.ClientConfig(
            authenticator=side.authenticator, identities=identities, alpn=side.alpn, versions=side.versions
        )
    except tls.ConfigurationError as error:
        raise ConfigurationError(str(error)) from None
    return _client(config, system_random)


def server(side: ServerTls) -> Callable[[], Engine]:
    """What makes an engine for each connection; sessions are resumed by tickets under a key of this side's own."""
    try:
        config = tls.ServerConfig(
            identities=(tls.Identity(side.identity.chain, side.identity.key),),
            authenticator=side.authenticator,
            client_certificates="no" if side.authenticator is None else "require",
            alpn=side.alpn,
            versions=side.versions,
            tickets=tls.TicketKeys(system_random(32)),
        )
    except tls.ConfigurationError as error:
        raise ConfigurationError(str(error)) from None
    return _server(config, system_random)


class NativeClient(Wrapping):
    """A `mirage.conduit.Side` with a configuration of `mirage.tls`; keeps tickets from one connection to the next."""

    def __init__(
        self,
        config: tls.ClientConfig,
        *,
        random: Random = system_random,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._make = _client(config, random)
        self.wall_clock = wall_clock

    def engine(self, server_hostname: str | None = None) -> Engine:
        """One connection without I/O. Raises `ConfigurationError` without a name."""
        return self._make(server_hostname)


class NativeServer(Wrapping):
    """A `mirage.conduit.Side` with a configuration of `mirage.tls`."""

    def __init__(
        self,
        config: tls.ServerConfig,
        *,
        random: Random = system_random,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._make = _server(config, random)
        self.wall_clock = wall_clock

    def engine(self, server_hostname: str | None = None) -> Engine:
        """One connection without I/O; a server needs no name."""
        return self._make()


def wrap(
    config: tls.ClientConfig | tls.ServerConfig,
    protocol: asyncio.BaseProtocol,
    *,
    loop: asyncio.AbstractEventLoop,
    waiter: asyncio.Future[None] | None = None,
    server_hostname: str | None = None,
    handshake_timeout: float | None = None,
    shutdown_timeout: float | None = None,
) -> TlsProtocol:
    """What the `wrap` of the configurations is: a connection of its own, without tickets of others."""
    side = NativeServer(config) if isinstance(config, tls.ServerConfig) else NativeClient(config)
    return side.wrap(
        protocol,
        loop=loop,
        waiter=waiter,
        server_hostname=server_hostname,
        handshake_timeout=handshake_timeout,
        shutdown_timeout=shutdown_timeout,
    )
