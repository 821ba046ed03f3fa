"""Health tests of noise: SP 800-90B section 4.4, which RFC 4086 section 3 asks for in other words.

A source is tested on its raw samples, before anything conditions them: the output of a hash looks random even when what
goes in is constant. Both tests run on every sample from the first on; a source has passed its start-up test when
`STARTUP` samples went through without an alarm (section 4.3 item 3). The tests find a source that has failed; they do
not measure how good one is that has not.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil, comb
from typing import Final

from .errors import Unhealthy

__all__ = ["STARTUP", "WINDOW", "HealthTests", "proportion_cutoff", "repetition_cutoff"]

STARTUP: Final = 1024
"""Samples that a source gives up for its start-up test (section 4.3 item 3: "at least 1024 consecutive samples")."""

WINDOW: Final = 512
"""Samples in a window of the adaptive proportion test, for samples that are not single bits (section 4.4.2)."""

_ALARM_EXPONENT: Final = 30
"""A good source raises a false alarm once in 2**30 samples; section 4.4.1 recommends 2**-20 to 2**-40."""


def repetition_cutoff(entropy: float) -> int:
    """How many equal samples in a row are an alarm, at `entropy` bits in each: 1 + ceil(-log2(alpha) / H)."""
    return 1 + ceil(_ALARM_EXPONENT / entropy)


def proportion_cutoff(entropy: float) -> int:
    """How often a window's first sample may stand in it before that is an alarm, at `entropy` bits in each.

    Section 4.4.2: 1 + CRITBINOM(W, 2**-H, 1 - alpha), the smallest number that a binomial variable exceeds with at most
    the probability alpha; summed here from the top, where the terms are smallest.
    """
    p = 2.0**-entropy
    tail, alpha = 0.0, 2.0**-_ALARM_EXPONENT
    for count in range(WINDOW, -1, -1):
        tail += comb(WINDOW, count) * p**count * (1 - p) ** (WINDOW - count)
        if tail > alpha:
            return min(1 + count, WINDOW)
    return WINDOW


class HealthTests:
    """Both tests for one source whose samples are said to have `entropy` bits each. Memory is constant."""

    def __init__(self, name: str, entropy: float) -> None:
        if not 0 < entropy <= 64:
            raise ValueError(f"a sample of {name} cannot have {entropy} bits of entropy: say more than 0, at most 64")
        self._name = name
        self._repetitions = repetition_cutoff(entropy)
        self._most = proportion_cutoff(entropy)
        self._last: int | None = None
        self._run = 0
        self._first = 0
        self._seen = 0
        self._count = 0
        self._failed = ""
        self.samples = 0
        """How many have been tested."""

    @property
    def started(self) -> bool:
        """Whether the start-up test is over and was passed."""
        return self.samples >= STARTUP and not self._failed

    def test(self, samples: Iterable[int]) -> None:
        """Take samples in their order. Raises `Unhealthy` at an alarm, and for ever after: a broken source stays so."""
        if self._failed:
            raise Unhealthy(self._failed)
        for sample in samples:
            self.samples += 1
            if sample == self._last:
                self._run += 1
                if self._run >= self._repetitions:
                    self._alarm(f"gave {sample} {self._run} times in a row (repetition count test)")
            else:
                self._last, self._run = sample, 1
            if self._seen == 0:
                self._first, self._count = sample, 1
            elif sample == self._first:
                self._count += 1
                if self._count >= self._most:
                    self._alarm(f"gave {sample} {self._count} times in {self._seen + 1} (adaptive proportion test)")
            self._seen = (self._seen + 1) % WINDOW

    def _alarm(self, what: str) -> None:
        self._failed = f"the entropy source {self._name} {what}; it is not used any more"
        raise Unhealthy(self._failed)
