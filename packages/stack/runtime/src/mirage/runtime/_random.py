"""The system's random generator, as the device that the stack takes."""

from __future__ import annotations

import os

__all__ = ["SystemRandom"]


class SystemRandom:
    """Octets from the operating system, or from the library OS in a guest. Fits `mirage.types.Random`."""

    def generate(self, size: int) -> bytes:
        """`size` octets that nobody can predict."""
        return os.urandom(size)
