"""The echo endpoint."""

from __future__ import annotations

import pytest
from mirage.tcpip.errors import AddressUnavailable, NotConnected, Unreachable
from mirage.tcpip.ip.packet import ErrorKind
from mirage.tcpip.ping import Echo
from mirage.tcpip.stack import packed
from mirage.tcpip.testing import Simulation


@pytest.mark.parametrize("address", ["10.0.0.2", "fd00::2", "10.0.0.1", "::1"])
def test_answers_come_with_their_times(address: str) -> None:
    """From another host over a slow network, and from this one."""
    with Simulation(seed=1) as simulation:
        network = simulation.network(delay=0.05)
        one = simulation.host("one", network, "10.0.0.1/24", "fd00::1/64")
        simulation.host("two", network, "10.0.0.2/24", "fd00::2/64")
        ping = one.stack.ping(6 if ":" in address else 4)
        answers: list[Echo] = []

        def news() -> None:
            while (echo := ping.read()) is not None:
                answers.append(echo)

        ping.owner = news
        for size in (0, 1400, 60_000):
            ping.send(packed(address), b"x" * size, now=simulation.now)
        simulation.run(lambda: len(answers) == 3)
        assert [(e.sequence, len(e.data), e.hop_limit) for e in answers] == [(0, 0, 64), (1, 1400, 64), (2, 60_000, 64)]
        if address.endswith("2"):
            assert 0.1 <= answers[-1].seconds < 0.3
        ping.close()
        with pytest.raises(NotConnected):
            ping.send(packed(address), now=simulation.now)


def test_nobody_there() -> None:
    with Simulation(seed=1) as simulation:
        network = simulation.network()
        one = simulation.host("one", network, "10.0.0.1/24")
        ping = one.stack.ping(4)
        ping.send(packed("10.0.0.99"), now=simulation.now)
        simulation.wait(3.5)
        assert ping.read() is None
        with pytest.raises(Unreachable):
            ping.send(packed("10.0.0.99"), now=simulation.now)
        with pytest.raises(AddressUnavailable):
            ping.send(packed("fd00::1"), now=simulation.now)


def test_errors_on_the_way_are_answers_too() -> None:
    """What a traceroute lives by; `reporter` is the router."""
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).parent / "ip"))
    from host import THEIRS4, Host, icmp4

    host = Host()
    ping = host.stack.ping(4)
    sequence = ping.send(THEIRS4, b"hello", now=0.0, hop_limit=1)
    (sent,) = host.take()
    assert sent[22] == 1
    host.now = 0.25
    host.give(icmp4(11, 0, bytes(4), sent[14:]))
    assert ping.read() == Echo(sequence, THEIRS4, 0.25, 0, b"", ErrorKind.TIME_EXCEEDED)
    other = bytearray(sent[14:])
    other[24] ^= 1  # another identifier
    host.give(icmp4(11, 0, bytes(4), bytes(other)))
    assert ping.read() is None
