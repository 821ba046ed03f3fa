"""A pcapng file that grows frame by frame."""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Sequence
from pathlib import Path

from mirage.tcpip.pcapng import Direction, interface_block, packet_block, section_header
from mirage.types import Buffer

from .errors import HostUnavailable

__all__ = ["Capture"]

_LIMIT = 1 << 30


class Capture:
    """Everything that passes a switch, seen from the switch: what a guest sends is received.

    A file that cannot be written any more, because the disk is full, say, costs the capture and nothing else.
    """

    def __init__(self, path: Path, limit: int = _LIMIT) -> None:
        """Write to `path`, at most `limit` octets; what comes later is counted in `dropped`.

        Raises `HostUnavailable`.
        """
        self.dropped = 0
        """Frames that are not in the file."""
        self._room = limit
        self._names: dict[str, int] = {}
        with contextlib.ExitStack() as undo:
            try:
                file = undo.enter_context(path.open("wb", buffering=0))
                file.write(section_header("mirage-gateway"))  # at once, to know whether that works
            except OSError as error:
                raise HostUnavailable(f"{path} cannot be written: {error.strerror}") from None
            undo.pop_all()
        self._file = io.BufferedWriter(file)

    def frame(self, name: str, parts: Sequence[Buffer], *, sent: bool) -> None:
        """A frame passed the port `name`."""
        block = b""
        number = self._names.get(name)
        if number is None:
            number = len(self._names)
            block = interface_block(name)
        direction = Direction.SENT if sent else Direction.RECEIVED
        block += packet_block(number, b"".join(parts), time.time_ns(), direction)
        if len(block) > self._room:
            self.dropped += 1
            return
        self._names[name] = number
        self._room -= len(block)
        try:
            self._file.write(block)
        except OSError:
            self._give_up()

    def _give_up(self) -> None:
        self.dropped += 1
        self._room = 0

    def flush(self) -> None:
        """Have what was captured in the file."""
        try:
            self._file.flush()
        except OSError:
            self._give_up()

    def close(self) -> None:
        """End the file."""
        self.flush()
        with contextlib.suppress(OSError):  # it tries once more to write what is left
            self._file.close()
