"""What every block device promises, as a test class that the tests of a device inherit.

A device's test file says how to make one, and pytest collects the rest::

    class TestMyBlock(BlockContract):
        def make_block(self, sectors: int, *, writable: bool = True) -> Block:
            return MyBlock(sectors, writable)

Every check is a plain assertion, so the suite needs no test framework of its own.
"""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Callable, Iterator

from mirage.types.devices import Block
from mirage.types.errors import DeviceClosed, DeviceError, OutOfRange

__all__ = ["BlockContract"]


@contextlib.contextmanager
def _raises(expected: type[DeviceError], what: str) -> Iterator[None]:
    caught: DeviceError | None = None
    try:
        yield
    except expected as error:
        caught = error
    assert caught is not None, f"{what} should raise {expected.__name__}"
    assert str(caught), f"{expected.__name__} for {what} came without a message"


class BlockContract:
    """What `Block` promises."""

    @abstractmethod
    def make_block(self, sectors: int, *, writable: bool = True) -> Block:
        """A new device of so many sectors, all zero."""
        raise NotImplementedError

    def test_fits_the_protocol(self) -> None:
        """The device has every method, and its measures are what they must be."""
        block = self.make_block(7)
        assert isinstance(block, Block)
        assert block.sectors == 7
        assert block.writable is True
        size = block.sector_size
        assert size >= 512
        assert size & (size - 1) == 0
        block.close()

    def test_starts_with_zeros(self) -> None:
        """What was never written is zero, read in one piece or in sectors."""
        block = self.make_block(5)
        assert block.read(0, 5) == bytes(5 * block.sector_size)
        assert [block.read(n) for n in range(5)] == [bytes(block.sector_size)] * 5
        assert block.read(0, 0) == block.read(5, 0) == b""
        block.close()

    def test_reads_what_was_written(self) -> None:
        """Each sector is its own; a write changes just the sectors that it names, from any kind of buffer."""
        block = self.make_block(9)
        size = block.sector_size
        expected = bytearray(9 * size)
        for at, fill in ((0, b"a"), (8, b"b"), (3, b"cd"), (4, b"efg"), (5, b"\0\0"), (2, b""), (9, b"")):
            data = b"".join(bytes([octet]) * size for octet in fill)
            for form in (bytes(data), bytearray(data), memoryview(data)):
                block.write(at, form)
            expected[at * size : at * size + len(data)] = data
            assert block.read(0, 9) == expected, (at, fill)
        assert block.read(4, 2) == expected[4 * size : 6 * size]
        block.close()

    def test_zeros_overwrite(self) -> None:
        """A sector of zeros replaces what was there, as any other does."""
        block = self.make_block(3)
        size = block.sector_size
        block.write(0, b"x" * 3 * size)
        block.write(1, bytes(size))
        assert block.read(0, 3) == b"x" * size + bytes(size) + b"x" * size
        block.close()

    def test_write_copies(self) -> None:
        """The device keeps the octets, not the caller's buffer; what was read does not change later."""
        block = self.make_block(1)
        buffer = bytearray(b"1" * block.sector_size)
        block.write(0, buffer)
        buffer[:] = b"2" * block.sector_size
        before = block.read(0)
        assert before == b"1" * block.sector_size
        block.write(0, buffer)
        assert before == b"1" * block.sector_size
        block.close()

    def test_out_of_range(self) -> None:
        """Nothing outside the device can be touched, and a refused write changes nothing."""
        block = self.make_block(4)
        size = block.sector_size
        for sector, count in ((4, 1), (-1, 1), (0, 5), (3, 2), (0, -1), (5, 0), (-1, 0), (1 << 62, 1)):
            with _raises(OutOfRange, f"read({sector}, {count})"):
                block.read(sector, count)
        for sector, octets in ((4, size), (-1, size), (3, 2 * size), (0, 5 * size), (0, size - 1), (0, 1), (5, 0)):
            with _raises(OutOfRange, f"write({sector}) of {octets} octets"):
                block.write(sector, b"!" * octets)
        assert block.read(0, 4) == bytes(4 * size)
        block.close()

    def test_read_only(self) -> None:
        """A device that is not writable says so, refuses to be written, and can be read and flushed."""
        block = self.make_block(2, writable=False)
        assert block.writable is False
        with _raises(DeviceError, "a write to a read-only device"):
            block.write(0, b"!" * block.sector_size)
        assert block.read(0, 2) == bytes(2 * block.sector_size)
        block.flush()
        block.close()

    def test_no_sectors(self) -> None:
        """A device may be empty."""
        block = self.make_block(0)
        assert block.sectors == 0
        assert block.read(0, 0) == b""
        with _raises(OutOfRange, "read(0) of an empty device"):
            block.read(0)
        block.close()

    def test_closed(self) -> None:
        """Closing is final and may be repeated."""
        block = self.make_block(1)
        size = block.sector_size
        block.close()
        block.close()
        uses: dict[str, Callable[[], object]] = {
            "read": lambda: block.read(0),
            "write": lambda: block.write(0, bytes(size)),
            "flush": block.flush,
            "sectors": lambda: block.sectors,
            "sector_size": lambda: block.sector_size,
            "writable": lambda: block.writable,
        }
        for name, use in uses.items():
            with _raises(DeviceClosed, f"{name} after close"):
                use()
