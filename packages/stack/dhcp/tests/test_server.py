"""The server, in virtual time: against our own client, and message by message."""

from __future__ import annotations

import dataclasses
import math
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mirage.dhcp import (
    BROADCAST,
    BadConfiguration,
    Client,
    Datagram,
    Limits,
    Message,
    MessageType,
    Network,
    Option,
    Server,
    Settings,
    Standing,
    build,
    parse,
)
from mirage.kv import DirectoryStore, MemoryStore
from mirage.types import DeviceError
from mirage.types.testing import SeededRandom

SERVER = IPv4Address("10.0.0.1")
FIRST, LAST = IPv4Address("10.0.0.50"), IPv4Address("10.0.0.53")
NET = Network(
    network=IPv4Network("10.0.0.0/24"),
    server=SERVER,
    ranges=((FIRST, LAST),),
    options={Option.ROUTERS: SERVER.packed, Option.DNS_SERVERS: SERVER.packed},
    lease_time=1000,
)
RELAYED = Network(
    network=IPv4Network("10.1.0.0/24"),
    server=IPv4Address("10.1.0.1"),
    ranges=((IPv4Address("10.1.0.50"), IPv4Address("10.1.0.59")),),
)
RELAY = IPv4Address("10.1.0.254")


def mac(number: int) -> bytes:
    return bytes([2, 0, 0, 0, number >> 8, number & 0xFF])


def ask(kind: MessageType, number: int = 1, *, client_id: bytes | None = None, **fields: object) -> Message:
    """A message of client `number`; keywords that name options are options."""
    values: dict[int, bytes] = {Option.MESSAGE_TYPE: bytes([kind])}
    if client_id is not None:
        values[Option.CLIENT_ID] = client_id
    for name in list(fields):
        if name.upper() in Option.__members__:
            value = fields.pop(name)
            values[Option[name.upper()]] = value if isinstance(value, bytes) else IPv4Address(value).packed  # type: ignore[arg-type]
    return Message(op=1, xid=number, hardware=mac(number), options=values, **fields)  # type: ignore[arg-type]


def answers(server: Server, message: Message, now: float = 0.0) -> list[tuple[Datagram, Message]]:
    server.input(build(message), now)
    return [(datagram, parse(datagram.payload)) for datagram in server.poll(now)]


def answer(server: Server, message: Message, now: float = 0.0) -> Message:
    ((_, reply),) = answers(server, message, now)
    assert (reply.op, reply.xid, reply.hardware) == (2, message.xid, message.hardware)
    return reply


def lease(server: Server, number: int = 1, now: float = 0.0, **fields: object) -> IPv4Address:
    """Go through the four messages."""
    offer = answer(server, ask(MessageType.DISCOVER, number, **fields), now)
    assert offer.type is MessageType.OFFER
    chosen = {"requested_address": offer.yiaddr, "server_id": offer.address(Option.SERVER_ID)}
    ack = answer(server, ask(MessageType.REQUEST, number, **{**fields, **chosen}), now)
    assert ack.type is MessageType.ACK
    assert ack.yiaddr == offer.yiaddr
    return ack.yiaddr


def test_our_client_lives_on_it() -> None:
    """Lease, renewal, rebinding, INIT-REBOOT and release, both ends in virtual time."""
    server = Server([NET])
    client = Client(Settings(hardware=mac(1), host_name="one"), SeededRandom(1, predictable=True))

    def carry(now: float) -> None:
        for datagram in client.poll(now):
            server.input(datagram.payload, now)
        for datagram in server.poll(now):
            client.input(datagram.payload, now)

    client.start(0.0)
    carry(0.0)
    carry(0.0)
    assert client.lease is not None
    assert client.lease.routers == (SERVER,)
    assert client.lease.expires == 1000.0
    carry(500.0)
    assert client.lease.expires == 1500.0
    carry(500 + 900.0)
    assert client.counters["received.ack"] == 3
    address = client.lease.address
    client.start(1500.0, reboot=address)
    carry(1500.0)
    assert client.lease.address == address
    binding = server.pools[0].get(address)
    assert binding is not None
    assert (binding.standing, binding.host_name) == (Standing.LEASED, "one")
    client.release(1600.0)
    carry(1600.0)
    binding = server.pools[0].get(address)
    assert binding is not None
    assert binding.standing is Standing.FREED


def test_an_offer() -> None:
    """RFC 2131 4.3.1, with the options that were asked for; the mask comes in any case."""
    server = Server([NET])
    ((datagram, offer),) = answers(server, ask(MessageType.DISCOVER, parameter_list=bytes([3, 99])))
    assert offer.yiaddr == FIRST
    assert offer.address(Option.SERVER_ID) == SERVER
    assert offer.options[Option.SUBNET_MASK] == b"\xff\xff\xff\0"
    assert Option.ROUTERS in offer.options
    assert Option.DNS_SERVERS not in offer.options
    assert [offer.number(code) for code in (51, 58, 59)] == [1000, 500, 875]
    # RFC 2131 4.1: to the address it will have, at the hardware it has.
    assert (datagram.destination, datagram.destination_port, datagram.link) == (FIRST, 68, mac(1))
    assert (datagram.source, datagram.source_port) == (SERVER, 67)


def test_where_an_answer_goes() -> None:
    """RFC 2131 4.1: the relay, the client's own address, everybody."""
    server = Server([NET, RELAYED])
    ((broadcast, _),) = answers(server, ask(MessageType.DISCOVER, broadcast=True))
    assert (broadcast.destination, broadcast.link) == (BROADCAST, None)
    ((relayed, offer),) = answers(server, ask(MessageType.DISCOVER, 2, giaddr=RELAY, relay_agent=b"\1\2ab"))
    assert (relayed.destination, relayed.destination_port) == (RELAY, 67)
    assert offer.yiaddr in RELAYED.network
    assert offer.giaddr == RELAY
    assert offer.options[Option.RELAY_AGENT] == b"\1\2ab"
    assert offer.address(Option.SERVER_ID) == RELAYED.server
    address = lease(server, 3)
    ((renewed, ack),) = answers(server, ask(MessageType.REQUEST, 3, ciaddr=address))
    assert (renewed.destination, ack.yiaddr) == (address, address)
    away = lease(server, 2, giaddr=RELAY)
    ((renewed, ack),) = answers(server, ask(MessageType.REQUEST, 2, ciaddr=away))  # unicast, past the relay
    assert (renewed.destination, ack.type) == (away, MessageType.ACK)
    ((nak, _),) = answers(server, ask(MessageType.REQUEST, 4, giaddr=RELAY, requested_address="10.9.9.9"))
    assert nak.destination == RELAY
    assert parse(nak.payload).broadcast  # RFC 2131 4.3.2
    assert answers(server, ask(MessageType.DISCOVER, 5, giaddr=IPv4Address("10.7.0.1"))) == []
    assert server.counters["dropped.no-network"] == 1


def test_the_client_identifier_is_who_a_client_is() -> None:
    """RFC 2131 4.2, and it comes back (RFC 6842)."""
    server = Server([NET])
    one = answer(server, ask(MessageType.DISCOVER, client_id=b"\1one"))
    two = answer(server, ask(MessageType.DISCOVER, client_id=b"\1two"))
    assert one.options[Option.CLIENT_ID] == b"\1one"
    assert one.yiaddr != two.yiaddr
    assert answer(server, ask(MessageType.DISCOVER, 7, client_id=b"\1one")).yiaddr == one.yiaddr


def test_which_address() -> None:
    """RFC 2131 4.3.1: its own, even after it ran out; the one it asks for; one never used; the one free for longest."""
    server = Server([NET])
    assert lease(server, 1) == FIRST
    assert lease(server, 2, requested_address=LAST) == LAST
    assert lease(server, 3, requested_address=FIRST) not in {FIRST, LAST}
    lease(server, 4)
    assert answers(server, ask(MessageType.DISCOVER, 5)) == []
    assert server.pools[0].counters["refused.exhausted"] == 1
    answers(server, ask(MessageType.RELEASE, 2, ciaddr=LAST), 10.0)
    assert lease(server, 2, 20.0) == LAST  # its own again
    assert lease(server, 1, 2000.0) == FIRST  # though it ran out
    later = lease(server, 5, 2000.0)
    assert later not in {FIRST, LAST}  # those of 3 and 4 ran out first
    assert lease(server, 6, 2000.0) not in {FIRST, LAST, later}


def test_reservations() -> None:
    """By hardware address or client identifier; nobody else gets them, and who has one gets no other."""
    special, inside = IPv4Address("10.0.0.200"), IPv4Address("10.0.0.51")
    network = dataclasses.replace(NET, reservations={mac(9): special, b"\1id": inside})
    server = Server([network])
    assert lease(server, 9, requested_address=FIRST) == special
    assert lease(server, 8, client_id=b"\1id") == inside
    others = {lease(server, number, requested_address=inside) for number in (1, 2, 3)}
    assert others == {FIRST, LAST, IPv4Address("10.0.0.52")}
    nak = answer(server, ask(MessageType.REQUEST, 4, requested_address=special))
    assert nak.type is MessageType.NAK


def test_lease_times() -> None:
    """RFC 2131 4.3.1: what is asked for, within bounds; for ever where that is permitted."""
    server = Server([NET])
    for asked, given_ in ((500, 500), (5, 60), (90000, 1000)):
        offer = answer(server, ask(MessageType.DISCOVER, lease_time=asked.to_bytes(4, "big")))
        assert offer.number(Option.LEASE_TIME) == given_
    endless = Server([dataclasses.replace(NET, lease_time=0xFFFFFFFF)])
    address = lease(endless)
    binding = endless.pools[0].get(address)
    assert binding is not None
    assert binding.expires == math.inf


@pytest.mark.parametrize("authoritative", [True, False])
def test_init_reboot(authoritative: bool) -> None:
    """RFC 2131 4.3.2: the wrong network is refused, a wrong address too, and of what is unknown we are silent, unless
    we are the only server here."""
    server = Server([NET], limits=Limits(authoritative=authoritative))
    address = lease(server)
    assert answer(server, ask(MessageType.REQUEST, requested_address=address)).type is MessageType.ACK
    assert answer(server, ask(MessageType.REQUEST, requested_address=LAST)).type is MessageType.NAK
    assert answer(server, ask(MessageType.REQUEST, requested_address="10.9.0.1")).type is MessageType.NAK
    replies = answers(server, ask(MessageType.REQUEST, 2, requested_address=address))
    assert [reply.type for _, reply in replies] == ([MessageType.NAK] if authoritative else [])
    replies = answers(server, ask(MessageType.REQUEST, 3, ciaddr=LAST))
    assert [reply.type for _, reply in replies] == ([MessageType.ACK] if authoritative else [])


def test_another_servers_offer_was_taken() -> None:
    """RFC 2131 3.1 step 3: ours is free at once."""
    server = Server([dataclasses.replace(NET, ranges=((FIRST, FIRST),))])
    answer(server, ask(MessageType.DISCOVER))
    assert answers(server, ask(MessageType.DISCOVER, 2)) == []
    assert answers(server, ask(MessageType.REQUEST, requested_address="10.0.0.99", server_id="10.0.0.2")) == []
    assert lease(server, 2) == FIRST


def test_offers_run_out() -> None:
    """A client that asks and goes away holds an address for half a minute."""
    server = Server([dataclasses.replace(NET, ranges=((FIRST, FIRST),))])
    answer(server, ask(MessageType.DISCOVER))
    assert answers(server, ask(MessageType.DISCOVER, 2), 29.0) == []
    assert lease(server, 2, 30.0) == FIRST
    late = ask(MessageType.REQUEST, requested_address=FIRST, server_id=SERVER)
    assert answer(server, late, 31.0).type is MessageType.NAK


def test_decline() -> None:
    """RFC 2131 4.3.3: nobody gets the address for a while; only who has it can decline it."""
    server = Server([NET])
    address = lease(server)
    answers(server, ask(MessageType.DECLINE, 2, requested_address=address))
    assert server.counters["dropped.unexpected"] == 1
    answers(server, ask(MessageType.DECLINE, requested_address=address))
    assert {lease(server, number) for number in (1, 2, 3)} == {IPv4Address(int(FIRST) + i) for i in (1, 2, 3)}
    assert answers(server, ask(MessageType.DISCOVER, 4)) == []
    assert lease(server, 4, 600.0) == address


def test_nobody_declines_a_whole_network_away() -> None:
    """Above a limit the address that was declined first is free again."""
    server = Server([NET], limits=Limits(max_declined=2))
    for number in range(20):
        address = lease(server, number)
        answers(server, ask(MessageType.DECLINE, number, requested_address=address))
    assert lease(server, 99)


def test_inform() -> None:
    """RFC 2131 4.3.5: options, no address, no times."""
    server = Server([NET])
    ((datagram, ack),) = answers(server, ask(MessageType.INFORM, ciaddr=IPv4Address("10.0.0.9")))
    assert (ack.type, int(ack.yiaddr), str(datagram.destination)) == (MessageType.ACK, 0, "10.0.0.9")
    assert Option.LEASE_TIME not in ack.options
    assert Option.ROUTERS in ack.options
    assert len(server.pools[0]) == 0


def test_probes() -> None:
    """RFC 2131 3.1 step 2: an address is tried before it is offered; one in use is passed over."""
    server = Server([NET], limits=Limits(probe=True))
    assert answers(server, ask(MessageType.DISCOVER)) == []
    assert server.take_probes() == [FIRST]
    assert answers(server, ask(MessageType.DISCOVER)) == []  # it asks again, and waits
    server.probed(FIRST, True, 0.1)
    (second,) = server.take_probes()
    assert server.next_deadline() == 0.6
    (datagram,) = server.poll(0.6)
    assert parse(datagram.payload).yiaddr == second
    request = ask(MessageType.REQUEST, requested_address=second, server_id=SERVER)
    assert answer(server, request, 0.7).type is MessageType.ACK
    assert answer(server, ask(MessageType.DISCOVER), 1.0).yiaddr == second  # its own is not tried again
    assert server.counters["probes.in-use"] == 1


def test_one_hardware_address_gets_so_many() -> None:
    """Whoever makes up identifiers does not get the whole network."""
    network = dataclasses.replace(NET, ranges=((IPv4Address("10.0.0.10"), IPv4Address("10.0.0.250")),))
    server = Server([network])
    for number in range(50):
        server.input(build(ask(MessageType.DISCOVER, client_id=b"\0" + bytes([number]))), 0.0)
    assert len(server.poll(0.0)) == 8
    assert len(server.pools[0]) == 8
    assert lease(server, 2)


def test_a_flood_is_bounded() -> None:
    """Made-up hardware addresses: so many offers, which run out."""
    network = dataclasses.replace(NET, ranges=((IPv4Address("10.0.0.10"), IPv4Address("10.0.0.250")),))
    server = Server([network], limits=Limits(max_offers=100))
    for number in range(10_000):
        server.input(build(ask(MessageType.DISCOVER, number)), number / 10_000)
    assert len(server.poll(1.0)) == 100
    assert lease(server, 60_000, 40.0)


@pytest.mark.parametrize("kind", ["memory", "directory"])
def test_a_restart_forgets_nothing(kind: str, tmp_path) -> None:  # type: ignore[no-untyped-def]
    """Leases are in the store before they are promised; times are the world's, whatever the clock's zero was."""
    store = MemoryStore() if kind == "memory" else DirectoryStore(tmp_path)
    server = Server([NET], store=lambda network: store, epoch=1_000_000.0)
    one, two = lease(server, 1, 10.0), lease(server, 2, 20.0)
    answers(server, ask(MessageType.RELEASE, 2, ciaddr=two), 30.0)
    answer(server, ask(MessageType.DISCOVER, 3), 30.0)  # only an offer: not in the store
    assert [key for key, _ in store.list()] == [str(one), str(two)]

    again = Server([NET], store=lambda network: store, epoch=1_000_500.0)
    assert lease(again, 3, 0.0) not in {one, two}
    binding = again.pools[0].get(one)
    assert binding is not None
    assert (binding.hardware, binding.expires) == (mac(1), 510.0)
    assert lease(again, 2, 0.0) == two
    assert lease(again, 1, 0.0) == one


def test_what_is_in_the_store_may_make_no_sense() -> None:
    """A value that is none of ours is passed over and counted."""
    store = MemoryStore()
    for key, value in (
        ("10.0.0.50", b"nonsense"), ("10.0.0.51", b"{}"), ("nonsense", b"{}"), ("10.0.0.52", b"[" * 100_000),
        ("10.7.0.1", b'{"client":"","hardware":"","standing":"leased","expires":1,"host_name":""}'),
    ):  # fmt: skip
        store.set(key, value)
    server = Server([NET], store=lambda network: store)
    assert server.pools[0].counters["store.ignored"] == 5
    assert lease(server) == FIRST


def test_a_store_that_fails_promises_nothing() -> None:
    """No ACK for what a restart would forget."""

    class Full(MemoryStore):
        def set(self, key: str, value: object) -> None:
            raise DeviceError("no room")

    server = Server([NET], store=lambda network: Full())
    offer = answer(server, ask(MessageType.DISCOVER))
    request = ask(MessageType.REQUEST, requested_address=offer.yiaddr, server_id=SERVER)
    assert answers(server, request) == []
    assert server.counters["dropped.store"] == 1


@given(
    st.lists(
        st.tuples(
            st.sampled_from(list(MessageType)),
            st.integers(0, 5),
            st.sampled_from([*range(48, 56), 0, 200]),
            st.booleans(),
            st.booleans(),
            st.floats(0, 400),
        ),
        max_size=60,
    )
)
def test_no_address_is_promised_twice(steps: list[tuple[MessageType, int, int, bool, bool, float]]) -> None:
    """Whatever clients send, an address that one was promised is promised to nobody else before its time, or its
    release, or its being declined."""
    network = dataclasses.replace(NET, reservations={mac(5): IPv4Address("10.0.0.51")})
    store = MemoryStore()
    server = Server([network], store=lambda network: store)
    promised: dict[IPv4Address, tuple[bytes, float]] = {}
    now = 0.0
    for kind, number, last, ciaddr, with_server, later in steps:
        now += later
        address = IPv4Address(f"10.0.0.{last}")
        fields: dict[str, object] = {"ciaddr" if ciaddr else "requested_address": address}
        if with_server:
            fields["server_id"] = SERVER
        message = ask(kind, number, **fields)
        holder = promised.get(address)
        if kind in {MessageType.RELEASE, MessageType.DECLINE} and holder and holder[0] == message.hardware:
            promised.pop(address)
        for datagram, reply in answers(server, message, now):
            assert len(datagram.payload) <= 1472
            seconds = reply.number(Option.LEASE_TIME)
            if reply.type is MessageType.ACK and seconds is not None:
                holder = promised.get(reply.yiaddr)
                assert holder is None or holder[0] == message.hardware or holder[1] <= now
                for other in [a for a, (who, _) in promised.items() if who == message.hardware]:
                    del promised[other]
                promised[reply.yiaddr] = (message.hardware, now + seconds)
                assert (number == 5) == (str(reply.yiaddr) == "10.0.0.51")
                assert str(reply.yiaddr) in dict(store.list())
    assert len(server.pools[0]) <= 5
    assert len(server.pools[0]._queue) <= 2 * len(server.pools[0]) + 64


@given(st.binary(max_size=400))
def test_any_octets(octets: bytes) -> None:
    """Untrusted octets raise nothing."""
    server = Server([NET])
    server.input(octets, 0.0)
    head = build(ask(MessageType.DISCOVER))[:236]
    server.input(head + b"\x63\x82\x53\x63" + octets, 0.0)
    assert len(server.poll(0.0)) <= 1


@pytest.mark.parametrize(
    ("network", "hint"),
    [
        (dataclasses.replace(NET, server=IPv4Address("10.1.0.1")), "server's address"),
        (dataclasses.replace(NET, ranges=((LAST, FIRST),)), "range"),
        (dataclasses.replace(NET, ranges=((FIRST, IPv4Address("10.0.1.1")),)), "range"),
        (dataclasses.replace(NET, ranges=((SERVER, FIRST),)), "own address"),
        (dataclasses.replace(NET, reservations={mac(1): SERVER}), "reserved"),
        (dataclasses.replace(NET, lease_time=10), "lease times"),
        (
            Network(
                network=IPv4Network("10.0.0.0/8"),
                server=SERVER,
                ranges=((IPv4Address("10.1.0.0"), IPv4Address("10.3.0.0")),),
            ),
            "65536",
        ),
    ],
)
def test_settings_that_cannot_be(network: Network, hint: str) -> None:
    """Local misuse says what is wrong."""
    with pytest.raises(BadConfiguration, match=hint):
        Server([network])
    with pytest.raises(BadConfiguration, match="network"):
        Server([])


def test_addresses_that_are_asked_for_again_are_capped_too() -> None:
    """Who makes up identifiers and says that he had an address before gets no more than who asks for one."""
    server = Server([NET], limits=Limits(max_per_hardware=2))
    kinds = [
        answer(server, ask(MessageType.REQUEST, 1, client_id=bytes([0, number]), requested_address=FIRST + number)).type
        for number in range(4)
    ]
    assert kinds == [MessageType.ACK, MessageType.ACK, MessageType.NAK, MessageType.NAK]
    assert server.pools[0].counters["refused.too-many"] == 2
    assert lease(server, 2) == FIRST + 2, "there is one for somebody else"
