"""ICMP errors: which are sent, which are believed, and what they mean (RFC 792, RFC 1122 3.2.2, RFC 4443 2.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import TcpipError, WireError
from ..wire import icmp, ipv4, ipv6
from ..wire.icmp import Icmp
from .packet import ErrorKind, IcmpError, Packet

if TYPE_CHECKING:
    from .layer import Ip

__all__ = ["TokenBucket", "heard", "report"]

_ICMP4, _ICMP6 = 1, 58
_QUOTE4 = 576 - ipv4.HEADER - icmp.HEADER
"""RFC 1812 4.3.2.3: as much of the packet as fits in 576 octets."""
_QUOTE6 = 1280 - ipv6.HEADER - icmp.HEADER
"""RFC 4443 2.4 (c)."""

_UNREACHABLE4 = {
    0: ErrorKind.NET_UNREACHABLE,
    1: ErrorKind.HOST_UNREACHABLE,
    2: ErrorKind.PROTOCOL_UNREACHABLE,
    3: ErrorKind.PORT_UNREACHABLE,
    5: ErrorKind.HOST_UNREACHABLE,
    6: ErrorKind.NET_UNREACHABLE,
    7: ErrorKind.HOST_UNREACHABLE,
    9: ErrorKind.PROHIBITED,
    10: ErrorKind.PROHIBITED,
    13: ErrorKind.PROHIBITED,
}
_UNREACHABLE6 = {
    0: ErrorKind.NET_UNREACHABLE,
    1: ErrorKind.PROHIBITED,
    3: ErrorKind.HOST_UNREACHABLE,
    4: ErrorKind.PORT_UNREACHABLE,
    5: ErrorKind.PROHIBITED,
    6: ErrorKind.NET_UNREACHABLE,
}
_PLATEAUS = (65535, 32000, 17914, 8166, 4352, 2002, 1492, 1006, 508)
"""RFC 1191 7.1: what a router meant that told no MTU."""

# The type and code to send, of IPv4 and IPv6
_MESSAGES = {
    ErrorKind.PORT_UNREACHABLE: ((icmp.UNREACHABLE4, 3), (icmp.UNREACHABLE6, 4)),
    ErrorKind.PROTOCOL_UNREACHABLE: ((icmp.UNREACHABLE4, 2), (icmp.PARAMETER_PROBLEM6, 1)),
    ErrorKind.HOST_UNREACHABLE: ((icmp.UNREACHABLE4, 1), (icmp.UNREACHABLE6, 3)),
    ErrorKind.PROHIBITED: ((icmp.UNREACHABLE4, 13), (icmp.UNREACHABLE6, 1)),
    ErrorKind.TIME_EXCEEDED: ((icmp.TIME_EXCEEDED4, 1), (icmp.TIME_EXCEEDED6, 1)),
}


class TokenBucket:
    """At most so many in a second, and so many at once."""

    __slots__ = ("_burst", "_rate", "_since", "_tokens")

    def __init__(self, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = float(burst)
        self._since: float | None = None

    def take(self, now: float) -> bool:
        """Whether there is one left."""
        if self._since is not None:
            self._tokens = min(self._burst, self._tokens + (now - self._since) * self._rate)
        self._since = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


def report(ip: Ip, kind: ErrorKind, about: Packet, now: float, *, code: int | None = None, pointer: int = 0) -> None:
    """Send an ICMP error about a packet, unless nobody may be sent one about it, or too many have been sent."""
    if about.group or not ip.is_unicast(about.source) or _is_error(about):
        return
    if not ip.error_bucket.take(now):
        ip.counters["icmp.errors-suppressed"] += 1
        return
    version6 = len(about.source) == 16
    if kind is ErrorKind.PARAMETER_PROBLEM:
        number, usual = (icmp.PARAMETER_PROBLEM6 if version6 else icmp.PARAMETER_PROBLEM4), 0
    else:
        number, usual = _MESSAGES[kind][version6]
    rest = pointer.to_bytes(4, "big") if version6 else bytes([pointer, 0, 0, 0])
    quote = about.packet[: _QUOTE6 if version6 else _QUOTE4]
    local = about.destination if ip.is_local(about.destination) or about.interface.transparent else None
    try:
        path = ip.path(about.source, now, local=local, interface=about.interface)
        number_code = usual if code is None else code
        if version6:
            message = icmp.build6(number, number_code, rest, quote, path.pseudo_sum)
        else:
            message = icmp.build4(number, number_code, rest, quote)
        path.send(_ICMP6 if version6 else _ICMP4, [message], now)
    except TcpipError:
        return
    ip.counters["icmp.errors-sent"] += 1


def _is_error(about: Packet) -> bool:
    """Whether it is an ICMP error itself, or a fragment of which nobody knows (RFC 1122 3.2.2)."""
    if about.protocol == _ICMP4:
        return not about.payload or about.payload[0] not in {icmp.ECHO_REQUEST4, icmp.ECHO_REPLY4}
    return about.protocol == _ICMP6 and (not about.payload or about.payload[0] < 128)


def heard(packet: Packet, message: Icmp) -> IcmpError | None:
    """What an ICMP error says; None for one that says nothing to a transport. Raises `WireError`."""
    mtu = 0
    if len(packet.source) == 4:
        quoted = ipv4.parse(_lengthened4(message.body))
        transport = message.body[quoted.length :]
        local, remote, protocol = quoted.source, quoted.destination, quoted.protocol
        if quoted.offset:
            return None
        if message.kind == icmp.UNREACHABLE4 and message.code == 4:
            kind = ErrorKind.PACKET_TOO_BIG
            total = int.from_bytes(message.body[2:4], "big")  # as it was sent, not as much as is quoted
            mtu = int.from_bytes(message.rest[2:], "big") or next(p for p in _PLATEAUS if p < max(total, 600))
            mtu = max(mtu, 68)
        elif message.kind == icmp.UNREACHABLE4:
            kind = _UNREACHABLE4.get(message.code, ErrorKind.HOST_UNREACHABLE)
        elif message.kind == icmp.TIME_EXCEEDED4:
            kind = ErrorKind.TIME_EXCEEDED
        elif message.kind == icmp.PARAMETER_PROBLEM4:
            kind = ErrorKind.PARAMETER_PROBLEM
        else:
            return None
    else:
        if len(message.body) < ipv6.HEADER:
            raise WireError("an ICMPv6 error that quotes too little")
        header = ipv6.parse(_lengthened6(message.body))
        inner = ipv6.walk(message.body, header.next_header)
        if inner.fragment is not None and inner.fragment.offset:
            return None
        local, remote, protocol = header.source, header.destination, inner.protocol
        transport = message.body[inner.offset :]
        if message.kind == icmp.TOO_BIG6:
            kind, mtu = ErrorKind.PACKET_TOO_BIG, int.from_bytes(message.rest, "big")
            if mtu < 1280:
                mtu = 1280  # RFC 8201 4: nobody may say less
        elif message.kind == icmp.UNREACHABLE6:
            kind = _UNREACHABLE6.get(message.code, ErrorKind.HOST_UNREACHABLE)
        elif message.kind == icmp.TIME_EXCEEDED6:
            kind = ErrorKind.TIME_EXCEEDED
        elif message.kind == icmp.PARAMETER_PROBLEM6:
            kind = ErrorKind.PROTOCOL_UNREACHABLE if message.code == 1 else ErrorKind.PARAMETER_PROBLEM
        else:
            return None
    if len(transport) < 8:
        return None
    return IcmpError(kind, packet.source, local, remote, protocol, transport, mtu)


def _lengthened4(body: memoryview) -> memoryview:
    """A quoted packet is cut off, and its header says how long it was: let the header say what is here."""
    copy = bytearray(body)
    if len(copy) >= 4:
        copy[2:4] = min(int.from_bytes(copy[2:4], "big"), len(copy)).to_bytes(2, "big")
    return memoryview(copy)


def _lengthened6(body: memoryview) -> memoryview:
    copy = bytearray(body)
    copy[4:6] = (len(copy) - ipv6.HEADER).to_bytes(2, "big")
    return memoryview(copy)
