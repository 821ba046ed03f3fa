"""The passive open (RFC 9293 3.10.7.2): from a SYN, or from the ACK that brings a SYN cookie back, to a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..errors import NetworkFailure
from ..ip.packet import Packet
from ..wire.tcp import ACK, CWR, ECE, SYN, Options, Segment, build, build_options, parse_options
from . import handshake
from .cookies import SynCookies
from .state import State

if TYPE_CHECKING:
    from .connection import Connection
    from .tcp import Tcp

__all__ = ["from_cookie", "from_syn", "send_cookie"]

_TCP: Final = 6
_CHECKSUM_AT: Final = 16
_DEFAULT_MSS: Final = 536
_M: Final = 0xFFFFFFFF


def from_syn(
    tcp: Tcp, key: bytes, packet: Packet, segment: Segment, now: float, above: int | None = None
) -> Connection:
    """A half-open connection for a SYN, whose SYN,ACK is due. Raises `NoRoute`, `LimitReached`."""
    path = tcp.ip.path(packet.source, now, local=packet.destination, interface=packet.interface)
    connection = tcp.make(key, path, segment.destination_port, segment.source_port, now, above=above)
    connection.state = State.SYN_RECEIVED
    connection.receiver.start(segment.sequence)
    handshake.agree(connection, parse_options(segment.options), segment.window, now)
    connection.ecn = tcp.settings.ecn and segment.flags & (ECE | CWR) == ECE | CWR
    connection.syn_due = True
    connection.schedule()
    return connection


def send_cookie(tcp: Tcp, packet: Packet, segment: Segment, mss: int, now: float) -> None:
    """Answer a SYN, with an MSS of at most `mss`, and remember nothing: what matters is in the answer's sequence
    number and timestamp."""
    options = parse_options(segment.options)
    try:
        path = tcp.ip.path(packet.source, now, local=packet.destination, interface=packet.interface)
    except NetworkFailure:
        return
    iss, _ = tcp.cookies.make(
        path.local,
        segment.destination_port,
        path.remote,
        segment.source_port,
        segment.sequence,
        options.mss or _DEFAULT_MSS,
        now,
    )
    stamps = None
    scale = None
    sack = False
    ecn = tcp.settings.ecn and segment.flags & (ECE | CWR) == ECE | CWR
    if options.timestamps is not None and tcp.settings.timestamps:
        sack = tcp.settings.sack and options.sack_permitted
        clock = (int(now * 1000) + tcp.numbers.timestamp_offset(path.local, path.remote)) & _M
        stamps = (SynCookies.timestamp(clock, options.window_scale, sack, ecn), options.timestamps[0])
        if options.window_scale is not None:
            scale = handshake.scale_for(tcp.settings.receive_buffer)
    overhead = 40 if len(path.local) == 4 else 60
    header = build(
        segment.destination_port,
        segment.source_port,
        iss,
        segment.sequence + 1,
        SYN | ACK | (ECE if ecn and stamps else 0),
        min(tcp.settings.receive_buffer, 65535),
        build_options(Options(min(path.mtu - overhead, mss), scale, sack, stamps)),
    )
    try:
        path.send(_TCP, [header], now, checksum_offset=_CHECKSUM_AT)
    except NetworkFailure:
        return


def from_cookie(tcp: Tcp, key: bytes, packet: Packet, segment: Segment, now: float) -> Connection | None:
    """The connection that an ACK with a good cookie completes, still in SYN-RECEIVED; None for any other ACK."""
    cookie = (segment.acknowledgment - 1) & _M
    irs = (segment.sequence - 1) & _M
    options = parse_options(segment.options)
    echoed = options.timestamps[1] if options.timestamps is not None else None
    found = tcp.cookies.check(
        packet.destination,
        segment.destination_port,
        packet.source,
        segment.source_port,
        irs,
        cookie,
        now,
        echoed,
    )
    if found is None:
        return None
    try:
        path = tcp.ip.path(packet.source, now, local=packet.destination, interface=packet.interface)
    except NetworkFailure:
        return None
    connection = tcp.make(key, path, segment.destination_port, segment.source_port, now, iss=cookie)
    connection.state = State.SYN_RECEIVED
    connection.ecn = found.ecn
    receiver, sender = connection.receiver, connection.sender
    receiver.start(irs)
    receiver.edge = receiver.nxt + min(receiver.capacity, 65535)
    agreed = Options(found.mss, found.window_scale, found.sack, options.timestamps)
    handshake.agree(connection, agreed, segment.window, now)
    sender.nxt = sender.iss + 1
    return connection
