"""Messages of DHCP on the wire (RFC 2131 section 2), `parse` and `build` as a pair.

`Message.options` maps an option's code to its whole value: one that came in several pieces, or that went on in the
fields ``file`` and ``sname`` (option overload), is joined (RFC 3396), and one that is too long is parted. Parsing takes
any octets, raises only `InvalidMessage`, and allocates no more than a few times the datagram.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from .errors import InvalidMessage, MessageTooLong

__all__ = [
    "BROADCAST",
    "CLIENT_PORT",
    "SERVER_PORT",
    "UNSPECIFIED",
    "Datagram",
    "Message",
    "MessageType",
    "Option",
    "build",
    "parse",
]

SERVER_PORT = 67
CLIENT_PORT = 68
UNSPECIFIED = IPv4Address(0)
BROADCAST = IPv4Address("255.255.255.255")

BOOTREQUEST, BOOTREPLY = 1, 2
_FIXED = struct.Struct("!BBBBIHHIIII16s64s128s")
_COOKIE = b"\x63\x82\x53\x63"
_BROADCAST_FLAG = 0x8000
_SMALLEST = 300
"""Octets of a message of BOOTP (RFC 951 section 3); some relays drop what is shorter."""
_HEADERS = 28
"""Octets of the headers of IPv4 and UDP, which the maximum message size counts too (RFC 2132 section 9.10)."""
MIN_MAX_SIZE = 576
"""Octets of a packet that everybody takes (RFC 2131 section 2)."""


class MessageType(enum.IntEnum):
    """The value of option 53 (RFC 2132 section 9.6)."""

    DISCOVER = 1
    OFFER = 2
    REQUEST = 3
    DECLINE = 4
    ACK = 5
    NAK = 6
    RELEASE = 7
    INFORM = 8


class Option(enum.IntEnum):
    """Codes of the options that this package reads or writes itself; any other number is as good a key."""

    PAD = 0
    SUBNET_MASK = 1
    ROUTERS = 3
    DNS_SERVERS = 6
    HOST_NAME = 12
    DOMAIN_NAME = 15
    MTU = 26
    BROADCAST_ADDRESS = 28
    STATIC_ROUTES = 33
    NTP_SERVERS = 42
    REQUESTED_ADDRESS = 50
    LEASE_TIME = 51
    OVERLOAD = 52
    MESSAGE_TYPE = 53
    SERVER_ID = 54
    PARAMETER_LIST = 55
    MESSAGE = 56
    MAX_MESSAGE_SIZE = 57
    RENEWAL_TIME = 58
    REBINDING_TIME = 59
    VENDOR_CLASS = 60
    CLIENT_ID = 61
    RELAY_AGENT = 82
    DOMAIN_SEARCH = 119
    CLASSLESS_ROUTES = 121
    END = 255


@dataclass(frozen=True, slots=True)
class Datagram:
    """A UDP datagram to send."""

    source: IPv4Address
    source_port: int
    destination: IPv4Address
    """`BROADCAST` also of the link: such a datagram goes to ff:ff:ff:ff:ff:ff."""
    destination_port: int
    payload: bytes
    link: bytes | None = None
    """The Ethernet address that it goes to, where ARP cannot find it because its owner does not have `destination` yet
    (RFC 2131 section 4.1). None: found as for any other datagram."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message. Without the option `MESSAGE_TYPE` it is of BOOTP."""

    op: int
    """1 from a client, 2 from a server."""
    xid: int
    """The transaction, chosen by the client; 32 bits."""
    hardware: bytes
    """The client's address (``chaddr``), of the length that the message gives."""
    hardware_type: int = 1
    """IANA's number; 1 is Ethernet."""
    hops: int = 0
    secs: int = 0
    """Seconds since the client began."""
    broadcast: bool = False
    """The client cannot receive unicasts yet."""
    ciaddr: IPv4Address = UNSPECIFIED
    """The client's own address, where it has one already."""
    yiaddr: IPv4Address = UNSPECIFIED
    """The address that it gets."""
    siaddr: IPv4Address = UNSPECIFIED
    """The next server of a boot process."""
    giaddr: IPv4Address = UNSPECIFIED
    """The relay agent."""
    sname: bytes = b""
    file: bytes = b""
    options: Mapping[int, bytes] = field(default_factory=dict)

    @property
    def type(self) -> MessageType | None:
        """What message of DHCP this is; None for BOOTP and for a number that is unknown."""
        value = self.options.get(Option.MESSAGE_TYPE, b"")
        return MessageType(value[0]) if len(value) == 1 and 1 <= value[0] <= 8 else None

    def address(self, code: int) -> IPv4Address | None:
        """The value of an option that holds one address; None where it is absent or holds anything else."""
        value = self.options.get(code, b"")
        return IPv4Address(value) if len(value) == 4 else None

    def number(self, code: int, size: int = 4) -> int | None:
        """The value of an option that holds a number of `size` octets; None as above."""
        value = self.options.get(code, b"")
        return int.from_bytes(value, "big") if len(value) == size else None


def parse(octets: bytes | bytearray | memoryview) -> Message:
    """The message that a datagram holds. Raises `InvalidMessage`."""
    octets = bytes(octets)
    if len(octets) < _FIXED.size + len(_COOKIE):
        raise InvalidMessage(f"{len(octets)} octets; a message has at least {_FIXED.size + len(_COOKIE)}")
    op, htype, hlen, hops, xid, secs, flags, ci, yi, si, gi, chaddr, sname, file = _FIXED.unpack_from(octets)
    if op not in {BOOTREQUEST, BOOTREPLY}:
        raise InvalidMessage(f"operation {op} is neither a request nor a reply")
    if hlen > len(chaddr):
        raise InvalidMessage(f"a hardware address of {hlen} octets; there is room for 16")
    if octets[_FIXED.size : _FIXED.size + 4] != _COOKIE:
        raise InvalidMessage("no magic cookie: no options, and no message of DHCP")  # RFC 2131 section 3
    pieces: dict[int, list[bytes]] = {}
    _collect(octets[_FIXED.size + 4 :], pieces)
    overload = b"".join(pieces.pop(Option.OVERLOAD, ())) or b"\0"
    # RFC 3396 section 5: options are joined in the order options, file, sname.
    if overload[0] & 1:
        _collect(file, pieces)
        file = b""
    if overload[0] & 2:
        _collect(sname, pieces)
        sname = b""
    pieces.pop(Option.OVERLOAD, None)  # RFC 2131 section 4.1: it may not be within an overloaded field
    return Message(
        op=op,
        xid=xid,
        hardware=chaddr[:hlen],
        hardware_type=htype,
        hops=hops,
        secs=secs,
        broadcast=bool(flags & _BROADCAST_FLAG),
        ciaddr=IPv4Address(ci),
        yiaddr=IPv4Address(yi),
        siaddr=IPv4Address(si),
        giaddr=IPv4Address(gi),
        sname=sname.split(b"\0", 1)[0],
        file=file.split(b"\0", 1)[0],
        options={code: b"".join(parts) for code, parts in pieces.items()},
    )


def _collect(field_: bytes, pieces: dict[int, list[bytes]]) -> None:
    """Read the options of one field. A missing end option is forgiven: the field's own end says as much."""
    at = 0
    while at < len(field_):
        code = field_[at]
        if code == Option.PAD:
            at += 1
            continue
        if code == Option.END:
            return
        if at + 2 > len(field_) or at + 2 + field_[at + 1] > len(field_):
            raise InvalidMessage(f"option {code} goes on after the end of its field")
        start, at = at + 2, at + 2 + field_[at + 1]
        pieces.setdefault(code, []).append(field_[start:at])


def build(message: Message, max_size: int = MIN_MAX_SIZE) -> bytes:
    """The octets of a message, in an IPv4 packet of at most `max_size` octets, the headers of IP and UDP included.

    What does not fit into the options field goes on in ``file`` and ``sname`` where these are unused. Raises
    `MessageTooLong` when that is not enough, or a value is out of its range.
    """
    room = max(max_size, MIN_MAX_SIZE) - _HEADERS - _FIXED.size - len(_COOKIE)
    sname, file = message.sname, message.file
    if len(message.hardware) > 16 or len(sname) > 63 or len(file) > 127:
        raise MessageTooLong("hardware, sname and file have room for 16, 63 and 127 octets")
    options = _ordered(message.options)
    (first,), rest = _part(options, [room])
    if rest:
        first, file, sname = _overload(options, room, file, sname)
    try:
        fixed = _FIXED.pack(
            message.op,
            message.hardware_type,
            len(message.hardware),
            message.hops,
            message.xid,
            min(message.secs, 0xFFFF),
            _BROADCAST_FLAG if message.broadcast else 0,
            int(message.ciaddr),
            int(message.yiaddr),
            int(message.siaddr),
            int(message.giaddr),
            message.hardware,
            sname,
            file,
        )
    except struct.error as error:
        raise MessageTooLong(f"a number of the message is out of its range: {error}") from None
    return (fixed + _COOKIE + first).ljust(_SMALLEST, b"\0")


def _ordered(options: Mapping[int, bytes]) -> list[tuple[int, bytes]]:
    """Options in the order to send them: the type first; the mask before the routers (RFC 2132 section 3.3); what a
    relay agent added last (RFC 3046 section 2.1).
    """
    for code in options:
        if not 0 < code < 255 or code == Option.OVERLOAD:
            raise MessageTooLong(f"{code} is no code of an option that can be given: 1 to 254 without 52")
    ranks: dict[int, int] = {Option.MESSAGE_TYPE: -2, Option.SERVER_ID: -1, Option.RELAY_AGENT: 255}
    return [(code, bytes(options[code])) for code in sorted(options, key=lambda code: (ranks.get(code, code), code))]


def _overload(options: list[tuple[int, bytes]], room: int, file: bytes, sname: bytes) -> tuple[bytes, bytes, bytes]:
    """Spread options over the fields that are unused. Raises `MessageTooLong`."""
    rooms = [room - 3, *([] if file else [128]), *([] if sname else [64])]
    which = (0 if file else 1) | (0 if sname else 2)
    fields, rest = _part(options, rooms)
    if rest or not which:
        raise MessageTooLong(f"the options do not fit into {room} octets; allow a larger message, or give fewer")
    used = iter(fields[1:])
    file = file or next(used)
    sname = sname or next(used)
    # The end option of the first field moves behind the one that says where the others are.
    return fields[0][:-1] + bytes([Option.OVERLOAD, 1, which, Option.END]), file, sname


def _part(options: list[tuple[int, bytes]], rooms: list[int]) -> tuple[list[bytes], bool]:
    """Fill fields of these sizes with the options in order, parting any; and whether something was left over."""
    fields, waiting = [], list(reversed(options))
    for room in rooms:
        parts, left = [], room - 1  # the end option
        while waiting and left >= 2:
            code, value = waiting.pop()
            piece = value[: min(255, left - 2)]
            if value and not piece:
                waiting.append((code, value))
                break
            parts.append(bytes([code, len(piece)]) + piece)
            left -= 2 + len(piece)
            if len(piece) < len(value):
                waiting.append((code, value[len(piece) :]))
        fields.append(b"".join(parts) + bytes([Option.END]))
    return fields, bool(waiting)
