"""The one code path of all devices, over a socket that keeps messages apart as a device file does."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mirage.net import BadOffload, DeviceNetwork, NetworkUnavailable
from mirage.net.testing import device_link
from mirage.types import Checksum, DeviceClosed, DeviceError, FrameMeta, Network, Offload, OffloadNetwork, OutOfRange
from mirage.types import Segmentation as Seg
from mirage.types.testing import NetworkContract

HEAD = b"\2\0\0\0\0\2" + b"\2\0\0\0\0\1" + b"\x88\xb5"
TCP4 = FrameMeta(Checksum.PARTIAL, 34, 16, Seg.TCP4, 1460, 54)
ALL = Offload.CHECKSUM | Offload.TSO4 | Offload.TSO6 | Offload.ECN


class TestDeviceNetwork(NetworkContract):
    @pytest.fixture(autouse=True)
    def _loop(self) -> Iterator[None]:
        self.loop = asyncio.new_event_loop()
        yield
        self.loop.close()

    def make_link(self, mtu: int) -> tuple[Network, Network]:
        return device_link(mtu=mtu, loop=self.loop)

    def turn(self) -> None:
        self.loop.call_soon(self.loop.stop)
        self.loop.run_forever()


@pytest.fixture
def raw() -> Iterator[tuple[DeviceNetwork, socket.socket]]:
    """A device, and the naked other side of its file."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.setblocking(False)
    device = DeviceNetwork(ours.detach(), mac=b"\2\0\0\0\0\1", mtu=1500)
    with theirs:
        yield device, theirs
    device.close()


@pytest.fixture
def link() -> Iterator[tuple[DeviceNetwork, DeviceNetwork]]:
    left, right = device_link()
    yield left, right
    left.close()
    right.close()


def test_fits_the_protocol(link: tuple[DeviceNetwork, DeviceNetwork]) -> None:
    """The device is an `OffloadNetwork` with every method."""
    assert isinstance(link[0], OffloadNetwork)


def test_one_write_is_a_header_and_a_frame(raw: tuple[DeviceNetwork, socket.socket]) -> None:
    """Twelve octets of virtio-net, then the frame, and nothing else."""
    device, file = raw
    assert device.send([HEAD, b"payload"])
    assert file.recv(70_000) == bytes(12) + HEAD + b"payload"
    file.send(bytes(10) + b"\1\0" + HEAD + b"answer")  # num_buffers is 1 in frames from a modern device
    frame = device.receive()
    assert frame is not None
    assert bytes(frame) == HEAD + b"answer"


def test_batches_keep_order_and_meta(link: tuple[DeviceNetwork, DeviceNetwork]) -> None:
    """Frames of all kinds arrive in order with what was said of them, each in its own octets."""
    left, right = link
    assert left.enable_offload(ALL) == right.enable_offload(ALL) == ALL
    assert left.max_frame == 65535 + 14
    metas = [FrameMeta(), FrameMeta(Checksum.PARTIAL, 34, 6), TCP4, TCP4._replace(segmentation=Seg.TCP6, ecn=True)]
    sizes = [14, 100, 40_000, 65549]
    frames = [
        (meta, [HEAD, bytes([n + 1]) * (size - 14)]) for n, (meta, size) in enumerate(zip(metas, sizes, strict=True))
    ]
    assert left.send_many(frames) == 4
    got = right.receive_many()
    assert [meta for meta, _ in got] == metas
    assert [bytes(frame) for _, frame in got] == [b"".join(parts) for _, parts in frames]
    assert right.receive_many() == []
    assert (right.stats.frames_received, right.stats.octets_received) == (4, sum(sizes))


def test_batches_are_bounded(link: tuple[DeviceNetwork, DeviceNetwork]) -> None:
    """By the limit that was asked for, and by the buffer."""
    left, right = link
    left.enable_offload(ALL)
    for _ in range(10):
        left.send([HEAD])
    assert [len(right.receive_many(limit)) for limit in (3, 1, 100)] == [3, 1, 6]
    assert left.send_many([(TCP4, [bytes(65549)])] * 6) == 6
    counts = []
    while frames := right.receive_many():
        counts.append(len(frames))
    assert sum(counts) == 6
    assert max(counts) <= 4


def test_a_full_device_takes_a_part(link: tuple[DeviceNetwork, DeviceNetwork]) -> None:
    """`send_many` says how many went, and the rest can go later; `send` drops and counts."""
    left, right = link
    frames = [(FrameMeta(), [HEAD, n.to_bytes(4, "big"), bytes(1000)]) for n in range(5000)]
    taken = left.send_many(frames)
    assert 0 < taken < 5000
    assert left.stats.frames_dropped == 0
    assert left.stats.frames_sent == taken
    assert not left.send([HEAD])
    assert left.stats.frames_dropped == 1
    numbers = []
    while taken < 5000 or numbers[-1] < 4999:
        numbers += [int.from_bytes(frame[14:18], "big") for _, frame in right.receive_many()]
        taken += left.send_many(frames[taken:])
    assert numbers == list(range(5000))


def test_nothing_is_offloaded_before_it_is_enabled(link: tuple[DeviceNetwork, DeviceNetwork]) -> None:
    """A stack cannot use what was not granted, and what it was granted it can give back."""
    left, _ = link
    for enabled in (Offload.NONE, Offload.CHECKSUM, Offload.CHECKSUM | Offload.TSO6, Offload.NONE):
        assert left.enable_offload(enabled) == enabled
        with pytest.raises(BadOffload, match=r"TSO4.* is not enabled"):
            left.send_many([(TCP4, [bytes(2000)])])
    with pytest.raises(BadOffload, match=r"CHECKSUM.* is not enabled"):
        left.send_many([(FrameMeta(Checksum.PARTIAL, 34, 16), [bytes(100)])])
    assert left.max_frame == 1514
    left.enable_offload(ALL & ~Offload.ECN)
    with pytest.raises(BadOffload, match="ECN"):
        left.send_many([(TCP4._replace(ecn=True), [bytes(2000)])])
    assert left.stats.frames_sent == 0


def test_offload_is_granted_in_part() -> None:
    """What the device cannot do is not enabled; segmentation without checksums is nothing."""
    for can, wanted, granted in (
        (Offload.NONE, ALL, Offload.NONE),
        (Offload.CHECKSUM, ALL, Offload.CHECKSUM),
        (ALL & ~Offload.ECN, ALL, ALL & ~Offload.ECN),
        (ALL, Offload.TSO4, Offload.NONE),
        (ALL, Offload.CHECKSUM | Offload.TSO4, Offload.CHECKSUM | Offload.TSO4),
    ):
        left, right = device_link(offload=can)
        assert left.enable_offload(wanted) == granted, (can, wanted)
        left.close()
        right.close()


def test_a_device_without_offloads_grants_none(raw: tuple[DeviceNetwork, socket.socket]) -> None:
    """A file that knows no such request is a plain device."""
    assert raw[0].enable_offload(ALL) == Offload.NONE


def test_frames_must_fit_their_meta(link: tuple[DeviceNetwork, DeviceNetwork]) -> None:
    """Lengths and the place of the checksum; the frames before a bad one are sent."""
    left, right = link
    left.enable_offload(ALL)
    for meta, size, error in (
        (FrameMeta(), 1515, OutOfRange),
        (FrameMeta(Checksum.PARTIAL, 34, 16), 1515, OutOfRange),
        (TCP4, 65550, OutOfRange),
        (TCP4, 13, OutOfRange),
        (FrameMeta(Checksum.PARTIAL, 34, 16), 51, BadOffload),
    ):
        with pytest.raises(error):
            left.send_many([(FrameMeta(), [HEAD]), (meta, [bytes(size)])])
        assert len(right.receive_many()) == 1


def test_plain_receive_never_returns_half_a_frame(link: tuple[DeviceNetwork, DeviceNetwork]) -> None:
    """What came while an offload was enabled is of no use to a stack that knows none: dropped, counted."""
    left, right = link
    left.enable_offload(ALL)
    left.send_many([(TCP4, [bytes(3000)]), (FrameMeta(Checksum.PARTIAL, 34, 16), [bytes(60)]), (FrameMeta(), [HEAD])])
    assert right.receive() == HEAD
    assert right.receive() is None
    assert (right.stats.frames_received, right.stats.octets_received, right.stats.frames_dropped) == (1, 14, 2)


@pytest.mark.parametrize(
    "octets",
    [
        b"!",
        bytes(11),
        bytes(12),
        bytes(12) + bytes(13),
        bytes.fromhex("0003" + "00" * 10) + bytes(100),
        bytes.fromhex("0001" + "00" * 10) + bytes(100),
        bytes.fromhex("0100 0000 0000 2200 1000 0000") + bytes(51),
        bytes(12) + bytes(65_554),
    ],
)
def test_damaged_frames_are_dropped(raw: tuple[DeviceNetwork, socket.socket], octets: bytes) -> None:
    """Rubbish from outside is counted, and the next frame comes through."""
    device, file = raw
    file.send(octets)
    file.send(bytes(12) + HEAD)
    assert device.receive() == HEAD
    assert (device.stats.frames_dropped, device.stats.frames_received) == (1, 1)


@given(st.lists(st.binary(min_size=1, max_size=80), max_size=12))
def test_rubbish_never_raises(messages: list[bytes]) -> None:
    """Whatever comes, every frame that is returned is one, and all are accounted for."""
    ours, file = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    device = DeviceNetwork(ours.detach(), mac=b"\2\0\0\0\0\1", mtu=1500)
    with file:
        for message in messages:
            file.send(message)
        for meta, frame in device.receive_many():
            assert len(frame) >= 14
            assert meta.checksum is not Checksum.PARTIAL or meta.checksum_start + meta.checksum_offset + 2 <= len(frame)
        assert device.stats.frames_received + device.stats.frames_dropped == len(messages)
    device.close()


def test_rubbish_cannot_hold_a_call(raw: tuple[DeviceNetwork, socket.socket]) -> None:
    """A call gives up after some hundred damaged frames; the next goes on."""
    device, file = raw
    sent = 0
    try:
        while sent < 1000:
            file.send(b"!")
            sent += 1
    except BlockingIOError:
        pass
    device.receive_many()
    assert device.stats.frames_dropped == min(sent, 256)


def test_a_device_that_ends_says_so(raw: tuple[DeviceNetwork, socket.socket]) -> None:
    """What had come is still received; then it is an error, never an empty queue for ever."""
    device, file = raw
    file.send(bytes(12) + HEAD)
    file.close()
    assert device.receive_many()[0][1] == HEAD
    with pytest.raises(NetworkUnavailable, match="has ended"):
        device.receive_many()
    with pytest.raises(NetworkUnavailable, match="does not work any more"):
        device.send([HEAD])


def test_many_headers_are_forgotten_again(link: tuple[DeviceNetwork, DeviceNetwork]) -> None:
    """A hostile host cannot fill our memory with headers that are all different."""
    left, right = link
    left.enable_offload(ALL)
    for size in range(1, 9001):
        meta = TCP4._replace(segment_size=size)
        left.send_many([(meta, [HEAD, bytes(60)])])
        assert right.receive_many()[0][0] == meta
    assert len(left._frames._headers) <= 4096
    assert len(right._frames._metas) <= 4096


def test_opening_says_what_is_wrong() -> None:
    """A missing device, one that cannot say its address, an address that is none."""
    with pytest.raises(NetworkUnavailable, match="started without a network"):
        DeviceNetwork("/dev/net0-is-not-here")
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(NetworkUnavailable, match="pass mac="):
        DeviceNetwork("/dev/null")
    with pytest.raises(NetworkUnavailable, match="pass mtu="):
        DeviceNetwork("/dev/null", mac=b"\2\0\0\0\0\1")
    for mac in (b"", b"\1\0\0\0\0\1", b"\2\0\0\0\0\1\2"):
        with pytest.raises(ValueError, match="no address of one station"):
            DeviceNetwork("/dev/null", mac=mac, mtu=1500)
    assert len(os.listdir("/proc/self/fd")) == before


def test_readiness(link: tuple[DeviceNetwork, DeviceNetwork]) -> None:
    """The running loop is used by default; without one, the message says what to do; closing stops the callback."""
    left, right = link
    with pytest.raises(DeviceError, match="no event loop runs"):
        right.on_readable(lambda: None)

    async def main() -> bytes:
        arrived = asyncio.Event()
        right.on_readable(arrived.set)
        left.send([HEAD])
        await arrived.wait()
        frame = right.receive()
        assert frame is not None
        answer = bytes(frame)
        left.send([HEAD])
        right.close()
        await asyncio.sleep(0)
        return answer

    assert asyncio.run(main()) == HEAD
    with pytest.raises(DeviceClosed):
        right.fileno()


def test_closing_after_the_loop() -> None:
    """A device may outlive its loop."""
    left, right = device_link()

    async def main() -> None:
        right.on_readable(lambda: None)

    asyncio.run(main())
    right.close()
    left.close()
    assert "closed" in repr(left)
