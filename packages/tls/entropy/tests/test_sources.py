"""Each source on this machine, and on machines that lack it."""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
import sys
from collections import Counter
from math import log2
from pathlib import Path

import pytest
from mirage.entropy import GetRandom, HealthTests, Rdrand, SourceUnavailable, TimerJitter, Unhealthy, system_sources
from mirage.entropy.health import STARTUP
from mirage.types import MirageError


def has_rdrand() -> bool:
    """What the kernel says of the processor."""
    information = Path("/proc/cpuinfo")
    return platform.machine() == "x86_64" and information.exists() and " rdrand" in information.read_text()


def test_the_system_always_has_one() -> None:
    """The first source is the system's generator, and its octets differ from one time to the next."""
    source = system_sources()[0]
    assert isinstance(source, GetRandom)
    assert source.sample(32) != source.sample(32)


def test_a_system_without_a_generator_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """`os.urandom` raises `NotImplementedError` there."""

    def urandom(size: int) -> bytes:
        raise NotImplementedError

    monkeypatch.setattr(os, "urandom", urandom)
    with pytest.raises(SourceUnavailable):
        GetRandom().sample(1)


@pytest.mark.skipif(not has_rdrand(), reason="this processor has no RDRAND")
def test_rdrand_gives_words_of_64_bits() -> None:
    """All bits of the words vary, the words pass the health tests, and none comes twice."""
    words = Rdrand().sample(STARTUP)
    ones = zeros = 0
    for word in words:
        ones |= word
        zeros |= ~word
    assert ones == zeros & (1 << 64) - 1 == (1 << 64) - 1
    assert len(set(words)) == STARTUP
    HealthTests("rdrand", 8).test(words)


@pytest.mark.skipif(not has_rdrand(), reason="this processor has no RDRAND")
def test_the_page_of_code_is_not_writable() -> None:
    """Writing to it kills the process, as it would anyone who wants to change the code."""
    program = (
        "import ctypes; from mirage.entropy import Rdrand; r = Rdrand(); "
        "ctypes.memset(ctypes.addressof(ctypes.c_char.from_buffer(r._page)), 0, 1); print('written')"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert ended.returncode < 0
    assert b"written" not in ended.stdout


def test_without_a_page_of_code_there_is_no_rdrand(monkeypatch: pytest.MonkeyPatch) -> None:
    """A guest's tender maps no data as executable: that is said, and is no crash."""

    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: type("", (), {"mprotect": Refusing()})())
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    with pytest.raises(SourceUnavailable, match="no page of code"):
        Rdrand()
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(SourceUnavailable, match="riscv64"):
        Rdrand()


class Refusing:
    """mprotect(2) that says EACCES."""

    def __call__(self, *_: object) -> int:
        ctypes.set_errno(13)
        return -1


def test_the_clock_jitters_here() -> None:
    """Samples of this machine's clock pass the tests at the entropy claimed, and have more by their commonest value."""
    samples = TimerJitter().sample(4 * STARTUP)
    HealthTests("jitter", TimerJitter.entropy).test(samples)
    commonest = Counter(samples).most_common(1)[0][1] / len(samples)
    assert -log2(commonest) > TimerJitter.entropy


def test_a_clock_that_stands_still_fails() -> None:
    """It gives zeros only, and no start-up test lets them pass."""
    source = TimerJitter(clock=lambda: 7)
    with pytest.raises(Unhealthy, match="repetition count"):
        HealthTests(source.name, source.entropy).test(source.sample(STARTUP))


def test_a_clock_without_jitter_fails() -> None:
    """Steps of one length have no change."""
    ticks = iter(range(0, 10**9, 100))
    source = TimerJitter(clock=lambda: next(ticks))
    with pytest.raises(Unhealthy):
        HealthTests(source.name, source.entropy).test(source.sample(STARTUP))


def test_errors_are_the_projects() -> None:
    """One root."""
    assert issubclass(SourceUnavailable, MirageError)
    assert issubclass(Unhealthy, MirageError)
