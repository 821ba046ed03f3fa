"""A pcapng file that grows frame by frame."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from mirage.tcpip.pcapng import Direction, interface_block, packet_block, section_header
from mirage.types import Buffer

from .errors import HostUnavailable

__all__ = ["Capture"]

_LIMIT = 1 << 30


class Capture:
    """Everything that passes a switch, seen from the switch: what a guest sends is received."""

    def __init__(self, path: Path, limit: int = _LIMIT) -> None:
        """Write to `path`, at most `limit` octets; what comes later is counted in `dropped`.

        Raises `HostUnavailable`.
        """
        try:
            self._file = path.open("wb")
        except OSError as error:
            raise HostUnavailable(f"{path} cannot be written: {error.strerror}") from None
        self.dropped = 0
        self._room = limit
        self._names: dict[str, int] = {}
        self._file.write(section_header("mirage-gateway"))

    def frame(self, name: str, parts: Sequence[Buffer], *, sent: bool) -> None:
        """A frame passed the port `name`."""
        number = self._names.get(name)
        if number is None:
            number = self._names[name] = len(self._names)
            self._file.write(interface_block(name))
        direction = Direction.SENT if sent else Direction.RECEIVED
        block = packet_block(number, b"".join(parts), time.time_ns(), direction)
        if len(block) > self._room:
            self.dropped += 1
            return
        self._room -= len(block)
        self._file.write(block)

    def flush(self) -> None:
        """Have what was captured in the file."""
        self._file.flush()

    def close(self) -> None:
        """End the file."""
        self._file.close()
