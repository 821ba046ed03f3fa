"""`Gateway`: a network for guests, with a way to the host and back where it was asked for."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mirage.tcpip import Settings
from mirage.types import Random

from ._bind import bind
from ._datagrams import Flows, PublishedDatagrams
from ._hosts import Hosts
from ._inside import SETTINGS, Inside
from ._join import build_welcome
from ._names import NameService
from ._port import SocketPort
from ._streams import Outwards, Published, Streams
from .capture import Capture
from .plan import Plan
from .policy import Policy, Rule
from .publish import Publication

if TYPE_CHECKING:
    from mirage.dns import Settings as ResolverSettings

__all__ = ["Gateway"]

_FLUSHED = 1.0
"""Seconds until what was captured is in its file, for who looks on."""


class Gateway:
    """A network. Made in a running event loop, which drives it until `close`.

    Guests join by `socket_pair` or `join`, on an Ethernet that the gateway serves with DHCP, router advertisements and
    names. What they may reach on the host's side, `rules` say; what leads from the host to them, `publish` does.
    `counters` says what was let through and what not, by reason.
    """

    def __init__(
        self,
        plan: Plan | None = None,
        *,
        rules: Iterable[Rule] = (),
        everything: bool = False,
        publish: Iterable[Publication | tuple[Publication, Sequence[socket.socket]]] = (),
        names: bool | ResolverSettings | None = None,
        capture: Path | None = None,
        settings: Settings = SETTINGS,
        random: Random | None = None,
        max_connections: int = 4096,
        idle: float = 7440.0,
    ) -> None:
        """`everything` lets guests reach all but the host's own (see `mirage.gateway.policy`).

        `names`: whether names are looked up for guests; None: if they may reach anybody. `publish` may give sockets
        that are bound already (`bind`). Raises `HostUnavailable` for a port or a file that cannot be had.
        """
        loop = asyncio.get_running_loop()
        self.plan = plan or Plan()
        self.counters: Counter[str] = Counter()
        self.published: list[Published | PublishedDatagrams] = []
        """In the order of `publish`; each has its `address`."""
        policy = Policy(self.plan, rules, everything=everything)
        self._capture = None if capture is None else Capture(capture)
        self._flushing: asyncio.TimerHandle | None = None
        random = random or SystemRandom()
        self._inside = Inside(self.plan, random, loop, settings=settings, capture=self._capture)
        self._streams = Streams(self._inside, self.counters, limit=max_connections, idle=idle)
        self._flows = Flows(self._inside, policy, self.counters)
        self._outwards = Outwards(self._streams, policy)
        self._hosts = Hosts(self._inside)
        if names is None:
            names = not policy.nothing
        self._names = NameService(self._inside, self._flows, self.counters, names, random)
        self._closed = False
        if self._capture is not None:
            self._flush_again()
        try:
            for each in publish:
                self._publish(*(each if isinstance(each, tuple) else (each, bind(each))))
        except BaseException:
            for published in self.published:
                published.close()
            self._inside.close()
            if self._flushing is not None:
                self._flushing.cancel()
            raise

    def _publish(self, publication: Publication, sockets: Sequence[socket.socket]) -> None:
        def guest(version: int) -> bytes:
            return self._hosts.guest(version) if publication.guest is None else publication.guest.packed

        for sock in sockets:
            if publication.udp:
                self.published.append(PublishedDatagrams(self._flows, sock, guest, publication.guest_port))
            else:
                self.published.append(Published(self._streams, sock, guest, publication.guest_port))

    # Guests

    def join(self, sock: socket.socket, name: str = "", *, welcome: bool = False) -> SocketPort:
        """A guest is at the other end of `sock`, which keeps messages apart and is the gateway's from now on.

        It is the first of the plan's guests that is not here already; with `welcome` it is told so (`_join`).
        """
        taken = {port.number for port in self.ports}
        number = next(number for number in itertools.count() if number not in taken)
        port = self._inside.plug(sock, name or f"guest{number}", number)
        if welcome:
            port.say(build_welcome(self.plan.mac(number), self.plan.mtu))
        return port

    def socket_pair(self, name: str = "") -> tuple[socket.socket, bytes]:
        """The socket for a new guest, for `mirage.hvt.FrameSocket` or `mirage.net.SocketNetwork`, and its address."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return theirs, self.plan.mac(self.join(ours, name).number)

    @property
    def ports(self) -> Sequence[SocketPort]:
        """The guests that are plugged in."""
        return self._inside.ports

    @property
    def octets(self) -> tuple[int, int]:
        """Octets of data carried to guests, and from guests, by TCP and UDP."""
        to_guest, from_guest = self._streams.octets
        return to_guest + self._flows.octets[0], from_guest + self._flows.octets[1]

    @property
    def connections(self) -> int:
        """TCP connections that are open through the gateway."""
        return len(self._streams.splices)

    def flush(self) -> None:
        """Have what was captured so far in its file, as happens every second."""
        if self._capture is not None:
            self._capture.flush()
            if self._capture.dropped:
                self.counters["capture.dropped"] = self._capture.dropped

    def _flush_again(self) -> None:
        self.flush()
        self._flushing = asyncio.get_running_loop().call_later(_FLUSHED, self._flush_again)

    async def close(self) -> None:
        """Reset all connections, give the host's ports back, and unplug the guests; may be called again."""
        if self._closed:
            return
        self._closed = True
        for published in self.published:
            published.close()
        self._outwards.close()
        self._streams.close()
        self._flows.close()
        self._hosts.close()
        await self._names.close()
        self._inside.close()
        if self._flushing is not None:
            self._flushing.cancel()
        if self._capture is not None:
            self.flush()
            self._capture.close()


class SystemRandom:
    """The system's random octets. Fits `mirage.types.Random`."""

    def generate(self, size: int) -> bytes:
        """`size` octets that nobody can predict."""
        return os.urandom(size)
