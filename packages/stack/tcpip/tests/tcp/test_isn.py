"""Initial sequence numbers (RFC 6528), timestamp offsets (RFC 7323) and ephemeral ports (RFC 6056)."""

from __future__ import annotations

import random

from mirage.tcpip.tcp.isn import EPHEMERAL_PORTS, InitialNumbers, PortChooser

A, B, C = b"\x0a\0\0\1", b"\x0a\0\0\2", bytes(16)


def numbers(seed: int = 0) -> InitialNumbers:
    return InitialNumbers(random.Random(seed).randbytes)


def test_rfc6528_3_the_clock_ticks_every_four_microseconds() -> None:
    """The same connection later starts above where it started before, as far as time has gone, modulo 2**32."""
    made = numbers()
    first = made.isn(A, 80, B, 1234, 1000.0)
    for seconds in (0.5, 1.0, 100.0, 20000.0):
        later = made.isn(A, 80, B, 1234, 1000.0 + seconds)
        assert (later - first) % 2**32 == int(seconds * 250_000) % 2**32


def test_rfc6528_3_each_connection_has_a_space_of_its_own() -> None:
    """Any of the four changes it, exchanging them too, and so does the key."""
    made = numbers()
    seen = {
        made.isn(A, 80, B, 1234, 0.0),
        made.isn(B, 80, A, 1234, 0.0),
        made.isn(A, 1234, B, 80, 0.0),
        made.isn(A, 81, B, 1234, 0.0),
        made.isn(C, 80, B, 1234, 0.0),
        numbers(1).isn(A, 80, B, 1234, 0.0),
    }
    assert len(seen) == 6
    assert all(0 <= value < 2**32 for value in seen)


def test_rfc7323_5_4_timestamps_of_two_hosts() -> None:
    """The offset is that of the pair of hosts, whatever the ports, and another for another pair."""
    made = numbers()
    offsets = {made.timestamp_offset(A, B), made.timestamp_offset(B, A), made.timestamp_offset(A, C)}
    assert len(offsets) == 3
    assert made.timestamp_offset(A, B) in offsets
    assert all(0 <= value < 2**32 for value in offsets)


def test_rfc6056_3_3_3_ports_go_up_for_one_destination() -> None:
    """So that one is used again as late as can be; another destination begins somewhere else."""
    chooser = PortChooser(random.Random(1).randbytes)
    first = [chooser.choose(A, B, 80, lambda port: False) for _ in range(100)]
    start = EPHEMERAL_PORTS.index(first[0] or 0)
    assert first == [EPHEMERAL_PORTS[(start + n) % len(EPHEMERAL_PORTS)] for n in range(100)]
    assert chooser.choose(A, B, 81, lambda port: False) not in range((first[0] or 0) - 100, (first[-1] or 0) + 100)


def test_rfc6056_3_3_3_taken_ports_are_passed_over() -> None:
    """Until there is none left."""
    chooser = PortChooser(random.Random(1).randbytes, range(5000, 5010))
    taken: set[int] = set()
    for _ in range(10):
        port = chooser.choose(A, B, 80, taken.__contains__)
        assert port is not None
        taken.add(port)
    assert taken == set(range(5000, 5010))
    assert chooser.choose(A, B, 80, taken.__contains__) is None
