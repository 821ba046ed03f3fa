"""The fast lanes are only faster: what goes out is the same, frame by frame."""

from __future__ import annotations

import ipaddress
import random

import pytest
from mirage.net.testing import VirtualPort
from mirage.tcpip.ip.interface import Interface
from mirage.tcpip.settings import Settings
from mirage.tcpip.stack import Stack
from mirage.tcpip.tcp import lane, transmit
from mirage.tcpip.tcp.connection import Connection
from mirage.tcpip.testing import Exchange, Simulation, serve
from mirage.types import FrameMeta, Offload

_ALL = Offload.CHECKSUM | Offload.TSO4 | Offload.TSO6 | Offload.ECN
_Frame = tuple[FrameMeta, bytes]
_COMPILED = not str(lane.__file__).endswith(".py")
"""Then nothing can be put between the modules to count with."""


@pytest.mark.parametrize("address", ["10.0.0.2", "fd00::2"])
def test_both_lanes_have_the_same_history(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data both ways with losses, corruption, repetition and reordering, once with the lane and once without."""

    def history(fast: bool) -> tuple[list[bytes], list[str]]:
        monkeypatch.setattr(Stack, "fast", fast)
        sent: list[bytes] = []
        with Simulation(seed=3, capture=None) as simulation:
            network = simulation.network(delay=0.005, loss=0.02, corrupt=0.02, duplicate=0.02, reorder=0.02)
            client = simulation.host("client", network, "10.0.0.1/24", "fd00::1/64")
            server = simulation.host("server", network, "10.0.0.2/24", "fd00::2/64")

            def see(port: VirtualPort, frame: bytes, fate: str) -> None:
                if fate == "sent":
                    sent.append(bytes(frame))

            network.watch = see
            ends: list[Exchange] = []

            def accepted(connection: Connection) -> None:
                ends.append(Exchange(simulation, server, connection, 50_000, seed=1))

            serve(server.stack.listen(80, version=6 if ":" in address else 4), accepted)
            connection = client.stack.connect(address, 80, now=simulation.now)
            here = Exchange(simulation, client, connection, 100_000, seed=2)
            simulation.run(lambda: here.finished and bool(ends) and ends[0].finished)
            assert (ends[0].received, here.received) == (here.sent, ends[0].sent)
            return sent, [here.received, ends[0].received]

    with_lane, without = history(True), history(False)
    assert with_lane == without
    assert len(with_lane[0]) > 150


class _Seeded:
    """Randomness of a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def generate(self, size: int) -> bytes:
        """The next octets."""
        return self._random.randbytes(size)


class _Host:
    """A stack on a device, one that sums and cuts perhaps, and the frames that it has sent."""

    def __init__(self, number: int, address: str, settings: Settings, offload: Offload) -> None:
        self.stack = Stack(random=_Seeded(number), settings=settings)
        self.interface: Interface = self.stack.add_interface(
            "eth0", bytes([2, 0, 0, 0, 0, number]), 1500, offload=offload, max_frame=65549 if offload else None
        )
        self.address = ipaddress.ip_address(address)
        self.stack.ip.add_address(self.interface, self.address.packed, 24 if self.address.version == 4 else 64)
        self.sent: list[_Frame] = []

    def take(self, now: float) -> list[_Frame]:
        """What goes out at `now`."""
        self.stack.poll(now)
        frames = [(meta, b"".join(parts)) for meta, parts in self.interface.take_output()]
        self.sent += frames
        return frames


def _history(
    address: str, loss: float, timestamps: bool, offload: Offload
) -> tuple[list[_Frame], list[_Frame], bytes, bytes]:
    """Writes of all sizes in both directions over a link that loses frames; what each sent and received."""
    version6 = ":" in address
    settings = Settings(timestamps=timestamps)
    here = _Host(1, "fd00::1" if version6 else "10.0.0.1", settings, offload)
    there = _Host(2, address, settings, offload)
    listener = there.stack.listen(80, version=6 if version6 else 4)
    connection = here.stack.connect(address, 80, now=0.0)
    dice = random.Random(7)
    received = [bytearray(), bytearray()]
    accepted: Connection | None = None
    for turn in range(4000 if loss else 1500):  # what follows a loss goes the plain way
        now = turn * 0.0005
        for source, target in ((here, there), (there, here)):
            kept = [(meta, memoryview(frame)) for meta, frame in source.take(now) if turn < 8 or dice.random() >= loss]
            target.stack.input(target.interface, kept, now)
            target.stack.take_news()
            accepted = accepted or listener.accept()
            for index, end in enumerate((connection, accepted)):
                if end is not None:
                    received[index] += end.read(dice.choice([None, None, 1000]))
                    if dice.random() < 0.4 and end.state.may_write:
                        end.write(dice.randbytes(dice.choice([1, 60, 500, 1448, 3000, 40_000])))
    return here.sent, there.sent, bytes(received[0]), bytes(received[1])


@pytest.mark.parametrize("timestamps", [True, False])
@pytest.mark.parametrize("loss", [0.0, 0.03])
@pytest.mark.parametrize("address", ["10.0.0.2", "fd00::2"])
@pytest.mark.parametrize("offload", [_ALL, Offload.NONE])
def test_both_lanes_send_the_same_frames(
    offload: Offload, address: str, loss: float, timestamps: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What goes out has a lane too: metas and octets are equal, whether the device sums and cuts or we do."""
    taken = {"in": 0, "out": 0, "acknowledged": 0, "answered": 0}
    arrive, depart, acknowledge, answer = lane.arrive, lane.depart, lane.acknowledge, lane.answer

    def counted_in(*arguments: object) -> bool:
        took = arrive(*arguments)  # type: ignore[arg-type]
        taken["in"] += took
        return took

    def counted_out(*arguments: object) -> bool:
        took = depart(*arguments)  # type: ignore[arg-type]
        taken["out"] += took
        return took

    def counted_acknowledgment(connection: Connection, now: float) -> bool:
        took = acknowledge(connection, now)
        taken["acknowledged"] += took
        return took

    def counted_answer(connection: Connection, now: float) -> bool:
        took = answer(connection, now)
        taken["answered"] += took
        return took

    monkeypatch.setattr("mirage.tcpip.stack.arrive", counted_in)
    monkeypatch.setattr(transmit.lane, "depart", counted_out)
    monkeypatch.setattr(transmit.lane, "acknowledge", counted_acknowledgment)
    monkeypatch.setattr(transmit.lane, "answer", counted_answer)
    with_lanes = _history(address, loss, timestamps, offload)
    if timestamps and not _COMPILED:
        assert min(taken["in"], taken["out"]) > 100
        assert taken["acknowledged"] > 50
        assert taken["answered"] > 10
    taken = dict.fromkeys(taken, 0)
    monkeypatch.setattr(Connection, "fast", False)
    without = _history(address, loss, timestamps, offload)
    assert not any(taken.values())
    assert with_lanes == without
    assert len(with_lanes[0]) > 150
