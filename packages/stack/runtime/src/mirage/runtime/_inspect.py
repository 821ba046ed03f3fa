"""Looking into a running program: questions about its stack in, answers and captured frames out; no I/O.

A question is a line of JSON, ``{"ask": "connections", "limit": 50}``, and so is its answer, ``{"connections": ...}`` or
``{"error": ...}``. What may be asked is in `QUESTIONS`. After the answer to ``{"ask": "capture", "interface": "eth0"}``
come the frames that pass from then on, as a pcapng file that ends with the connection.

Invariants: a question is at most `_LONGEST` octets, and what a question costs is bounded by its limit, at most
`_MOST`; nothing that is asked changes the stack. Frames that the asker is too slow for are left out, and the next one
says how many were.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from mirage.tcpip import inspect
from mirage.tcpip.pcapng import Direction, interface_block, packet_block, section_header
from mirage.types import Buffer, FrameMeta

if TYPE_CHECKING:
    from mirage.tcpip.ip.interface import Interface
    from mirage.tcpip.stack import Stack

__all__ = ["QUESTIONS", "Capture", "Conversation"]

QUESTIONS = ("show", "connections", "counters", "capture")
_LONGEST = 1024
_MOST = 10_000
_DIRECTIONS = {"in": Direction.RECEIVED, "out": Direction.SENT}


class Conversation:
    """What one asker says, and is told."""

    def __init__(self, stack: Stack, dropped: Callable[[], dict[str, int]] = dict) -> None:
        """`dropped` says of interfaces how many frames their devices had no room for."""
        self._stack = stack
        self._dropped = dropped
        self._line = bytearray()
        self.capture: list[Interface] | None = None
        """The interfaces whose frames are wanted now; there are no more questions then."""
        self.over = False
        """Whether the asker said what cannot be understood, and is to be parted from."""

    def receive(self, data: bytes, now: float) -> bytes:
        """The answers to what came."""
        answers = bytearray()
        self._line += data
        while b"\n" in self._line and self.capture is None and not self.over:
            line, _, self._line = self._line.partition(b"\n")
            if len(line) > _LONGEST:
                self._line = line
                break
            answers += json.dumps(self._answer(bytes(line), now)).encode() + b"\n"
        if self.capture is not None:
            self._line.clear()
        elif len(self._line) > _LONGEST:
            self.over = True
            answers += json.dumps({"error": f"a question is at most {_LONGEST} octets"}).encode() + b"\n"
        return bytes(answers)

    def _answer(self, line: bytes, now: float) -> dict[str, Any]:
        try:
            question = json.loads(line)
        except (ValueError, RecursionError):
            question = None
        if not isinstance(question, dict) or question.get("ask") not in QUESTIONS:
            self.over = True
            return {"error": f'ask as {{"ask": WHAT}}, where WHAT is one of {", ".join(QUESTIONS)}'}
        limit = question.get("limit", inspect.LIMIT)
        if not isinstance(limit, int) or not 0 <= limit <= _MOST:
            return {"error": f"limit is a number up to {_MOST}"}
        stack = self._stack
        ask = question["ask"]
        if ask == "counters":
            return {ask: inspect.counters(stack)}
        if ask == "connections":
            return {ask: inspect.connections(stack, now, limit)}
        if ask == "show":
            dropped = self._dropped()
            interfaces = inspect.interfaces(stack, now)
            for one in interfaces:
                one["out"]["dropped"] = dropped.get(one["name"], 0)
            return {
                ask: {
                    "interfaces": interfaces,
                    "routes": inspect.routes(stack, now, limit),
                    "neighbours": inspect.neighbours(stack, limit),
                }
            }
        return self._captured(question.get("interface"))

    def _captured(self, name: object) -> dict[str, Any]:
        known = {one.name: one for one in (self._stack.ip.loopback, *self._stack.interfaces.values())}
        if name is None:
            self.capture = list(self._stack.interfaces.values())
        elif isinstance(name, str) and name in known:
            self.capture = [known[name]]
        else:
            return {"error": f"there is no such interface; there are {', '.join(known)}"}
        return {"capture": [one.name for one in self.capture]}


class Capture:
    """Frames of interfaces on their way to one asker, beside any other tap that is there."""

    def __init__(
        self,
        interfaces: Sequence[Interface],
        write: Callable[[bytes], None],
        *,
        clock: Callable[[], float],
        epoch: float = 0.0,
        room: Callable[[], bool] = lambda: True,
        without: int | None = None,
    ) -> None:
        """`clock` plus `epoch` is the time of day, `room` whether the asker keeps up. Segments to or from the TCP port
        `without` are left out: that is how an asker is spared the frames that carry its capture."""
        self.dropped = 0
        """Frames left out since the last one that was not."""
        self._write = write
        self._clock = clock
        self._epoch = round(epoch * 1e9)
        self._room = room
        self._without = None if without is None else without.to_bytes(2, "big")
        self._restore: list[Callable[[], None]] = []
        write(section_header("mirage"))
        for number, interface in enumerate(interfaces):
            write(interface_block(interface.name, interface.mac))
            self._restore.append(_listen(interface, self._tap(number)))

    def _tap(self, number: int) -> Callable[[str, FrameMeta, Sequence[Buffer], float], None]:
        def tap(direction: str, _: FrameMeta, parts: Sequence[Buffer], __: float) -> None:
            frame = b"".join(parts)
            if self._without is not None and _mentions(frame, self._without):
                return
            if not self._room():
                self.dropped += 1
                return
            told = f"{self.dropped} frames before this one are missing" if self.dropped else ""
            self.dropped = 0
            at = round(self._clock() * 1e9) + self._epoch
            self._write(packet_block(number, frame, at, _DIRECTIONS[direction], told))

        return tap

    def close(self) -> None:
        """Hear of no more frames."""
        for restore in self._restore:
            restore()
        self._restore.clear()


class _Fan:
    """A tap that tells several."""

    def __init__(self) -> None:
        self.taps: list[Callable[[str, FrameMeta, Sequence[Buffer], float], None]] = []

    def __call__(self, direction: str, meta: FrameMeta, parts: Sequence[Buffer], now: float) -> None:
        for tap in self.taps:
            tap(direction, meta, parts, now)


def _listen(interface: Interface, tap: Callable[[str, FrameMeta, Sequence[Buffer], float], None]) -> Callable[[], None]:
    """Tell `tap` of the interface's frames, until what is returned is called."""
    fan = interface.tap
    if not isinstance(fan, _Fan):
        before, fan = fan, _Fan()
        if before is not None:
            fan.taps.append(before)
        interface.tap = fan
    fan.taps.append(tap)

    def restore() -> None:
        fan.taps.remove(tap)
        if interface.tap is fan and not fan.taps:
            interface.tap = None

    return restore


def _mentions(frame: bytes, port: bytes) -> bool:
    """Whether a frame is a TCP segment over plain IPv4 or IPv6 to or from a port."""
    if frame[12:14] == b"\x08\x00" and frame[23:24] == b"\x06":
        start = 14 + (frame[14] & 15) * 4
    elif frame[12:14] == b"\x86\xdd" and frame[20:21] == b"\x06":
        start = 54
    else:
        return False
    return port in (frame[start : start + 2], frame[start + 2 : start + 4])
