"""The client, in virtual time, against a server of a few lines."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mirage.dhcp import (
    BROADCAST,
    BadConfiguration,
    Bound,
    Check,
    Client,
    Datagram,
    Lost,
    Message,
    MessageType,
    Option,
    Renewed,
    Route,
    Settings,
    State,
    build,
    parse,
)
from mirage.types.testing import SeededRandom

MAC = bytes.fromhex("02000000000a")
SERVER, OTHER = IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2")
ADDRESS = IPv4Address("10.0.0.50")


def make(seed: int = 1, **settings: object) -> Client:
    return Client(Settings(hardware=MAC, **settings), SeededRandom(seed, predictable=True))  # type: ignore[arg-type]


def sent(datagrams: list[Datagram]) -> Message:
    (datagram,) = datagrams
    assert (datagram.source_port, datagram.destination_port) == (68, 67)
    return parse(datagram.payload)


def answer(to: Message, kind: MessageType, *, server: IPv4Address = SERVER, **options: bytes) -> Message:
    values = {
        Option.MESSAGE_TYPE: bytes([kind]),
        Option.SERVER_ID: server.packed,
        Option.LEASE_TIME: (1000).to_bytes(4, "big"),
        Option.SUBNET_MASK: b"\xff\xff\xff\0",
        **{Option[name.upper()]: value for name, value in options.items()},
    }
    return Message(op=2, xid=to.xid, hardware=MAC, yiaddr=ADDRESS, options=values)


def bound(client: Client, now: float = 0.0, **options: bytes) -> None:
    client.start(now)
    discover = sent(client.poll(now))
    client.input(build(answer(discover, MessageType.OFFER)), now)
    request = sent(client.poll(now))
    client.input(build(answer(request, MessageType.ACK, **options)), now)


def test_the_four_messages() -> None:
    """RFC 2131 3.1: DISCOVER, OFFER, REQUEST, ACK, and the lease."""
    client = make(host_name="unikernel", vendor_class="mirage")
    assert client.next_deadline() is None
    client.start(5.0)
    assert client.next_deadline() == 5.0
    (datagram,) = client.poll(5.0)
    assert (str(datagram.source), datagram.destination) == ("0.0.0.0", BROADCAST)
    discover = parse(datagram.payload)
    assert discover.type is MessageType.DISCOVER
    assert not discover.broadcast
    assert discover.hardware == MAC
    assert discover.options[Option.HOST_NAME] == b"unikernel"
    assert discover.options[Option.VENDOR_CLASS] == b"mirage"
    # RFC 4361 6.1: type 255, an identity association of 4 octets, a DUID; here DUID-LL.
    assert discover.options[Option.CLIENT_ID] == b"\xff" + MAC[2:] + b"\0\3\0\1" + MAC

    client.input(build(answer(discover, MessageType.OFFER)), 5.5)
    assert client.lease is None
    request = sent(client.poll(5.5))
    assert request.type is MessageType.REQUEST
    assert request.xid == discover.xid
    assert request.address(Option.REQUESTED_ADDRESS) == ADDRESS
    assert request.address(Option.SERVER_ID) == SERVER
    assert int(request.ciaddr) == 0

    client.input(build(answer(request, MessageType.ACK, routers=bytes([10, 0, 0, 1, 10, 0, 0, 2]), mtu=b"\x05\x00")), 6)
    lease = client.lease
    assert lease is not None
    assert client.take_events() == [Bound(lease)]
    assert lease.interface == IPv4Interface("10.0.0.50/24")
    assert (lease.begins, lease.renew_at, lease.rebind_at, lease.expires) == (5.5, 505.5, 880.5, 1005.5)
    assert lease.routes == (Route(IPv4Network("0.0.0.0/0"), SERVER),)
    assert lease.mtu == 1280
    assert client.next_deadline() == 505.5


def test_what_a_lease_says() -> None:
    """Every option that is asked for is read; classless routes beat routers (RFC 3442)."""
    client = make()
    bound(
        client,
        routers=SERVER.packed,
        classless_routes=bytes([0, 10, 0, 0, 2]) + bytes([8, 172, 10, 0, 0, 3]),
        dns_servers=bytes([8, 8, 8, 8, 9, 9, 9, 9]),
        domain_name=b"example.org\0",
        domain_search=b"\1a\7example\0",
        ntp_servers=OTHER.packed,
        broadcast_address=bytes([10, 0, 0, 255]),
        renewal_time=(100).to_bytes(4, "big"),
        rebinding_time=(200).to_bytes(4, "big"),
    )
    lease = client.lease
    assert lease is not None
    assert [str(route.destination) for route in lease.routes] == ["0.0.0.0/0", "172.0.0.0/8"]
    assert lease.routes[0].router == OTHER
    assert [str(server) for server in lease.dns_servers] == ["8.8.8.8", "9.9.9.9"]
    assert (lease.domain, lease.search) == ("example.org", ("a.example",))
    assert lease.ntp_servers == (OTHER,)
    assert str(lease.broadcast) == "10.0.0.255"
    assert (lease.renew_at, lease.rebind_at) == (100.0, 200.0)


def test_nonsense_beside_the_point_is_absent() -> None:
    """A bad option costs that option, not the lease; times out of order are the defaults."""
    client = make()
    bound(client, routers=b"\1", domain_name=b"a b", mtu=b"\0\1", renewal_time=b"\0\0\xff\xff", subnet_mask=b"\1\2\3\4")
    lease = client.lease
    assert lease is not None
    assert (lease.routers, lease.domain, lease.mtu) == ((), None, None)
    assert lease.renew_at == 500.0
    assert lease.prefix_length == 8  # the old class of 10.0.0.50


def test_a_lease_for_ever() -> None:
    """RFC 2131 3.3: all ones is infinity."""
    client = make()
    bound(client, lease_time=b"\xff" * 4)
    assert client.lease is not None
    assert client.lease.expires == math.inf
    assert client.next_deadline() is None


def test_discover_is_repeated_after_a_growing_random_time() -> None:
    """RFC 2131 4.1: 4, 8, 16, 32, 64 seconds, each within a second of it."""
    client = make()
    client.start(0.0)
    now, waits = 0.0, []
    first = sent(client.poll(now))
    for _ in range(6):
        deadline = client.next_deadline()
        assert deadline is not None
        waits.append(deadline - now)
        now = deadline
        again = sent(client.poll(now))
        assert again.xid == first.xid
        assert again.secs == int(now)
    for wait, middle in zip(waits, (4, 8, 16, 32, 64, 64), strict=True):
        assert abs(wait - middle) <= 1
    assert len({wait % 1 for wait in waits}) == 6


def test_offers_are_collected_and_the_known_address_is_preferred() -> None:
    """With `collect`, the address of the earlier lease wins over the first offer."""
    client = make(collect=2.0)
    client.start(0.0, reboot=ADDRESS)
    reboot = sent(client.poll(0.0))
    assert reboot.type is MessageType.REQUEST
    now = 0.0
    for _ in range(4):
        now = client.next_deadline() or 0.0
        client.poll(now)
    assert client.state is State.INIT
    discover = sent(client.poll(now))
    assert discover.address(Option.REQUESTED_ADDRESS) == ADDRESS
    first = dataclasses.replace(answer(discover, MessageType.OFFER, server=OTHER), yiaddr=IPv4Address("10.0.0.99"))
    client.input(build(first), now)
    client.input(build(answer(discover, MessageType.OFFER)), now + 1)
    assert client.poll(now + 1) == []
    request = sent(client.poll(now + 2))
    assert request.address(Option.SERVER_ID) == SERVER
    client.input(build(answer(request, MessageType.ACK, server=OTHER)), now + 2)  # from the one that was not chosen
    assert client.lease is None
    client.input(build(answer(request, MessageType.ACK)), now + 2)
    assert client.lease is not None


def test_init_reboot() -> None:
    """RFC 2131 3.2: the address of an earlier life is asked for in one round trip."""
    client = make()
    client.start(0.0, reboot=ADDRESS)
    request = sent(client.poll(0.0))
    assert request.type is MessageType.REQUEST
    assert Option.SERVER_ID not in request.options
    assert request.address(Option.REQUESTED_ADDRESS) == ADDRESS
    client.input(build(answer(request, MessageType.ACK)), 0.1)
    assert client.state is State.BOUND


def test_init_reboot_refused() -> None:
    """RFC 2131 3.2: after a NAK all begins anew, without the address."""
    client = make()
    client.start(0.0, reboot=ADDRESS)
    request = sent(client.poll(0.0))
    client.input(build(answer(request, MessageType.NAK)), 0.1)
    discover = sent(client.poll(0.1))
    assert discover.type is MessageType.DISCOVER
    assert Option.REQUESTED_ADDRESS not in discover.options


def test_naks_again_and_again_are_not_answered_at_once() -> None:
    """A server that offers and refuses makes nobody busy."""
    client = make()
    client.start(0.0)
    now, times = 0.0, []
    for _ in range(5):
        now = max(now, client.next_deadline() or 0.0)
        discover = sent(client.poll(now))
        times.append(now)
        client.input(build(answer(discover, MessageType.OFFER)), now)
        request = sent(client.poll(now))
        client.input(build(answer(request, MessageType.NAK)), now)
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert gaps[0] == 0
    assert all(gap > 6 for gap in gaps[1:])
    assert gaps == sorted(gaps)


def test_renew_then_rebind_then_the_end() -> None:
    """RFC 2131 4.4.5: T1 to the server, T2 to everybody, then the address is given up."""
    client = make()
    bound(client)
    client.take_events()
    (renew,) = client.poll(500.0)
    assert (renew.source, renew.destination) == (ADDRESS, SERVER)
    message = parse(renew.payload)
    assert message.ciaddr == ADDRESS
    assert Option.REQUESTED_ADDRESS not in message.options
    assert Option.SERVER_ID not in message.options
    assert client.state is State.RENEWING
    assert client.next_deadline() == 500 + 375 / 2
    client.poll(687.5)
    assert client.next_deadline() == 687.5 + 187.5 / 2
    (rebind,) = client.poll(875.0)
    assert rebind.destination == BROADCAST
    assert client.state is State.REBINDING
    assert client.lease is not None
    assert client.poll(1000.0) == []
    assert client.lease is None
    (event,) = client.take_events()
    assert isinstance(event, Lost)
    assert sent(client.poll(1000.0)).type is MessageType.DISCOVER


def test_renewed() -> None:
    """An ACK to a renewal prolongs the lease from when it was asked for."""
    client = make()
    bound(client)
    client.take_events()
    request = sent(client.poll(500.0))
    client.input(build(answer(request, MessageType.ACK)), 510.0)
    assert client.lease is not None
    assert client.take_events() == [Renewed(client.lease)]
    assert client.lease.expires == 1500.0


def test_rebound_by_another_server() -> None:
    """While rebinding, any server may prolong the lease; from then on it is asked."""
    client = make()
    bound(client)
    request = sent(client.poll(880.0))
    client.input(build(answer(request, MessageType.ACK, server=OTHER)), 880.0)
    assert client.lease is not None
    assert client.lease.server == OTHER


def test_refused_while_renewing() -> None:
    """A NAK ends the lease at once."""
    client = make()
    bound(client)
    client.take_events()
    request = sent(client.poll(500.0))
    client.input(build(answer(request, MessageType.NAK)), 500.0)
    (event,) = client.take_events()
    assert isinstance(event, Lost)
    assert client.state is State.INIT


def test_an_address_in_use_is_declined() -> None:
    """RFC 2131 3.1.5: DECLINE to everybody, ten seconds, then all anew."""
    client = make(check=True)
    bound(client)
    assert client.take_events() == [Check(ADDRESS)]
    assert client.lease is None
    client.decline(3.0)
    (datagram,) = client.poll(3.0)
    message = parse(datagram.payload)
    assert datagram.destination == BROADCAST
    assert message.type is MessageType.DECLINE
    assert message.address(Option.REQUESTED_ADDRESS) == ADDRESS
    assert message.address(Option.SERVER_ID) == SERVER
    assert int(message.ciaddr) == 0
    assert client.next_deadline() == 13.0
    assert sent(client.poll(13.0)).type is MessageType.DISCOVER


def test_an_address_that_is_free_is_confirmed() -> None:
    """Only after that there is a lease."""
    client = make(check=True)
    bound(client)
    client.take_events()
    client.confirm(2.0)
    assert client.lease is not None
    assert client.take_events() == [Bound(client.lease)]


def test_release() -> None:
    """RFC 2131 4.4.6: told to the server, unicast; nothing follows."""
    client = make()
    bound(client)
    client.take_events()
    client.release(10.0)
    (datagram,) = client.poll(10.0)
    message = parse(datagram.payload)
    assert (datagram.destination, message.type, message.ciaddr) == (SERVER, MessageType.RELEASE, ADDRESS)
    assert client.next_deadline() is None
    (event,) = client.take_events()
    assert isinstance(event, Lost)
    client.release(11.0)
    assert client.poll(11.0) == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda m: dataclasses.replace(m, xid=m.xid ^ 1),
        lambda m: dataclasses.replace(m, op=1),
        lambda m: dataclasses.replace(m, hardware=b"\2" * 6),
        lambda m: dataclasses.replace(m, options={**m.options, Option.CLIENT_ID: b"\1other"}),
        lambda m: dataclasses.replace(m, options={**m.options, Option.SERVER_ID: b"\0\0\0\0"}),
        lambda m: dataclasses.replace(m, yiaddr=IPv4Address(0)),
        lambda m: dataclasses.replace(m, yiaddr=BROADCAST),
        lambda m: dataclasses.replace(m, options={}),
    ],
)
def test_an_offer_that_is_none(spoil: Callable[[Message], Message]) -> None:
    """What is not for us, or could not be used, changes nothing and is counted."""
    client = make()
    client.start(0.0)
    discover = sent(client.poll(0.0))
    client.input(build(spoil(answer(discover, MessageType.OFFER))), 1.0)
    assert client.state is State.SELECTING
    assert sum(count for name, count in client.counters.items() if name.startswith("dropped.")) == 1


@given(
    st.lists(st.tuples(st.floats(0, 2000), st.integers(1, 8), st.integers(0, 3), st.binary(max_size=12)), max_size=30)
)
def test_any_conversation(steps: list[tuple[float, int, int, bytes]]) -> None:
    """Whatever a server says and whenever, the client stays in its states, and bounded."""
    client = make()
    client.start(0.0)
    now, last = 0.0, Message(op=1, xid=0, hardware=MAC)
    for later, kind, server, noise in steps:
        now += later
        for datagram in client.poll(now):
            last = parse(datagram.payload)
            assert len(datagram.payload) <= 1472
        options = {Option(code): noise for code in noise if code in Option._value2member_map_ and 0 < code < 52}
        reply = answer(last, MessageType(kind), server=IPv4Address(0x0A000000 + server))
        client.input(build(dataclasses.replace(reply, options={**options, **reply.options})), now)
        client.input(noise, now)
        deadline = client.next_deadline()
        assert deadline is None or not math.isnan(deadline)
        assert (client.lease is not None) == (client.state in {State.BOUND, State.RENEWING, State.REBINDING})
    assert len(client.take_events()) <= 2 * len(steps)


def test_settings_that_cannot_be() -> None:
    """Local misuse says what is wrong."""
    with pytest.raises(BadConfiguration, match="hardware"):
        Client(Settings(hardware=b""), SeededRandom(1, predictable=True))
    with pytest.raises(BadConfiguration, match="client_id"):
        Client(Settings(hardware=MAC, client_id=b"x"), SeededRandom(1, predictable=True))
