"""Frames that somebody has tampered with: nothing is raised, memory stays bounded, and both lanes agree."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from host import MAC, OURS4, OURS6, PEER, THEIRS4, THEIRS6, Host, arp_frame, frame4, frame6, icmp4, icmp6, packed, udp4
from hypothesis import given
from hypothesis import strategies as st
from mirage.net.testing import VirtualPort
from mirage.tcpip.stack import Stack
from mirage.tcpip.tcp.connection import Connection
from mirage.tcpip.testing import Simulation
from mirage.tcpip.wire import ipv4, ipv6
from mirage.types import Checksum, FrameMeta

QUOTED = ipv4.build(8, 17, OURS4, THEIRS4, hop_limit=9) + bytes(8)
PREFIX = bytes([3, 4, 64, 0xC0]) + b"\0\0\x0e\x10\0\0\x07\x08" + bytes(4) + packed("2001:db8::")
SEEDS = [
    arp_frame(1, THEIRS4, OURS4),
    arp_frame(2, THEIRS4, OURS4),
    icmp4(8, 0, b"\0\1\0\2", b"hello"),
    icmp4(3, 4, b"\0\0\5\0", QUOTED),
    icmp4(5, 1, THEIRS4, QUOTED),
    frame4(udp4(b"data"), 17),
    frame4(udp4(b"data" * 4), 17, flags=ipv4.MORE_FRAGMENTS, identification=5),
    frame4(b"\0\x50\0\x51" + bytes(8) + b"\x50\x02\0\0\0\0\0\0", 6),
    frame4(b"\x11\x64\0\0\0\0\0\0", 2, to=packed("224.0.0.1"), mac=b"\1\0\x5e\0\0\1"),
    icmp6(128, b"\0\1\0\2hello"),
    icmp6(135, bytes(4) + OURS6 + b"\1\1" + PEER),
    icmp6(136, b"\x60\0\0\0" + THEIRS6 + b"\2\1" + PEER),
    icmp6(134, b"\x40\0\x07\x08" + bytes(8) + b"\1\1" + PEER + PREFIX, source=packed("fe80::1"),
          to=packed("ff02::1"), mac=b"\x33\x33\0\0\0\1"),
    icmp6(137, bytes(4) + THEIRS6 + packed("2001:db8::9") + b"\2\1" + PEER, source=packed("fe80::1")),
    icmp6(130, bytes([0, 100, 0, 0]) + bytes(16) + bytes([2, 125, 0, 0]), source=packed("fe80::1"), hop_limit=1),
    icmp6(2, bytes([0, 0, 5, 0]) + frame6(udp4(b"data"), 17, source=OURS6, to=THEIRS6)[14:]),
    frame6(ipv6.build_fragment(ipv6.Fragment6(17, 0, True, 9)) + bytes(16), 44),
    frame6(bytes([43, 0, 1, 4, 0, 0, 0, 0, 59, 0, 0, 1, 0, 0, 0, 0]), 0),
]  # fmt: skip


@st.composite
def tampered(draw: Callable[..., int]) -> bytes:
    frame = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(12, len(frame) - 1))
        frame[at] = draw(st.integers(0, 255))
    cut: int = draw(st.integers(0, len(frame)))
    if draw(st.booleans()):
        frame = frame[:cut]
    return bytes(frame)


@given(st.lists(tampered(), max_size=20), st.booleans())
def test_any_frames_are_taken(frames: list[bytes], checked: bool) -> None:
    """Unchecked, as if a device had verified the transport's checksum, so that what is behind it is reached too."""
    host = Host()
    host.ip.autoconfigure(host.interface, 0.0)
    meta = FrameMeta() if checked else FrameMeta(Checksum.PARTIAL, 34, 16)
    for frame in frames:
        before = sum(host.counters.values()), len(host.take())
        host.stack.input(host.interface, [(meta, memoryview(frame))], host.now)
        host.stack.poll(host.now)
        assert sum(host.counters.values()) >= before[0]
    host.wait(200.0)
    assert len(host.ip.neighbours.known) <= 30
    assert not host.ip.reassembly._partial


@given(st.lists(st.binary(max_size=100), max_size=5))
def test_any_octets_are_taken(frames: list[bytes]) -> None:
    host = Host()
    host.give(*frames, *(MAC + PEER + b"\x08\0" + f for f in frames), *(MAC + PEER + b"\x86\xdd" + f for f in frames))


@pytest.mark.parametrize("address", ["10.0.0.2", "fd00::2"])
def test_the_fast_lane_changes_nothing(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same history with the lane on and off, with losses and corruption: every frame that goes out is the same."""

    def history(fast: bool) -> tuple[list[bytes], bytes]:
        monkeypatch.setattr(Stack, "fast", fast)
        sent: list[bytes] = []
        with Simulation(seed=3) as simulation:
            network = simulation.network(delay=0.005, loss=0.02, corrupt=0.02, duplicate=0.02, reorder=0.02)
            client = simulation.host("client", network, "10.0.0.1/24", "fd00::1/64")
            server = simulation.host("server", network, "10.0.0.2/24", "fd00::2/64")
            watch = network.watch

            def see(port: VirtualPort, frame: bytes, fate: str) -> None:
                if fate == "sent":
                    sent.append(bytes(frame))
                if watch is not None:
                    watch(port, frame, fate)

            network.watch = see
            listener = server.stack.listen(80, version=6 if ":" in address else 4)
            connection = client.stack.connect(address, 80, now=simulation.now)
            connection.write(random.Random(5).randbytes(100_000))
            connection.shutdown()
            accepted: list[Connection] = []
            got = bytearray()

            def done() -> bool:
                if not accepted and (taken := listener.accept()) is not None:
                    accepted.append(taken)
                for end in accepted:
                    while data := end.read(65536):
                        got.extend(data)
                return len(got) >= 100_000

            simulation.run(done)
        return sent, bytes(got)

    with_lane, without = history(True), history(False)
    assert with_lane[1] == random.Random(5).randbytes(100_000)
    assert with_lane == without
    assert len(with_lane[0]) > 100
