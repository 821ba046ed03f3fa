"""The health tests of SP 800-90B section 4.4."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mirage.entropy import Unhealthy
from mirage.entropy.health import STARTUP, WINDOW, HealthTests, proportion_cutoff, repetition_cutoff


def test_cutoffs_follow_section_4_4() -> None:
    """At alpha = 2**-30: 31 equal samples of a full bit; and the cutoffs fall as the entropy rises."""
    assert repetition_cutoff(1) == 31
    assert repetition_cutoff(8) == 5
    assert repetition_cutoff(0.5) == 61
    cutoffs = [proportion_cutoff(h) for h in (0.2, 0.5, 1, 2, 4, 8)]
    assert cutoffs == sorted(cutoffs, reverse=True)


def test_the_proportion_cutoff_is_the_binomial_quantile() -> None:
    """The chance of reaching the cutoff is at most 2**-30, and that of the number below is more."""
    from math import comb

    for entropy in (0.5, 1, 3, 8):
        cutoff, p = proportion_cutoff(entropy), 2.0**-entropy

        def beyond(count: int, p: float = p) -> float:
            return sum(comb(WINDOW, k) * p**k * (1 - p) ** (WINDOW - k) for k in range(count, WINDOW + 1))

        assert beyond(cutoff) <= 2.0**-30 < beyond(cutoff - 1)


def test_a_good_source_passes_its_start_up_test() -> None:
    """Uniform octets pass, and the source has started after 1024 of them, not before."""
    generator = random.Random(1)
    tests = HealthTests("good", 8)
    tests.test(generator.randrange(256) for _ in range(STARTUP - 1))
    assert not tests.started
    tests.test([generator.randrange(256)])
    assert tests.started
    tests.test(generator.randrange(256) for _ in range(20_000))


@given(st.integers(0, 255), st.floats(0.1, 8))
def test_a_stuck_source_fails_at_the_cutoff(value: int, entropy: float) -> None:
    """Exactly as many equal samples as the smaller of the cutoffs are an alarm."""
    tests = HealthTests("stuck", entropy)
    limit = min(repetition_cutoff(entropy), proportion_cutoff(entropy))
    tests.test([value] * (limit - 1))
    with pytest.raises(Unhealthy, match="stuck"):
        tests.test([value])
    assert not tests.started


def test_a_biased_source_fails_the_proportion_test() -> None:
    """A value that comes every other time passes the repetition test and fails the other."""
    tests = HealthTests("biased", 4)
    with pytest.raises(Unhealthy, match="adaptive proportion"):
        tests.test(value for n in range(WINDOW) for value in (7, n))


def test_an_alarm_is_for_ever() -> None:
    """After an alarm good samples do not bring the source back."""
    tests = HealthTests("broken", 8)
    with pytest.raises(Unhealthy):
        tests.test([0] * 10)
    with pytest.raises(Unhealthy):
        tests.test(range(200))


def test_impossible_claims_are_refused() -> None:
    """A sample has more than no entropy."""
    with pytest.raises(ValueError, match="bits of entropy"):
        HealthTests("nothing", 0)
