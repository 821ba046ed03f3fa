"""Whole stacks over hostile links: whatever the link does, what arrives is what was sent, and everything ends.

Each run follows from its number. ``MIRAGE_SIMULATED_SECONDS=1000000`` makes the long run of this file as long as that.
"""

from __future__ import annotations

import os
import random
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from mirage.tcpip.settings import Settings
from mirage.tcpip.tcp.connection import Connection
from mirage.tcpip.testing import Exchange, Simulation, serve
from mirage.types import Offload
from mirage.types.testing import Deadlock

EVERYTHING = Offload.CHECKSUM | Offload.TSO4 | Offload.TSO6 | Offload.ECN
SECONDS = float(os.environ.get("MIRAGE_SIMULATED_SECONDS", "3000"))


class Watched:
    """Looks at a connection at every step."""

    def __init__(self, connection: Connection, settings: Settings) -> None:
        self.connection = connection
        self.settings = settings
        self.una = connection.sender.una
        self.edge = connection.sender.edge

    def look(self) -> None:
        sender, receiver = self.connection.sender, self.connection.receiver
        assert sender.una >= self.una, "SND.UNA went back"
        self.una = sender.una
        assert sender.una <= sender.nxt
        assert sender.sacked >= 0
        assert sender.lost >= 0
        assert sender.sacked + sender.lost <= sender.nxt - sender.una
        outstanding = sender.sent
        for before, after in pairwise(outstanding):
            assert before.end == after.start, "a hole between the records of what was sent"
        assert sum(r.end - r.start for r in outstanding if r.sacked) == sender.sacked
        assert sum(r.end - r.start for r in outstanding if r.lost) == sender.lost
        kept = sum(len(piece) for found in receiver.ranges for piece in found.pieces)
        assert receiver.readable + kept <= self.settings.receive_buffer, "more is kept than the window allowed"
        for first, second in pairwise(receiver.ranges):
            assert first.end < second.start


def hostile(seed: int) -> tuple[random.Random, Simulation, Settings]:
    """A network and settings that a seed decides."""
    chance = random.Random(seed)
    simulation = Simulation(seed, capture=1 << 20)
    settings = Settings(
        receive_buffer=chance.choice([500, 3000, 20_000, 65535, 300_000]),
        send_buffer=chance.choice([1000, 100_000]),
        congestion_control=chance.choice(["cubic", "reno", "westwood"]),
        timestamps=chance.random() < 0.7,
        sack=chance.random() < 0.8,
        ecn=chance.random() < 0.5,
        delayed_ack=chance.choice([0.0, 0.04, 0.2]),
        # A last ACK may be lost more than once, with a minute between two retransmissions of the FIN: whoever has gone
        # by then answers with a RST.
        time_wait=300.0,
    )
    return chance, simulation, settings


def run(seed: int, offload: Offload = Offload.NONE) -> float:
    """One simulation: a few connections both ways over one bad network. Returns the virtual seconds it took."""
    chance, simulation, settings = hostile(seed)
    with simulation:
        network = simulation.network()
        weather = {
            "delay_ns": round(1e9 * chance.choice([0.0001, 0.01, 0.1, 0.4])),
            "jitter_ns": round(1e9 * chance.choice([0, 0, 0.001, 0.05])),
            "loss": chance.choice([0, 0.01, 0.05, 0.2]),
            "duplicate": chance.choice([0, 0, 0.02, 0.2]),
            "corrupt": chance.choice([0, 0, 0.01]),
            "reorder": chance.choice([0, 0, 0.02, 0.2]),
            "reorder_ns": round(1e9 * chance.choice([0.001, 0.05, 1.0])),
            "largest": chance.choice([None, None, None, 1314]),
        }
        if offload:
            weather |= {"corrupt": 0, "largest": None}  # no checksum would tell, and super-frames are long
        family = chance.choice(["10.0.0.%d", "fd00::%d"])
        prefix = "/24" if "." in family else "/64"
        left = simulation.host("left", network, family % 1 + prefix, settings=settings, offload=offload)
        other = replace(settings, receive_buffer=chance.choice([4000, 50_000, 200_000]), sack=chance.random() < 0.8)
        right = simulation.host("right", network, family % 2 + prefix, settings=other, offload=offload)
        version = 4 if "." in family else 6
        listener = right.stack.listen(80, version=version)
        # While the weather is good the two get to know each other: ARP gives up after three losses, and what that
        # makes of a connection is not the question here.
        first = left.stack.connect(family % 2, 80)
        simulation.run(lambda: listener.accept() is not None)
        first.abort()
        simulation.wait(1.0)
        for name, value in weather.items():
            setattr(network, name, value)
        accepted: list[Exchange] = []
        count = chance.randint(1, 4)
        sizes = [(chance.choice([0, 1, 3000, 40_000, 120_000]), chance.choice([0, 1, 70_000])) for _ in range(count)]
        seeds = iter(range(1000))

        def accept(connection: Connection) -> None:
            number = connection.framer.remote_port
            back = answers[number]
            patience = chance.choice([0, 0, 0.5])
            accepted.append(Exchange(simulation, right, connection, back, seed=next(seeds), patience=patience))

        serve(listener, accept)
        opened: list[Exchange] = []
        answers = {}
        for forth, back in sizes:
            connection = left.stack.connect(family % 2, 80, now=simulation.now)
            answers[connection.framer.local_port] = back
            chunk = chance.choice([1, 700, 65536]) if forth < 5000 else 20_000
            opened.append(Exchange(simulation, left, connection, forth, seed=next(seeds), chunk=chunk))
        watched: dict[Connection, Watched] = {}

        def done() -> bool:
            for exchange in [*opened, *accepted]:
                c = exchange.connection
                if c not in watched:
                    watched[c] = Watched(c, settings if exchange in opened else other)
                watched[c].look()
            return (
                all(e.finished for e in opened) and len(accepted) >= len(opened) and all(e.finished for e in accepted)
            )

        simulation.run(done, patience=5000.0)
        by_port = {e.connection.framer.remote_port: e for e in accepted if e.connection.error is None}
        for exchange in opened:
            assert exchange.connection.error is None, exchange.connection.error
            peer = by_port[exchange.connection.framer.local_port]
            assert peer.received == exchange.sent
            assert exchange.received == peer.sent
        took = simulation.now
        # Everything goes: what is left is nothing but TIME-WAIT, and that ends too.
        simulation.wait(1000.0)
        for host in (left, right):
            assert host.stack.tcp.open == 0
            assert not host.stack.tcp.connections
            assert host.stack.tcp.half_open == 0
        return took


@pytest.mark.parametrize("seed", range(12))
def test_streams_arrive_and_everything_ends(seed: int) -> None:
    """Equal streams, no deadlock, bounded memory, SND.UNA that never goes back, and no connection left over."""
    run(seed)


@pytest.mark.parametrize("seed", range(100, 112))
def test_the_same_with_super_frames(seed: int) -> None:
    """What the device would cut and sum is lost, doubled and held back as a whole."""
    run(seed, EVERYTHING)


def test_super_frames_cross_a_network() -> None:
    """A megabyte takes some dozen frames, none of them cut."""
    with Simulation(3) as simulation:
        network = simulation.network(delay=0.01)
        left = simulation.host("left", network, "10.0.0.1/24", offload=EVERYTHING)
        right = simulation.host("right", network, "10.0.0.2/24", offload=EVERYTHING)
        received: list[Exchange] = []
        serve(right.stack.listen(80), lambda c: received.append(Exchange(simulation, right, c, 0, seed=1)))
        sent = Exchange(simulation, left, left.stack.connect("10.0.0.2", 80), 1_000_000, seed=2)
        simulation.run(lambda: sent.finished and received[0].finished)
        assert received[0].received == sent.sent
        assert network.fates["arrived"] < 400


@pytest.mark.slow
def test_long_runs() -> None:
    """The same, for as many virtual seconds as were asked for, with offloads and without in turn."""
    seconds, seed = 0.0, 1000
    while seconds < SECONDS:
        seconds += run(seed, EVERYTHING if seed % 2 else Offload.NONE) + 1000.0
        seed += 1


def test_a_failure_says_how_to_see_it_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The seed, what became of the frames, and a capture of the last of them."""
    monkeypatch.setenv("MIRAGE_CAPTURES", str(tmp_path))
    simulation = Simulation(77)
    network = simulation.network(loss=1.0)
    client = simulation.host("client", network, "10.0.0.1/24")
    simulation.host("server", network, "10.0.0.2/24")
    client.stack.connect("10.0.0.2", 80)

    def wait_for_ever() -> None:
        with simulation:
            simulation.run(lambda: False, patience=5.0)

    with pytest.raises(Deadlock) as failure:
        wait_for_ever()
    note = failure.value.__notes__[0]
    assert note.startswith("seed 77, at 5.0")
    assert "lost" in note
    capture = Path(note.rpartition(" ")[2]).read_bytes()
    assert capture[:4] == bytes.fromhex("0a0d0d0a")
    assert b"client.eth0" in capture
    assert b"seed 77" in capture
