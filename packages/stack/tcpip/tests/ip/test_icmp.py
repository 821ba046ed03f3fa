"""ICMP of both versions: echoes, errors that are sent, and errors that are believed."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest
from lone import (
    ALL_NODES,
    OURS4,
    OURS6,
    PEER4,
    PEER6,
    QUIET,
    ROUTER,
    Lone,
    frame4,
    frame6,
    frame_icmp6,
    frame_udp,
    kind_of,
)
from mirage.tcpip import AddressUnavailable, ConnectionRefused, MessageTooLong, Unreachable
from mirage.tcpip.udp import UdpEndpoint
from mirage.tcpip.wire import icmp, ipv4, ipv6, tcp
from mirage.tcpip.wire.checksum import ones_sum

BOTH = pytest.mark.parametrize("version", [4, 6])
REST = b"\x12\x34\0\1"


def known(settings: object = QUIET) -> Lone:
    host = Lone(settings)  # type: ignore[arg-type]
    host.meet()
    return host


def message(frame: bytes) -> bytes:
    """The ICMP message of a frame, its checksum checked."""
    if frame[12:14] == b"\x08\0":
        assert ones_sum(frame[14:34]) == 0
        assert ones_sum(frame[34:]) == 0
        return frame[34:]
    assert (ones_sum(frame[22:54]) + ones_sum(frame[54:]) + 58 + len(frame) - 54) % 65535 == 0
    return frame[54:]


def error(version: int, kind: int, code: int, rest: bytes, about: bytes, source: bytes | None = None) -> bytes:
    """An ICMP error from a router about a frame that the host has sent."""
    if version == 4:
        return frame4(1, icmp.build4(kind, code, rest, about[14:]), source or b"\x0a\x09\0\xfe")
    source = source or PEER6[:15] + b"\xfe"
    return frame6(58, icmp.build6(kind, code, rest, about[14:], ones_sum(source + OURS6)), source)


def test_rfc1122_3_2_2_6_echo() -> None:
    """The reply has the request's identifier, sequence number and data, and goes from where that went to."""
    host = known()
    (frame,) = host.give(frame4(1, icmp.build4(icmp.ECHO_REQUEST4, 0, REST, b"data")))
    assert (frame[26:30], frame[30:34]) == (OURS4, PEER4)
    assert message(frame)[:2] + message(frame)[4:] == b"\0\0" + REST + b"data"


def test_rfc4443_4_2_echo() -> None:
    host = known()
    (frame,) = host.give(frame_icmp6(icmp.ECHO_REQUEST6, REST, b"data"))
    assert (frame[22:38], frame[38:54]) == (OURS6, PEER6)
    assert message(frame)[:2] + message(frame)[4:] == b"\x81\0" + REST + b"data"


def test_rfc4443_4_2_echo_to_a_group() -> None:
    """It is answered from an address of the host, as of one link."""
    host = known()
    (frame,) = host.give(frame_icmp6(icmp.ECHO_REQUEST6, REST, b"", PEER6, ALL_NODES))
    assert frame[22:38] in host.interface.addresses
    assert frame[38:54] == PEER6


@BOTH
def test_wrong_checksums(version: int) -> None:
    """Counted, and nothing else."""
    host = known()
    frame = bytearray(frame4(1, icmp.build4(8, 0, REST, b"data")) if version == 4 else frame_icmp6(128, REST, b"data"))
    frame[-1] ^= 1
    assert host.give(bytes(frame)) == []
    assert host.counters["icmp.bad-checksum"] == 1


@BOTH
def test_port_unreachable(version: int) -> None:
    """RFC 1122 4.1.3.1, RFC 4443 3.1: it quotes the packet, as much of it as it may."""
    host = known()
    frame = frame_udp(1400, version)
    (answer,) = host.give(frame)
    assert message(answer)[:2] == (b"\3\3" if version == 4 else b"\1\4")
    quoted = message(answer)[8:]
    assert frame[14:].startswith(quoted)
    assert len(answer) - 14 == (576 if version == 4 else 1280)


def test_rfc1122_3_2_2_2_protocol_unreachable() -> None:
    host = known()
    (answer,) = host.give(frame4(99, b"12345678"))
    assert message(answer)[:2] == b"\3\2"


def test_rfc4443_3_4_unknown_next_header() -> None:
    """A parameter problem that points at the number."""
    host = known()
    (answer,) = host.give(frame6(99, b"12345678"))
    assert message(answer)[:2] == b"\4\1"
    assert message(answer)[4:8] == (6).to_bytes(4, "big")
    inner = bytes.fromhex("6300 0104 00000000")
    (answer,) = host.give(frame6(ipv6.DESTINATION, inner + b"12345678"))
    assert message(answer)[:2] == b"\4\1"
    assert message(answer)[4:8] == (40).to_bytes(4, "big"), "where the number stands in the extension header"


def test_rfc8200_4_2_options_that_ask_for_an_answer() -> None:
    host = known()
    for option, expected in (("c1", 1), ("81", 1), ("41", 0), ("01", 0)):
        extension = bytes.fromhex(f"3b00 {option}04 00000000")
        assert len(host.give(frame6(ipv6.DESTINATION, extension))) == expected


@BOTH
def test_no_errors_about_errors(version: int) -> None:
    """RFC 1122 3.2.2, RFC 4443 2.4 (e.1): whatever an error is about, it is not answered."""
    host = known()
    about = frame4(99, bytes(8), OURS4, PEER4) if version == 4 else frame6(99, bytes(8), OURS6, PEER6)
    for kind in range(20):
        if kind not in {0, 8, 5} or version == 6:
            assert host.give(error(version, kind, 0, bytes(4), about)) == []


@pytest.mark.parametrize("source", [bytes(4), b"\xe0\0\0\1", b"\x7f\0\0\1", b"\xff\xff\xff\xff"])
def test_rfc1122_3_2_2_sources_that_are_nobody(source: bytes) -> None:
    """What claims to come from a group, a broadcast, this host or nowhere gets no error."""
    host = known()
    frames = host.give(frame4(17, bytes.fromhex("0007000900080000"), source))
    assert frames == []


def test_rfc4443_2_4_f_errors_are_few() -> None:
    """A bucket of tokens: a burst, then so many a second."""
    host = known(replace(QUIET, icmp_error_burst=10, icmp_errors_per_second=100))
    assert sum(len(host.give(frame_udp(1, 6))) for _ in range(50)) == 10
    host.now += 0.11
    assert sum(len(host.give(frame_udp(1, 6))) for _ in range(50)) == 10
    assert host.counters["icmp.errors-suppressed"] == 80


def sent(version: int, size: int = 1400) -> tuple[Lone, UdpEndpoint, bytes]:
    """A datagram that has been sent."""
    host = known()
    endpoint = host.stack.bind(version=version)
    endpoint.send(bytes(size), PEER4 if version == 4 else PEER6, 9, now=host.now)
    (frame,) = host.out()
    return host, endpoint, frame


@BOTH
def test_rfc1122_4_1_3_3_errors_reach_the_transport(version: int) -> None:
    """Whoever has sent the datagram learns of it, once."""
    host, endpoint, frame = sent(version)
    kind, code = (3, 3) if version == 4 else (1, 4)
    host.give(error(version, kind, code, bytes(4), frame))
    assert isinstance(endpoint.take_error(), ConnectionRefused)
    assert endpoint.take_error() is None
    kind, code = (3, 1) if version == 4 else (1, 3)
    host.give(error(version, kind, code, bytes(4), frame[: 14 + 48]))
    assert isinstance(endpoint.take_error(), Unreachable)


@BOTH
def test_rfc5927_4_errors_about_what_was_not_sent(version: int) -> None:
    """From another port, or from an address that is not ours: not believed."""
    host, endpoint, frame = sent(version)
    start = 34 if version == 4 else 54
    forged = bytearray(frame)
    forged[start] ^= 0x55
    kind, code = (3, 3) if version == 4 else (1, 4)
    host.give(error(version, kind, code, bytes(4), bytes(forged)))
    assert host.counters["udp.errors-refused"] == 1
    forged = bytearray(frame.replace(OURS4, OURS4[:3] + b"\x63").replace(OURS6, OURS6[:15] + b"\x63"))
    host.give(error(version, kind, code, bytes(4), bytes(forged)))
    assert host.counters["icmp.errors-refused"] == 1
    assert endpoint.take_error() is None


@BOTH
def test_path_mtu_discovery(version: int) -> None:
    """RFC 1191 3, RFC 8201 4: what a router says holds for all paths to that host, for ten minutes."""
    host, endpoint, frame = sent(version)
    if version == 4:
        host.give(error(4, 3, 4, b"\0\0" + (1300).to_bytes(2, "big"), frame))
    else:
        host.give(error(6, 2, 0, (1300).to_bytes(4, "big"), frame))
    remote = PEER4 if version == 4 else PEER6
    path = host.ip.path(remote, host.now, local=OURS4 if version == 4 else OURS6)
    path.refresh(host.now)
    assert path.mtu == 1300
    assert endpoint.take_error() is None
    endpoint.dont_fragment = True
    with pytest.raises(MessageTooLong):
        endpoint.send(bytes(1400), remote, 9, now=host.now)
    host.now += 601
    path.refresh(host.now)
    assert path.mtu == 1500


def test_rfc8201_4_too_small_a_packet_too_big() -> None:
    """Nobody makes an IPv6 path smaller than 1280, nor an IPv4 path smaller than 576."""
    host, _, frame = sent(6)
    host.give(error(6, 2, 0, (68).to_bytes(4, "big"), frame))
    assert host.ip.path(PEER6, host.now, local=OURS6).mtu == 1280
    host, _, frame = sent(4)
    host.give(error(4, 3, 4, b"\0\0\0\x44", frame))
    assert host.ip.path(PEER4, host.now, local=OURS4).mtu == 576


def test_rfc1191_7_1_routers_that_tell_no_mtu() -> None:
    """The next plateau below what was too large."""
    host, _, frame = sent(4, 1470)
    host.give(error(4, 3, 4, bytes(4), frame))
    assert host.ip.path(PEER4, host.now, local=OURS4).mtu == 1492
    host, _, frame = sent(4, 1400)
    host.give(error(4, 3, 4, bytes(4), frame))
    assert host.ip.path(PEER4, host.now, local=OURS4).mtu == 1006


def test_rfc8201_4_a_larger_mtu_than_the_link() -> None:
    """Changes nothing."""
    host, _, frame = sent(6)
    host.give(error(6, 2, 0, (9000).to_bytes(4, "big"), frame))
    assert host.ip.path(PEER6, host.now, local=OURS6).mtu == 1500


@BOTH
def test_ping(version: int) -> None:
    """Replies are told apart by identifier and peer; the delay is that of the request."""
    host = known()
    remote = PEER4 if version == 4 else PEER6
    ping = host.stack.ping(remote)
    assert ping.send(host.now, data=b"abc") == 0
    (frame,) = host.out()
    request = message(frame)
    rest, body = request[4:8], request[8:]
    host.now += 0.25

    def reply(rest: bytes, source: bytes = remote) -> None:
        if version == 4:
            host.give(frame4(1, icmp.build4(0, 0, rest, body), source))
        else:
            host.give(frame6(58, icmp.build6(129, 0, rest, body, ones_sum(source + OURS6)), source))

    reply(rest)
    assert host.stack.take_news() == [ping]
    got = ping.read()
    assert got is not None
    assert (got.sequence, got.source, got.data, got.delay) == (0, remote, b"abc", pytest.approx(0.25))
    reply(bytes([rest[0] ^ 1]) + rest[1:])
    reply(rest, remote[:-1] + b"\x77")
    assert ping.read() is None
    assert host.counters["ping.unasked"] == 2
    assert ping.send(host.now) == 1
    kind, code = (3, 1) if version == 4 else (1, 3)
    host.give(error(version, kind, code, bytes(4), host.out()[0]))
    assert isinstance(ping.take_error(), Unreachable)
    ping.close()
    reply(rest)
    assert host.counters["ping.unasked"] == 3


@BOTH
def test_redirects_are_off(version: int) -> None:
    """By default they are ignored; where they are on, only the first hop in use is believed."""
    import ipaddress

    far = b"\xc6\x33\x64\1" if version == 4 else ipaddress.ip_address("2001:db8::1").packed
    router, better = (PEER4, PEER4[:3] + b"\x09") if version == 4 else (ROUTER, ROUTER[:15] + b"\x09")

    def redirect(source: bytes) -> bytes:
        if version == 4:
            about = ipv4.build(8, 17, OURS4, far, hop_limit=64) + bytes(8)
            return frame4(1, icmp.build4(icmp.REDIRECT4, 1, better, about), source)
        return frame_icmp6(137, bytes(4), better + far, source, OURS6, 255)

    for allowed, source, hop in ((False, router, router), (True, better, router), (True, router, better)):
        host = known(replace(QUIET, accept_redirects=allowed))
        everywhere = ipaddress.ip_network("0.0.0.0/0" if version == 4 else "::/0")
        host.ip.add_route(everywhere, router, host.interface)
        path = host.ip.path(far, host.now)
        host.give(redirect(source))
        assert host.ip.next_hop(path, host.now) == hop
    host.wait(601)
    assert host.ip.next_hop(path, host.now) == router


def test_loopback() -> None:
    """What goes to ourselves comes back without leaving: echo, datagrams, 127.0.0.1 and ::1."""
    host = known()
    for remote in (OURS4, OURS6, b"\x7f\0\0\1", bytes(15) + b"\1"):
        ping = host.stack.ping(remote)
        ping.send(host.now, data=bytes(60_000))
        assert [f for f in host.out() if kind_of(f) != "arp request"] == []
        got = ping.read()
        assert got is not None
        assert (got.source, got.data) == (remote, bytes(60_000))
        version = 4 if len(remote) == 4 else 6
        server = host.stack.bind(9, version=version)
        client = host.stack.bind(version=version)
        client.send(b"hello", remote, 9, now=host.now)
        host.out()
        read = server.read()
        assert read is not None
        assert (read.data, read.port, read.source) == (b"hello", client.port, remote)
        client.send(b"hello", remote, 10, now=host.now)
        host.out()
        assert isinstance(client.take_error(), ConnectionRefused)
        server.close()
        client.close()


def test_what_claims_to_come_from_this_host() -> None:
    """RFC 1122 3.2.1.3 (g): 127/8 and ::1 do not appear on a link."""
    host = known()
    echo = icmp.build4(icmp.ECHO_REQUEST4, 0, REST, b"")
    assert host.give(frame4(1, echo, b"\x7f\0\0\1")) == []
    assert host.give(frame4(1, echo, PEER4, b"\x7f\0\0\1")) == []
    one = bytes(15) + b"\1"
    assert host.give(frame_icmp6(icmp.ECHO_REQUEST6, REST, b"", one)) == []
    assert host.give(frame_icmp6(icmp.ECHO_REQUEST6, REST, b"", PEER6, one)) == []
    assert host.counters["ip.spoofed"] == 2
    server = host.stack.bind(9, version=4)
    datagram = bytes.fromhex("0007 0009 000a 0000 6869")
    for source in (b"\x7f\0\0\1", OURS4):
        host.give(frame4(17, datagram, source))
    assert server.read() is None


def test_rfc1122_3_2_1_3_a_broadcast_address_is_no_source() -> None:
    """Whoever answered it would answer everybody: neither an echo, nor a RST, nor an ICMP error."""
    host = known()
    echo = icmp.build4(icmp.ECHO_REQUEST4, 0, REST, b"data")
    for source in (b"\x0a\x09\0\xff", b"\xff\xff\xff\xff", b"\xe0\0\0\1"):
        assert host.give(frame4(1, echo, source)) == []
    assert host.counters["ip4.bad-source"] == 3


@BOTH
def test_rfc9293_must_63_tcp_hears_nobody_without_an_address(version: int) -> None:
    """A SYN from 0.0.0.0 or ``::``: no half-open connection, and no answer to an address that nobody has."""
    host = known()
    host.stack.listen(80, version=version)
    host.ip.add_route(
        ip_network("0.0.0.0/0" if version == 4 else "::/0"), PEER4 if version == 4 else PEER6, host.interface
    )
    syn = tcp.build(4000, 80, 1, 0, tcp.SYN, 1000)
    nobody, ours = (bytes(4), OURS4) if version == 4 else (bytes(16), OURS6)
    total = 65535 - (ones_sum(nobody + ours) + 6 + len(syn) + ones_sum(syn)) % 65535
    segment = syn[:16] + total.to_bytes(2, "big") + syn[18:]
    assert host.give((frame4 if version == 4 else frame6)(6, segment, nobody)) == []
    assert not host.stack.tcp.connections


@pytest.mark.parametrize("address", ["224.0.0.1", "10.9.0.255", "255.255.255.255", "ff02::1", "ff0e::1"])
def test_rfc9293_must_46_tcp_connects_to_one_host(address: str) -> None:
    host = known()
    with pytest.raises(AddressUnavailable):
        host.stack.connect(address, 80, interface=host.interface)
    assert host.out() == []
