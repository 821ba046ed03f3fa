"""What every network device promises, as a test class that the tests of a device inherit.

A device's test file says how to make two that are joined, and pytest collects the rest::

    class TestMyNetwork(NetworkContract):
        def make_link(self, mtu: int) -> tuple[Network, Network]:
            return my_cable(mtu)

A device whose callbacks need an event loop overrides `turn`. Every check is a plain assertion.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

from mirage.types.devices import Network
from mirage.types.errors import DeviceClosed, OutOfRange

__all__ = ["NetworkContract"]


class NetworkContract:
    """What `Network` promises, seen from the two ends of a cable that loses nothing."""

    @abstractmethod
    def make_link(self, mtu: int) -> tuple[Network, Network]:
        """Two new devices of this MTU; what one sends, the other receives."""
        raise NotImplementedError

    def turn(self) -> None:
        """Let callbacks that are due be called. Nothing to do where they come before `send` returns."""

    def _frame(self, left: Network, right: Network, payload: bytes = b"") -> bytes:
        # 0x88b5: IEEE 802 local experimental ethertype 1.
        return right.mac + left.mac + b"\x88\xb5" + payload

    def test_fits_the_protocol(self) -> None:
        """The device has every method; its address is one of 6 octets and names one station (IEEE 802 clause 8.2)."""
        left, right = self.make_link(1500)
        for device in (left, right):
            assert isinstance(device, Network)
            assert len(device.mac) == 6
            assert not device.mac[0] & 1
            assert device.mtu == 1500
        assert left.mac != right.mac
        left.close()
        right.close()

    def test_carries_frames(self) -> None:
        """Frames arrive whole and in order, from slices of any kind, in both directions."""
        left, right = self.make_link(1500)
        assert right.receive() is None
        head = self._frame(left, right)
        assert left.send([head, bytearray(b"pay"), memoryview(b"load")])
        assert left.send([head[:6], head[6:], b"", bytes(1500)])
        assert left.send([head])
        expected = [head + b"payload", head + bytes(1500), head]
        for frame in expected:
            got = right.receive()
            assert got is not None
            assert bytes(got) == frame
        assert right.receive() is None
        assert right.send([self._frame(right, left, b"back")])
        back = left.receive()
        assert back is not None
        assert bytes(back[14:]) == b"back"
        octets = sum(map(len, expected))
        assert (left.stats.frames_sent, left.stats.octets_sent) == (3, octets)
        assert (right.stats.frames_received, right.stats.octets_received) == (3, octets)
        assert left.stats.frames_dropped == right.stats.frames_dropped == 0
        left.close()
        right.close()

    def test_send_reads_before_it_returns(self) -> None:
        """The caller may reuse its slices at once."""
        left, right = self.make_link(1500)
        buffer = bytearray(self._frame(left, right, b"first"))
        left.send([buffer])
        buffer[14:] = b"other"
        got = right.receive()
        assert got is not None
        assert bytes(got[14:]) == b"first"
        left.close()
        right.close()

    def test_refuses_impossible_frames(self) -> None:
        """Neither less than a header nor more than the MTU leaves the device."""
        left, right = self.make_link(576)
        for size in (0, 13, 591, 70_000):
            refused = False
            try:
                left.send([bytes(size // 2), bytes(size - size // 2)])
            except OutOfRange as error:
                refused = bool(str(error))
            assert refused, f"a frame of {size} octets"
        assert left.stats.frames_sent == 0
        assert right.receive() is None
        left.close()
        right.close()

    def test_says_when_a_frame_arrives(self) -> None:
        """The callback comes for a frame at an empty queue, again after draining, and not once it was taken away."""
        left, right = self.make_link(1500)
        arrived: list[int] = []

        def drain() -> None:
            count = 0
            while right.receive() is not None:
                count += 1
            if count:
                arrived.append(count)

        right.on_readable(drain)
        self.turn()
        assert arrived == []
        for number in (1, 2):
            left.send([self._frame(left, right)])
            self.turn()
            assert sum(arrived) == number
        right.on_readable(None)
        left.send([self._frame(left, right)])
        self.turn()
        assert sum(arrived) == 2
        assert right.receive() is not None
        left.close()
        right.close()

    def test_closed(self) -> None:
        """Closing is final and may be repeated."""
        left, right = self.make_link(1500)
        frame = self._frame(left, right)
        right.on_readable(lambda: None)
        right.close()
        right.close()
        uses: dict[str, Callable[[], object]] = {
            "send": lambda: right.send([frame]),
            "receive": right.receive,
            "on_readable": lambda: right.on_readable(None),
            "mac": lambda: right.mac,
            "mtu": lambda: right.mtu,
            "stats": lambda: right.stats,
        }
        for name, use in uses.items():
            refused = False
            try:
                use()
            except DeviceClosed as error:
                refused = bool(str(error))
            assert refused, f"{name} after close"
        left.close()
