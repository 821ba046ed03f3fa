"""Fragments that come in any order, that contradict each other, and what is in the packet that they make."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lone import OURS6, PEER6, Lone, frame6
from mirage.tcpip.counters import Counters
from mirage.tcpip.ip.fragments import Reassembly, Whole, pieces
from mirage.tcpip.settings import Settings
from mirage.tcpip.stack import packed
from mirage.tcpip.testing import Simulation
from mirage.tcpip.wire import ipv6
from mirage.tcpip.wire.checksum import checksum, ones_sum


def add(reassembly: Reassembly, offset: int, data: bytes, more: bool) -> Whole | None:
    return reassembly.add((1, b"a", b"b", 7, 17), offset, memoryview(data), more, memoryview(b"packet"), 0.0)


@given(st.binary(min_size=9, max_size=4000), st.integers(16, 1480), st.randoms(use_true_random=False))
def test_any_order_and_repetition_gives_the_packet(payload: bytes, room: int, chance: random.Random) -> None:
    cut = pieces(payload, room)
    last = chance.randrange(len(cut))  # is not repeated, so that it completes the packet exactly once
    order = [n for n in range(len(cut)) if n != last] * 2
    chance.shuffle(order)
    reassembly = Reassembly(Settings(), Counters())
    assert [add(reassembly, cut[n][0], bytes(cut[n][1]), cut[n][2]) for n in order] == [None] * len(order)
    whole = add(reassembly, cut[last][0], bytes(cut[last][1]), cut[last][2])
    assert whole is not None
    assert whole.payload == payload


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(1, 24), st.booleans()), max_size=12))
def test_nothing_is_ever_put_together_wrongly(fragments: list[tuple[int, int, bool]]) -> None:
    """Of contradictory fragments no packet comes out that lacks a part: octet n of the payload is n."""
    reassembly = Reassembly(Settings(), Counters())
    for units, size, more in fragments:
        whole = add(reassembly, units * 8, bytes(range(units * 8, units * 8 + size)), more)
        if whole is not None:
            assert whole.payload == bytes(range(len(whole.payload)))


def test_a_last_fragment_before_others_is_a_contradiction() -> None:
    """Eight octets at 8, said to be the last, and eight at 16: not sixteen octets of anything."""
    counters = Counters()
    reassembly = Reassembly(Settings(), counters)
    assert add(reassembly, 16, bytes(8), True) is None
    assert add(reassembly, 8, bytes(8), False) is None
    assert counters["fragments.contradictory"] == 1


@pytest.mark.parametrize("reverse", [False, True])
def test_rfc8200_4_5_the_first_fragment_says_what_is_inside(reverse: bool) -> None:
    """Extension headers may precede and follow the fragment header; the next header of other fragments is ignored."""
    host = Lone()
    host.meet()
    endpoint = host.stack.bind(9, "fd00::2")
    data = bytes(range(200))
    message = bytearray((7).to_bytes(2, "big") + (9).to_bytes(2, "big") + (208).to_bytes(2, "big") + bytes(2) + data)
    message[6:8] = checksum(message, ones_sum(PEER6 + OURS6) + 17 + len(message)).to_bytes(2, "big")
    before, inside = bytes([44, 0, 1, 4, 0, 0, 0, 0]), bytes([17, 0, 1, 4, 0, 0, 0, 0])
    frames = []
    for offset, piece, more in pieces(inside + bytes(message), 64):
        kind = 60 if offset == 0 else 99
        frames.append(frame6(60, before + ipv6.build_fragment(ipv6.Fragment6(kind, offset, more, 9)) + bytes(piece)))
    for frame in reversed(frames) if reverse else frames:
        assert host.give(frame) == []
    datagram = endpoint.read()
    assert datagram is not None
    assert datagram.data == data


@pytest.mark.parametrize("version", [4, 6])
def test_all_fragments_wait_for_a_neighbour_that_has_to_be_found(version: int) -> None:
    """Forty of them, of one datagram."""
    with Simulation(seed=version) as simulation:
        network = simulation.network(delay=0.001)
        one = simulation.host("one", network, "10.0.0.1/24", "fd00::1/64")
        two = simulation.host("two", network, "10.0.0.2/24", "fd00::2/64")
        here, there = one.stack.bind(5, version=version), two.stack.bind(5, version=version)
        data = random.Random(version).randbytes(60_000)
        here.send(data, packed("10.0.0.2" if version == 4 else "fd00::2"), 5, now=simulation.now)
        simulation.run(lambda: there.readable)
        datagram = there.read()
        assert datagram is not None
        assert datagram.data == data


@pytest.mark.parametrize(("kind", "group", "answers"), [
    (0x9E, False, 1), (0xDE, False, 1), (0x5E, False, 0), (0xDE, True, 0), (0x9E, True, 1),
])  # fmt: skip
def test_rfc8200_4_2_an_unknown_option_is_answered_as_it_asks(kind: int, group: bool, answers: int) -> None:
    """Code 2 (RFC 4443 3.4), pointing at the option; of a packet to a group only where the option asks for that too."""
    host = Lone()
    host.meet()
    to = {"destination": packed("ff02::1"), "to": b"\x33\x33\0\0\0\1"} if group else {}
    sent = host.give(frame6(60, bytes([59, 0, kind, 4, 0, 0, 0, 0]), **to))  # type: ignore[arg-type]
    assert [(f[54:56], f[58:62]) for f in sent] == [(b"\4\2", bytes([0, 0, 0, 42]))] * answers


@pytest.mark.parametrize(("payload", "fields", "answer"), [
    (bytes(15), (17, 0, True), b"\4\0" + bytes([0, 0, 0, 4])),
    (bytes(16), (17, 65528, False), b"\4\0" + bytes([0, 0, 0, 42])),
    (bytes(8), (6, 0, True), b"\4\3" + bytes(4)),
    (bytes([17, 2, 0, 0, 0, 0, 0, 0]), (60, 0, True), b"\4\3" + bytes(4)),
])  # fmt: skip
def test_rfc8200_4_5_a_fragment_that_cannot_be_is_answered(
    payload: bytes, fields: tuple[int, int, bool], answer: bytes
) -> None:
    """No multiple of eight octets, beyond 65535 octets, and a first one without all headers (RFC 7112 5)."""
    host = Lone()
    host.meet()
    [sent] = host.give(frame6(44, ipv6.build_fragment(ipv6.Fragment6(*fields, 9)) + payload))
    assert sent[54:56] + sent[58:62] == answer
    assert host.counters["fragments.malformed"] == 1
    assert host.ip.reassembly.due == float("inf")


def test_the_octets_that_wait_are_bounded() -> None:
    """Also where packets that wait already get more fragments; the oldest give way."""
    counters = Counters()
    reassembly = Reassembly(Settings(max_fragments_octets=100_000), counters)
    for at in range(0, 64_000, 1000):
        for number in range(50):
            key = (1, b"a", b"b", number, 17)
            assert reassembly.add(key, at, memoryview(bytes(1000)), True, memoryview(b"packet"), 0.0) is None
            assert reassembly._octets <= 100_000
    assert counters["fragments.evicted"] > 0


def test_what_waits_for_neighbours_is_bounded() -> None:
    """A mebibyte over all of them, however many do not answer; and it is free again when they were given up."""
    host = Lone()
    endpoint = host.stack.bind(5, version=6)
    for number in range(100, 200):
        endpoint.send(bytes(60_000), packed(f"fd00::{number}"), 5, now=host.now)
    table = host.ip.neighbours
    assert table._waiting <= 1 << 20
    assert host.counters["neighbours.queue-full"] == 100 - 17
    host.wait(10)
    assert table._waiting == 0
