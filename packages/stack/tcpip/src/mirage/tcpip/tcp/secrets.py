"""A keyed hash over a connection's addresses and ports: what initial sequence numbers, cookies and ports come from."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2s

__all__ = ["Secret"]

Draw = Callable[[int], bytes]
"""Draws that many random octets: `random.Random(seed).randbytes` in a test, the device's in a stack."""


class Secret:
    """A key that never leaves the process."""

    __slots__ = ("_keyed",)

    def __init__(self, draw: Draw) -> None:
        # Copying a keyed state is cheaper than keying it each time.
        self._keyed = blake2s(key=draw(32), digest_size=8)

    def hash(self, *parts: bytes | int) -> int:
        """64 bits over the parts. Parts of variable length (addresses) are told apart by their lengths; numbers are
        64 bits."""
        state = self._keyed.copy()
        for part in parts:
            if isinstance(part, int):
                state.update(part.to_bytes(8, "big"))
            else:
                state.update(len(part).to_bytes(1, "big"))
                state.update(part)
        return int.from_bytes(state.digest(), "big")
