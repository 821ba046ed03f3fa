"""Random octets: the system's, or a generator of one's own after Fortuna.

`system_random` is what a program wants that runs where the system has a generator, as Linux and the library OS of a
guest have. `Fortuna` (Ferguson, Schneier, Kohno, "Cryptography Engineering", chapter 9) is for a program that wants
several sources behind its keys: it is fed by `mirage.entropy.Harvester`, and `seeded` makes one that is.

Invariants of `Fortuna`:

* Nothing comes out before the first reseed, and nothing after a clone was noticed but before it was seeded anew: that
  is `mirage.entropy`'s `watch`.
* The key is replaced after each request, so that who learns the state later cannot compute what was given out before.
* Pool i takes part in each 2**i-th reseed, so that an attacker who knows some of the sources and reads the output all
  the time loses track again as soon as one of the pools has gathered what he does not know.
* Keys are `bytes`, which Python cannot wipe: what is replaced stays in memory until it is used for something else.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Final, NoReturn

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from mirage.types import DeviceError

from .errors import CryptoError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mirage.entropy import Guest, Source

__all__ = ["Fortuna", "Generator", "NotSeeded", "seeded", "system_random"]

POOLS: Final = 32
MIN_POOL: Final = 64
"""Octets that pool 0 holds before it is worth a reseed by itself."""
INTERVAL: Final = 0.1
"""Seconds between two reseeds that nobody asked for (9.5.2: "at most ten times a second")."""
MOST: Final = 1 << 20
"""Octets from one key (9.4.4): with 2**16 blocks the absence of collisions shows nothing yet."""


class NotSeeded(CryptoError, DeviceError):
    """The generator has no seed: start a `mirage.entropy.Harvester` on it first."""


def system_random(size: int) -> bytes:
    """`size` octets from the system's generator, or from the library OS in a guest."""
    return os.urandom(size)


class Generator:
    """9.4: AES-256 in counter mode, its counter 16 octets with the least significant first. Not for several threads."""

    __slots__ = ("_counter", "_key")

    def __init__(self) -> None:
        self._key = bytes(32)
        self._counter = 0

    @property
    def seeded(self) -> bool:
        """Whether there was a seed."""
        return self._counter != 0

    def reseed(self, seed: bytes) -> None:
        """A new key from the old one and the seed (9.4.3)."""
        self._key = _double_hash(self._key + seed)
        self._counter += 1

    def generate(self, size: int) -> bytes:
        """`size` octets, and a new key (9.4.4). Raises `NotSeeded`, `ValueError` for a negative size."""
        if size < 0:
            raise ValueError(f"{size} octets cannot be had")
        if not self._counter:
            raise NotSeeded("the generator has no seed: feed it and call reseed(), or start a mirage.entropy.Harvester")
        parts = []
        while size > MOST:
            parts.append(self._request(MOST))
            size -= MOST
        parts.append(self._request(size))
        return b"".join(parts) if len(parts) > 1 else parts[0]

    def _request(self, size: int) -> bytes:
        """At most `MOST` octets. The two blocks of the next key are taken with them, for it is the same key's turn."""
        count = -(-size // 16)
        start = self._counter
        self._counter = start + count + 2
        counters = b"".join([n.to_bytes(16, "little") for n in range(start, self._counter)])
        # ECB of the counters is counter mode; the library's own counts with the most significant octet first.
        blocks = Cipher(algorithms.AES(self._key), modes.ECB()).encryptor().update(counters)  # noqa: S305 - see above
        self._key = blocks[-32:]
        return blocks[:size]

    def __repr__(self) -> str:
        return f"<Generator, {'seeded' if self.seeded else 'not seeded'}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a random generator is not pickled: its copy would give the same octets")


class Fortuna:
    """A generator with its accumulator (9.5). Fits `mirage.types.Random` and `mirage.entropy.Sink`; any thread's."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives seconds; only their differences count."""
        self._clock = clock
        self._generator = Generator()
        self._pools = [hashlib.sha256() for _ in range(POOLS)]
        self._first_pool = 0
        self._last = -inf
        self._lock = threading.RLock()
        self.reseeds = 0
        """How often there was a new key from the pools."""

    @property
    def seeded(self) -> bool:
        """Whether octets can be had."""
        return self._generator.seeded

    def add(self, source: int, pool: int, data: bytes) -> None:
        """Take 1 to 32 octets of a source (0 to 255) into a pool (0 to 31). Raises `ValueError` beyond that."""
        if not (0 <= source < 256 and 0 <= pool < POOLS and 1 <= len(data) <= 32):
            raise ValueError(f"source {source}, pool {pool} and {len(data)} octets: at most 255, 31 and 1 to 32")
        with self._lock:
            # 9.5.6: the source's number and the length go first, so that no two series of events look alike.
            self._pools[pool].update(bytes((source, len(data))) + data)
            if pool == 0:
                self._first_pool += len(data)

    def reseed(self) -> None:
        """A new key, now, from the pools whose turn it is (9.5.5)."""
        with self._lock:
            self.reseeds += 1
            seed = b""
            for number in range(POOLS):
                if self.reseeds % (1 << number):
                    break
                seed += hashlib.sha256(self._pools[number].digest()).digest()
                self._pools[number] = hashlib.sha256()
            self._generator.reseed(seed)
            self._first_pool = 0
            self._last = self._clock()

    def generate(self, size: int) -> bytes:
        """`size` octets. Raises `NotSeeded`."""
        with self._lock:
            if self._first_pool >= MIN_POOL and self.seeded and self._clock() - self._last >= INTERVAL:
                self.reseed()
            return self._generator.generate(size)

    __call__ = generate

    def __repr__(self) -> str:
        return f"<Fortuna, {self.reseeds} reseeds>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a random generator is not pickled: its copy would give the same octets")


def seeded(sources: Sequence[Source] | None = None, guest: Guest | None = None, *, needed: int = 1) -> Fortuna:
    """A Fortuna that this machine's sources have seeded, and seed anew after a fork and, with `guest`, after a resume.

    `guest` is the module `mirage.hvt.guest` in a virtual machine. Raises `mirage.entropy.EntropyUnavailable`.
    """
    from mirage.entropy import Harvester

    fortuna = Fortuna()
    harvester = Harvester(fortuna, sources, needed=needed)
    harvester.start()
    harvester.watch(guest)
    return fortuna


def _double_hash(data: bytes) -> bytes:
    """SHAd-256 (section 5.4.2)."""
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()
