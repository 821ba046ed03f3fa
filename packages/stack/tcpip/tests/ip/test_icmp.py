"""ICMP: echoes, which errors are sent and which never, how many, and what those do that come."""

from __future__ import annotations

import pytest
from host import (
    MAC,
    OURS4,
    OURS6,
    THEIRS4,
    THEIRS6,
    Host,
    frame4,
    frame6,
    icmp4,
    icmp6,
    messages6,
    packed,
    udp4,
)
from mirage.tcpip.errors import ConnectionRefused, Unreachable
from mirage.tcpip.settings import Settings
from mirage.tcpip.wire import ipv4
from mirage.tcpip.wire.checksum import checksum, ones_sum


def udp6(data: bytes, port: int = 9) -> bytes:
    message = udp4(data, port=port)
    total = checksum(message, ones_sum(THEIRS6 + OURS6) + 17 + len(message))
    return message[:6] + total.to_bytes(2, "big") + message[8:]


def test_rfc792_echo() -> None:
    host = Host()
    (answer,) = host.give(icmp4(8, 0, b"\0\1\0\2", b"hello"))
    assert (answer[23], answer[26:34], answer[34:36], answer[38:]) == (1, OURS4 + THEIRS4, b"\0\0", b"\0\1\0\2hello")
    assert ones_sum(answer[34:]) == 0
    ((source, to, message),) = messages6(host.give(icmp6(128, b"\0\1\0\2hello")))
    assert (source, to, message[0], message[4:]) == (OURS6, THEIRS6, 129, b"\0\1\0\2hello")


def test_echoes_that_are_not_answered() -> None:
    """RFC 1122 3.2.2.6: not to a broadcast or group; not from a group; not with a wrong checksum. Of IPv6 to a group
    yes (RFC 4443 4.2), from a unicast address."""
    host = Host()
    broken = bytearray(icmp4(8, 0, b"\0\1\0\2", b"hello"))
    broken[-1] ^= 1
    silent = [
        icmp4(8, 0, bytes(4), b"", to=packed("10.0.0.255"), mac=b"\xff" * 6),
        icmp4(8, 0, bytes(4), b"", to=packed("224.0.0.1"), mac=b"\1\0\x5e\0\0\1"),
        icmp4(8, 0, bytes(4), b"", source=packed("224.0.0.1")),
        icmp4(8, 0, bytes(4), b"", source=packed("127.0.0.1")),
        icmp4(8, 0, bytes(4), b"", source=OURS4),
        icmp6(128, bytes(4), source=packed("ff02::1")),
        icmp6(128, bytes(4), source=packed("::1")),
        bytes(broken),
    ]
    assert host.give(*silent) == []
    ((source, _, _),) = messages6(host.give(icmp6(128, bytes(4), to=packed("ff02::1"), mac=b"\x33\x33\0\0\0\1")))
    assert source == OURS6


@pytest.mark.parametrize("version", [4, 6])
def test_port_and_protocol_unreachable(version: int) -> None:
    host = Host()
    if version == 4:
        (port,) = host.give(frame4(udp4(b"x" * 600), 17))
        (protocol,) = host.give(frame4(bytes(8), 99))
        assert (port[34:36], port[42:]) == (b"\3\3", frame4(udp4(b"x" * 600), 17)[14 : 14 + 548])
        assert protocol[34:36] == b"\3\2"
    else:
        ((_, _, port6),) = messages6(host.give(frame6(udp6(b"x" * 1300), 17)))
        ((_, _, protocol6),) = messages6(host.give(frame6(bytes([99, 0, 1, 4, 0, 0, 0, 0, 1]), 60)))
        assert (port6[:2], len(port6)) == (b"\1\4", 1240)
        assert (protocol6[:2], protocol6[4:8]) == (b"\4\1", bytes([0, 0, 0, 40]))


def test_rfc1122_3_2_2_what_nobody_is_told_about() -> None:
    """Errors, groups, broadcasts, fragments but the first, and senders that are not one host."""
    host = Host()
    for_all = b"\xff" * 6
    quoted = ipv4.build(8, 17, OURS4, THEIRS4, hop_limit=9) + bytes(8)
    assert host.give(
        icmp4(3, 3, bytes(4), quoted),
        icmp4(11, 0, bytes(4), quoted),
        frame4(udp4(b""), 17, to=packed("10.0.0.255"), mac=for_all),
        frame4(udp4(b""), 17, mac=for_all),
        frame4(udp4(b""), 17, source=packed("240.0.0.1")),
        frame4(udp4(b""), 17, source=bytes(4)),
        icmp6(1, bytes(4) + bytes(48)),
        icmp6(99, bytes(4)),
        frame6(udp6(b""), 17, to=packed("ff02::1"), mac=b"\x33\x33\0\0\0\1"),
    ) == []  # fmt: skip


def test_errors_are_limited() -> None:
    """RFC 4443 2.4 (f): a burst, then so many a second."""
    host = Host(Settings(icmp_errors_per_second=10, icmp_error_burst=5))
    probe = frame4(udp4(b""), 17)
    assert len(host.give(*[probe] * 100)) == 5
    host.now = 1.0
    assert len(host.give(*[probe] * 100)) == 5
    host.now = 1.25
    assert len(host.give(*[probe] * 100)) == 2
    assert host.counters["icmp.errors-suppressed"] == 288


@pytest.mark.parametrize("version", [4, 6])
def test_rfc1122_4_1_3_3_a_udp_endpoint_hears_of_it(version: int) -> None:
    host = Host()
    endpoint = host.stack.bind(1000, version=version)
    other = host.stack.bind(1001, version=version)
    endpoint.send(b"x", THEIRS4 if version == 4 else THEIRS6, 9, now=0.0)
    (sent,) = host.take()
    if version == 4:
        host.give(icmp4(3, 3, bytes(4), sent[14:]))
        first = endpoint.take_error()
        host.give(icmp4(3, 1, bytes(4), sent[14:42]))
    else:
        host.give(icmp6(1, bytes(4) + sent[14:], code=4))
        first = endpoint.take_error()
        host.give(icmp6(1, bytes(4) + sent[14:], code=3))
    assert isinstance(first, ConnectionRefused)
    assert isinstance(endpoint.take_error(), Unreachable)
    assert other.take_error() is None


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("bound", [False, True])
def test_rfc1191_too_big_makes_fragments(version: int, bound: bool) -> None:
    """The path shrinks for everybody who sends there, and grows again after a while; never below its floor."""
    host = Host(Settings(path_mtu_lifetime=100))
    target, own = (THEIRS4, OURS4) if version == 4 else (THEIRS6, OURS6)
    endpoint = host.stack.bind(1000, own if bound else None, version=version)
    endpoint.send(bytes(1400), target, 9, now=0.0)
    (sent,) = host.take()
    if version == 4:
        host.give(icmp4(3, 4, b"\0\0\2\x80", sent[14:42]))
        expected = 640
    else:
        host.give(icmp6(2, bytes([0, 0, 2, 0x80]) + sent[14:]))
        expected = 1280
    endpoint.send(bytes(1400), target, 9, now=0.0)
    sizes = [len(f) - 14 for f in host.take()]
    assert len(sizes) > 1
    assert expected - 8 < max(sizes) <= expected
    endpoint.send(bytes(1400), target, 9, now=101.0)
    assert len(host.take()) == 1


def test_rfc1191_7_1_a_router_that_tells_no_mtu() -> None:
    host = Host()
    endpoint = host.stack.bind(1000)
    endpoint.send(bytes(1400), THEIRS4, 9, now=0.0)
    (sent,) = host.take()
    host.give(icmp4(3, 4, bytes(4), sent[14:42]))
    assert host.ip.path(THEIRS4, 0.0).mtu == 1006  # the plateau below 1428


def test_an_error_about_what_is_not_ours_does_nothing() -> None:
    host = Host()
    path = host.ip.path(THEIRS4, 0.0)
    quoted = ipv4.build(8, 17, packed("10.0.0.77"), THEIRS4, hop_limit=9) + bytes(8)
    host.give(icmp4(3, 4, b"\0\0\2\x80", quoted), icmp4(3, 4, b"\0\0\2\x80", b"rubbish"))
    assert path.mtu == 1500


def test_rfc8200_4_2_parameter_problem() -> None:
    """Of an option that asks for it; of one that asks so only outside of groups, not to a group."""
    host = Host()
    for kind, to, mac, answers in [
        (0x9E, OURS6, MAC, 1),
        (0xDE, OURS6, MAC, 1),
        (0x5E, OURS6, MAC, 0),
        (0xDE, packed("ff02::1"), b"\x33\x33\0\0\0\1", 0),
        (0x9E, packed("ff02::1"), b"\x33\x33\0\0\0\1", 1),
    ]:
        body = bytes([59, 0, kind, 4, 0, 0, 0, 0])
        found = messages6(host.give(frame6(body, 60, to=to, mac=mac)))
        assert len(found) == answers, hex(kind)
        if answers:
            assert (found[0][2][:2], found[0][2][4:8]) == (b"\4\2", bytes([0, 0, 0, 42]))
