"""For tests: a random generator that always gives the same octets.

It cannot come into a program by mistake: it lives here, it says in its name what it is, and outside of a test runner it
refuses to be made unless it is told that the octets are no secrets.
"""

from __future__ import annotations

import hashlib
import sys
from typing import Final

from mirage.crypto.errors import CryptoError

__all__ = ["DeterministicRandom", "NotInProduction"]


_BLOCK: Final = 1024


class NotInProduction(CryptoError, RuntimeError):
    """Local misuse: a generator for tests was about to be used where no test runs."""


class DeterministicRandom:
    """Blocks of SHAKE-256 of the seed and their number, in order: the same seed, the same octets.

    Not for several threads. Fits `mirage.types.Random`, and can be called with a size.
    """

    def __init__(self, seed: bytes | int = 0, *, not_secret: bool = False) -> None:
        """Raises `NotInProduction` where neither pytest nor unittest was imported, unless `not_secret` is said."""
        if not not_secret and not {"pytest", "unittest", "_pytest"} & sys.modules.keys():
            raise NotInProduction(
                "DeterministicRandom gives octets that everybody can compute, and no test runs here: use "
                "mirage.crypto.random.system_random, or say not_secret=True if this is a benchmark or a replay"
            )
        self._seed = seed if isinstance(seed, bytes) else b"%d" % seed
        self._block = 0
        self._left = b""

    def generate(self, size: int) -> bytes:
        """The next `size` octets."""
        parts = [self._left]
        missing = size - len(self._left)
        while missing > 0:
            parts.append(hashlib.shake_256(self._seed + self._block.to_bytes(8, "big")).digest(_BLOCK))
            self._block += 1
            missing -= _BLOCK
        self._left = b"".join(parts)
        taken, self._left = self._left[:size], self._left[size:]
        return taken

    __call__ = generate
