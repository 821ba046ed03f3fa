"""Captures: read back block by block, and by tcpdump."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mirage.tcpip.pcapng import Direction, Tap, packet_block

MAC = bytes.fromhex("020000000001")
# An ARP request, padded as on a wire.
ARP = bytes.fromhex("ffffffffffff020000000001080600010800060400010200000000010a0000010000000000000a000002") + bytes(18)


def blocks(capture: bytes) -> list[tuple[int, bytes]]:
    """Type and body of each; both lengths must agree."""
    found, at = [], 0
    while at < len(capture):
        kind, size = struct.unpack_from("<II", capture, at)
        assert size % 4 == 0
        assert struct.unpack_from("<I", capture, at + size - 4)[0] == size
        found.append((kind, capture[at + 8 : at + size - 4]))
        at += size
    return found


@given(st.lists(st.tuples(st.binary(max_size=200), st.integers(0, 2**63), st.sampled_from(Direction)), max_size=5))
def test_blocks_hold_what_was_put_in(frames: list[tuple[bytes, int, Direction]]) -> None:
    """Frames of any length, times of 64 bits, directions."""
    capture = b"".join(packet_block(3, *frame) for frame in frames)
    seen = []
    for kind, body in blocks(capture):
        assert kind == 6
        interface, high, low, kept, size = struct.unpack_from("<IIIII", body)
        assert interface == 3
        assert kept == size
        flags = body[20 + kept + (-kept & 3) :]
        assert flags[:4] == struct.pack("<HH", 2, 4)
        seen.append((body[20 : 20 + kept], high << 32 | low, Direction(flags[4])))
    assert seen == frames


def test_a_capture_begins_with_its_interfaces() -> None:
    """However late one was named; and slices are one frame."""
    tap = Tap()
    first = tap.interface("left", MAC)
    tap.frame(first, [ARP[:14], memoryview(ARP)[14:]], 1.0, Direction.SENT)
    tap.frame(tap.interface("right"), ARP, 2.0)
    found = blocks(tap.capture())
    assert [kind for kind, _ in found] == [0x0A0D0D0A, 1, 1, 6, 6]
    assert b"left" in found[1][1]
    assert MAC in found[1][1]
    assert found[3][1][20:80] == ARP == found[4][1][20:80]


def test_the_last_frames_are_kept() -> None:
    """Within the limit; those that gave way are counted."""
    tap = Tap(limit=1000)
    number = tap.interface("eth0")
    for n in range(100):
        tap.frame(number, ARP, float(n))
    times = [struct.unpack_from("<II", body, 4) for kind, body in blocks(tap.capture()) if kind == 6]
    assert len(times) + tap.dropped == 100
    assert 5 < len(times) < 12
    assert times[-1][0] << 32 | times[-1][1] == 99 * 10**9


def test_an_interface_must_be_named_first() -> None:
    """A reader would find a packet from nowhere."""
    with pytest.raises(ValueError, match=r"Tap\.interface"):
        Tap().frame(0, ARP, 0.0)


@pytest.mark.tool("tcpdump")
def test_tcpdump_reads_it(tmp_path: Path) -> None:
    """Times to the nanosecond, names of interfaces, directions and what is in the frames."""
    tap = Tap(comment="seed 7", epoch=1_700_000_000.0)
    left, right = tap.interface("left", MAC, "the client"), tap.interface("right")
    tap.frame(left, ARP, 0.25, Direction.SENT)
    tap.frame(right, ARP, 0.5, Direction.RECEIVED, comment="lost")
    path = tmp_path / "x.pcapng"
    path.write_bytes(tap.capture())
    shown = subprocess.run(
        ["tcpdump", "-n", "-tt", "--nano", "-r", str(path)], capture_output=True, text=True, check=True, timeout=20
    )
    lines = shown.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["1700000000.250000000", "1700000000.500000000"]
    assert all("ARP, Request who-has 10.0.0.2 tell 10.0.0.1" in line for line in lines)
    assert "EN10MB" in shown.stderr
