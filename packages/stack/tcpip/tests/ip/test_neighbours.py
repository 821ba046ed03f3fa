"""The machine of reachability (RFC 4861 7.3), and ARP and NDP on the link."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

import pytest
from host import MAC, OURS4, OURS6, PEER, THEIRS4, THEIRS6, Host, arp_frame, icmp6, messages6, packed
from hypothesis import given
from hypothesis import strategies as st
from mirage.tcpip.counters import Counters
from mirage.tcpip.errors import Unreachable
from mirage.tcpip.ip.interface import Interface
from mirage.tcpip.ip.ndp import solicited_node
from mirage.tcpip.ip.neighbours import Neighbours, Reachability

LINK = Interface("eth0", 1, MAC, 1500)


class Table:
    def __init__(self, limit: int = 10) -> None:
        self.asked: list[bytes | None] = []
        self.table = Neighbours(limit, Counters(), lambda _, __, mac: self.asked.append(mac))
        self.one = self.table.find(LINK, b"1234")

    def heard(self, now: float, solicited: bool = True, mac: bytes = PEER) -> None:
        self.table.heard(LINK, b"1234", mac, now, solicited=solicited)


def test_rfc4861_7_2_2_resolution() -> None:
    """Asked three times, a second apart; then it is unreachable for a second, then asked again."""
    t = Table()
    sent: list[bytes] = []
    assert t.table.use(t.one, 0.0) == 0.0
    t.table.when_known(t.one, sent.append, 100)
    assert t.table.use(t.one, 0.5) == 0.0
    assert t.asked == [None]
    assert t.table.next_deadline() == 1.0
    assert [t.table.poll(n) for n in (1.0, 2.0)] == [[], []]
    assert t.asked == [None] * 3
    assert t.table.poll(3.0) == [t.one]
    with pytest.raises(Unreachable):
        t.table.use(t.one, 3.5)
    assert t.table.use(t.one, 4.0) == 0.0
    assert t.asked == [None] * 4
    t.table.when_known(t.one, sent.append, 100)
    t.heard(4.1)
    assert sent == [PEER]  # what waited for the first attempt was given up with it
    assert t.table.next_deadline() == inf


def test_rfc4861_7_3_3_reachability() -> None:
    """REACHABLE for 30 s, STALE until used, DELAY for 5 s, then three unicast probes; frames go out all the while."""
    t = Table()
    t.table.use(t.one, 0.0)
    t.heard(0.0)
    assert t.table.use(t.one, 10.0) == 30.0
    assert t.table.use(t.one, 30.0) == 35.0
    assert t.one.state is Reachability.DELAY
    t.table.poll(35.0)
    assert t.one.state is Reachability.PROBE
    assert t.asked == [None, PEER]
    assert t.table.use(t.one, 35.5) == 36.0
    t.table.poll(36.0)
    t.table.poll(37.0)
    assert t.asked == [None, PEER, PEER, PEER]
    assert t.table.poll(38.0) == [t.one]
    assert t.one.mac == b""


@pytest.mark.parametrize("how", ["answer", "transport"])
def test_rfc4861_7_3_1_confirmation(how: str) -> None:
    t = Table()
    t.table.use(t.one, 0.0)
    t.heard(0.0)
    t.table.use(t.one, 31.0)
    if how == "answer":
        t.heard(32.0)
    else:
        t.table.confirm(t.one, 32.0)
    assert t.one.state is Reachability.REACHABLE
    assert t.table.use(t.one, 33.0) == 62.0
    assert t.table.next_deadline() == inf


def test_an_unsolicited_message_makes_it_stale_at_its_new_address() -> None:
    """RFC 4861 7.2.5: paths are told, and it is probed once it is used."""
    t = Table()
    told: list[str] = []
    t.table.use(t.one, 0.0)
    t.heard(0.0)
    t.one.paths.append(lambda: told.append("changed"))
    t.heard(1.0, solicited=False)
    assert t.one.state is Reachability.REACHABLE
    t.heard(2.0, solicited=False, mac=b"other!")
    assert (t.one.state, t.one.mac, told) == (Reachability.STALE, b"other!", ["changed"])


def test_the_cache_is_bounded_and_a_dropped_entry_begins_anew() -> None:
    t = Table(limit=3)
    t.table.use(t.one, 0.0)
    t.heard(0.0)
    t.one.paths.append(lambda: None)
    for number in range(20):
        t.table.heard(LINK, bytes([0, 0, 0, number]), PEER, 0.0, solicited=False)
    assert len(t.table.known) == 3
    assert (LINK.index, b"1234") in t.table.known  # in use, so others give way first
    t.one.paths.clear()
    t.table.find(LINK, b"more")
    assert t.one.mac == b""
    t.asked.clear()
    assert t.table.use(t.one, 1.0) == 0.0
    assert t.asked == [None]


def test_what_waits_is_bounded() -> None:
    t = Table()
    for _ in range(20):
        t.table.when_known(t.one, lambda _: None, 100)
    assert (len(t.one._queue), t.table._waiting) == (16, 1600)
    t.table.when_known(t.table.find(LINK, b"more"), lambda _: None, 1 << 20)
    assert (t.table._waiting, t.table._counters["neighbours.queue-full"]) == (1600, 5)
    t.heard(0.0)
    assert t.table._waiting == 0


actions = st.sampled_from(["use", "answer", "tell", "move", "confirm", "poll", "wait"])


@given(st.lists(st.tuples(actions, st.floats(0, 40)), max_size=40))
def test_any_history_keeps_the_machine_whole(history: list[tuple[str, float]]) -> None:
    """A sendable state has an Ethernet address, a timed state has a deadline, and silence ends in failure."""
    t, now = Table(), 0.0
    acts: dict[str, Callable[[], object]] = {
        "use": lambda: t.table.use(t.one, now),
        "answer": lambda: t.heard(now),
        "tell": lambda: t.heard(now, solicited=False),
        "move": lambda: t.heard(now, solicited=False, mac=b"other!"),
        "confirm": lambda: t.table.confirm(t.one, now),
        "poll": lambda: t.table.poll(now),
        "wait": lambda: None,
    }
    for action, seconds in history:
        if action == "wait":
            now += seconds
        try:
            acts[action]()
        except Unreachable:
            assert t.one.state is Reachability.FAILED
        good = t.one.state in {Reachability.REACHABLE, Reachability.STALE, Reachability.DELAY, Reachability.PROBE}
        assert bool(t.one.mac) == good
        assert (t.one in t.table._timed) == (
            t.one.state in {Reachability.DELAY, Reachability.PROBE}
            or (t.one.state is Reachability.INCOMPLETE and t.one.probes > 0)
        )
    for _ in range(12):
        now = t.table.next_deadline() if t.table._timed else now
        t.table.poll(now)
    assert not t.table._timed


# On the link


def test_rfc826_requests_are_answered_and_the_asker_is_learnt() -> None:
    host = Host(known=False)
    (reply,) = host.give(arp_frame(1, THEIRS4, OURS4, to=b"\xff" * 6))
    assert reply == PEER + MAC + bytes.fromhex("080600010800060400 02".replace(" ", "")) + MAC + OURS4 + PEER + THEIRS4
    assert host.ip.neighbours.known[1, THEIRS4].state is Reachability.STALE
    assert host.give(arp_frame(1, packed("10.0.0.9"), packed("10.0.0.8"), to=b"\xff" * 6)) == []
    assert (1, packed("10.0.0.9")) not in host.ip.neighbours.known  # RFC 826: only who wants us is remembered


def test_rfc5227_a_probe_for_our_address_is_answered_and_a_conflict_defended() -> None:
    host = Host(known=False)
    (reply,) = host.give(arp_frame(1, bytes(4), OURS4, to=b"\xff" * 6))
    assert reply[20:22] == b"\0\2"
    (defence,) = host.give(arp_frame(1, OURS4, OURS4, to=b"\xff" * 6))
    assert (defence[:6], defence[28:32], defence[38:42]) == (b"\xff" * 6, OURS4, OURS4)
    assert host.counters["ip4.address-conflicts"] == 1


def test_rfc4861_7_2_4_solicitations_are_answered() -> None:
    """Multicast and unicast, and one from nobody (a check for duplicates) to all nodes."""
    host = Host(known=False)
    group = solicited_node(OURS6)
    link = b"\1\1" + PEER
    ask = icmp6(135, bytes(4) + OURS6 + link, to=group, mac=b"\x33\x33\xff\0\0\1")
    ((source, to, message),) = messages6(host.give(ask))
    assert (source, to, message[4:8], message[8:24], message[24:]) == (
        OURS6,
        THEIRS6,
        b"\x60\0\0\0",
        OURS6,
        b"\2\1" + MAC,
    )
    assert host.ip.neighbours.known[1, THEIRS6].state is Reachability.STALE
    probe = icmp6(135, bytes(4) + OURS6, source=bytes(16), to=group, mac=b"\x33\x33\xff\0\0\1")
    ((source, to, message),) = messages6(host.give(probe))
    assert (source, to, message[4]) == (OURS6, packed("ff02::1"), 0x20)


def test_rfc4861_7_1_messages_from_afar_are_refused() -> None:
    host = Host(known=False)
    body = bytes(4) + OURS6 + b"\1\1" + PEER
    bad = [
        icmp6(135, body, hop_limit=254),
        icmp6(135, body, code=1),
        icmp6(135, body[:12]),
        icmp6(135, bytes(4) + packed("ff02::1")),
        icmp6(135, bytes(4) + OURS6 + b"\1\0" + PEER),
        icmp6(136, bytes(4) + THEIRS6 + b"\2\2" + PEER),
    ]
    assert host.give(*bad) == []
    assert host.counters["ip.malformed"] == len(bad)
    assert not host.ip.neighbours.known


def test_rfc4861_7_2_4_an_answer_without_the_address_confirms() -> None:
    """As Linux answers a unicast question; it says nothing while the address is not known, and never changes one."""
    host = Host(known=False)
    answer = icmp6(136, b"\x40\0\0\0" + THEIRS6)
    host.stack.bind(7, version=6).send(b"x", THEIRS6, 9, now=0.0)
    host.give(answer)
    one = host.ip.neighbours.known[1, THEIRS6]
    assert one.state is Reachability.INCOMPLETE
    host.give(icmp6(136, b"\x20\0\0\0" + THEIRS6 + b"\2\1" + PEER))
    assert one.state is Reachability.STALE
    host.give(answer)
    assert (one.state, one.mac) == (Reachability.REACHABLE, PEER)


def test_rfc4861_7_2_5_without_override_another_address_is_not_taken() -> None:
    """It only makes the neighbour stale, so that it is asked."""
    host = Host(known=False)
    host.stack.bind(7, version=6).send(b"x", THEIRS6, 9, now=0.0)
    host.give(icmp6(136, b"\x60\0\0\0" + THEIRS6 + b"\2\1" + PEER))
    one = host.ip.neighbours.known[1, THEIRS6]
    host.give(icmp6(136, b"\0\0\0\0" + THEIRS6 + b"\2\1other!"))
    assert (one.state, one.mac) == (Reachability.STALE, PEER)


@pytest.mark.parametrize("version", [4, 6])
def test_packets_wait_for_the_answer(version: int) -> None:
    host = Host(known=False)
    endpoint = host.stack.bind(7, version=version)
    target = THEIRS4 if version == 4 else THEIRS6
    endpoint.send(b"one", target, 9, now=0.0)
    endpoint.send(b"two", target, 9, now=0.0)
    (question,) = host.take()
    if version == 4:
        assert (question[:6], question[20:22], question[38:42]) == (b"\xff" * 6, b"\0\1", THEIRS4)
        sent = host.give(arp_frame(2, THEIRS4, OURS4))
    else:
        ((source, to, message),) = messages6([question])
        assert (source, to, message[8:24]) == (OURS6, solicited_node(THEIRS6), THEIRS6)
        sent = host.give(icmp6(136, b"\x60\0\0\0" + THEIRS6 + b"\2\1" + PEER))
    assert [(f[:6], f[-3:]) for f in sent] == [(PEER, b"one"), (PEER, b"two")]
    assert host.ip.neighbours.known[1, target].state is Reachability.REACHABLE
