"""The devices for tests."""

import asyncio
import sys
import tracemalloc

import pytest
from mirage.types import (
    Block,
    Console,
    DeviceClosed,
    DeviceError,
    MonotonicClock,
    Network,
    OutOfRange,
    Random,
    WallClock,
)
from mirage.types.testing import (
    Deadlock,
    MemoryBlock,
    MemoryConsole,
    SeededRandom,
    VirtualClock,
    cost,
    memory_link,
    run_virtual,
)

FRAME = b"\2\0\0\0\0\2" + b"\2\0\0\0\0\1" + b"\x08\x00"


def test_clock_moves_only_by_hand() -> None:
    """Both clocks stand still until advanced; setting the wall clock leaves the monotonic one alone."""
    clock = VirtualClock(wall_ns=5_000)
    assert isinstance(clock, MonotonicClock)
    assert isinstance(clock, WallClock)
    assert (clock.elapsed_ns(), clock.now_ns()) == (0, 5_000)
    clock.advance(1.5)
    assert (clock.elapsed_ns(), clock.now_ns()) == (1_500_000_000, 1_500_005_000)
    clock.set_wall(7)
    assert (clock.elapsed_ns(), clock.now_ns()) == (1_500_000_000, 7)
    with pytest.raises(ValueError, match="cannot go back"):
        clock.advance_ns(-1)


def test_clock_calls_timers_at_their_moment() -> None:
    """Callbacks run in order of time, then of setting, and each sees its own time, also when set by another."""
    clock = VirtualClock()
    seen: list[tuple[str, int]] = []
    clock.call_at(20, lambda: seen.append(("b", clock.elapsed_ns())))
    clock.call_at(10, lambda: clock.call_at(15, lambda: seen.append(("nested", clock.elapsed_ns()))))
    clock.call_at(20, lambda: seen.append(("c", clock.elapsed_ns())))
    clock.call_at(99, lambda: seen.append(("late", clock.elapsed_ns())))
    clock.advance_ns(50)
    assert seen == [("nested", 15), ("b", 20), ("c", 20)]
    assert (clock.elapsed_ns(), clock.next_timer()) == (50, 99)


def test_virtual_loop_sleeps_at_once() -> None:
    """A day passes, in order, in no time; a timeout strikes exactly when it should."""
    clock = VirtualClock()
    order: list[str] = []

    async def sleeper(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        order.append(name)

    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3600):
                await asyncio.Event().wait()
        await asyncio.gather(sleeper("late", 0.3), sleeper("early", 0.1), sleeper("day", 86_400))
        return asyncio.get_running_loop().time()

    assert run_virtual(main(), clock) == pytest.approx(3600 + 86_400)
    assert order == ["early", "late", "day"]


def test_virtual_loop_finds_deadlocks() -> None:
    """Waiting for what cannot happen is an error, not a hang."""

    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Deadlock):
        run_virtual(main())


def test_virtual_loop_runs_executors_inline() -> None:
    """Work for a thread is done on the spot, errors included."""

    async def main() -> int:
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 // 0)
        return await asyncio.to_thread(sum, (1, 2, 3))

    assert run_virtual(main()) == 6


def test_link_without_clock_delivers_at_once() -> None:
    """A frame in slices arrives whole before send returns, counted on both sides."""
    left, right = memory_link()
    assert isinstance(left, Network)
    calls: list[int] = []
    right.on_readable(lambda: calls.append(1))
    assert left.send([FRAME, bytearray(b"pay"), memoryview(b"load")])
    assert left.send([FRAME])
    assert calls == [1]  # the queue was not empty the second time
    first = right.receive()
    assert first is not None
    assert bytes(first) == FRAME + b"payload"
    assert right.receive() == FRAME
    assert right.receive() is None
    assert (left.stats.frames_sent, left.stats.octets_sent) == (2, 35)
    assert (right.stats.frames_received, right.stats.octets_received) == (2, 35)
    assert left.mac != right.mac


def test_link_refuses_impossible_frames() -> None:
    """Neither less than a header nor more than the MTU."""
    left, _ = memory_link(mtu=100)
    for size in (13, 115):
        with pytest.raises(OutOfRange):
            left.send([bytes(size)])
    assert left.send([bytes(114)])


def test_link_drops_what_the_queue_cannot_hold() -> None:
    """The far end counts what it has no room for."""
    left, right = memory_link(capacity=2)
    for _ in range(5):
        left.send([FRAME])
    assert right.stats.frames_dropped == 3


def test_closed_devices_say_so() -> None:
    """After close every method raises `DeviceClosed`, and frames towards the closed end vanish."""
    left, right = memory_link()
    right.close()
    right.close()
    left.send([FRAME])
    for use in (right.receive, lambda: right.send([FRAME]), lambda: right.mtu, lambda: right.on_readable(None)):
        with pytest.raises(DeviceClosed):
            use()


def history(seed: int) -> list[tuple[int, bytes]]:
    clock = VirtualClock()
    left, right = memory_link(clock, loss=0.2, duplicate=0.1, delay_ns=1000, jitter_ns=5000, seed=seed)
    arrived: list[tuple[int, bytes]] = []

    def drain() -> None:
        while (frame := right.receive()) is not None:
            arrived.append((clock.elapsed_ns(), bytes(frame[14:])))

    right.on_readable(drain)
    for number in range(200):
        left.send([FRAME, number.to_bytes(1, "big")])
        clock.advance_ns(100)
    clock.advance(1)
    return arrived


def test_hostile_link_is_reproducible() -> None:
    """Frames are lost, doubled, delayed and overtake each other, the same way for the same seed."""
    arrived = history(1)
    numbers = [payload[0] for _, payload in arrived]
    assert arrived == history(1)
    assert arrived != history(2)
    assert 130 <= len(set(numbers)) <= 190  # 20 % lost
    assert len(numbers) > len(set(numbers))  # some doubled
    assert numbers != sorted(numbers)  # some overtaken
    assert all(time >= 1000 for time, _ in arrived)


def test_link_drives_a_virtual_loop() -> None:
    """A task that waits for a frame wakes when the cable delivers it, in virtual time."""
    clock = VirtualClock()
    left, right = memory_link(clock, delay_ns=250_000_000)

    async def main() -> float:
        ready = asyncio.Event()
        right.on_readable(ready.set)
        left.send([FRAME])
        await ready.wait()
        assert right.receive() == FRAME
        return asyncio.get_running_loop().time()

    assert run_virtual(main(), clock) == 0.25


def test_link_arguments_are_checked() -> None:
    """A delay needs a clock, a probability its range."""
    with pytest.raises(ValueError, match="needs a clock"):
        memory_link(delay_ns=1)
    with pytest.raises(ValueError, match="probabilities"):
        memory_link(loss=1.5)


def test_block_reads_back_and_bounds() -> None:
    """What was written is read back; nothing outside the device can be touched."""
    block = MemoryBlock(4)
    assert isinstance(block, Block)
    block.write(1, b"a" * 1024)
    assert block.read(0, 4) == bytes(512) + b"a" * 1024 + bytes(512)
    for sector, count in ((4, 1), (-1, 1), (0, 5), (3, 2), (0, -1)):
        with pytest.raises(OutOfRange):
            block.read(sector, count)
    with pytest.raises(OutOfRange):
        block.write(0, b"short")
    with pytest.raises(OutOfRange):
        block.write(3, bytes(1024))
    with pytest.raises(DeviceError, match="read-only"):
        MemoryBlock(1, writable=False).write(0, bytes(512))
    with pytest.raises(ValueError, match="power of two"):
        MemoryBlock(1, sector_size=513)


def test_block_loses_power() -> None:
    """Only what was flushed survives; a failing device fails when it was told to."""
    block = MemoryBlock(2)
    block.write(0, b"1" * 512)
    block.flush()
    block.write(0, b"2" * 512)
    block.lose_power()
    assert block.read(0) == b"1" * 512
    block.fail_after(1)
    block.write(0, b"3" * 512)
    with pytest.raises(DeviceError, match="fail_after"):
        block.write(0, b"4" * 512)
    block.close()
    with pytest.raises(DeviceClosed):
        block.read(0)


def test_console_keeps_lines() -> None:
    """What was written can be read as lines, whatever it was."""
    console = MemoryConsole()
    assert isinstance(console, Console)
    console.write(b"one\ntw")
    console.write(memoryview(b"o \xff\n"))
    assert console.lines == ["one", "two \\xff"]


def test_random_must_be_called_predictable() -> None:
    """Equal seeds give equal octets, and nobody gets one without saying that it is predictable."""
    one, two = SeededRandom(7, predictable=True), SeededRandom(7, predictable=True)
    assert isinstance(one, Random)
    assert one.generate(32) == two.generate(32) != one.generate(32)
    assert len(one.generate(0)) == 0
    assert "PREDICTABLE" in repr(one)
    with pytest.raises(TypeError):
        SeededRandom(7)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="predictable"):
        SeededRandom(7, predictable=False)  # type: ignore[arg-type]


def test_what_a_call_costs() -> None:
    """Calls and octets are counted, to the same numbers each time; declared errors are answers, others are not."""

    def part() -> bytes:
        return bytes(1000)

    def reads(count: int) -> None:
        kept = [part() for _ in range(count)]
        if count > 100:
            raise OutOfRange(f"{len(kept)} are too many")

    few, many = cost(lambda: reads(10)), cost(lambda: reads(1000))
    assert few.calls == cost(lambda: reads(10)).calls
    assert 10 <= few.calls < 20
    assert 1000 <= many.calls < 1020
    assert 10_000 < few.octets < 50_000
    assert 1_000_000 < many.octets < 1_200_000
    with pytest.raises(ZeroDivisionError):
        cost(lambda: 1 // 0)
    assert sys.getprofile() is None
    assert not tracemalloc.is_tracing()
