"""Random exchanges over hostile wires: streams arrive whole, and the short way of `segment` does as the long one."""

from __future__ import annotations

import random

import pytest
from mirage.tcpip.settings import Settings
from mirage.tcpip.tcp.connection import Connection
from mirage.types import Offload
from pair import Host, Pair

_OFFLOADS = (Offload.NONE, Offload.CHECKSUM, Offload.CHECKSUM | Offload.TSO4 | Offload.TSO6)


def settings(draw: random.Random) -> Settings:
    """A host that can do more or less."""
    return Settings(
        receive_buffer=draw.choice([4096, 65536, 4 << 20]),
        timestamps=draw.random() < 0.7,
        sack=draw.random() < 0.7,
        congestion_control=draw.choice(["cubic", "reno"]),
    )


def exchange(seed: int) -> Pair:
    """Write, read and close at random at both ends until both streams are over; checks both streams."""
    draw = random.Random(seed)
    loss, jitter = draw.choice([0, 0, 0.02, 0.1]), draw.choice([0, 0, 0.01, 0.1])
    twice = draw.choice([0, 0, 0.05])
    pair = Pair(
        seed=seed,
        delay=draw.choice([0.0005, 0.01, 0.1]),
        version=draw.choice([4, 6]),
        left=settings(draw),
        right=settings(draw),
        offload=draw.choice(_OFFLOADS),
    )

    def fate(host: Host, frame: bytes) -> list[float]:
        if pair.random.random() < loss:
            return []
        copies = 2 if pair.random.random() < twice else 1
        return [pair.delay + pair.random.random() * jitter for _ in range(copies)]

    pair.fate = fate
    client, server = pair.connect()
    ends = (client, server)
    for end in ends:
        end.nodelay = draw.random() < 0.5
    data = [draw.randbytes(draw.randrange(1, 100_000)) for _ in ends]
    at, got = [0, 0], [bytearray(), bytearray()]
    low = [end.sender.una for end in ends]
    for _ in range(200_000):
        for i, (end, other) in enumerate((ends, ends[::-1])):
            assert end.error is None, f"seed {seed}: {end.error}"
            assert end.state.name != "CLOSED" or at[i] >= len(data[i])
            assert end.sender.una >= low[i], "SND.UNA went back"
            low[i] = end.sender.una
            if at[i] < len(data[i]) and draw.random() < 0.7 and end.queued < 30_000:
                size = draw.choice([1, 10, 500, 1448, 5000, 50_000])
                end.write(data[i][at[i] : at[i] + size])
                at[i] += size
                if at[i] >= len(data[i]):
                    end.shutdown()
            if draw.random() < 0.8:
                got[i] += other.read(draw.choice([None, 100, 10_000]))
        if all(end.eof and not end.readable for end in ends):
            break
        pair.step(pair.now + (0.002 if any(a < len(d) for a, d in zip(at, data, strict=True)) else 400.0))
    assert [bytes(g) for g in got] == data, f"seed {seed}: a stream is not what was sent"
    return pair


@pytest.mark.slow
@pytest.mark.parametrize("fast", [True, False], ids=["short way", "long way"])
@pytest.mark.parametrize("seed", range(40))
def test_streams_arrive_whole(seed: int, fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loss, reordering, duplicates, small buffers, every mix of options and offloads."""
    monkeypatch.setattr(Connection, "fast", fast)
    pair = exchange(seed)
    pair.wait(200)
    assert pair.left.tcp.connections == pair.right.tcp.connections == {}
    assert pair.left.tcp.open == pair.right.tcp.open == 0


@pytest.mark.parametrize("seed", range(0, 40, 4))
def test_the_short_way_does_as_the_long_one(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clean wire, where both apply, the very same frames go out at the very same times."""
    logs = []
    for fast in (True, False):
        monkeypatch.setattr(Connection, "fast", fast)
        pair = Pair(seed=seed, version=4 + seed % 3 // 2 * 2, offload=_OFFLOADS[seed % 3])
        client, server = pair.connect()
        for size in (1, 700, 30_000, 200_000):
            data = pair.random.randbytes(size)
            assert pair.transfer(client, server, data) == data
            assert pair.transfer(server, client, data[::-1]) == data[::-1]
        client.close()
        server.close()
        pair.wait(100)
        logs.append([(at, host is pair.left, frame) for at, host, frame in pair.log])
    assert logs[0] == logs[1]
