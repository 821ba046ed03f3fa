"""The virtual network that tests are given."""

from __future__ import annotations

import pytest
from mirage.net.testing import Bottleneck, VirtualNetwork, VirtualPort
from mirage.types import Network
from mirage.types.testing import NetworkContract, VirtualClock

ALL = b"\xff" * 6


class TestVirtualPort(NetworkContract):
    def make_link(self, mtu: int) -> tuple[Network, Network]:
        network = VirtualNetwork()
        return network.port(mtu=mtu), network.port(mtu=mtu)


def drain(port: VirtualPort) -> list[bytes]:
    frames = []
    while (frame := port.receive()) is not None:
        frames.append(bytes(frame))
    return frames


def frame(dest: bytes, source: VirtualPort, payload: bytes = b"") -> list[bytes]:
    return [dest, source.mac, b"\x88\xb5", payload]


def test_a_hub_repeats_everything() -> None:
    """Every port but the sender's hears every frame."""
    network = VirtualNetwork()
    a, b, c = network.port(), network.port(), network.port()
    a.send(frame(b.mac, a))
    b.send(frame(a.mac, b))
    assert (len(drain(a)), len(drain(b)), len(drain(c))) == (1, 1, 2)


def test_a_switch_learns() -> None:
    """An address that was seen is behind its port; others, and groups, are everywhere; an address can move."""
    network = VirtualNetwork(switch=True)
    a, b, c = network.port(), network.port(), network.port()
    a.send(frame(b.mac, a))  # b is not known yet
    assert (len(drain(b)), len(drain(c))) == (1, 1)
    b.send(frame(a.mac, b))
    a.send(frame(b.mac, a))
    assert (len(drain(a)), len(drain(b)), len(drain(c))) == (1, 1, 0)
    a.send(frame(ALL, a))
    assert (len(drain(b)), len(drain(c))) == (1, 1)
    c.send(frame(ALL, b))  # b's address, from c's port
    drain(a)
    drain(b)
    a.send(frame(b.mac, a))
    assert (len(drain(b)), len(drain(c))) == (0, 1)


def history(seed: int) -> tuple[list[tuple[int, bytes]], dict[str, int]]:
    clock = VirtualClock()
    network = VirtualNetwork(
        clock,
        seed=seed,
        loss=0.2,
        duplicate=0.1,
        corrupt=0.1,
        reorder=0.1,
        delay_ns=1000,
        jitter_ns=50,
        reorder_ns=5000,
    )
    a, b = network.port(), network.port()
    arrived: list[tuple[int, bytes]] = []
    b.on_readable(lambda: arrived.extend((clock.elapsed_ns(), f) for f in drain(b)))
    for number in range(500):
        a.send(frame(b.mac, a, number.to_bytes(2, "big")))
        clock.advance_ns(100)
    clock.advance(1)
    return arrived, dict(network.fates)


def test_unreliable_and_reproducible() -> None:
    """Frames are lost, doubled, damaged and reordered, the same way for the same seed, and every fate is counted."""
    arrived, fates = history(1)
    assert (arrived, fates) == history(1)
    assert arrived != history(2)[0]
    assert fates["sent"] == 500
    assert fates["arrived"] == len(arrived) == 500 - fates["lost"] + fates["duplicated"]
    assert 60 <= fates["lost"] <= 140
    assert all(fates[name] > 10 for name in ("duplicated", "corrupted", "held back"))
    assert all(time >= 1000 for time, _ in arrived)
    good = [n for n in (int.from_bytes(f[14:], "big") for _, f in arrived) if n < 500]
    assert good != sorted(good)


def test_corruption_flips_one_bit() -> None:
    """Never the length, never two bits."""
    network = VirtualNetwork(corrupt=1)
    a, b = network.port(), network.port()
    sent = b"".join(frame(b.mac, a, bytes(100)))
    for _ in range(200):
        a.send([sent])
    for got in drain(b):
        assert len(got) == len(sent)
        difference = int.from_bytes(got, "big") ^ int.from_bytes(sent, "big")
        assert difference.bit_count() == 1


def test_a_smaller_mtu_is_a_black_hole() -> None:
    """Long frames vanish at the port that cannot take them, counted there, and the others hear them."""
    network = VirtualNetwork()
    a, b, c = network.port(mtu=1500), network.port(mtu=1280), network.port(mtu=1500)
    a.send(frame(ALL, a, bytes(1280)))
    a.send(frame(ALL, a, bytes(1281)))
    assert (len(drain(b)), len(drain(c))) == (1, 2)
    assert (b.stats.frames_dropped, network.fates["too long"]) == (1, 1)


def test_queues_are_bounded() -> None:
    """A port that nobody reads drops what it has no room for."""
    network = VirtualNetwork()
    a, b = network.port(), network.port(capacity=3)
    for _ in range(5):
        a.send(frame(b.mac, a))
    assert len(drain(b)) == 3
    assert (b.stats.frames_dropped, network.fates["no room"]) == (2, 2)


def test_the_weather_may_change() -> None:
    """A blackout and its end, in the middle of a test."""
    network = VirtualNetwork()
    a, b = network.port(), network.port()
    for loss, expected in ((0.0, 1), (1.0, 0), (0.0, 1)):
        network.loss = loss
        a.send(frame(b.mac, a))
        assert len(drain(b)) == expected


def test_an_unplugged_port_is_silent() -> None:
    """Frames on their way to a closed port are lost and said to be."""
    clock = VirtualClock()
    network = VirtualNetwork(clock, delay_ns=10)
    a, b = network.port(), network.port()
    a.send(frame(b.mac, a))
    b.close()
    clock.advance(1)
    assert network.fates["unplugged"] == 1


def test_a_bottleneck_spaces_frames_and_overflows() -> None:
    """Frames leave one after the other at its rate; what its queue cannot hold is dropped from the end."""
    clock = VirtualClock()
    network = VirtualNetwork(clock, delay_ns=1000)
    a, b = network.port(), network.port()
    a.bottleneck = Bottleneck(rate=1_000_000, queue=350)
    arrived: list[tuple[int, int]] = []
    b.on_readable(lambda: arrived.extend((clock.elapsed_ns(), f[14]) for f in drain(b)))
    for number in range(5):
        a.send(frame(b.mac, a, bytes([number]) + bytes(85)))
    clock.advance(1)
    assert arrived == [(101_000, 0), (201_000, 1), (301_000, 2)]
    assert (network.fates["queue full"], a.bottleneck.dropped, a.bottleneck.offered) == (2, 2, 5)
    a.send(frame(b.mac, a, bytes([9])))
    clock.advance(1)
    assert arrived[-1] == (1_000_000_000 + 15_000 + 1000, 9)


def test_a_bottleneck_may_be_shared() -> None:
    """What one port sends delays what another does; without a limit nothing is dropped."""
    clock = VirtualClock()
    network = VirtualNetwork(clock)
    a, b, c = network.port(), network.port(), network.port()
    a.bottleneck = b.bottleneck = Bottleneck(rate=1000)
    for port in (a, b):
        port.send(frame(c.mac, port, bytes(86)))
    clock.advance(0.15)
    assert len(drain(c)) == 1
    clock.advance(0.1)
    assert len(drain(c)) == 1
    with pytest.raises(ValueError, match="rate of 0"):
        Bottleneck(0)


def test_a_bottleneck_needs_a_clock() -> None:
    """There is no queue where there is no time."""
    network = VirtualNetwork()
    a = network.port()
    a.bottleneck = Bottleneck(1000)
    with pytest.raises(ValueError, match="needs a clock"):
        a.send([bytes(14)])


def test_a_test_may_choose_and_watch() -> None:
    """Which frames are lost, and what became of each; long ones vanish on the way where the network says so."""
    network = VirtualNetwork()
    a, b = network.port(), network.port()
    seen: list[tuple[VirtualPort, int, str]] = []
    network.watch = lambda port, octets, fate: seen.append((port, octets[14], fate))
    network.choose = lambda port, octets: octets[14] != 2
    network.largest = 114
    for number, size in ((1, 100), (2, 100), (3, 101)):
        a.send(frame(b.mac, a, bytes([number]) + bytes(size - 1)))
    assert [octets[14] for octets in drain(b)] == [1]
    assert seen == [(a, 1, "sent"), (b, 1, "arrived"), (a, 2, "sent"), (a, 3, "sent")]
    assert (network.fates["chosen"], network.fates["too long"]) == (1, 1)


def test_arguments_are_checked() -> None:
    """Delays need a clock, probabilities their range, also when they are set later."""
    for bad in ({"delay_ns": 1}, {"jitter_ns": 1}, {"reorder": 0.5}):
        with pytest.raises(ValueError, match="need a clock"):
            VirtualNetwork(**bad)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="probability"):
        VirtualNetwork(loss=1.5)
    network = VirtualNetwork()
    port = network.port()
    network.corrupt = -1
    with pytest.raises(ValueError, match="corrupt=-1"):
        port.send([bytes(14)])
