"""One question and its servers, in virtual time."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mirage.dns import Exchange, NameServer, NoServers, Question, Send, ServersFailed, Settings, TimedOut
from mirage.dns.message import parse_name
from mirage.types.testing import SeededRandom

ONE, TWO = NameServer.of("192.0.2.1"), NameServer.of("2001:db8::2", 5353)
QUESTION = Question(parse_name("www.example.org."), dns.rdatatype.A)
Spoil = Callable[[dns.message.Message], object]


def make(*servers: NameServer, seed: int = 1, **settings: object) -> Exchange:
    chosen = Settings(servers=servers or (ONE, TWO), **settings)  # type: ignore[arg-type]
    return Exchange(QUESTION, chosen, SeededRandom(seed, predictable=True), 0.0)


def reply(send: Send, spoil: Spoil = lambda message: None) -> bytes:
    query = dns.message.from_wire(send.payload)
    response = dns.message.make_response(query, recursion_available=True)
    name = query.question[0].name
    response.answer.append(dns.rrset.from_text(name, 60, "IN", "A", "192.0.2.80"))
    spoil(response)
    return response.to_wire()


def test_asked_and_answered() -> None:
    """One datagram each way; EDNS offers the size that no path fragments."""
    exchange = make()
    (send,) = exchange.poll(0.0)
    query = dns.message.from_wire(send.payload)
    assert (send.server, send.tcp, send.source_port) == (ONE, False, 0)
    assert (query.edns, query.payload) == (0, 1232)
    assert query.flags & dns.flags.RD
    exchange.input(send.token, reply(send), 0.1)
    assert exchange.done
    assert exchange.next_deadline() is None
    assert exchange.result().answer[0][0].address == "192.0.2.80"


def test_every_server_has_its_turn_in_rounds_of_growing_patience() -> None:
    """Retries with rotation over the servers, then the error."""
    exchange = make(timeout=2.0, attempts=3)
    turns = []
    while not exchange.done:
        now = exchange.next_deadline()
        assert now is not None
        turns += [(now, send.server) for send in exchange.poll(now)]
    assert turns == [(0, ONE), (2, TWO), (4, ONE), (8, TWO), (12, ONE), (20, TWO)]
    with pytest.raises(TimedOut, match="6 times"):
        exchange.result()


def test_ids_and_ports_are_random() -> None:
    """RFC 5452 9.2: every question has an id and a port of its own."""
    sends = [make(ONE, seed=seed, source_ports=(2000, 60000)).poll(0.0)[0] for seed in range(50)]
    assert len({send.payload[:2] for send in sends}) > 48
    assert len({send.source_port for send in sends}) > 45
    assert all(2000 <= send.source_port <= 60000 for send in sends)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda m: setattr(m, "id", m.id ^ 1),
        lambda m: setattr(m, "flags", m.flags & ~dns.flags.QR),
        lambda m: m.question.clear(),
        lambda m: setattr(m, "question", [dns.rrset.RRset(parse_name("www.example.net"), 1, 1)]),
        lambda m: setattr(m, "question", [dns.rrset.RRset(QUESTION.name, 1, 28)]),
        lambda m: setattr(m, "question", [dns.rrset.RRset(QUESTION.name, 3, 1)]),
        lambda m: m.question.append(dns.rrset.RRset(QUESTION.name, 1, 28)),
        lambda m: m.set_opcode(4),
    ],
)
def test_a_forgery_is_dropped_and_the_answer_waited_for(spoil: Spoil) -> None:
    """RFC 5452 9.1: a response is one only if id and question are what was sent."""
    exchange = make()
    (send,) = exchange.poll(0.0)
    exchange.input(send.token, reply(send, spoil), 0.1)
    assert not exchange.done
    assert exchange.counters["dropped.not-ours"] == 1
    exchange.input(send.token, b"noise", 0.1)
    assert exchange.counters["dropped.invalid"] == 1
    exchange.input(send.token, reply(send), 0.2)
    assert exchange.done


def test_mixed_case_must_come_back() -> None:
    """With `mix_case`, letters are as good as bits of the id; the last round does without."""
    exchange = make(ONE, mix_case=True, attempts=2)
    (send,) = exchange.poll(0.0)
    asked = dns.message.from_wire(send.payload).question[0].name
    assert asked == QUESTION.name
    assert asked.labels != QUESTION.name.labels

    def lower(message: dns.message.Message) -> None:
        message.question[0].name = QUESTION.name

    exchange.input(send.token, reply(send, lower), 0.1)
    assert not exchange.done
    (again,) = exchange.poll(2.0)
    assert dns.message.from_wire(again.payload).question[0].name.labels == QUESTION.name.labels
    exchange.input(send.token, reply(send), 2.1)  # the late one counts
    assert exchange.done


def test_truncated_is_asked_for_over_tcp() -> None:
    """RFC 1035 4.2.1, RFC 7766: the same server, a new id."""
    exchange = make()
    (send,) = exchange.poll(0.0)
    exchange.input(send.token, reply(send, lambda m: setattr(m, "flags", m.flags | dns.flags.TC)), 0.1)
    (again,) = exchange.poll(0.1)
    assert (again.server, again.tcp) == (ONE, True)
    assert again.payload[:2] != send.payload[:2]
    exchange.input(again.token, reply(again), 0.2)
    assert exchange.done


@pytest.mark.parametrize("rcode", [dns.rcode.FORMERR, dns.rcode.NOTIMP, dns.rcode.BADVERS])
def test_a_server_without_edns_is_asked_without(rcode: dns.rcode.Rcode) -> None:
    """RFC 6891 7."""
    exchange = make()
    (send,) = exchange.poll(0.0)

    def refuse(message: dns.message.Message) -> None:
        message.answer.clear()
        if rcode is not dns.rcode.BADVERS:
            message.use_edns(False)
        message.set_rcode(rcode)

    exchange.input(send.token, reply(send, refuse), 0.1)
    (again,) = exchange.poll(0.1)
    assert again.server == ONE
    assert dns.message.from_wire(again.payload).edns == -1
    exchange.input(again.token, reply(again), 0.2)
    assert exchange.done


@pytest.mark.parametrize("rcode", [dns.rcode.SERVFAIL, dns.rcode.REFUSED])
def test_a_server_that_fails_ends_its_turn_at_once(rcode: dns.rcode.Rcode) -> None:
    """The next one is asked, and the error of the last round says why."""
    exchange = make(attempts=1)
    (send,) = exchange.poll(0.0)
    exchange.input(send.token, reply(send, lambda m: m.set_rcode(rcode)), 0.1)
    (again,) = exchange.poll(0.1)
    assert again.server == TWO
    exchange.failed(again.token, 0.2)
    exchange.poll(0.2)
    with pytest.raises(ServersFailed, match=dns.rcode.to_text(rcode)):
        exchange.result()


def test_a_late_failure_ends_nobody_elses_turn() -> None:
    """A port that was found closed after its turn costs nothing."""
    exchange = make()
    (first,) = exchange.poll(0.0)
    exchange.poll(2.0)
    exchange.failed(first.token, 2.5)
    assert exchange.next_deadline() == 4.0


def test_no_servers() -> None:
    """Local misuse is its own error."""
    with pytest.raises(NoServers, match="Settings"):
        Exchange(QUESTION, Settings(), SeededRandom(1, predictable=True), 0.0)


@given(st.binary(max_size=80), st.binary(max_size=40))
def test_any_octets(octets: bytes, rest: bytes) -> None:
    """Whatever comes, nothing but the two declared errors ends a question."""
    exchange = make(attempts=1)
    (send,) = exchange.poll(0.0)
    exchange.input(send.token, octets, 0.1)
    exchange.input(send.token, send.payload[:2] + b"\x80" + octets, 0.1)
    exchange.input(send.token, reply(send)[: len(octets) + 20] + rest, 0.1)
    while not exchange.done:
        exchange.poll(exchange.next_deadline() or 0.0)
    with contextlib.suppress(TimedOut, ServersFailed):
        exchange.result()
