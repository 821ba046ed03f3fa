"""The stack: frames and the time in, frames and news out.

One turn of whoever drives it:

    frames = device.receive_many()
    stack.input(interface, frames, now)
    for endpoint in stack.take_news(): ...      # the application reads, writes, accepts
    stack.poll(now)
    device.send_many(interface.take_output())
    ... sleep until stack.next_deadline(), or until frames come

The frames must stay as they are until `poll` returns. `input` never raises for what is in them.

`input` has a fast lane: a TCP segment over plain IPv4 or IPv6 whose connection is known goes to the connection after
one `unpack` and one look into a dictionary. Everything else takes the ordinary way through the IP layer, and so would
these: `Stack.fast = False` turns the lane off, and a test holds both to the same outcome.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Sequence
from typing import ClassVar, Final

from mirage.types import Checksum, FrameMeta, Offload, Random

from .counters import Counters
from .errors import AddressUnavailable
from .ip.interface import Interface
from .ip.layer import Ip
from .news import Endpoint, News
from .ping import Ping, Pings
from .settings import Settings
from .tcp.connection import Connection
from .tcp.lane import arrive
from .tcp.tcp import Listener, Tcp
from .udp import Udp, UdpEndpoint
from .wire.checksum import ones_sum
from .wire.tcp import SYN

__all__ = ["Address", "Stack", "packed"]

Address = str | bytes | ipaddress.IPv4Address | ipaddress.IPv6Address
"""How callers name an address: text, 4 or 16 octets, or an object of `ipaddress`."""

# destination | (source) | type, version, class | length | (id) | fragment, hop limit, protocol | (checksum) |
# addresses and ports | sequence | acknowledgment | offset and flags | window | (checksum, urgent) | 2 words of options
_IP4: Final = struct.Struct(">6s6xIH2xI2x12sIIHH4xII").unpack_from
# destination | (source) | type | version, class, flow | length | next header | hop limit | addresses, ports | as above
_IP6: Final = struct.Struct(">6s6xHIHBx36sIIHH4xII").unpack_from
_PLAIN4: Final = 0x080045
_TYPE6: Final = 0x86DD
_TCP: Final = 6
_HEADERS4: Final = 54
_HEADERS6: Final = 74
_SHORTEST4: Final = 62
_SHORTEST6: Final = 82
"""Octets that the two read; where a frame without options ends earlier, these follow:"""
_PADDING: Final = bytes(8)
_FRAGMENT4: Final = 0x3FFF00FF
"""Of fragment, hop limit and protocol: more fragments, and the offset; and the protocol."""
_COMPLETE: Final = Checksum.COMPLETE


def packed(address: Address) -> bytes:
    """An address as 4 or 16 octets. Raises `AddressUnavailable` for what is none."""
    if isinstance(address, bytes):
        if len(address) in {4, 16}:
            return address
    elif isinstance(address, str):
        try:
            return ipaddress.ip_address(address.partition("%")[0]).packed
        except ValueError:
            pass
    else:
        return address.packed
    raise AddressUnavailable(f"{address!r} is no IP address, like 192.0.2.1 or 2001:db8::1")


class Stack:
    """A host: its interfaces, and everything above them."""

    fast: ClassVar[bool] = True
    """Whether `input` uses its fast lane; a test turns it off."""

    def __init__(self, *, random: Random, now: float = 0.0, settings: Settings | None = None) -> None:
        """`random` seeds sequence numbers, ports and identifiers, so it must be hard to predict outside of tests."""
        self.settings = settings or Settings()
        self.counters = Counters()
        self.news = News()
        self.ip = Ip(self.settings, random, self.counters, now)
        self.udp = Udp(self.ip, self.settings, random, self.news, self.counters)
        self.pings = Pings(self.ip, self.news, self.counters)
        self.tcp = Tcp(self.ip, self.settings, random, self.news, self.counters, now)
        self.now = now

    # Interfaces

    def add_interface(
        self, name: str, mac: bytes, mtu: int, *, offload: Offload = Offload.NONE, max_frame: int | None = None
    ) -> Interface:
        """Attach a network. `offload` is what its device has agreed to (`OffloadNetwork.enable_offload`)."""
        return self.ip.add_interface(name, mac, mtu, offload=offload, max_frame=max_frame, now=self.now)

    @property
    def interfaces(self) -> dict[str, Interface]:
        """The interfaces, by name."""
        return self.ip.interfaces

    # The turn

    def input(self, interface: Interface, frames: Sequence[tuple[FrameMeta, memoryview]], now: float) -> None:
        """Frames have come in. Their octets must stay until `poll` returns."""
        self.now = self.tcp.now = self.ip.now = now
        connections = self.tcp.connections
        mac = interface.mac
        tap = interface.tap
        fast = self.fast
        loopback = interface is self.ip.loopback
        interface.frames_in += len(frames)
        octets = 0
        for meta, frame in frames:
            if tap is not None:
                tap("in", meta, (frame,), now)
            size = len(frame)
            octets += size
            if fast and size >= _HEADERS4 and frame[12] == 8:
                destination, kind, length, rest, key, sequence, acknowledgment, offset, window, word, value = _IP4(
                    frame if size >= _SHORTEST4 else bytes(frame) + _PADDING
                )
                start = 34 + (offset >> 12 << 2)
                end = 14 + length
                if (
                    kind >> 8 == _PLAIN4
                    and rest & _FRAGMENT4 == _TCP
                    and (connection := connections.get(key)) is not None
                    and destination == mac
                    and connection.loopback is loopback
                    and not offset & SYN  # it may begin a new connection
                    and _HEADERS4 <= start <= end <= size
                    and (meta.checksum is not _COMPLETE or _right4(frame, end))
                ):
                    payload = frame[start:end]
                    marked = kind & 3 == 3
                    if (
                        marked
                        or not isinstance(connection, Connection)
                        or not connection.fast
                        or not arrive(connection, sequence, acknowledgment, offset, window, payload, word, value, now)
                    ):
                        connection.segment(
                            sequence, acknowledgment, offset & 0xFF, window, payload, frame[54:start], marked, now
                        )
                    continue
            elif fast and size >= _HEADERS6 and frame[12] == 0x86 and frame[20] == _TCP:
                destination, kind, first, length, _, key, sequence, acknowledgment, offset, window, word, value = _IP6(
                    frame if size >= _SHORTEST6 else bytes(frame) + _PADDING
                )
                start = 54 + (offset >> 12 << 2)
                end = 54 + length
                if (
                    kind == _TYPE6
                    and first >> 28 == 6
                    and (connection := connections.get(key)) is not None
                    and destination == mac
                    and connection.loopback is loopback
                    and not offset & SYN
                    and _HEADERS6 <= start <= end <= size
                    and (meta.checksum is not _COMPLETE or _right6(frame, end))
                ):
                    payload = frame[start:end]
                    marked = first >> 20 & 3 == 3
                    if (
                        marked
                        or not isinstance(connection, Connection)
                        or not connection.fast
                        or not arrive(connection, sequence, acknowledgment, offset, window, payload, word, value, now)
                    ):
                        connection.segment(
                            sequence, acknowledgment, offset & 0xFF, window, payload, frame[74:start], marked, now
                        )
                    continue
            self.ip.frame(interface, meta, frame, now)
        interface.octets_in += octets

    def poll(self, now: float) -> None:
        """Do what time asks for, and put what may be sent into the interfaces' output. There may be news after it."""
        self.now = now
        self.ip.poll(now)
        self.tcp.poll(now)
        loopback = self.ip.loopback
        while loopback.output:
            # What this host has sent to itself; the copies stay as they are, whatever happens to the originals.
            frames = [(meta, memoryview(b"".join(parts))) for meta, parts in loopback.take_output(now)]
            self.input(loopback, frames, now)
            self.tcp.poll(now)

    def next_deadline(self) -> float:
        """When `poll` is wanted next even if nothing comes: seconds on the clock of `now`, infinite for never."""
        return min(self.tcp.next_deadline(), self.ip.next_deadline())

    def take_news(self) -> list[Endpoint]:
        """The endpoints that have had news since this was called last."""
        return self.news.take()

    # Endpoints

    def listen(
        self, port: int = 0, address: Address | None = None, *, version: int = 4, backlog: int = 128
    ) -> Listener:
        """Accept TCP connections at an address, or at any address of a version of IP (4 or 6).

        Port 0 chooses a free one. Raises `AddressInUse`, `AddressUnavailable`.
        """
        local = None if address is None else packed(address)
        if local is not None:
            version = 4 if len(local) == 4 else 6
            if not any(local):
                local = None
        return self.tcp.listen(version, local, port, backlog)

    def connect(
        self,
        address: Address,
        port: int,
        *,
        local_address: Address | None = None,
        local_port: int = 0,
        interface: Interface | None = None,
        now: float | None = None,
    ) -> Connection:
        """Open a TCP connection; `interface` is needed for link-local addresses where there are several.

        Raises `NoRoute`, `AddressInUse`, `AddressUnavailable`, `LimitReached`.
        """
        now = self.now if now is None else now
        local = None if local_address is None else packed(local_address)
        if local is not None and not any(local):
            local = None
        remote = packed(address)
        path = self.ip.path(remote, now, local=local, interface=interface)
        if self.ip.is_group(remote) or self.ip.is_broadcast(path.interface, remote):
            raise AddressUnavailable(
                "TCP is between two hosts (RFC 9293 MUST-46): not to a group or a broadcast address"
            )
        return self.tcp.connect(path, port, local_port, now)

    def bind(
        self,
        port: int = 0,
        address: Address | None = None,
        *,
        version: int | None = None,
        interface: Interface | None = None,
        reuse: bool = False,
    ) -> UdpEndpoint:
        """A UDP endpoint at an address, or at any. Port 0 chooses a free one. Raises as `listen` does."""
        local = None if address is None else packed(address)
        return self.udp.bind(local, port, interface=interface, reuse=reuse, version=version)

    def ping(self, address: Address, *, interface: Interface | None = None) -> Ping:
        """Something to ask a host with whether it is there. Raises `AddressUnavailable`, `LimitReached`."""
        return self.pings.open(packed(address), interface)


def _right4(frame: memoryview, end: int) -> bool:
    """Whether the checksums of an IPv4 header without options and of its TCP segment are right."""
    pseudo = ones_sum(frame[26:34]) + _TCP + end - 34
    return ones_sum(frame[14:34]) == 0 and (pseudo + ones_sum(frame[34:end])) % 65535 == 0


def _right6(frame: memoryview, end: int) -> bool:
    """The same for IPv6, which has none of its own."""
    pseudo = ones_sum(frame[22:54]) + _TCP + end - 54
    return (pseudo + ones_sum(frame[54:end])) % 65535 == 0
