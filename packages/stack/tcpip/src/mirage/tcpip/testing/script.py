"""A scripted peer in virtual time: what comes in and when, and what must go out and when, in packetdrill's notation.

    Script(["listen", "< S 0:0(0) win 32792 <mss 1000>", "> S. 0:0(0) ack 1 <mss 1460>",
            "+.1 < . 1:1(0) ack 1 win 257", "accept", "write 500", "> P. 1:501(500) ack 1",
            "+.3 > P. 1:501(500) ack 1"]).run()

* A line may begin with ``+seconds`` since the line before. A packet that goes out must do so then, to the millisecond.
* ``<`` comes in, ``>`` must go out: flags (``S F R P . E W``), ``first:behind(length)``, ``ack N``, ``win N``,
  ``[ect0]`` or ``[ce]``, options ``<mss N,wscale N,sackOK,TS val N ecr N,sack A:B C:D>``. Of what must go out only what
  is said is compared, but of options, once any are given, all.
* Numbers are relative: each side's initial sequence number is 0, and the first timestamp that the stack sends is 100.
* Everything else is what the application does, or must see: see `Script.COMMANDS`.

Whatever went out and was not expected fails the script.
"""

from __future__ import annotations

import re
import struct
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from mirage.types import FrameMeta
from mirage.types.testing import SeededRandom

from ..settings import Settings
from ..stack import Stack
from ..wire.checksum import checksum, ones_sum
from ..wire.tcp import ACK, CWR, ECE, FIN, PSH, RST, SYN, Options, build, build_options, parse, parse_options

if TYPE_CHECKING:
    from ..tcp.connection import Connection
    from ..tcp.listener import Listener

__all__ = ["Script", "ScriptFailed", "advertisement"]

_TOLERANCE = 0.0011
_OURS, _THEIRS = b"\2\0\0\0\0\1", b"\2\0\0\0\0\2"
_ADDRESSES = {
    4: (bytes([192, 0, 2, 1]), bytes([192, 0, 2, 2])),
    6: (b"\xfd" + bytes(14) + b"\1", b"\xfd" + bytes(14) + b"\2"),
}
_FLAGS = {"S": SYN, "F": FIN, "R": RST, "P": PSH, ".": ACK, "E": ECE, "W": CWR}
_LINE = re.compile(
    r"(?P<flags>[SFRPEW.]+)\s+(?P<first>\d+):(?P<behind>\d+)\((?P<length>\d+)\)(?:\s+ack\s+(?P<ack>\d+))?"
    r"(?:\s+win\s+(?P<win>\d+))?(?:\s+\[(?P<ecn>ect0|ce|noecn)\])?(?:\s+<(?P<options>.*)>)?\s*$"
)
_ECN = {"noecn": 0, "ect0": 2, "ce": 3}
_FIRST_STAMP = 100
_THEIR_ISN = 4_294_960_000
"""So close to the end that the numbers of a script wrap."""
_M = 0xFFFFFFFF


class ScriptFailed(AssertionError):
    """The stack did something else than the script says."""


class _Sent(NamedTuple):
    """A TCP segment that the stack sent, numbers made relative."""

    at: float
    flags: int
    first: int
    length: int
    ack: int
    window: int
    ecn: int
    options: Options
    size: int
    """Octets of the IP packet."""
    packet: bytes


@dataclass(slots=True)
class _Numbers:
    """What makes numbers relative."""

    ours: int | None = None
    theirs: int = _THEIR_ISN
    stamp: int | None = None


class Script:
    """One stack, one connection, one peer."""

    COMMANDS: ClassVar[dict[str, str]] = {
        "listen": "wait for a connection at port 80",
        "connect": "open one to the peer's port 80",
        "accept": "take the connection that is ready; there must be one",
        "nothing-to-accept": "there must be none",
        "write N": "write N octets",
        "more N": "write N octets and say that more comes",
        "read N": "read all there is: N octets, and they must be those that were sent",
        "shutdown": "send no more",
        "close": "the application is done",
        "abort": "reset",
        "state NAME": "the connection must be in that state of RFC 9293",
        "error NAME": "the connection must be over, with an error of that class; 'none' for no error",
        "eof": "the peer's end must have come",
        "no-eof": "it must not",
        "unacknowledged N": "so many octets must be under way",
        "cwnd N": "that must be the congestion window in octets",
        "set NAME VALUE": "set an attribute of the connection, such as nodelay or keepalive",
        "quiet": "wait out the time before it: nothing may go out",
        "too-big N": "ICMP says that the segment sent last does not fit an MTU of N",
        "unreachable": "ICMP says that nobody is at the port, about the segment sent last",
        "counter NAME N": "that counter of the stack must stand at N",
    }

    def __init__(
        self,
        lines: Sequence[str],
        *,
        version: int = 4,
        settings: Settings | None = None,
        mtu: int = 1500,
        seed: int = 1,
    ) -> None:
        self.lines = list(lines)
        self.version = version
        self.now = 10.0
        settings = settings or Settings(duplicate_address_probes=0)
        self.stack = Stack(random=SeededRandom(seed, predictable=True), now=self.now, settings=settings)
        self._interface = self.stack.add_interface("eth0", _OURS, mtu)
        self.local, self.remote = _ADDRESSES[version]
        self.stack.ip.add_address(self._interface, self.local, 24 if version == 4 else 64)
        self.connection: Connection | None = None
        self._listener: Listener | None = None
        self._sent: deque[_Sent] = deque()
        self._last: _Sent | None = None
        self._numbers = _Numbers()
        self._ports: tuple[int, int] = (80, 40000)
        """The stack's, and the peer's."""
        self._read = 0
        self._heard = ""

    def run(self) -> Script:
        """Play it. Raises `ScriptFailed`, saying at which line and what happened instead."""
        self._meet()
        at = self.now
        for number, line in enumerate(self.lines, 1):
            try:
                at = self._play(line, at)
            except ScriptFailed as failure:
                raise ScriptFailed(f"line {number}, {line!r}: {failure}") from None
        if self._sent:
            raise ScriptFailed(f"not expected after the last line: {self._show(self._sent[0])}")
        return self

    @property
    def sent(self) -> Sequence[_Sent]:
        """What went out and was not expected yet."""
        return list(self._sent)

    def go_on(self, lines: Sequence[str]) -> None:
        """More lines, after a `run` that was meant to end otherwise: what is there already is forgotten."""
        self._sent.clear()
        at = self.now
        for line in lines:
            at = self._play(line, at)

    def _play(self, line: str, before: float) -> float:
        at = before
        words = line.split(maxsplit=1)
        if words[0].startswith("+"):
            at += float(words[0][1:])
            line = words[1]
        what, _, rest = line.partition(" ")
        if what == ">":
            self._expect(rest.strip(), at)
        else:
            self._until(at)
            if what == "<":
                self._arrive(rest.strip())
            else:
                self._do(what, rest.split())
            self._poll()
        return at

    # What the application does

    def _do(self, what: str, words: list[str]) -> None:
        if what == "quiet":
            if self._sent:
                raise ScriptFailed(f"not expected: {self._show(self._sent[0])}")
        elif what == "listen":
            self._listener = self.stack.listen(80, version=self.version)
        elif what == "connect":
            self._ports = (self._ports[1], 80)
            self.connection = self.stack.connect(self.remote, 80, local_port=self._ports[0], now=self.now)
        elif what in {"accept", "nothing-to-accept"}:
            assert self._listener is not None
            found = self._listener.accept()
            if (found is None) == (what == "accept"):
                raise ScriptFailed(f"accept gave {found}")
            self.connection = found or self.connection
        elif what == "counter":
            self._same(words[0], self.stack.counters[words[0]], int(words[1]))
        elif what in {"too-big", "unreachable"}:
            self._icmp(int(words[0]) if words else None)
        else:
            assert self.connection is not None, f"{what}: there is no connection"
            self._with(self.connection, what, words)

    def _with(self, connection: Connection, what: str, words: list[str]) -> None:
        if what == "write":
            connection.write(bytes(int(words[0])))
        elif what == "more":
            connection.write(bytes(int(words[0])))
            connection.more = True
        elif what == "read":
            data = bytes(connection.read())
            self._same("read", len(data), int(words[0]))
            if data != _pattern(self._read, len(data)):
                raise ScriptFailed("other octets were read than were sent")
            self._read += len(data)
        elif what in {"shutdown", "close", "abort"}:
            getattr(connection, what)()
        elif what == "state":
            self._same("state", connection.state.value, words[0])
        elif what == "error":
            self._same("error", "none" if connection.error is None else type(connection.error).__name__, words[0])
        elif what in {"eof", "no-eof"}:
            self._same("eof", connection.eof, what == "eof")
        elif what == "unacknowledged":
            self._same("unacknowledged", connection.unacknowledged, int(words[0]))
        elif what == "cwnd":
            self._same("cwnd", connection.sender.congestion.cwnd, int(words[0]))
        elif what == "set":
            kind = type(getattr(connection, words[0]))
            setattr(connection, words[0], words[1] == "true" if kind is bool else kind(words[1]))
            connection.schedule()
            connection.set_timer()
        else:
            raise ScriptFailed(f"no such command: {what}; there are {', '.join(self.COMMANDS)}")

    def _same(self, what: str, found: object, wanted: object) -> None:
        if found != wanted:
            raise ScriptFailed(f"{what} is {found}")

    # What goes out

    def _expect(self, text: str, at: float) -> None:
        self._until(at + _TOLERANCE, stop=True)
        if not self._sent:
            raise ScriptFailed(f"nothing was sent by {self.now - 10:.4f} s; last came {self._heard or 'nothing'}")
        sent = self._last = self._sent.popleft()
        if abs(sent.at - at) > _TOLERANCE:
            raise ScriptFailed(f"{sent.at - at:+.4f} s from its time: {self._show(sent)}")
        want = self._parse(text)
        differences = [
            name
            for name, found, wanted in (
                ("flags", sent.flags, want.flags),
                ("sequence", sent.first, want.first),
                ("length", sent.length, want.length),
                ("ack", sent.ack, want.ack),
                ("win", sent.window, want.win),
                ("ecn", sent.ecn, want.ecn),
                ("options", sent.options, want.options),
            )
            if wanted is not None and found != wanted
        ]
        if differences:
            raise ScriptFailed(f"{', '.join(differences)}: it was {self._show(sent)}")

    def _poll(self) -> None:
        """Give the stack its turn, and take down what it sends."""
        while True:
            self.stack.take_news()
            self.stack.poll(self.now)
            output = self._interface.take_output()
            if not output:
                return
            answers = [answer for _, parts in output if (answer := self._look(b"".join(parts)))]
            if answers:
                self.stack.input(self._interface, [(FrameMeta(), memoryview(answer)) for answer in answers], self.now)

    def _until(self, at: float, *, stop: bool = False) -> None:
        """Let time pass; with `stop` only until something goes out."""
        while not (stop and self._sent):
            due = self.stack.next_deadline()
            if due > at or due == inf:
                break
            self.now = max(due, self.now + 1e-6)
            self._poll()
        if not (stop and self._sent):
            self.now = max(self.now, at)

    def _look(self, frame: bytes) -> bytes | None:
        """Take a TCP segment down; answer who asks for the peer's Ethernet address."""
        kind = frame[12:14]
        if kind == b"\x08\x06":
            if frame[20:22] == b"\0\1" and frame[38:42] == self.remote:
                return _arp_reply(frame)
            return None
        head = 20 if kind == b"\x08\0" else 40
        if frame[14 + (9 if head == 20 else 6)] != 6:
            if head == 40 and frame[20] == 58 and frame[54] == 135 and frame[62:78] == self.remote:
                return advertisement(_OURS, _THEIRS, self.local, self.remote)
            return None
        size = int.from_bytes(frame[16:18] if head == 20 else frame[18:20], "big") + (0 if head == 20 else 40)
        packet = frame[14 : 14 + size]
        source, destination = (packet[12:16], packet[16:20]) if head == 20 else (packet[8:24], packet[24:40])
        if (source, destination) != (self.local, self.remote):
            raise ScriptFailed(f"a segment from {source.hex()} to {destination.hex()}")
        if (ones_sum(source + destination) + 6 + size - head + ones_sum(packet[head:])) % 65535:
            raise ScriptFailed("a segment with a wrong checksum was sent")
        segment = parse(memoryview(packet)[head:])
        numbers = self._numbers
        if segment.flags & SYN and numbers.ours is None:
            numbers.ours = segment.sequence
        ours = numbers.ours or 0
        options = parse_options(segment.options)
        if options.timestamps:
            if numbers.stamp is None:
                numbers.stamp = options.timestamps[0] - _FIRST_STAMP
            options = options._replace(timestamps=((options.timestamps[0] - numbers.stamp) & _M, options.timestamps[1]))
        if options.sack:
            options = options._replace(
                sack=tuple(((a - numbers.theirs) & _M, (b - numbers.theirs) & _M) for a, b in options.sack)
            )
        traffic_class = packet[1] if head == 20 else (packet[0] << 4 | packet[1] >> 4) & 0xFF
        acknowledged = (segment.acknowledgment - numbers.theirs) & _M if segment.flags & ACK else 0
        # A RST that answers an ACK has the number of that ACK, which may be anything.
        sent = _Sent(
            self.now, segment.flags, (segment.sequence - ours) & _M, len(segment.payload), acknowledged, segment.window,
            traffic_class & 3, options, size, packet,
        )  # fmt: skip
        self._sent.append(sent)
        return None

    # What comes in

    def _arrive(self, text: str) -> None:
        self._heard = text
        want = self._parse(text)
        numbers = self._numbers
        options = want.options or Options()
        if options.timestamps:
            value, echo = options.timestamps
            options = options._replace(timestamps=(value, (echo + (numbers.stamp or 0)) & _M if echo else 0))
        if options.sack:
            ours = numbers.ours or 0
            options = options._replace(sack=tuple(((a + ours) & _M, (b + ours) & _M) for a, b in options.sack))
        acknowledged = (want.ack + (numbers.ours or 0)) & _M if want.ack is not None else 0
        header = build(
            self._ports[1],
            self._ports[0],
            numbers.theirs + want.first,
            acknowledged,
            want.flags,
            want.win or 0,
            build_options(options),
        )
        # The octet behind a SYN has number 1, and is the first of the stream.
        self._input(6, header + _pattern(want.first - (0 if want.flags & SYN else 1), want.length), want.ecn or 0)

    def _input(self, protocol: int, payload: bytes, ecn: int = 0) -> None:
        """One packet from the peer, its transport checksum filled in."""
        body = bytearray(payload)
        field = 16 if protocol == 6 else 2
        pseudo = 0 if protocol == 1 else ones_sum(self.remote + self.local) + protocol + len(body)
        body[field : field + 2] = checksum(body, pseudo).to_bytes(2, "big")
        if self.version == 4:
            head = bytearray(struct.pack(">BBHHHBBH4s4s", 0x45, ecn, 20 + len(body), 7, 0x4000, 64, protocol, 0,
                                         self.remote, self.local))  # fmt: skip
            head[10:12] = checksum(head).to_bytes(2, "big")
            kind = b"\x08\0"
        else:
            head = bytearray(struct.pack(">IHBB16s16s", 6 << 28 | ecn << 20, len(body), protocol, 64,
                                         self.remote, self.local))  # fmt: skip
            kind = b"\x86\xdd"
        frame = memoryview(_OURS + _THEIRS + kind + head + body)
        self.stack.input(self._interface, [(FrameMeta(), frame)], self.now)

    def _icmp(self, mtu: int | None) -> None:
        """An error about the segment that went out last, taken from the script's expectations."""
        assert self._last is not None, "nothing was sent yet"
        if self.version == 4:
            code, value = (4, mtu) if mtu else (3, 0)
            self._input(1, struct.pack(">BBHHH", 3, code, 0, 0, value or 0) + self._last.packet[:28])
        else:
            kind, code = (2, 0) if mtu else (1, 4)
            self._input(58, struct.pack(">BBHI", kind, code, 0, mtu or 0) + self._last.packet[:1232])

    def _meet(self) -> None:
        """Let the stack settle, and know the peer's Ethernet address: how it does is not a script's business."""
        if self.version == 4:
            request = (
                b"\xff" * 6 + _THEIRS + b"\x08\x06\0\1\x08\0\6\4\0\1" + _THEIRS + self.remote + bytes(6) + self.local
            )
            self.stack.input(self._interface, [(FrameMeta(), memoryview(request + bytes(18)))], self.now)
        else:
            self.stack.input(
                self._interface,
                [(FrameMeta(), memoryview(advertisement(_OURS, _THEIRS, self.local, self.remote)))],
                self.now,
            )
        self._poll()
        self._until(20.0)
        self._sent.clear()

    # Notation

    def _parse(self, text: str) -> _Want:
        found = _LINE.match(text)
        if found is None:
            raise ScriptFailed(f"not understood: {text!r}")
        flags = sum(_FLAGS[letter] for letter in found["flags"])
        first, behind, length = int(found["first"]), int(found["behind"]), int(found["length"])
        if behind - first != length:
            raise ScriptFailed(f"{first}:{behind} are not {length} octets")
        return _Want(
            flags,
            first,
            length,
            None if found["ack"] is None else int(found["ack"]),
            None if found["win"] is None else int(found["win"]),
            None if found["ecn"] is None else _ECN[found["ecn"]],
            None if found["options"] is None else _options(found["options"]),
        )

    @staticmethod
    def _show(sent: _Sent) -> str:
        flags = "".join(letter for letter, bit in _FLAGS.items() if sent.flags & bit)
        options = ", ".join(f"{k}={v}" for k, v in sent.options._asdict().items() if v)
        behind = sent.first + sent.length
        ecn = {0: "", 2: " [ect0]", 3: " [ce]"}.get(sent.ecn, "")
        return (
            f"{flags} {sent.first}:{behind}({sent.length}) ack {sent.ack} win {sent.window}{ecn} <{options}> at "
            f"{sent.at - 20:.4f} s"
        )


class _Want(NamedTuple):
    flags: int
    first: int
    length: int
    ack: int | None
    win: int | None
    ecn: int | None
    options: Options | None


def _pattern(start: int, length: int) -> bytes:
    """Octets of the peer's stream: each says a little of where it stands."""
    if length <= 0:
        return b""
    return bytes((start + n) * 7 % 251 for n in range(length))


def _options(text: str) -> Options:
    found: dict[str, object] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        words = part.split()
        if words[0] == "mss":
            found["mss"] = int(words[1])
        elif words[0] == "wscale":
            found["window_scale"] = int(words[1])
        elif words[0] == "sackOK":
            found["sack_permitted"] = True
        elif words[0] == "TS":
            found["timestamps"] = (int(words[2]), int(words[4]))
        elif words[0] == "sack":
            found["sack"] = tuple((int(a), int(b)) for a, _, b in (w.partition(":") for w in words[1:]))
        elif words[0] not in {"nop", "eol"}:
            raise ScriptFailed(f"no such option: {part}")
    return Options(**found)  # type: ignore[arg-type]


def _arp_reply(request: bytes) -> bytes:
    return (
        request[6:12] + _THEIRS + b"\x08\x06\0\1\x08\0\6\4\0\2" + _THEIRS + request[38:42] + request[22:32] + bytes(18)
    )


def advertisement(to: bytes, mac: bytes, ours: bytes, theirs: bytes) -> bytes:
    """A solicited neighbour advertisement to `ours` at `to`: `theirs` is at `mac` (RFC 4861 4.4)."""
    body = bytearray(b"\x88\0\0\0\x60\0\0\0" + theirs + b"\2\1" + mac)
    body[2:4] = checksum(body, ones_sum(theirs + ours) + 58 + len(body)).to_bytes(2, "big")
    return to + mac + b"\x86\xdd" + struct.pack(">IHBB", 6 << 28, len(body), 58, 255) + theirs + ours + body
