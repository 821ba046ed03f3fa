"""Sources of entropy: the system's generator, the processor's, and the jitter of its clock.

A source gives raw samples, integers that the health tests look at, and says how much entropy it claims for each. The
claims are low on purpose: a claim too high is a weak key, one too low costs some microseconds. Nothing is conditioned
here; that is the generator's work.

Which of them there are depends on the machine. In a guest of the hvt target `GetRandom` asks the library OS, which
mixes the host's octets with RDRAND and is seeded anew before a resumed guest runs; `Rdrand` itself needs a page of
machine code, which a guest's page permissions rule out, and says so.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
import sys
import time
from collections.abc import Callable
from typing import Final, Protocol

from .errors import SourceUnavailable

__all__ = ["GetRandom", "Rdrand", "Source", "TimerJitter"]


class Source(Protocol):
    """Where noise comes from. A source belongs to one thread."""

    @property
    def name(self) -> str:
        """What to call it in messages."""
        ...

    @property
    def entropy(self) -> float:
        """Bits of min-entropy claimed for each sample."""
        ...

    @property
    def width(self) -> int:
        """Octets that hold one sample."""
        ...

    def sample(self, count: int) -> list[int]:
        """`count` raw samples, each at least 0 and below 256 ** `width`. Raises `SourceUnavailable`."""
        ...


class GetRandom:
    """The system's generator: Linux's getrandom(2), or the library OS in a guest.

    `getrandom` waits until the kernel's pool is initialised, once after a boot, and never again.
    """

    name = "getrandom"
    entropy = 8.0
    width = 1

    def sample(self, count: int) -> list[int]:
        """`count` octets. Raises `SourceUnavailable` on a system without a generator."""
        try:
            return list(os.urandom(count))
        except NotImplementedError:
            raise SourceUnavailable("this system has no random generator that Python can ask (os.urandom)") from None


_CODE: Final = bytes.fromhex(
    # bool rdrand(uint64_t *out in rdi): ten attempts, as Intel's manual (volume 1, section 7.3.17.1) advises
    "b90a000000"  # mov ecx, 10
    "480fc7f0"  # again: rdrand rax
    "7207"  # jc good
    "ffc9"  # dec ecx
    "75f6"  # jnz again
    "31c0"  # xor eax, eax
    "c3"  # ret
    "488907"  # good: mov [rdi], rax
    "b801000000"  # mov eax, 1
    "c3"  # ret
)
_CPUID: Final = bytes.fromhex(
    # uint32_t features(void): ECX of CPUID leaf 1
    "53"  # push rbx
    "b801000000"  # mov eax, 1
    "31c9"  # xor ecx, ecx
    "0fa2"  # cpuid
    "89c8"  # mov eax, ecx
    "5b"  # pop rbx
    "c3"  # ret
)
_RDRAND_BIT: Final = 1 << 30


class Rdrand:
    """The processor's own generator, on x86-64 under Linux: instructions in a page that is never both writable and
    executable.

    The processor's maker is to be trusted for it, so a sample counts for little and is only ever mixed with others.
    """

    name = "rdrand"
    entropy = 8.0
    width = 8

    def __init__(self) -> None:
        """Raises `SourceUnavailable` where the processor lacks it or no page of code can be had."""
        if platform.machine() not in ("x86_64", "AMD64") or not sys.platform.startswith("linux"):
            raise SourceUnavailable(f"RDRAND is used on x86-64 under Linux only, and this is {platform.machine()}")
        try:
            self._page, address = _page_of_code()
        except (OSError, AttributeError) as error:
            # A guest's tender, or a policy such as SELinux's execmem: data is never executable there.
            raise SourceUnavailable(f"no page of code can be had for RDRAND: {error}") from None
        features = ctypes.CFUNCTYPE(ctypes.c_uint32)(address + 64)
        if not features() & _RDRAND_BIT:
            raise SourceUnavailable("this processor has no RDRAND (CPUID leaf 1, ECX bit 30)")
        self._draw = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_uint64))(address)

    def sample(self, count: int) -> list[int]:
        """`count` words of 64 bits. Raises `SourceUnavailable` when the processor has none ten times in a row."""
        word = ctypes.c_uint64()
        words = []
        for _ in range(count):
            if not self._draw(ctypes.byref(word)):
                raise SourceUnavailable("RDRAND gave nothing ten times in a row: the processor's generator has failed")
            words.append(word.value)
        return words


def _page_of_code() -> tuple[mmap.mmap, int]:
    """The page with both functions, and where it is. Raises `OSError` where none may be had."""
    page = mmap.mmap(-1, mmap.PAGESIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, mmap.PROT_READ | mmap.PROT_WRITE)
    page[: len(_CODE)] = _CODE
    page[64 : 64 + len(_CPUID)] = _CPUID
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    if protect(address, mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_EXEC) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return page, address


class TimerJitter:
    """How long a piece of work takes, from one time to the next, in the clock's own steps.

    The work walks through memory in an order that depends on what it read, so that caches, the translation of addresses
    and whatever else runs on the machine take part. A sample is the low octet of the *change* of the duration from one
    piece to the next; what a processor does in the same way each time has left by then. A clock too coarse to see it
    gives zeros, which the start-up test catches.
    """

    name = "jitter"
    entropy = 0.5
    width = 1

    _SIZE: Final = 1 << 14

    def __init__(self, clock: Callable[[], int] = time.perf_counter_ns) -> None:
        """`clock` gives nanoseconds, or any steps as fine."""
        self._clock = clock
        self._memory = bytearray(self._SIZE)
        self._position = 0
        self._before = 0
        self._step = self._finest()

    def _finest(self) -> int:
        """The greatest common divisor of what the clock counts in: a clock of 100 ns steps has zeros at its end."""
        from math import gcd

        step, last = 0, self._clock()
        for _ in range(64):
            now = self._clock()
            step = gcd(step, now - last)
            last = now
        return step or 1

    def sample(self, count: int) -> list[int]:
        """`count` octets, some microseconds each."""
        clock, memory, mask = self._clock, self._memory, self._SIZE - 1
        position, before, step = self._position, self._before, self._step
        found = []
        last = clock()
        for _ in range(count):
            for _ in range(16):
                value = memory[position] = (memory[position] + position + 1) & 0xFF
                position = (position * 5 + value * 131 + 1) & mask
            now = clock()
            took = (now - last) // step
            found.append((took - before) & 0xFF)
            before, last = took, now
        self._position, self._before = position, before
        return found
