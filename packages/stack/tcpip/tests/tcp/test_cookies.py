"""SYN cookies (RFC 4987 3.6)."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st
from mirage.tcpip.tcp.cookies import OPTION_BITS, SynCookies

LOCAL, REMOTE = bytes([192, 0, 2, 1]), bytes([198, 51, 100, 7])


def cookies(seed: int = 0) -> SynCookies:
    return SynCookies(random.Random(seed).randbytes)


@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 65535),
    st.floats(0, 1e9),
    st.one_of(st.none(), st.integers(0, 14)),
    st.booleans(),
    st.booleans(),
    st.integers(2**OPTION_BITS, 2**32 - 1),
)
def test_rfc4987_3_6_what_went_out_comes_back(
    irs: int, mss: int, now: float, scale: int | None, sack: bool, ecn: bool, clock: int
) -> None:
    """All that the SYN offered, its MSS rounded down; for a minute at least."""
    makes = cookies()
    isn, rounded = makes.make(LOCAL, 80, REMOTE, 4321, irs, mss, now)
    stamp = makes.timestamp(clock, scale, sack, ecn)
    assert 0 <= isn < 2**32
    assert rounded <= max(mss, 216)
    assert clock - (2 << OPTION_BITS) < stamp <= clock
    found = makes.check(LOCAL, 80, REMOTE, 4321, irs, isn, now + 60, stamp)
    assert found == (rounded, scale, sack, ecn)
    assert makes.check(LOCAL, 80, REMOTE, 4321, irs, isn, now + 60) == (rounded, None, False, False)


def test_rfc4987_3_6_a_cookie_expires() -> None:
    """After two slots it is worth nothing, and when its five bits of slot come round neither."""
    makes = cookies()
    isn, _ = makes.make(LOCAL, 80, REMOTE, 4321, 1, 1460, 1000.0)
    for later in (129, 300, 1000, 1900, 32 * 64, 33 * 64, 320 * 64):
        makes.make(LOCAL, 80, REMOTE, 4322, 1, 1460, 1000.0 + later)  # others are good at that time
        assert makes.check(LOCAL, 80, REMOTE, 4321, 1, isn, 1000.0 + later) is None


def test_rfc4987_3_6_none_is_looked_for_in_peace() -> None:
    """Who was sent none, and nobody else either, cannot guess one however often he tries."""
    makes, forges = cookies(), cookies()
    isn, _ = forges.make(LOCAL, 80, REMOTE, 4321, 1, 1460, 1000.0)
    assert makes.check(LOCAL, 80, REMOTE, 4321, 1, isn, 1000.0) is None
    makes.make(LOCAL, 80, REMOTE, 4322, 1, 1460, 1000.0)
    assert makes.check(LOCAL, 80, REMOTE, 4321, 1, isn, 1000.0) is not None


def test_rfc4987_3_6_it_is_for_one_connection() -> None:
    """Another address, port, sequence number, MSS or key does not fit it."""
    makes = cookies()
    isn, _ = makes.make(LOCAL, 80, REMOTE, 4321, 1, 1460, 0.0)
    assert makes.check(LOCAL, 80, REMOTE, 4321, 1, isn, 0.0)
    assert not makes.check(REMOTE, 80, LOCAL, 4321, 1, isn, 0.0)
    assert not makes.check(LOCAL, 81, REMOTE, 4321, 1, isn, 0.0)
    assert not makes.check(LOCAL, 80, REMOTE, 4322, 1, isn, 0.0)
    assert not makes.check(LOCAL, 80, REMOTE, 4321, 2, isn, 0.0)
    assert not makes.check(LOCAL, 80, REMOTE, 4321, 1, isn ^ 1 << 24, 0.0)
    assert not cookies(1).check(LOCAL, 80, REMOTE, 4321, 1, isn, 0.0)


def test_guessing_one_takes_millions_of_tries() -> None:
    """24 bits: of 20 000 guesses with the right slot none fits, for this key."""
    makes = cookies()
    guess = random.Random(5)
    assert not any(makes.check(LOCAL, 80, REMOTE, 4321, 1, guess.getrandbits(27), 0.0) for _ in range(20000))


def test_the_mss_is_rounded_down() -> None:
    """To the next of eight values; below the least there is no less."""
    makes = cookies()
    sizes = {mss: makes.make(LOCAL, 80, REMOTE, 1, 1, mss, 0.0)[1] for mss in (0, 536, 1459, 1460, 9000, 65535)}
    assert sizes == {0: 216, 536: 536, 1459: 1440, 1460: 1460, 9000: 8900, 65535: 8900}
