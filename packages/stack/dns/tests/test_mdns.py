"""Nodes of multicast DNS on a link in virtual time, and message by message."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import random
from collections.abc import Callable
from ipaddress import IPv4Address

import dns.name
import dns.rdata
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mirage.dns import BadName, InvalidMessage
from mirage.dns.mdns import Changed, Event, Found, Gone, Named, Node, Service, Settings
from mirage.dns.mdns._wire import Message, Question, Record, build, parse, split
from mirage.dns.mdns.service import SERVICES, pointer, service_type
from mirage.types.testing import SeededRandom

HTTP = "_http._tcp"
FILES = Service("My files", HTTP, 8080, {"path": "/x", "flag": None})
ANY, PTR, SRV, TXT, A, AAAA, NSEC = (
    dns.rdatatype.ANY, dns.rdatatype.PTR, dns.rdatatype.SRV, dns.rdatatype.TXT, dns.rdatatype.A, dns.rdatatype.AAAA,
    dns.rdatatype.NSEC,
)  # fmt: skip


class Link:
    """Joins nodes: every packet comes to all, its sender too, a millisecond later, unless it is lost."""

    def __init__(self, *, loss: float = 0.0, seed: int = 1) -> None:
        self.now = 0.0
        self.nodes: dict[IPv4Address, Node] = {}
        self.events: dict[IPv4Address, list[Event]] = {}
        self.log: list[tuple[float, IPv4Address, Message]] = []
        self._loss = loss
        self._random = random.Random(seed)
        self._number = itertools.count()
        self._flying: list[tuple[float, int, IPv4Address, IPv4Address, bytes]] = []

    def add(self, host: str = "unikernel", last: int | None = None, **settings: object) -> Node:
        address = IPv4Address(f"192.0.2.{last or len(self.nodes) + 1}")
        chosen = Settings(host=host, addresses=(address,), **settings)  # type: ignore[arg-type]
        node = Node(chosen, SeededRandom(int(address), predictable=True))
        self.nodes[address] = node
        self.events[address] = []
        return node

    def of(self, node: Node) -> list[Event]:
        (found,) = [self.events[address] for address, each in self.nodes.items() if each is node]
        return found

    def turn(self) -> None:
        for address, node in self.nodes.items():
            for payload, destination in node.poll(self.now):
                self.log.append((self.now, address, parse(payload)))
                assert len(payload) <= 1440
                for to in self.nodes if destination is None else [destination[0]]:
                    if to in self.nodes and self._random.random() >= self._loss:
                        entry = (self.now + 0.001, next(self._number), address, IPv4Address(str(to)), payload)
                        heapq.heappush(self._flying, entry)
            self.events[address] += node.take_events()

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Let time pass."""
        end = self.now + seconds
        for _ in range(100_000):
            self.turn()
            if until():
                return
            deadlines = [d for node in self.nodes.values() if (d := node.next_deadline()) is not None]
            soonest = min([*deadlines, *(entry[0] for entry in self._flying[:1]), end])
            if soonest >= end and not (self._flying and self._flying[0][0] <= end):
                self.now = end
                self.turn()
                return
            self.now = max(self.now, soonest)
            while self._flying and self._flying[0][0] <= self.now:
                _, _, source, to, payload = heapq.heappop(self._flying)
                if to in self.nodes:
                    self.nodes[to].input(payload, source, 5353, self.now)
        pytest.fail("the nodes never rest")


def established(link: Link, node: Node, *, service: bool = False) -> list[str]:
    return [e.name for e in link.of(node) if isinstance(e, Named) and e.established and bool(e.service) == service]


def test_a_name_is_probed_for_and_announced() -> None:
    """Sections 8.1 and 8.3: three probes 250 ms apart, two announcements a second apart, with the cache-flush bit."""
    link = Link()
    node = link.add()
    node.start(0.0)
    link.run(10.0)
    probes = [(time, m) for time, _, m in link.log if not m.response]
    announced = [(time, m) for time, _, m in link.log if m.response]
    assert 0 <= probes[0][0] <= 0.25
    assert [round(later[0] - earlier[0], 6) for earlier, later in itertools.pairwise(probes)] == [0.25, 0.25]
    for _, probe in probes:
        (question,) = probe.questions
        assert (question.name.to_text(), question.rdtype, question.unicast) == ("unikernel.local.", ANY, True)
        assert [record.data.to_text() for record in probe.authority] == ["192.0.2.1"]
        assert not probe.authority[0].unique  # section 10.2: never in a query
    assert round(announced[0][0] - probes[-1][0], 6) == 0.25
    assert round(announced[1][0] - announced[0][0], 6) == 1.0
    assert len(announced) == 2
    assert all(record.unique and record.ttl == 120 for _, m in announced for record in m.answers)
    assert established(link, node) == ["unikernel.local"]


def test_published_and_found() -> None:
    """RFC 6763: from the type to everything that is needed to use a service."""
    link = Link()
    server, client = link.add(), link.add("client")
    server.start(0.0)
    server.publish(FILES, 0.0)
    client.browse(HTTP, 0.0)
    link.run(5.0)
    (event,) = link.of(client)
    assert isinstance(event, Found)
    service = event.service
    assert (service.name, service.type, service.port, service.host) == ("My files", HTTP, 8080, "unikernel.local")
    assert service.text == {"path": b"/x", "flag": None}
    assert service.addresses == (IPv4Address("192.0.2.1"),)
    assert client.services() == [service]
    assert established(link, server, service=True) == ["My files"]


def test_found_though_packets_are_lost() -> None:
    """Questions and announcements are repeated."""
    link = Link(loss=0.4, seed=3)
    server, client = link.add(), link.add("client")
    server.start(0.0)
    server.publish(FILES, 0.0)
    client.browse(HTTP, 0.0)
    link.run(600.0, lambda: bool(client.services()))
    assert client.services()


def test_goodbye() -> None:
    """Section 10.1: gone a second after it says so; a service, or all that a host has."""
    link = Link()
    server, client = link.add(), link.add("client")
    server.start(0.0)
    server.publish(FILES, 0.0)
    server.publish(Service("Other", HTTP, 81), 0.0)
    client.browse(HTTP, 0.0)
    link.run(5.0)
    link.of(client).clear()
    server.withdraw(FILES)
    link.run(1.5)
    (event,) = link.of(client)
    assert isinstance(event, Gone)
    assert event.service.name == "My files"
    server.stop()
    link.run(1.5)
    assert [type(event) for event in link.of(client)] == [Gone, Gone]
    assert server.next_deadline() is None


def test_a_host_that_vanishes() -> None:
    """Without a goodbye, it is asked for at 80, 85, 90 and 95 % of its time, and then gone (section 5.2)."""
    link = Link()
    server, client = link.add(), link.add("client")
    server.start(0.0)
    server.publish(FILES, 0.0)
    client.browse(HTTP, 0.0)
    link.run(5.0)
    del link.nodes[IPv4Address("192.0.2.1")]
    gone_from = link.now
    link.log.clear()
    link.run(130.0)
    assert isinstance(link.of(client)[-1], Gone)
    asked = [time for time, _, m in link.log if any(q.rdtype == SRV for q in m.questions)]
    assert len(asked) >= 4
    assert gone_from + 0.75 * 120 < asked[0] < gone_from + 0.85 * 120


def test_what_lives_on_is_refreshed() -> None:
    """A service that stays is never gone, however long it takes."""
    link = Link()
    server, client = link.add(), link.add("client")
    server.start(0.0)
    server.publish(FILES, 0.0)
    client.browse(HTTP, 0.0)
    link.run(20_000.0)
    assert [type(event) for event in link.of(client)] == [Found]
    assert len(link.log) < 2500


def test_a_service_changes() -> None:
    """Section 8.4: announced again; the old data goes with the cache-flush bit."""
    link = Link()
    server, client = link.add(), link.add("client")
    server.start(0.0)
    server.publish(FILES, 0.0)
    client.browse(HTTP, 0.0)
    link.run(5.0)
    server.publish(Service("My files", HTTP, 9090, {"path": "/y"}), link.now)
    link.run(5.0)
    changed = [event.service for event in link.of(client) if isinstance(event, Changed)]
    assert changed
    assert (changed[-1].port, changed[-1].text) == (9090, {"path": b"/y"})
    server.set_addresses((IPv4Address("192.0.2.77"),), link.now)
    link.run(5.0)
    assert client.services()[0].addresses == (IPv4Address("192.0.2.77"),)


def test_a_name_that_is_taken() -> None:
    """Section 9: who comes later takes another name, for the host and for the service, and both are found."""
    link = Link()
    first, second, client = link.add(), link.add(), link.add("client")
    first.start(0.0)
    first.publish(FILES, 0.0)
    link.run(5.0)
    second.start(link.now)
    second.publish(FILES, link.now)
    client.browse(HTTP, link.now)
    link.run(10.0)
    assert established(link, second) == ["unikernel-2.local"]
    assert established(link, second, service=True) == ["My files (2)"]
    assert established(link, first) == ["unikernel.local"]
    found = {(service.name, service.host) for service in client.services()}
    assert found == {("My files", "unikernel.local"), ("My files (2)", "unikernel-2.local")}


def test_two_want_a_name_at_once() -> None:
    """Section 8.2: the later data wins; exactly one has the name in the end."""
    for seed in range(5):
        link = Link(seed=seed)
        one, two = link.add(last=10 + seed), link.add(last=20 + seed)
        one.start(0.0)
        two.start(0.0)
        link.run(10.0)
        assert {established(link, one)[-1], established(link, two)[-1]} == {"unikernel.local", "unikernel-2.local"}
        assert established(link, two)[-1] == "unikernel.local"


def test_two_links_are_joined() -> None:
    """Section 9: both have had the name for long; one keeps it."""
    link = Link()
    one, two = link.add(last=10), link.add(last=20)
    addresses = list(link.nodes)
    for address, node in zip(addresses, (one, two), strict=True):
        link.nodes = {address: node}
        node.start(link.now)
        link.run(5.0)
    link.nodes = dict(zip(addresses, (one, two), strict=True))
    one.set_addresses((addresses[0],), link.now)  # it announces itself
    link.run(20.0)
    assert {established(link, one)[-1], established(link, two)[-1]} == {"unikernel.local", "unikernel-2.local"}


def test_a_node_that_says_no_to_every_name() -> None:
    """Section 8.1: after fifteen conflicts within ten seconds, it is tried every five seconds."""
    link = Link()
    node = link.add()
    node.start(0.0)
    attempts = []
    for _ in range(20_000):
        node_deadline = node.next_deadline()
        if node_deadline is None or link.now > 60:
            break
        link.now = max(link.now, node_deadline)
        for payload, _ in node.poll(link.now):
            message = parse(payload)
            if message.response:
                continue
            attempts.append(link.now)
            name = message.questions[0].name
            data = dns.rdata.from_text("IN", "A", "198.51.100.1")
            no = Message(True, answers=(Record(name, A, data, 120, unique=True),))
            node.input(build(no), IPv4Address("198.51.100.1"), 5353, link.now)
    assert len([time for time in attempts if time > 10]) <= 13
    assert len(node._responder._multicast) == 0


def answer(
    node: Node, query: Message, *, now: float, port: int = 5353, wait: float = 1.5
) -> list[tuple[Message, bool]]:
    """What a node says to a query; and whether to everybody."""
    node.input(build(query), IPv4Address("192.0.2.200"), port, now)
    found, end = [], now + wait
    while True:
        found += [(parse(payload), to is None) for payload, to in node.poll(now)]
        deadline = node.next_deadline()
        if deadline is None or deadline > end:
            return found
        now = max(now, deadline)


@pytest.fixture
def node() -> Node:
    """One that has its name and a service, at 100 s."""
    link = Link()
    made = link.add()
    made.start(0.0)
    made.publish(FILES, 0.0)
    link.run(100.0)
    return made


def ask(name: str | dns.name.Name, rdtype: int, *known: Record, unicast: bool = False, **more: object) -> Message:
    asked = name if isinstance(name, dns.name.Name) else dns.name.from_text(name)
    return Message(False, (Question(asked, rdtype, unicast),), tuple(known), **more)  # type: ignore[arg-type]


def test_answers_to_everybody(node: Node) -> None:
    """Section 6; with what the asker needs next (RFC 6763 section 12)."""
    ((message, everybody),) = answer(node, ask(service_type(HTTP), PTR), now=100.0)
    assert everybody
    assert [record.rdtype for record in message.answers] == [PTR]
    assert {record.rdtype for record in message.additional} == {SRV, TXT, A}
    ((message, _),) = answer(node, ask(SERVICES, PTR), now=200.0)
    assert [record.data.to_text() for record in message.answers] == ["_http._tcp.local."]
    assert answer(node, ask("nobody.local.", A), now=300.0) == []


def test_not_twice_within_a_second(node: Node) -> None:
    """Section 6: the second question is answered when a second is over."""
    query = ask("unikernel.local.", A)
    assert len(answer(node, query, now=100.0, wait=0.0)) == 1
    assert answer(node, query, now=100.2, wait=0.5) == []
    assert node.next_deadline() == 101.0


def test_known_answers_are_not_told(node: Node) -> None:
    """Section 7.1: unless less than half of their time is left."""
    instance = dns.name.Name((b"My files", *service_type(HTTP).labels))
    for ttl, count in ((4500, 0), (2250, 0), (2249, 1)):
        known = pointer(service_type(HTTP), instance, ttl)
        assert len(answer(node, ask(service_type(HTTP), PTR, known), now=100.0 + ttl)) == count


def test_known_answers_in_several_messages(node: Node) -> None:
    """Section 7.2: with TC, the rest comes within half a second."""
    instance = dns.name.Name((b"My files", *service_type(HTTP).labels))
    known = pointer(service_type(HTTP), instance, 4500)
    node.input(build(ask(service_type(HTTP), PTR, truncated=True)), IPv4Address("192.0.2.200"), 5353, 100.0)
    assert answer(node, Message(False, answers=(known,)), now=100.1) == []
    ((message, _),) = answer(node, ask(service_type(HTTP), PTR, truncated=True), now=200.0)
    assert message.answers


def test_answers_to_one(node: Node) -> None:
    """Section 5.4: QU, when everybody was told not long ago."""
    both = answer(node, ask("unikernel.local.", A, unicast=True), now=1100.0)
    assert [(everybody, len(message.answers)) for message, everybody in both] == [(False, 1), (True, 1)]
    one = answer(node, ask("unikernel.local.", A, unicast=True), now=1110.0)
    assert [(everybody, len(message.answers)) for message, everybody in one] == [(False, 1)]


def test_answers_to_who_speaks_dns(node: Node) -> None:
    """Section 6.7: id and question come back, with a short TTL and without the cache-flush bit."""
    ((message, everybody),) = answer(node, ask("unikernel.local.", A, id=77), now=100.0, port=40000)
    assert not everybody
    assert (message.id, message.questions[0].name.to_text()) == (77, "unikernel.local.")
    assert [(record.ttl, record.unique) for record in message.answers] == [(10, False)]


def test_what_there_is_not(node: Node) -> None:
    """Section 6.1: of a name of ours, NSEC says which types there are."""
    ((message, _),) = answer(node, ask("unikernel.local.", AAAA), now=100.0)
    (record,) = message.answers
    assert (record.rdtype, record.unique) == (NSEC, True)
    assert record.data.to_text() == "unikernel.local. A"


def test_somebody_else_gives_our_answer(node: Node) -> None:
    """Section 7.4: then we need not."""
    instance = dns.name.Name((b"My files", *service_type(HTTP).labels))
    source = IPv4Address("192.0.2.200")
    node.input(build(ask(service_type(HTTP), PTR)), source, 5353, 100.0)
    same = Message(True, answers=(pointer(service_type(HTTP), instance, 4500),))
    node.input(build(same), source, 5353, 100.01)
    assert node.poll(100.5) == []


def test_a_response_from_another_port_is_none(node: Node) -> None:
    """Section 11."""
    data = dns.rdata.from_text("IN", "A", "198.51.100.1")
    lie = Message(True, answers=(Record(dns.name.from_text("unikernel.local."), A, data, 120, unique=True),))
    node.input(build(lie), IPv4Address("192.0.2.200"), 6000, 100.0)
    assert node.next_deadline() is None


def test_memory_is_bounded() -> None:
    """A node that invents services fills what there is for it, and no more."""
    link = Link()
    client = link.add("client", max_records=100, max_instances=20)
    client.browse(HTTP, 0.0)
    source = IPv4Address("192.0.2.200")
    for number in range(2000):
        name = dns.name.Name((f"service {number}".encode(), *service_type(HTTP).labels))
        client.input(build(Message(True, answers=(pointer(service_type(HTTP), name, 4500),))), source, 5353, 0.0)
    assert client.counters["dropped.instances"] > 0
    assert len(client._instances) == 20
    assert client._browser._count == 100
    sizes = [len(packet.payload) for packet in client.poll(1.0)]
    assert max(sizes) <= 1440


def test_many_known_answers_are_parted() -> None:
    """Section 7.2: TC on all but the last."""
    link = Link()
    client = link.add("client")
    client.browse(HTTP, 0.0)
    for number in range(300):
        name = dns.name.Name((f"service {number}".encode(), *service_type(HTTP).labels))
        record = pointer(service_type(HTTP), name, 4500)
        client.input(build(Message(True, answers=(record,))), IPv4Address("192.0.2.200"), 5353, 0.0)
    client.stop_browsing(HTTP)
    client.browse(HTTP, 0.0)
    for number in range(300):
        name = dns.name.Name((f"service {number}".encode(), *service_type(HTTP).labels))
        record = pointer(service_type(HTTP), name, 4500)
        client.input(build(Message(True, answers=(record,))), IPv4Address("192.0.2.200"), 5353, 0.0)
    messages = [parse(packet.payload) for packet in client.poll(0.5)]
    first = next(i for i, m in enumerate(messages) if any(q.rdtype == PTR for q in m.questions))
    rest = [m for m in messages[first:] if m.questions == () or any(q.rdtype == PTR for q in m.questions)]
    assert sum(len(m.answers) for m in rest) == 300
    assert [m.truncated for m in rest] == [True] * (len(rest) - 1) + [False]


labels = st.binary(min_size=1, max_size=20)
names = st.lists(labels, max_size=4).map(lambda found: dns.name.Name((*found, b"")))
records = st.builds(
    lambda name, ttl, unique, octets: Record(
        name, A, dns.rdata.from_wire("IN", A, octets, 0, 4), ttl, unique
    ),
    names, st.integers(0, 2**31 - 1), st.booleans(), st.binary(min_size=4, max_size=4),
)  # fmt: skip
messages = st.builds(
    Message,
    st.just(True),
    st.lists(st.builds(Question, names, st.sampled_from([A, PTR, ANY]), st.booleans()), max_size=3).map(tuple),
    *[st.lists(records, max_size=4).map(tuple)] * 3,
    st.booleans(),
    st.integers(0, 65535),
)


@given(messages)
def test_parse_inverts_build(message: Message) -> None:
    """With the bits that are multicast DNS's own."""
    found = parse(build(message))
    assert found == message
    for before, after in zip(message.answers, found.answers, strict=True):
        assert (before.ttl, before.unique) == (after.ttl, after.unique)


@given(st.binary(max_size=120), st.sampled_from([5353, 40000]), st.booleans())
def test_any_octets(octets: bytes, port: int, response: bool) -> None:
    """Untrusted octets raise nothing, and every answer can be parsed."""
    node = Node(Settings(host="unikernel"), SeededRandom(1, predictable=True))
    node.start(0.0)
    node.publish(FILES, 0.0)
    node.browse(HTTP, 0.0)
    node.poll(0.5)
    head = bytes([0, 0, 0x84 if response else 0, 0, 0, 1, 0, 1, 0, 0, 0, 0])
    for data in (octets, head + octets, head + b"\x09unikernel\x05local\0" + octets):
        node.input(data, IPv4Address("192.0.2.200"), port, 1.0)
        with contextlib.suppress(InvalidMessage):
            build(parse(data))
    for packet in node.poll(2.0):
        parse(packet.payload)


@given(st.lists(records, max_size=200))
def test_split(found: list[Record]) -> None:
    """Nothing is lost, and every part fits."""
    parts = list(split(found))
    assert [record for part in parts for record in part] == found
    assert all(len(build(Message(True, answers=part))) <= 1440 for part in parts)


def test_names_that_cannot_be() -> None:
    """Local misuse says what is wrong."""
    with pytest.raises(BadName, match="_http"):
        service_type("http")
    with pytest.raises(BadName, match="label"):
        Node(Settings(host="a.b"), SeededRandom(1, predictable=True))
    node = Node(Settings(host="a"), SeededRandom(1, predictable=True))
    node.start(0.0)
    with pytest.raises(BadName, match="63"):
        node.publish(Service("ä" * 32, HTTP, 1), 0.0)
    with pytest.raises(BadName, match="attribute"):
        node.publish(Service("a", HTTP, 1, {"a=b": "c"}), 0.0)
